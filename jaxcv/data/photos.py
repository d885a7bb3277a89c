"""Photos and textures of installed packages: scikit-image's and scikit-learn's, without a download."""

import functools
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from jaxcv.data.calibration import Calibration
from jaxcv.data.fields import Field

__all__ = ['motorcycle', 'photo', 'photos']

# Each photo is in one split, so a network is tested on pictures that it has not seen. The motorcycle is in none.
_SPLITS = {
    'train': (
        'astronaut.png', 'camera.png', 'cell.png', 'clock_motion.png', 'coins.png', 'grass.png',
        'hubble_deep_field.jpg', 'ihc.png', 'page.png', 'retina.jpg', 'rocket.jpg', 'text.png',
    ),
    'validation': ('chelsea.png', 'gravel.png'),
    'test': ('brick.png', 'china.jpg', 'coffee.png', 'flower.jpg', 'moon.png'),
}  # fmt: skip
_OF_SKLEARN = ('china.jpg', 'flower.jpg')
_LONGEST = 640


def photos(split: str) -> tuple[np.ndarray, ...]:
    """The photos of a split, none of which another split has.

    Args:
        split: 'train' (12 photos), 'validation' (2) or 'test' (5).

    Returns:
        uint8 `[h w 3]` each, of many sizes, the longer side at most 640 pixels.

    Raises:
        FileNotFoundError: The installed scikit-image or scikit-learn does not hold one.
        ValueError: There is no such split.

    Example:
        >>> [picture.shape for picture in photos('validation')]
        [(300, 451, 3), (512, 512, 3)]
    """
    if split not in _SPLITS:
        raise ValueError(f'no split {split!r}; there are: {", ".join(_SPLITS)}')
    found = []
    for name in _SPLITS[split]:
        picture = photo(name)
        factor = min(1.0, _LONGEST / max(picture.shape[:2]))
        size = tuple(round(factor * side) for side in picture.shape[1::-1])
        found.append(picture if factor == 1 else cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
    return tuple(found)


@functools.cache
def photo(name: str) -> np.ndarray:
    """A photo of scikit-image's or scikit-learn's package.

    Args:
        name: Of the file, 'coffee.png'.

    Returns:
        uint8 `[h w 3]`, RGB.

    Raises:
        FileNotFoundError: The installed package does not hold it.

    Example:
        >>> photo('coffee.png').shape
        (400, 600, 3)
    """
    path = _path(name)
    with Image.open(path) as picture:
        return np.asarray(picture.convert('RGB'))


def motorcycle() -> tuple[np.ndarray, np.ndarray, Field, Calibration]:
    """The motorcycle: Middlebury's stereo pair of 2014 that scikit-image's package holds, at a quarter of its size.

    A point of the left view at column x is at x - disparity in the right one; nothing is to be added for that (`doffs`
    is for depth only).

    Returns:
        The left and the right view, uint8 `[500 741 3]`; the disparity, of which 7 % is not known; and the calibration,
        whose baseline is in millimetres.

    Raises:
        FileNotFoundError: The installed scikit-image does not hold it.

    Example:
        >>> left, right, disparity, calibration = motorcycle()
        >>> left.shape, round(float(disparity.valid.mean()), 3), calibration.baseline
        ((500, 741, 3), 0.927, 193.001)

    Scharstein et al., "High-resolution stereo datasets with subpixel-accurate ground truth", 2014.
    """
    left, right = photo('motorcycle_left.png'), photo('motorcycle_right.png')
    with np.load(_path('motorcycle_disp.npz')) as file:
        values = file['arr_0']
    valid = np.isfinite(values)
    calibration = Calibration(994.978, (311.193, 254.877), 193.001, 31.086)
    return left, right, Field(np.where(valid, values, 0).astype(np.float32), valid), calibration


def _path(name: str) -> Path:
    if name in _OF_SKLEARN:
        import sklearn.datasets

        path = Path(sklearn.datasets.__file__).parent / 'images' / name
    else:
        import skimage

        path = Path(skimage.__file__).parent / 'data' / name
    if not path.exists():
        package = 'scikit-learn' if name in _OF_SKLEARN else 'scikit-image 0.26'
        raise FileNotFoundError(f'{path} is missing: install {package}, whose package holds it')
    return path
