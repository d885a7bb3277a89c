"""Image preprocessing for published weights.

Images are resized by Pillow, because the weights were trained and evaluated with it: its filters widen where an image
shrinks (antialiasing), and it rounds to 8 bits after each of two passes. Other libraries give other bytes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from jaxcv.types import Float, UInt8
from jaxcv.weights.published import Preprocessing, find

_FILTERS = {'bilinear': Image.Resampling.BILINEAR, 'bicubic': Image.Resampling.BICUBIC}


def preprocessing(name: str) -> Callable[[UInt8[np.ndarray, 'h w 3'] | Image.Image], Float[np.ndarray, 'i j 3']]:
    """Make the evaluation transform of a set of published weights.

    It resizes the short side, crops the center, and normalizes: `(x / 255 - mean) / std`. For weights with
    `transform_input` the result is `2 x / 255 - 1`, because torchvision's model undoes the normalization first. Images
    for segmentation and detection are not cropped, nor are faces, which were cut out and aligned before; those for
    detection are resized as the row's `fit` and `longest` say, and `experiments.predict --weights=NAME` brings the
    boxes back into the pixels of the image.

    Args:
        name: a set of weights, such as 'resnet50.imagenet1k_v1', or a model, for its first set.

    Returns:
        A function on the host: an image to float32 `[size size 3]`, or for segmentation `[i j 3]` of the image's
        proportions. The image is uint8 `[h w 3]`, RGB, or a PIL image of any mode of 8 bits: it is turned by its
        orientation tag, gray is repeated to RGB, a palette looked up, alpha dropped. TypeError for images of another
        type, ValueError for those of another shape.

    Raises:
        ValueError: no such weights are known.

    Example:
        >>> transform = preprocessing('resnet50')
        >>> image = transform(np.full((300, 400, 3), 255, np.uint8))
        >>> print(image.shape, image[0, 0].round(2))
        (224, 224, 3) [2.25 2.43 2.64]
    """
    return evaluation_transform(find(name).preprocessing)


def evaluation_transform(
    settings: Preprocessing,
) -> Callable[[UInt8[np.ndarray, 'h w 3'] | Image.Image], Float[np.ndarray, 'i j 3']]:
    """Make an evaluation transform from settings, for weights that are not in the table.

    Args:
        settings: crop, size and normalization.

    Returns:
        A function on the host, as in `preprocessing`.

    Raises:
        ValueError: the crop is larger than the resized image.

    Example:
        >>> from jaxcv.weights.published import IMAGENET
        >>> settings = Preprocessing(crop=8, resize=10, interpolation='bilinear', normalization=IMAGENET)
        >>> evaluation_transform(settings)(np.zeros((20, 30, 3), np.uint8)).shape
        (8, 8, 3)
    """
    size, short = settings.crop, settings.resize
    if size is not None and not 1 <= size <= short:
        raise ValueError(f'a crop of {size} pixels does not fit into images whose short side is resized to {short}')
    mean, std = (np.asarray(values, np.float32) for values in settings.normalization)

    def apply(image: Any) -> np.ndarray:
        image = _rgb(image)
        height, width = image.shape[:2]
        # As torchvision: the long side is rounded down, the crop's corner half to even.
        new_height, new_width = _new_size(height, width, settings)
        if (new_height, new_width) != (height, width):
            resized = Image.fromarray(image).resize((new_width, new_height), _FILTERS[settings.interpolation])
            image = np.asarray(resized)
        if size is not None:
            top, left = round((new_height - size) / 2), round((new_width - size) / 2)
            image = image[top : top + size, left : left + size]
        x = (image.astype(np.float32) / 255 - mean) / std
        if settings.transform_input:
            # In two steps as torchvision, for the same rounding.
            x = x * (std / np.float32(0.5)) + (mean - np.float32(0.5)) / np.float32(0.5)
        if settings.fit == 'letterbox':
            x = np.pad(x, ((0, short - new_height), (0, short - new_width), (0, 0)))
        return x

    return apply


def _new_size(height: int, width: int, settings: Preprocessing) -> tuple[int, int]:
    """Return the size of a resized image, rounded down."""
    if settings.fit == 'stretched':
        return settings.resize, settings.resize
    over, under = settings.resize, max(height, width) if settings.fit == 'letterbox' else min(height, width)
    if settings.longest is not None and over * max(height, width) > settings.longest * under:
        over, under = settings.longest, max(height, width)
    return max(1, over * height // under), max(1, over * width // under)


MODES = ('1', 'L', 'LA', 'La', 'P', 'PA', 'RGB', 'RGBA', 'RGBa', 'RGBX', 'CMYK', 'YCbCr', 'HSV', 'LAB')
"""PIL's modes of at most 8 bits a channel."""


def _rgb(image: Any) -> np.ndarray:
    """Return uint8 [h w 3] of a PIL image, or of such an array."""
    if isinstance(image, Image.Image):
        if image.mode not in MODES:
            raise TypeError(f'an image is prepared from 8 bits a channel, not from a PIL image of mode {image.mode!r}')
        image = np.asarray(ImageOps.exif_transpose(image).convert('RGB'))
    if not hasattr(image, 'dtype') or not hasattr(image, 'shape'):
        kind = type(image).__name__
        raise TypeError(f'an image is prepared from a uint8 array [h w 3] or a PIL image, not from {kind}')
    if image.dtype != np.uint8:
        raise TypeError(f'an image is prepared from uint8, not from {image.dtype}')
    shape = tuple(image.shape)
    if len(shape) != 3 or shape[2] != 3:
        raise ValueError(f'an image is prepared from [h w 3], RGB, not from {shape}{_remedy(shape)}')
    if 0 in shape:
        raise ValueError(f'no image of 0 pixels can be prepared: {shape}')
    return np.asarray(image)


def _remedy(shape: tuple[int, ...]) -> str:
    if len(shape) == 4:
        return ': one image at a time, np.stack([transform(image) for image in images])'
    if len(shape) == 2 or shape[2:] == (1,):
        return ': a gray image is repeated, np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)'
    return ': without alpha, image[:, :, :3]' if shape[2:] == (4,) else ''
