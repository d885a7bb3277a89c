"""Decoding of images and masks."""

import itertools
from typing import Any, Literal

import cv2
import numpy as np
from absl import logging

from jaxcv.arguments import checked
from jaxcv.data.jpeg import jpeg_head, jpeg_rows
from jaxcv.data.pixels import image_pixels, mask_pixels
from jaxcv.data.transforms.lazy import LazyImage, with_pixels
from jaxcv.data.transforms.transform import Decoding, Selecting, Transform
from jaxcv.features import FEATURES, IGNORED, Example, FeatureError, MisuseError, lookup
from jaxcv.moves import image_size, is_encoded

__all__ = ['decode', 'decode_mask']

_ALL_BITS = 2**14
"""From this value on, numbers of 16 bits are taken for such as use all of them."""
_IGNORED_16 = 2**16 - 1
_IMAGES = [name for name, feature in FEATURES.items() if feature.decoder == 'decode']


@checked
def decode(
    *, channels: Literal[1, 3] = 3, bits: Literal[8, 10, 12, 14, 16] | None = None, reduced: bool = False
) -> Transform:
    """Decode encoded images (JPEG, PNG, BMP, WebP, TIFF, GIF, PNM, AVIF) to uint8: `image`, and the images of a pair.

    The format is found by the content; names of files do not matter. All kinds give the same:

    * Gray is repeated to RGB, CMYK is converted, a palette looked up.
    * Alpha is dropped, not blended: a transparent pixel has the colour that the file holds for it.
    * The photo is turned upright by its EXIF orientation (Pillow and TensorFlow do not turn it).
    * A GIF, an animation or a file of several pages gives its first image; a warning is logged once.
    * Integers of 16 bits become 8 by `value >> (bits - 8)`. Without `bits`, values up to 255 are kept, and values of
      which one is 16,384 or more have 16 bits. Between, the depth cannot be told from one image, and a guess would
      differ from image to image: it is an error, with the advice to give `bits`. Give it wherever a data set has 16-bit
      files, so that an image that is nearly black is cut like the others.
    * Values that are no unsigned integers (OpenEXR, HDR, TIFF of floats or with negative numbers) are errors: only the
      maker of the data can say which of them is white.

    Of a JPEG only those rows are decoded that a crop right after this transform leaves (`jaxcv.data.jpeg`), which
    changes no pixel.

    An array that is already decoded only has its channels and depth converted, so decoding twice changes nothing.

    Truncated files are errors, as is a JPEG whose end was never written (OpenCV would fill it with gray). Damage
    inside a JPEG that leaves its end in place cannot be distinguished from a picture, here as in Pillow. An image has
    at most 2^30 pixels.

    Args:
        channels: 3 for RGB, 1 for gray (0.299 R + 0.587 G + 0.114 B).
        bits: The depth of images whose files have 16 bits a channel; None: by the rule above.
        reduced: For training on large photos: JPEGs are decoded by libjpeg's faster transform and, where a crop or a
            resize follows, perhaps at 1/2, 1/4 or 1/8 of their size, as long as no side becomes smaller than the
            result. Pixels then differ a little, and the edges of a crop by up to half a pixel of the result. Not for
            evaluation, whose values would change.

    Returns:
        The transform: each of `image`, `next_image`, `left` and `right` that is there becomes uint8 `[h w channels]`.
        It raises ValueError where one is not an image, and MisuseError where there is none or `bits` has to be given.

    Example:
        >>> import cv2, numpy as np
        >>> png = cv2.imencode('.png', np.full((2, 3), 7, np.uint8))[1].tobytes()
        >>> decode()({'image': png})['image'].shape
        (2, 3, 3)
        >>> deep = cv2.imencode('.png', np.array([[0, 4080]], np.uint16))[1].tobytes()
        >>> decode(channels=1, bits=12)({'image': deep})['image'].ravel()
        array([  0, 255], dtype=uint8)
    """
    times = itertools.count()  # a counter that threads may share

    def decoded(name: str, image: Any) -> np.ndarray:
        if (encoded := _encoded(name, image)) is not None:
            try:
                pixels = image_pixels(encoded, gray=channels == 1)
            except ValueError as error:
                raise FeatureError(name, f'the {name} cannot be decoded: {error}') from None
            if pixels.several and next(times) == 0:
                _warn_of_several(name)
            image = pixels.array
        return _with_channels(_of_8_bits(name, np.asarray(image), bits), channels)

    def lazy(name: str, image: Any) -> np.ndarray | LazyImage:
        encoded = _encoded(name, image)
        if encoded is None or channels == 1 or (head := jpeg_head(encoded)) is None:
            return decoded(name, image)

        def rows(stop: int, reduction: int) -> np.ndarray:
            try:
                return _with_channels(
                    jpeg_rows(encoded, head, stop=stop, reduction=reduction, exact=not reduced), channels
                )
            except ValueError as error:
                raise FeatureError(name, f'the {name} cannot be decoded: {error}') from None

        return LazyImage(rows, (head.height, head.width, channels), (0, 0, head.height, head.width), reduced)

    def apply(example: Example) -> Example:
        names = [name for name in _IMAGES if name in example]
        return {**example, **{name: lazy(name, lookup(example, name)) for name in names or ['image']}}

    return Decoding(lambda example: with_pixels(apply(example)), apply)


def decode_mask() -> Transform:
    """Decode the class of each pixel from an encoded image (PNG, BMP, TIFF, GIF, PNM, lossless WebP).

    The numbers are those of the file: gray levels as stored, of 1 to 16 bits, or the indices of a palette, whose
    colours are not read (as in PASCAL VOC). Black and white of one bit are 0 and 1. Alpha is dropped. The mask is
    turned upright by its EXIF orientation, as the image is.

    255 marks pixels of no class, and so does 65,535 in a file of 16 bits. Numbers above 255, such as the ids of
    ADE20K's full set, are kept and have to be renumbered by `relabel`.

    Returns:
        The transform: `mask` becomes uint8 `[h w]`, or int32 where it has numbers above 255. It raises ValueError where
        `mask` is not an image, is a lossy one (JPEG), has colours, floats or negative numbers, or is not as large as a
        decoded `image`.

    Example:
        >>> import cv2, numpy as np
        >>> png = cv2.imencode('.png', np.array([[0, 1, 255]], np.uint8))[1].tobytes()
        >>> decode_mask()({'mask': png})['mask']
        array([[  0,   1, 255]], dtype=uint8)
    """
    times = itertools.count()

    def apply(example: Example) -> Example:
        mask = lookup(example, 'mask')
        if (encoded := _encoded('mask', mask)) is not None:
            try:
                pixels = mask_pixels(encoded)
            except ValueError as error:
                raise FeatureError('mask', f'the mask cannot be decoded: {error}') from None
            if pixels.several and next(times) == 0:
                _warn_of_several('mask')
            mask = pixels.array
        mask = _classes(np.asarray(mask))
        if 'image' in example and not is_encoded(example['image']):
            image_size({'image': example['image'], 'mask': mask})
        return {**example, 'mask': mask}

    return Selecting(apply)


def _encoded(name: str, value: Any) -> bytes | None:
    """The bytes of an encoded image or mask; None of an array of pixels."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    array = np.asarray(value)
    if array.ndim > 1:
        return None
    if array.dtype != np.uint8 or array.ndim != 1:
        raise MisuseError(f'the {name} is {type(value).__name__}, not an array or the bytes of a file', name)
    return array.tobytes()


def _warn_of_several(name: str) -> None:
    logging.warning('a file has several frames or pages: the first one is the %s. This is logged once.', name)


def _of_8_bits(name: str, image: np.ndarray, bits: int | None) -> np.ndarray:
    """An image of integers of any type as uint8."""
    if image.dtype == np.uint8:
        return image
    if image.dtype.kind not in 'iu' or not image.size:
        shown = f' from {np.nanmin(image):g} to {np.nanmax(image):g}' if image.size and image.dtype.kind == 'f' else ''
        raise FeatureError(
            name,
            f'the {name} must be uint8 or integers of 16 bits, got {image.dtype} {image.shape}{shown}: which value is '
            'white cannot be told, convert it',
        )
    least, most = int(image.min()), int(image.max())
    if least < 0 or most >= 2 ** (bits or 16):
        raise FeatureError(
            name, f'the {name} has values of {least} to {most}, not of {bits or "8 or 16"} bits: convert it'
        )
    if bits is None and IGNORED < most < _ALL_BITS:
        likely = max(10, most.bit_length() + most.bit_length() % 2)
        raise MisuseError(
            f'the {name} has 16 bits a channel, but values up to {most:,} only: say of how many bits they are, '
            f"{{'name': 'decode', 'bits': {likely}}}; 16 if this image is dark",
            name,
        )
    depth = bits or (16 if most > IGNORED else 8)
    return (image >> (depth - 8)).astype(np.uint8)


def _classes(mask: np.ndarray) -> np.ndarray:
    """A decoded mask as uint8 or int32 [h w]."""
    if mask.ndim == 3 and mask.shape[-1] in (2, 4):
        mask, alpha = mask[..., :-1], mask[..., -1]
        if (mask == mask[:1, :1]).all() and (alpha != alpha[:1, :1]).any():
            raise FeatureError(
                'mask', 'the mask has one colour everywhere and differs in its alpha: save alpha as gray'
            )
    if mask.ndim == 3 and (mask.shape[-1] == 1 or (mask == mask[..., :1]).all()):
        mask = mask[..., 0]
    if mask.ndim != 2:
        raise FeatureError(
            'mask',
            f'the mask has colours ({mask.dtype} {mask.shape}), not a class for each pixel: '
            'save it in gray or with a palette',
        )
    if mask.dtype.kind not in 'biu' or (mask.size and not 0 <= mask.min() <= mask.max() <= _IGNORED_16):
        shown = f' of {mask.min():g} to {mask.max():g}' if mask.size and mask.dtype.kind in 'iuf' else ''
        raise FeatureError(
            'mask', f'the mask has numbers{shown} ({mask.dtype}); classes must be integers of 0 to {IGNORED}'
        )
    if not mask.size or mask.max() <= IGNORED:
        return mask.astype(np.uint8)
    return np.where(mask == _IGNORED_16, IGNORED, mask).astype(np.int32)


def with_channel_axis(image: np.ndarray) -> np.ndarray:
    """An image as [h w c]: OpenCV drops the axis of a single channel."""
    return image[..., None] if image.ndim == 2 else image


def _with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """An image of uint8 with 1 or 3 channels, from 1 to 4."""
    image = with_channel_axis(image)
    if image.ndim != 3 or image.shape[-1] not in (1, 3, 4) or not image.size:
        raise ValueError(
            f'a decoded image must be uint8 [h w c] with 1, 3 or 4 channels: got {image.dtype} {image.shape}'
        )
    if image.shape[-1] == 4:
        image = image[..., :3]
    if image.shape[-1] == channels:
        return image
    return with_channel_axis(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB if channels == 3 else cv2.COLOR_RGB2GRAY))
