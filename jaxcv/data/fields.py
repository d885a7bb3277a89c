"""Files of optical flow and disparity: `.flo`, `.pfm`, and the PNGs of KITTI and of Sintel.

The format is found by the content; names of files do not matter. In every format a field has pixels whose value is not
known, which are written as that format has it: a number above 1e9 in `.flo`, infinity in `.pfm`, a flag or 0 in KITTI's
PNGs. Here they are False in `Field.valid`, and their values are 0.
"""

import os
import re
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from jaxcv.data.field_encoders import (
    DISPARITY_STEP,
    FLO,
    FLOW_STEP,
    FLOW_ZERO,
    SINTEL_STEP,
    UNKNOWN,
    encode_disparity_pfm,
    encode_flo,
    encode_flow_pfm,
    encode_kitti_disparity,
    encode_kitti_flow,
)
from jaxcv.data.formats import description, image_format
from jaxcv.files import atomically

__all__ = [
    'Field',
    'decode_disparity',
    'decode_flow',
    'read_disparity',
    'read_flow',
    'write_disparity',
    'write_field',
    'write_flow',
]

_PFM = re.compile(rb'(P[fF])\s+(\d+)\s+(\d+)\s+([-+0-9.eE]+)[ \t\r]*\n')
_MOST = 2**30
"""Pixels of a file that is read, at most: a damaged header must not claim all memory."""

Encoder = Callable[[np.ndarray, np.ndarray | None], bytes]
"""(values, which are known) -> the bytes of a file."""


class Field(NamedTuple):
    """A number or a vector for each pixel of an image."""

    values: np.ndarray
    """float32: flow `(dx, dy)` `[h w 2]`, or disparity `[h w]`, in pixels; 0 where it is not known."""
    valid: np.ndarray
    """bool `[h w]`: whether the value of the pixel is known."""


def read_flow(path: str | os.PathLike) -> Field:
    """Read optical flow from a file: `.flo`, a `.pfm` of three channels, or KITTI's PNG of 16 bits.

    Args:
        path: The file.

    Returns:
        The flow, `[h w 2]`, and which of it is known.

    Raises:
        OSError: The file cannot be opened.
        ValueError: It is not of these formats, damaged or cut; the message begins with its name.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / '1.flo'
        >>> write_flow(path, np.full((2, 3, 2), 1.5, np.float32))
        >>> read_flow(path).values.shape
        (2, 3, 2)
    """
    return _read(path, decode_flow)


def read_disparity(path: str | os.PathLike) -> Field:
    """Read disparity from a file: a `.pfm` of one channel, KITTI's gray PNG of 16 bits, or Sintel's coloured PNG.

    Args:
        path: The file.

    Returns:
        The disparity, `[h w]`, positive, and which of it is known. Where no value of a file is positive, as in the
        subset of FlyingThings3D, their signs are changed.

    Raises:
        OSError: The file cannot be opened.
        ValueError: It is not of these formats, damaged or cut, or has both positive and negative values; the message
            begins with its name.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / '1.pfm'
        >>> write_disparity(path, np.full((2, 3), 1.5, np.float32))
        >>> read_disparity(path).valid.all().item()
        True
    """
    return _read(path, decode_disparity)


def write_flow(path: str | os.PathLike, flow: np.ndarray, valid: np.ndarray | None = None) -> None:
    """Write optical flow as the file's suffix says: `.flo`, `.pfm` or `.png` (KITTI's, rounded to 1/64 of a pixel).

    Args:
        path: The file, which is replaced.
        flow: `[h w 2]`, `(dx, dy)` in pixels.
        valid: bool `[h w]`, which of it is known; None: what is finite.

    Raises:
        ValueError: There is no such format, or it cannot hold these values.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / '1.png'
        >>> write_flow(path, np.full((2, 3, 2), 0.26, np.float32))
        >>> read_flow(path).values[0, 0].tolist()
        [0.265625, 0.265625]
    """
    encoders = {'.flo': encode_flo, '.pfm': encode_flow_pfm, '.png': encode_kitti_flow}
    _write(path, encoders, np.asarray(flow), valid)


def write_disparity(path: str | os.PathLike, disparity: np.ndarray, valid: np.ndarray | None = None) -> None:
    """Write disparity as the file's suffix says: `.pfm` or `.png` (KITTI's, rounded to 1/256 of a pixel).

    Args:
        path: The file, which is replaced.
        disparity: `[h w]`, in pixels, positive.
        valid: bool `[h w]`, which of it is known; None: what is finite.

    Raises:
        ValueError: There is no such format, or it cannot hold these values.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / '1.png'
        >>> write_disparity(path, np.array([[0.0, np.inf]], np.float32))
        >>> field = read_disparity(path)  # a disparity of 0 becomes the smallest that is valid
        >>> field.values.tolist(), field.valid.tolist()
        ([[0.00390625, 0.0]], [[True, False]])
    """
    encoders = {'.pfm': encode_disparity_pfm, '.png': encode_kitti_disparity}
    _write(path, encoders, np.asarray(disparity), valid)


def write_field(path: str | os.PathLike, values: np.ndarray) -> Path:
    """Write a field of either kind in the format without rounding: vectors as `.flo`, numbers as `.pfm`.

    Args:
        path: The file, without its suffix.
        values: `[h w 2]` or `[h w]`, not finite where they are not known.

    Returns:
        The path with its suffix.

    Raises:
        ValueError: The values have another shape.

    Example:
        >>> import tempfile
        >>> write_field(Path(tempfile.mkdtemp()) / '1', np.zeros((2, 3))).name
        '1.pfm'
    """
    flow = np.ndim(values) == 3
    whole = Path(path).with_name(f'{Path(path).name}.{"flo" if flow else "pfm"}')
    (write_flow if flow else write_disparity)(whole, values)
    return whole


def decode_flow(data: bytes) -> Field:
    """Decode optical flow from the bytes of a file, as `read_flow` does.

    Args:
        data: The file.

    Returns:
        The flow, and which of it is known.

    Raises:
        ValueError: It is not of a format of flow, or is damaged or cut.

    Example:
        >>> decode_flow(encode_flo(np.zeros((2, 3, 2)))).valid.shape
        (2, 3)
    """
    if data[:4] == FLO:
        return _field(_flo(data), UNKNOWN)
    if data[:2] == b'PF':
        return _field(_pfm(data)[..., :2], UNKNOWN)
    if data[:2] == b'Pf':
        raise ValueError('it is a PFM of one channel, a disparity; flow has three, (dx, dy, 0)')
    png = _png(data, 'flow is a .flo, a PFM of three channels, or a PNG of three channels of 16 bits')
    if png.dtype != np.uint16 or png.shape[2:] != (3,):
        raise ValueError(f"it is a PNG of {_kind(png)}; KITTI's flow has three channels of 16 bits")
    values = (png[..., :2].astype(np.float32) - FLOW_ZERO) / FLOW_STEP
    valid = png[..., 2] > 0
    return Field(np.where(valid[..., None], values, 0), valid)


def decode_disparity(data: bytes) -> Field:
    """Decode disparity from the bytes of a file, as `read_disparity` does.

    Args:
        data: The file.

    Returns:
        The disparity, and which of it is known.

    Raises:
        ValueError: It is not of a format of disparities, or is damaged or cut, or has values of both signs.

    Example:
        >>> decode_disparity(encode_kitti_disparity(np.array([[2.5]]))).values.tolist()
        [[2.5]]
    """
    if data[:2] == b'Pf':
        values, valid = _field(_pfm(data), UNKNOWN)
        negative = values < 0
        if negative.any() and (values > 0).any():
            raise ValueError(f'{int(negative.sum()):,} of its {negative.size:,} disparities are negative, others not')
        return Field(abs(values), valid)
    if data[:4] == FLO or data[:2] == b'PF':
        raise ValueError('it is a field of several channels, such as flow; disparity has one')
    png = _png(data, 'disparity is a PFM of one channel, or a PNG')
    if png.dtype == np.uint16 and png.ndim == 2:
        return Field(png.astype(np.float32) / DISPARITY_STEP, png > 0)
    if png.dtype == np.uint8 and png.shape[2:] == (3,):
        red, green, blue = np.moveaxis(png.astype(np.float32), -1, 0)
        return Field(4 * red + green / 64 + blue / SINTEL_STEP, np.ones(png.shape[:2], bool))
    raise ValueError(
        f"it is a PNG of {_kind(png)}; KITTI's disparity is gray of 16 bits, Sintel's has three channels of 8 bits"
    )


def _read(path: str | os.PathLike, decode: Callable[[bytes], Field]) -> Field:
    try:
        return decode(Path(path).read_bytes())
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None


def _write(
    path: str | os.PathLike, encoders: Mapping[str, Encoder], values: np.ndarray, valid: np.ndarray | None
) -> None:
    path = Path(path)
    encode = encoders.get(path.suffix.lower())
    if encode is None:
        raise ValueError(f'{path}: the suffix must be {" or ".join(encoders)}, got {path.suffix!r}')
    try:
        data = encode(values, valid)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None
    with atomically(path) as unfinished:
        unfinished.write_bytes(data)


def _flo(data: bytes) -> np.ndarray:
    if len(data) < 12:
        raise ValueError(f'it is cut: {len(data)} bytes, and a .flo begins with 12')
    width, height = struct.unpack('<ii', data[4:12])
    _check_length(data, 12, width, height, 8, '.flo')
    return np.frombuffer(data, '<f4', offset=12).reshape(height, width, 2)


def _pfm(data: bytes) -> np.ndarray:
    head = _PFM.match(data[:256])
    if head is None:
        raise ValueError(
            f"the header of the PFM is damaged or cut: it begins with {data[:24]!r}, not 'Pf 741 500 -1.0'"
        )
    width, height = int(head[2]), int(head[3])
    channels = 3 if head[1] == b'PF' else 1
    try:
        scale = float(head[4])
    except ValueError:
        scale = 0.0
    if not scale:
        raise ValueError(f'the scale in the header of the PFM is {head[4].decode()!r}: its sign says the byte order')
    _check_length(data, head.end(), width, height, 4 * channels, 'PFM')
    array = np.frombuffer(data, '<f4' if scale < 0 else '>f4', offset=head.end())
    return array.reshape(height, width, channels)[::-1] if channels > 1 else array.reshape(height, width)[::-1]


def _check_length(data: bytes, start: int, width: int, height: int, size: int, kind: str) -> None:
    if width < 1 or height < 1 or width * height > _MOST:
        raise ValueError(f'the header of the {kind} is damaged: it says {width} x {height} pixels')
    if len(data) != (wanted := start + width * height * size):
        state = 'it is cut' if len(data) < wanted else 'it is damaged'
        raise ValueError(f'{state}: a {kind} of {width} x {height} pixels has {wanted:,} bytes, not {len(data):,}')


def _field(values: np.ndarray, unknown: float) -> Field:
    """Values and which are known: finite, and not larger than the mark of the unknown."""
    with np.errstate(invalid='ignore'):
        known = np.isfinite(values) & (abs(values) < unknown)
    valid = known.all(axis=-1) if values.ndim == 3 else known
    return Field(np.where(valid[..., None] if values.ndim == 3 else valid, values, 0).astype(np.float32), valid)


def _png(data: bytes, wanted: str) -> np.ndarray:
    """A PNG's numbers as they are stored, channels in the order red, green, blue."""
    if image_format(data) != 'PNG':
        kind = image_format(data)
        raise ValueError(f'it is {f"a {kind} picture" if kind else description(data)}; {wanted}')
    try:
        array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ValueError(f'the PNG cannot be decoded: {error.err}') from None
    if array is None:
        raise ValueError(f'the PNG is truncated or damaged ({len(data):,} bytes)')
    return array[..., ::-1] if array.ndim == 3 and array.shape[-1] == 3 else array


def _kind(png: np.ndarray) -> str:
    channels = png.shape[2] if png.ndim == 3 else 1
    return f'{channels} channel{"s" * (channels > 1)} of {8 * png.itemsize} bits'
