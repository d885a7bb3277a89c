"""Decoding of images and masks."""

import io
from typing import Any, Literal

import cv2
import numpy as np
from PIL import Image

from jaxcv.arguments import checked
from jaxcv.data.transforms.transform import Transform
from jaxcv.features import FEATURES, IGNORED, Example, lookup
from jaxcv.moves import image_size, is_encoded

__all__ = ['decode', 'decode_mask']


@checked
def decode(*, channels: Literal[1, 3] = 3) -> Transform:
    """Decode encoded images (JPEG, PNG, BMP, WebP, TIFF, GIF, PNM) to uint8: `image`, and the images of a pair.

    All kinds give the same: gray is repeated to RGB, CMYK is converted, a palette looked up, alpha dropped (not
    blended), 16 bits cut to the high 8, and a photo turned upright by its EXIF orientation (Pillow and TensorFlow
    do not turn it). A GIF gives its first frame. An array that is already decoded only has its channels converted.

    Truncated files are errors, as is a JPEG whose end was never written (OpenCV would fill it with gray). Damage
    inside a JPEG that leaves its end in place cannot be distinguished from a picture, here as in Pillow.

    Args:
        channels: 3 for RGB, 1 for gray (0.299 R + 0.587 G + 0.114 B).

    Returns:
        The transform: each of `image`, `next_image`, `left` and `right` that is there becomes uint8 `[h w channels]`.
        It raises ValueError where there is none, or where one is not an image.

    Example:
        >>> import cv2, numpy as np
        >>> png = cv2.imencode('.png', np.full((2, 3), 7, np.uint8))[1].tobytes()
        >>> decode()({'image': png})['image'].shape
        (2, 3, 3)
    """

    def apply(example: Example) -> Example:
        names = [name for name, feature in FEATURES.items() if feature.decoder == 'decode' and name in example]
        return {**example, **{name: _decoded(lookup(example, name), channels) for name in names or ['image']}}

    return apply


def decode_mask() -> Transform:
    """Decode the class of each pixel from an encoded image (PNG, BMP, TIFF, GIF, PNM).

    The numbers are those of the file: gray levels, or the indices of a palette, whose colours are not read (as in
    PASCAL VOC). Black and white are 0 and 1. An array that is already decoded only loses its channel.

    Returns:
        The transform: `mask` becomes uint8 `[h w]`. It raises ValueError where `mask` is not an image, has colours or
        numbers beyond 255, or is not as large as a decoded `image`.

    Example:
        >>> import cv2, numpy as np
        >>> png = cv2.imencode('.png', np.array([[0, 1, 255]], np.uint8))[1].tobytes()
        >>> decode_mask()({'mask': png})['mask']
        array([[  0,   1, 255]], dtype=uint8)
    """

    def apply(example: Example) -> Example:
        mask = lookup(example, 'mask')
        mask = _classes(_indices(mask) if isinstance(mask, bytes) else np.asarray(mask))
        if 'image' in example and not is_encoded(example['image']):
            image_size({'image': example['image'], 'mask': mask})
        return {**example, 'mask': mask}

    return apply


def _decoded(image: Any, channels: int) -> np.ndarray:
    """An image, encoded or not, as uint8 [h w channels]."""
    if isinstance(image, np.ndarray) and image.ndim > 1:
        return _with_channels(image, channels)
    data = np.frombuffer(image, np.uint8)
    _check_end_of_jpeg(data)
    try:
        flag = cv2.IMREAD_COLOR_RGB if channels == 3 else cv2.IMREAD_GRAYSCALE
        decoded = cv2.imdecode(data, flag) if data.size else None
    except cv2.error as error:  # too many pixels, among others
        raise ValueError(f'OpenCV cannot decode the image: {error.err}') from None
    if decoded is None:
        raise ValueError(f'not an image that OpenCV can read, or a truncated one ({data.size:,} bytes)')
    return with_channel_axis(decoded)


def _indices(data: bytes) -> np.ndarray:
    """The number that a file holds for each pixel, before any palette."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image)
    except OSError as error:
        raise ValueError(f'the mask is not an image that Pillow can read, or a truncated one: {error}') from None


def _classes(mask: np.ndarray) -> np.ndarray:
    """A decoded mask as uint8 [h w]."""
    if mask.ndim == 3 and (mask.shape[-1] == 1 or (mask == mask[..., :1]).all()):
        mask = mask[..., 0]
    if mask.ndim != 2:
        raise ValueError(
            f'the mask has colours ({mask.dtype} {mask.shape}), not a class for each pixel: '
            'save it in gray or with a palette'
        )
    if mask.dtype.kind not in 'biu' or (mask.size and not 0 <= mask.min() <= mask.max() <= IGNORED):
        raise ValueError(f'classes must be integers of 0 to {IGNORED}, got {mask.dtype} up to {mask.max()}')
    return mask.astype(np.uint8)


def with_channel_axis(image: np.ndarray) -> np.ndarray:
    """An image as [h w c]: OpenCV drops the axis of a single channel."""
    return image[..., None] if image.ndim == 2 else image


def _with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """An already decoded image with 1 or 3 channels, from 1 to 4."""
    image = with_channel_axis(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] not in (1, 3, 4):
        raise ValueError(
            f'a decoded image must be uint8 [h w c] with 1, 3 or 4 channels: got {image.dtype} {image.shape}'
        )
    if image.shape[-1] == 4:
        image = image[..., :3]
    if image.shape[-1] == channels:
        return image
    return with_channel_axis(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB if channels == 3 else cv2.COLOR_RGB2GRAY))


def _check_end_of_jpeg(data: np.ndarray) -> None:
    """Raises ValueError for a JPEG without its end-of-image marker, such as one padded with zeros.

    The segments before the scan are skipped: a thumbnail among them has an end of its own.
    """
    if data[:2].tobytes() != b'\xff\xd8' or data[-2:].tobytes() == b'\xff\xd9':
        return
    jpeg, place, marker = data.tobytes(), 2, 0
    while marker != 0xDA and jpeg[place : place + 1] == b'\xff':
        marker = jpeg[place + 1] if place + 1 < len(jpeg) else 0
        place += 2 + int.from_bytes(jpeg[place + 2 : place + 4], 'big')
    if b'\xff\xd9' not in jpeg[place:]:
        raise ValueError(f'the JPEG is truncated: its {data.size:,} bytes have no end-of-image marker')
