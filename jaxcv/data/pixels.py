"""Encoded images and masks as arrays of their pixels: the one decoder of the host.

Both are turned upright by their EXIF orientation, in all formats. OpenCV decodes the common 8-bit formats, and files of
16 bits a channel, of which Pillow keeps 8; Pillow decodes the rest, and masks, of which OpenCV gives the colours and
not the numbers.
"""

import io
import os
import struct
from collections.abc import Sized
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from jaxcv.data.formats import HEAD, description, image_format

__all__ = ['MOST_PIXELS', 'Pixels', 'file_fault', 'image_pixels', 'image_shape', 'mask_pixels']

MOST_PIXELS = 2**30
"""The largest image that is decoded, in pixels."""

_ORIENTATION = 0x0112
_END_OF_JPEG, _END_OF_PNG = b'\xff\xd9', b'IEND'
_TAIL = 12  # bytes of PNG's last chunk
_BITS = 258  # TIFF's tag of the bits of each sample
_BY_OPENCV = frozenset(['JPEG', 'PNG', 'BMP', 'WEBP'])
_STEPS = {'L;2': 85, 'L;4': 17}
"""Pillow's gray levels of files of 2 and 4 bits are the numbers of the file times this."""
_OF_PILLOW = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    struct.error,
    UserWarning,
)
"""Errors of Pillow's decoders for damaged files; a warning, where warnings are errors."""


class _RefusedError(ValueError):
    """The file cannot be used, for a reason of this module's."""


class Pixels(NamedTuple):
    """A decoded file."""

    array: np.ndarray
    """uint8, or another type where the file has it: `[h w]`, `[h w 2]` (gray and alpha), `[h w 3]` or `[h w 4]`."""
    several: bool
    """Whether the file has more frames or pages than this first one."""


def image_pixels(data: bytes, *, gray: bool = False) -> Pixels:
    """Decode an image: RGB or gray, alpha dropped, palettes and CMYK converted.

    Args:
        data: The file.
        gray: Whether gray is wanted: where the decoder can, colours are not computed.

    Returns:
        The pixels: uint8 `[h w]` or `[h w 3]`, of a file of more bits the numbers that it holds.

    Raises:
        ValueError: The file is no image, truncated or damaged, or has more than `MOST_PIXELS`.

    Example:
        >>> png = cv2.imencode('.png', np.full((2, 3), 7, np.uint8))[1].tobytes()
        >>> image_pixels(png).array.shape
        (2, 3, 3)
    """
    kind = _checked_format(data)
    if kind == 'JPEG':
        _check_end_of_jpeg(data)
    if kind in _BY_OPENCV and not _is_deep_png(kind, data):
        array = _by_opencv(kind, data, cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR_RGB)
    elif kind in _BY_OPENCV:
        array = _without_alpha(_deep_png(data))
    else:
        array = _without_alpha(_by_pillow(kind, data, colours=True))
    return Pixels(array, _has_several(kind, data))


def mask_pixels(data: bytes) -> Pixels:
    """Decode the numbers that a file holds for each pixel: gray levels as stored, or the indices of a palette.

    Args:
        data: The file.

    Returns:
        The pixels: bool for a file of 1 bit, uint8 or wider integers, floats where the file has them.

    Raises:
        ValueError: As for `image_pixels`; or the compression is lossy, which changes numbers.

    Example:
        >>> png = cv2.imencode('.png', np.array([[0, 300]], np.uint16))[1].tobytes()
        >>> mask_pixels(png).array.tolist()
        [[0, 300]]
    """
    kind = _checked_format(data)
    if kind == 'JPEG' or (kind == 'WEBP' and _is_lossy_webp(data)):
        raise _lossy(kind)
    if _is_deep_png(kind, data):
        array = _deep_png(data)
    elif kind == 'PPM' and data[1:2] not in b'14':  # Pillow multiplies the numbers, so that the largest is white
        array = _rgb_from_bgr(_by_opencv(kind, data, cv2.IMREAD_UNCHANGED))
    else:
        array = _by_pillow(kind, data, colours=False)
    return Pixels(array, _has_several(kind, data))


def image_shape(data: bytes) -> tuple[int, int]:
    """Read the size of an image off its head, without decoding it.

    Args:
        data: The file.

    Returns:
        (height, width) of the image turned upright, as `image_pixels` gives it.

    Raises:
        ValueError: The file is no image, or its head is damaged.

    Example:
        >>> image_shape(cv2.imencode('.png', np.zeros((2, 3), np.uint8))[1].tobytes())
        (2, 3)
    """
    kind = _checked_format(data)
    try:
        with _opened(kind, data) as image:
            width, height = image.size
            turned = _orientation(image) in (5, 6, 7, 8)
    except _RefusedError:
        raise
    except _OF_PILLOW as error:
        raise _truncated(kind, data, error) from None
    return (width, height) if turned else (height, width)


def file_fault(path: str | os.PathLike) -> str:
    """Why a file cannot be an image, found by its first and last bytes: nothing is decoded.

    An empty file, a web page, a pointer of Git LFS, and a JPEG, PNG or WebP that is cut off are found; damage inside of
    a file is not.

    Args:
        path: The file.

    Returns:
        The reason, '' where nothing is found.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     file_fault(file.name)
        'it is an empty file (0 bytes): a truncated copy or download'
    """
    try:
        with open(path, 'rb') as file:
            head = file.read(HEAD)
            size = file.seek(0, os.SEEK_END)
            kind = image_format(head)
            if not kind:
                return f'it is {description(head)}'
            file.seek(max(0, size - _TAIL))
            tail = file.read()
            if kind == 'WEBP' and int.from_bytes(head[4:8], 'little') + 8 > size:
                return str(_truncated(kind, range(size)))
            if (kind == 'JPEG' and tail[-2:] != _END_OF_JPEG) or (kind == 'PNG' and _END_OF_PNG not in tail):
                file.seek(0)
                _check_end(kind, file.read())
    except (OSError, _RefusedError) as error:
        return str(error)
    return ''


def _check_end(kind: str, data: bytes) -> None:
    if kind == 'JPEG':
        _check_end_of_jpeg(data)
    elif _END_OF_PNG not in data:
        raise _truncated(kind, data)


def _checked_format(data: bytes) -> str:
    kind = image_format(data)
    if not kind:
        raise _RefusedError(f'it is {description(data)}')
    return kind


def _by_opencv(kind: str, data: bytes, flag: int) -> np.ndarray:
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error as error:
        if 'MAX_IMAGE' in error.err:
            raise _too_large() from None
        raise _RefusedError(f'the {kind} cannot be decoded: {error.err}') from None
    if decoded is None:
        raise _truncated(kind, data)
    return decoded


def _by_pillow(kind: str, data: bytes, *, colours: bool) -> np.ndarray:
    """The pixels in Pillow's mode; with `colours`, palettes and colours that are not RGB converted."""
    try:
        with _opened(kind, data) as image:
            if image.width * image.height > MOST_PIXELS:
                raise _too_large()
            if kind == 'TIFF' and _is_deep_tiff(image):
                return _rgb_from_bgr(_by_opencv(kind, data, cv2.IMREAD_UNCHANGED))  # turned upright
            if image.info.get('compression') == 'jpeg' and not colours:
                raise _lossy('TIFF')
            step = _gray_step(image)
            image.load()
            turn = _orientation(image)  # Pillow turns a TIFF while it loads, and forgets this
            if colours and image.mode == '1':
                array = np.asarray(image.convert('L'))
            elif colours and image.mode not in ('L', 'RGB', 'I', 'F') and not image.mode.startswith('I;'):
                array = np.asarray(image.convert('RGBA' if image.mode in ('P', 'PA', 'LA', 'La', 'RGBa') else 'RGB'))
            else:
                array = np.asarray(image)
    except _RefusedError:
        raise
    except _OF_PILLOW as error:
        if kind == 'TIFF' and isinstance(error, SyntaxError):  # a kind of TIFF that Pillow does not have
            return _rgb_from_bgr(_by_opencv(kind, data, cv2.IMREAD_UNCHANGED))
        raise _truncated(kind, data, error) from None
    except Image.DecompressionBombError:
        raise _too_large() from None
    return _upright(array // step if step > 1 and not colours else array, turn)


def _opened(kind: str, data: bytes) -> Any:
    """Pillow's image of a file. `Image.open` would refuse more than 179 million pixels; here the limit is our own."""
    Image.init()
    if kind not in Image.OPEN:
        raise _RefusedError(f'it is a {kind}, which this Pillow cannot decode: save it as PNG or JPEG')
    return Image.OPEN[kind][0](io.BytesIO(data), '')


def _orientation(image: Any) -> int | None:
    """EXIF's orientation; None where there is none, or where EXIF is damaged, as for other decoders."""
    try:
        return image.getexif().get(_ORIENTATION)
    except _OF_PILLOW:
        return None


def _gray_step(image: Any) -> int:
    """The factor by which Pillow multiplies the gray levels of a file of 2 or 4 bits."""
    mode = image.tile[0].args if image.tile else ''
    mode = mode[0] if isinstance(mode, tuple) else mode
    return _STEPS.get(str(mode)[:3], 1) if image.mode == 'L' else 1


def _is_deep_tiff(image: Any) -> bool:
    """Whether a TIFF has several channels of more than 8 bits, of which Pillow keeps 8."""
    bits = image.tag_v2.get(_BITS, (1,))
    return len(bits) > 1 and max(bits) > 8


def _is_deep_png(kind: str, data: bytes) -> bool:
    return kind == 'PNG' and data[24:25] == b'\x10'


def _deep_png(data: bytes) -> np.ndarray:
    """A PNG of 16 bits a channel, upright."""
    array = _rgb_from_bgr(_by_opencv('PNG', data, cv2.IMREAD_UNCHANGED))
    if b'eXIf' not in data:
        return array
    with _opened('PNG', data) as image:
        return _upright(array, _orientation(image))


def _rgb_from_bgr(array: np.ndarray) -> np.ndarray:
    if array.ndim == 3 and array.shape[-1] in (3, 4):
        return array[..., [2, 1, 0, 3][: array.shape[-1]]]
    return array


def _without_alpha(array: np.ndarray) -> np.ndarray:
    if array.ndim == 3 and array.shape[-1] in (2, 4):
        array = array[..., :-1]
    return array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array


def _upright(array: np.ndarray, orientation: int | None) -> np.ndarray:
    """Turn and mirror pixels as EXIF's orientation says, 1 to 8."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)


def _is_lossy_webp(data: bytes) -> bool:
    place = 12
    while place + 8 <= len(data) and data[place : place + 4] not in (b'VP8 ', b'VP8L', b'ANMF'):
        length = int.from_bytes(data[place + 4 : place + 8], 'little')
        place += 8 + length + length % 2
    return data[place : place + 4] == b'VP8 '


def _has_several(kind: str, data: bytes) -> bool:
    """Whether a file has more than one frame or page."""
    if kind == 'PNG':
        return b'acTL' in data[:4096]
    if kind == 'WEBP':
        return data[12:16] == b'VP8X' and bool(data[20] & 2)
    if kind not in ('GIF', 'TIFF', 'AVIF'):
        return False
    try:
        with _opened(kind, data) as image:
            return getattr(image, 'n_frames', 1) > 1
    except _OF_PILLOW:  # the first frame was readable
        return False


def _check_end_of_jpeg(data: bytes) -> None:
    """Raises an error for a JPEG without its end-of-image marker, such as one padded with zeros.

    The segments before the scan are skipped: a thumbnail among them has an end of its own.
    """
    if data[-2:] == _END_OF_JPEG:
        return
    place, marker = 2, 0
    while marker != 0xDA and data[place : place + 1] == b'\xff':
        marker = data[place + 1] if place + 1 < len(data) else 0
        place += 2 + int.from_bytes(data[place + 2 : place + 4], 'big')
    if _END_OF_JPEG not in data[place:]:
        raise _RefusedError(f'the JPEG is truncated: its {len(data):,} bytes have no end-of-image marker')


def _truncated(kind: str, data: Sized, error: Exception | None = None) -> _RefusedError:
    reason = f': {error}' if error is not None and str(error) else ''
    return _RefusedError(f'the {kind} is truncated or damaged ({len(data):,} bytes){reason}')


def _lossy(kind: str) -> _RefusedError:
    return _RefusedError(f'it is a lossy {kind}, whose compression changes the numbers of classes: save it as PNG')


def _too_large() -> _RefusedError:
    return _RefusedError(f'the image has more than {MOST_PIXELS:,} pixels: cut it into tiles, or resize it')
