"""Faces and photos without faces that come with installed packages, for the training of a cascade.

scikit-image has 100 faces of "Labeled Faces in the Wild", 25 x 25 pixels in gray, of different people; the photos are
its own and scikit-learn's. Of the faces, 60 train, 20 lower the thresholds, and 20 test.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import skimage
import sklearn
from PIL import Image

SIDE = 24
"""Of a window in pixels."""
PHOTOS = (
    *(
        'skimage/brick.png',
        'skimage/chelsea.png',
        'skimage/clock_motion.png',
        'skimage/coffee.png',
        'skimage/grass.png',
    ),
    *('skimage/gravel.png', 'skimage/hubble_deep_field.jpg', 'skimage/ihc.png', 'skimage/moon.png'),
    *('skimage/motorcycle_left.png', 'skimage/page.png', 'skimage/rocket.jpg', 'skimage/text.png'),
    *('sklearn/china.jpg', 'sklearn/flower.jpg'),
)
"""Photos without faces of people."""
TEST_PHOTO = 'skimage/astronaut.png'
TEST_FACE = (170, 50, 285, 185)
"""Where the face of the test photo is: (x1, y1, x2, y2). A window whose centre is inside counts as neither right nor
wrong."""


class Faces(NamedTuple):
    """Windows with faces, uint8 `[n, 24, 24]` each; of different people in each part."""

    train: np.ndarray
    held_out: np.ndarray
    test: np.ndarray


def faces() -> Faces:
    """Read the faces: 8 windows of each, shifted by a pixel and mirrored; to train, also turned by 6 degrees."""
    patches = np.load(_path('skimage/lfw_subset.npy'), allow_pickle=False)[:100]
    pixels = np.rint(patches * 255).astype(np.uint8)[np.random.Generator(np.random.PCG64(0)).permutation(100)]
    train, held_out, test = np.split(pixels, [60, 80])
    turned = np.concatenate([train, rotated(train, 6), rotated(train, -6)])
    return Faces(*(shifted_and_mirrored(part) for part in (turned, held_out, test)))


def rotated(patches: np.ndarray, degrees: float) -> np.ndarray:
    """Patches turned about their middle.

    Example:
        >>> rotated(np.zeros((2, 25, 25), np.uint8), 6).shape
        (2, 25, 25)
    """
    height, width = patches.shape[1:]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    return np.stack(
        [cv2.warpAffine(patch, turn, (width, height), borderMode=cv2.BORDER_REFLECT_101) for patch in patches]
    )


def shifted_and_mirrored(patches: np.ndarray) -> np.ndarray:
    """The windows of 24 x 24 pixels in patches of 25 x 25, and their mirror images.

    Example:
        >>> shifted_and_mirrored(np.zeros((2, 25, 25), np.uint8)).shape
        (16, 24, 24)
    """
    cut = [patches[:, y : y + SIDE, x : x + SIDE] for y in range(2) for x in range(2)]
    windows = np.stack([*cut, *(window[..., ::-1] for window in cut)], axis=1)
    return windows.reshape(-1, SIDE, SIDE)


def photo(name: str) -> np.ndarray:
    """A photo in gray, uint8 `[h, w]`.

    Args:
        name: one of `PHOTOS`, or `TEST_PHOTO`.
    """
    with Image.open(_path(name)) as image:
        return np.asarray(image.convert('L'))


def at_the_face(boxes: np.ndarray) -> np.ndarray:
    """Whether the centre of each box (x1, y1, x2, y2) of the test photo is within its face.

    Example:
        >>> at_the_face(np.array([[180, 70, 270, 160], [0, 0, 90, 90]])).tolist()
        [True, False]
    """
    x1, y1, x2, y2 = boxes.T
    left, top, right, bottom = TEST_FACE
    return (left <= (x1 + x2) / 2) & ((x1 + x2) / 2 <= right) & (top <= (y1 + y2) / 2) & ((y1 + y2) / 2 <= bottom)


def _path(name: str) -> Path:
    package, file = name.split('/')
    folder = {
        'skimage': Path(skimage.__file__).parent / 'data',
        'sklearn': Path(sklearn.__file__).parent / 'datasets' / 'images',
    }[package]
    return folder / file
