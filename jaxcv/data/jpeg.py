"""JPEG files by their heads: whole, only the rows that a crop needs, or at a reduced scale.

A JPEG stores its rows from top to bottom, so a decoder that stops below the crop saves the rest: 11 % of the rows for
random crops of 8 to 100 % of the area. The inverse transform of its blocks can also give 1/2, 1/4 or 1/8 of the size:
1/2 of 2,000 x 1,500 pixels takes half of the time.
"""

import functools
import struct
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from jaxcv import extras
from jaxcv.data.pixels import MOST_PIXELS, image_pixels

__all__ = ['REDUCTIONS', 'JpegHead', 'jpeg_head', 'jpeg_rows']

REDUCTIONS = (8, 4, 2)
"""By how much a decoder can divide both sides, the most first."""

_REDUCED = {2: cv2.IMREAD_REDUCED_GRAYSCALE_2, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4, 8: cv2.IMREAD_REDUCED_GRAYSCALE_8}
"""Flags of the scale alone."""
_BASELINE, _FRAMES, _SCAN, _EXIF = (0xC0, 0xC1), (0xC0, 0xC1, 0xC2), 0xDA, 0xE1
_TABLES = (0xC4, 0xC8, 0xCC)
"""Among the numbers of frames: Huffman tables, none, and the conditioning of arithmetic codes."""
_START, _END = b'\xff\xd8', b'\xff\xd9'
_ORIENTATION, _UPRIGHT = 0x0112, (None, 1)
_BLOCK = 8


class JpegHead(NamedTuple):
    """The size of a JPEG, and its way to be decoded in part."""

    height: int
    width: int
    place: int
    """Of the height, in the bytes of the file."""
    row_step: int
    """Rows that are stored together; 0: all, as in a progressive file, so that none can be left out."""


def jpeg_head(data: bytes) -> JpegHead | None:
    """Read the head of a JPEG that can be decoded in part.

    Args:
        data: The file.

    Returns:
        Its size and rows; None for all others: no JPEG, or one that is truncated, turned by its EXIF orientation, of
        more than 8 bits, in CMYK or too large.

    Example:
        >>> head = jpeg_head(cv2.imencode('.jpg', np.zeros((40, 30, 3), np.uint8))[1].tobytes())
        >>> head.height, head.width, head.row_step
        (40, 30, 16)
        >>> jpeg_head(b'GIF89a') is None
        True
    """
    if data[:2] != _START or data[-2:] != _END:
        return None
    place, frame, end = 2, 0, len(data) - 20  # the shortest frame
    while place < end and data[place] == 0xFF and (marker := data[place + 1]) != _SCAN:
        length = data[place + 2] << 8 | data[place + 3]
        if marker == _EXIF and not _is_upright(data[place + 4 : place + 2 + length]):
            return None
        if 0xC0 <= marker <= 0xCF and marker not in _TABLES:
            if frame or marker not in _FRAMES:
                return None
            frame = place
        place += 2 + length
    if not frame or place >= end or data[place] != 0xFF:
        return None
    kind, bits, height, width, components = data[frame + 1], *struct.unpack('>BHHB', data[frame + 4 : frame + 10])
    if bits != 8 or components not in (1, 3) or not 0 < height * width <= MOST_PIXELS:
        return None
    together = kind in _BASELINE and data[place + 4] == components
    factors = [data[frame + 11 + 3 * component] & 15 for component in range(components)]
    return JpegHead(height, width, frame + 5, _BLOCK * max(factors) * together)


def jpeg_rows(data: bytes, head: JpegHead, *, stop: int, reduction: int = 1, exact: bool = True) -> np.ndarray:
    """Decode the upper rows of a JPEG, perhaps of an image with smaller sides.

    Without a reduction the pixels are those of `image_pixels`. The package simplejpeg decodes where it is installed,
    OpenCV else: both are libjpeg-turbo and give the same. OpenCV cannot stop early, and copies the pixels once more:
    for 2,000 x 1,500 the memory of both copies, asked of the kernel each time, can cost as much as the decoding.

    Args:
        data: The file.
        head: Its `jpeg_head`.
        stop: Rows that are wanted, of the whole size.
        reduction: 1, or one of `REDUCTIONS`, by which both sides are divided and rounded up.
        exact: Without, simplejpeg takes libjpeg's faster transform, as TensorFlow does: pixels differ by a few levels.

    Returns:
        uint8 `[h w 3]` or `[h w]`, with `stop / reduction` rows or more.

    Raises:
        ValueError: The file is damaged.

    Example:
        >>> file = cv2.imencode('.jpg', np.zeros((400, 300, 3), np.uint8))[1].tobytes()
        >>> rows = jpeg_rows(file, jpeg_head(file), stop=50, reduction=2)
        >>> rows.shape[0] >= 25, rows.shape[1]
        (True, 150)
    """
    decoder, height = _simplejpeg(), head.height
    # The chroma of a row is interpolated with that of the next.
    if decoder is not None and head.row_step and stop + 1 < height:
        height = min(height, head.row_step * -(-(stop + 1) // head.row_step))
    shape = -(-height // reduction), -(-head.width // reduction)
    pixels = None
    if decoder is not None:
        least = shape if reduction > 1 else (0, 0)
        pixels = _by_simplejpeg(decoder, data, head, height, least, exact)
    elif reduction > 1:
        flags = _REDUCED[reduction] | cv2.IMREAD_COLOR_RGB
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:  # or as for a whole image, whose errors say more
        pixels = image_pixels(data).array
        if reduction > 1:
            pixels = cv2.resize(pixels, shape[::-1], interpolation=cv2.INTER_AREA)
    return pixels


def _by_simplejpeg(
    decoder: Any, data: bytes, head: JpegHead, height: int, least: tuple[int, int], exact: bool
) -> np.ndarray | None:
    """The pixels; None where the file has an error, or a fault that another decoder may take for one."""
    whole = height == head.height
    if not whole:
        data = b''.join([data[: head.place], struct.pack('>H', height), data[head.place + 2 :]])
    scale = {'min_height': least[0], 'min_width': least[1], 'min_factor': 2} if least[0] else {}
    try:
        return decoder.decode_jpeg(data, 'RGB', fastdct=not exact, strict=whole, **scale)
    except ValueError:
        return None


@functools.cache
def _simplejpeg() -> Any:
    """The package, or None."""
    return extras.required('simplejpeg') if extras.is_installed('simplejpeg') else None


def _is_upright(segment: bytes) -> bool:
    """Whether a segment of EXIF says that the image is upright, or is no EXIF."""
    if not segment.startswith(b'Exif'):
        return True
    exif = Image.Exif()
    try:
        exif.load(segment)
        return exif.get(_ORIENTATION) in _UPRIGHT
    except Exception:  # damaged, as Pillow's many errors say
        return False
