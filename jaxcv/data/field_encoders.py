"""Encoders of optical flow and disparity, the counterparts of `jaxcv.data.fields`."""

import struct

import cv2
import numpy as np

__all__ = [
    'encode_disparity_pfm',
    'encode_flo',
    'encode_flow_pfm',
    'encode_kitti_disparity',
    'encode_kitti_flow',
    'encode_pfm',
    'encode_sintel_disparity',
]

FLO = struct.pack('<f', 202021.25)
"""The first bytes of a `.flo`: PIEH."""
UNKNOWN = 1e9
"""From this value on, numbers of `.flo` and `.pfm` mark pixels that are not known."""
FLOW_ZERO, FLOW_STEP = 2**15, 64
"""KITTI's number of a flow of 0, and the numbers of a pixel."""
DISPARITY_STEP, SINTEL_STEP = 256, 2**14
"""The numbers of a pixel of disparity, in KITTI's and in Sintel's PNG."""


def encode_flo(flow: np.ndarray, valid: np.ndarray | None = None) -> bytes:
    r"""Encode optical flow as `.flo`: PIEH, width, height, and (dx, dy) by rows, little-endian.

    Args:
        flow: `[h w 2]`, in pixels.
        valid: bool `[h w]`, which of it is known; None: what is finite. Unknown vectors are written as 1e10.

    Returns:
        The file's bytes.

    Raises:
        ValueError: The shape is another, or a known value has 1e9 pixels or more.

    Example:
        >>> encode_flo(np.zeros((1, 2, 2)))[:12]
        b'PIEH\x02\x00\x00\x00\x01\x00\x00\x00'
    """
    values, valid = _checked(flow, valid, axes=3, most=UNKNOWN)
    height, width = valid.shape
    known = np.where(valid[..., None], values, 10 * UNKNOWN).astype('<f4')
    return FLO + struct.pack('<ii', width, height) + known.tobytes()


def encode_pfm(values: np.ndarray, *, little_endian: bool = True) -> bytes:
    r"""Encode an array as `.pfm`, rows from bottom to top.

    Args:
        values: `[h w]` or `[h w 3]`, converted to float32; infinity where it is not known.
        little_endian: The byte order, which the sign of the header's scale says.

    Returns:
        The file's bytes.

    Raises:
        ValueError: The shape is another.

    Example:
        >>> encode_pfm(np.array([[1.0]]))
        b'Pf\n1 1\n-1.0\n\x00\x00\x80?'
    """
    array = np.asarray(values)
    if (array.ndim != 2 and array.shape[2:] != (3,)) or not array.size:
        raise ValueError(f'a PFM holds [h w] or [h w 3], got an array of shape {array.shape}')
    height, width = array.shape[:2]
    head = f'{"Pf" if array.ndim == 2 else "PF"}\n{width} {height}\n{"-" * little_endian}1.0\n'
    return head.encode() + array[::-1].astype('<f4' if little_endian else '>f4').tobytes()


def encode_kitti_flow(flow: np.ndarray, valid: np.ndarray | None = None) -> bytes:
    """Encode optical flow as KITTI's PNG of 16 bits: `64 dx + 2^15`, `64 dy + 2^15`, and whether it is known.

    Args:
        flow: `[h w 2]`, in pixels, each number in [-512, 512).
        valid: bool `[h w]`, which of it is known; None: what is finite.

    Returns:
        The file's bytes.

    Raises:
        ValueError: The shape is another, or a known value is outside of the range.

    Example:
        >>> cv2.imdecode(np.frombuffer(encode_kitti_flow(np.full((1, 1, 2), -512.0)), np.uint8), -1).tolist()
        [[[1, 0, 0]]]
    """
    values, valid = _checked(flow, valid, axes=3)
    numbers = np.rint(FLOW_STEP * values.astype(np.float64)) + FLOW_ZERO
    _check_range(numbers[valid], 2**16, "KITTI's flow has 16 bits: -512 to 512 pixels; write .flo")
    png = np.zeros((*valid.shape, 3), np.uint16)  # OpenCV's order of channels is blue, green, red
    png[..., 0], png[..., 1:] = valid, np.where(valid[..., None], numbers, 0)[..., ::-1]
    return _encoded_png(png)


def encode_kitti_disparity(disparity: np.ndarray, valid: np.ndarray | None = None) -> bytes:
    """Encode disparity as KITTI's gray PNG of 16 bits: 256 times the disparity, 0 where it is not known.

    A known disparity that would be rounded to 0 becomes 1, the smallest that is valid.

    Args:
        disparity: `[h w]`, in pixels, in [0, 256).
        valid: bool `[h w]`, which of it is known; None: what is finite.

    Returns:
        The file's bytes.

    Raises:
        ValueError: The shape is another, or a known value is outside of the range.

    Example:
        >>> cv2.imdecode(np.frombuffer(encode_kitti_disparity(np.array([[0.0, 2.5]])), np.uint8), -1).tolist()
        [[1, 640]]
    """
    values, valid = _checked(disparity, valid, axes=2)
    numbers = np.rint(DISPARITY_STEP * values.astype(np.float64))
    _check_range(numbers[valid], 2**16, "KITTI's disparity has 16 bits: 0 to 256 pixels; write .pfm")
    return _encoded_png(np.where(valid, np.maximum(numbers, 1), 0).astype(np.uint16))


def encode_sintel_disparity(disparity: np.ndarray) -> bytes:
    r"""Encode disparity as Sintel's PNG: `disparity = 4 red + green / 64 + blue / 2^14`.

    Args:
        disparity: `[h w]`, in pixels, in [0, 1024). All of it is known: the format has no mark.

    Returns:
        The file's bytes.

    Raises:
        ValueError: The shape is another, or a value is outside of the range.

    Example:
        >>> encode_sintel_disparity(np.array([[1023.75]]))[:4]
        b'\x89PNG'
    """
    values, valid = _checked(disparity, np.isfinite(disparity), axes=2)
    numbers = np.where(valid, np.rint(SINTEL_STEP * values.astype(np.float64)), -1)
    _check_range(numbers, 2**24, "Sintel's disparity is finite, of 0 to 1024 pixels")
    whole = numbers.astype(np.uint32)
    return _encoded_png(np.stack([whole & 255, whole >> 8 & 255, whole >> 16], axis=-1).astype(np.uint8))


def encode_flow_pfm(flow: np.ndarray, valid: np.ndarray | None = None) -> bytes:
    """Encode optical flow as `.pfm` of three channels, (dx, dy, 0); infinity where it is not known.

    Args, Returns and Raises: as in `encode_flo`.

    Example:
        >>> len(encode_flow_pfm(np.zeros((1, 2, 2)))) - len(b'PF 2 1 -1.0 ')
        24
    """
    values, valid = _checked(flow, valid, axes=3)
    three = np.pad(np.where(valid[..., None], values, np.inf), ((0, 0), (0, 0), (0, 1)))
    return encode_pfm(three)


def encode_disparity_pfm(disparity: np.ndarray, valid: np.ndarray | None = None) -> bytes:
    """Encode disparity as `.pfm` of one channel; infinity where it is not known.

    Args:
        disparity: `[h w]`, in pixels.
        valid: bool `[h w]`, which of it is known; None: what is finite.

    Returns:
        The file's bytes.

    Raises:
        ValueError: The shape is another.

    Example:
        >>> len(encode_disparity_pfm(np.zeros((1, 2)))) - len(b'Pf 2 1 -1.0 ')
        8
    """
    values, valid = _checked(disparity, valid, axes=2)
    return encode_pfm(np.where(valid, values, np.inf))


def _encoded_png(array: np.ndarray) -> bytes:
    return cv2.imencode('.png', array)[1].tobytes()


def _checked(
    values: np.ndarray, valid: np.ndarray | None, *, axes: int, most: float = np.inf
) -> tuple[np.ndarray, np.ndarray]:
    """A field whose unknown values are 0, and which are known."""
    values = np.asarray(values)
    if values.ndim != axes or (axes == 3 and values.shape[2] != 2) or not values.size:
        wanted = 'flow is [h w 2]' if axes == 3 else 'disparity is [h w]'
        raise ValueError(f'{wanted}, got an array of shape {values.shape}')
    finite = np.isfinite(values).all(axis=-1) if axes == 3 else np.isfinite(values)
    valid = finite if valid is None else np.asarray(valid, bool)
    if valid.shape != values.shape[:2]:
        raise ValueError(f'valid must be {values.shape[:2]}, a value for each pixel, got {valid.shape}')
    if (wrong := valid & ~finite).any():
        raise ValueError(f'{int(wrong.sum()):,} values are NaN or infinite where they are valid')
    values = np.where(valid[..., None] if axes == 3 else valid, values, 0)
    if (abs(values) >= most).any():
        raise ValueError(f'values of {most:g} or more mark unknown pixels, and some of these are valid')
    return values, valid


def _check_range(numbers: np.ndarray, end: int, message: str) -> None:
    outside = (numbers < 0) | (numbers >= end)
    if outside.any():
        raise ValueError(f'{int(outside.sum()):,} values are outside of the range. {message}')
