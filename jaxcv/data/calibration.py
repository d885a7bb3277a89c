"""Calibration of a stereo pair: from disparity to depth."""

import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

__all__ = ['Calibration', 'read_calibration']


class Calibration(NamedTuple):
    """The geometry of a rectified pair of cameras, as Middlebury's `calib.txt` has it."""

    focal: float
    """Focal length, in pixels."""
    center: tuple[float, float]
    """(x, y) of the left camera's principal point, in pixels."""
    baseline: float
    """Distance of the cameras; depth has its unit, millimetres in Middlebury's files."""
    doffs: float = 0.0
    """x of the right camera's principal point less that of the left one, in pixels."""
    largest: int | None = None
    """A bound of the disparities, where the file has one."""

    def depth(self, disparity: np.ndarray) -> np.ndarray:
        """The depth of each pixel, `baseline · focal / (disparity + doffs)`; infinite where that is not positive."""
        distance = np.asarray(disparity, np.float64) + self.doffs
        found = np.full(distance.shape, np.inf)
        return np.divide(self.baseline * self.focal, distance, out=found, where=distance > 0).astype(np.float32)


def read_calibration(path: str | os.PathLike) -> Calibration:
    r"""Read Middlebury's `calib.txt`: `cam0=[f 0 cx; 0 f cy; 0 0 1]`, `doffs=`, `baseline=`, `ndisp=`.

    Args:
        path: The file.

    Returns:
        The calibration.

    Raises:
        OSError: The file cannot be opened.
        ValueError: A line is missing, or is no number or matrix; the message begins with the file's name.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / 'calib.txt'
        >>> _ = path.write_text('cam0=[995 0 311; 0 995 255; 0 0 1]\ndoffs=31\nbaseline=193\nndisp=70\n')
        >>> read_calibration(path).depth(np.array([64.0]))
        array([2021.421], dtype=float32)
    """
    text = Path(path).read_bytes().decode('utf-8', 'replace')
    found = dict(re.findall(r'^\s*(\w+)\s*=\s*(.*?)\s*$', text, re.MULTILINE))
    if missing := [name for name in ('cam0', 'baseline') if name not in found]:
        raise ValueError(f"{path} has no line '{missing[0]}=...': it is no calibration of Middlebury's")
    numbers = {name: _numbers(found.get(name, '0'), name, path) for name in ('cam0', 'baseline', 'doffs', 'ndisp')}
    for name, values in numbers.items():
        if len(values) != (9 if name == 'cam0' else 1):
            raise ValueError(
                f'{path}: {name} is {found.get(name)!r}, not {"3 x 3 numbers" if name == "cam0" else "one"}'
            )
    camera = numbers['cam0']
    if camera[0] <= 0 or numbers['baseline'][0] <= 0:
        raise ValueError(f'{path}: the focal length {camera[0]:g} and the baseline must be above 0')
    largest = int(numbers['ndisp'][0]) or None
    return Calibration(camera[0], (camera[2], camera[5]), numbers['baseline'][0], numbers['doffs'][0], largest)


def _numbers(text: str, name: str, path: str | os.PathLike) -> list[float]:
    try:
        return [float(word) for word in text.strip('[]').replace(';', ' ').split()]
    except ValueError:
        raise ValueError(f'{path}: {name} is {text!r}, not numbers') from None
