"""Faces and eyes by OpenCV's cascades of Haar-like features, where MTCNN's weights are not installed."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from jaxcv.arguments import AtLeast0, AtLeast1, checked
from jaxcv.classical import cascade_detector, cascade_xml
from jaxcv.faces.mtcnn_cascade import Detected
from jaxcv.ops.alignment import ARCFACE_TEMPLATE
from jaxcv.types import UInt8

SIDE = 120
"""Faces are resized to this before their eyes are searched."""
UPPER = 72
"""Rows of it that may hold eyes."""
USUAL = np.array([(0.31, 0.39), (0.69, 0.39)])
"""The eyes in the box of a face, where the cascade of eyes finds none."""


@checked
def haar(*, min_size: AtLeast1 = 40, min_neighbors: AtLeast0 = 5) -> Callable[[UInt8[Any, 'n h w 3']], Detected]:
    """Make a detector of faces by cascades: of the face, and of eyes within it.

    It finds upright frontal faces and, on photos with much texture, places that are none. The nose and the corners of
    the mouth are those of ArcFace's template, by the similarity transform of the eyes.

    Args:
        min_size: the least side of a face in pixels.
        min_neighbors: groups of more windows than this are faces.

    Returns:
        The detector: uint8 images `[n, h, w, 3]`, RGB -> Detected, of NumPy arrays, as many for each image as the one
        with the most has. The scores are the cascade's sums of votes, no probabilities. Not under `jit`.

    Raises:
        FileNotFoundError: OpenCV 5 is installed, which comes without cascades.
        ValueError: an option is out of range; the detector: the images are no uint8 arrays of that shape.

    Example:
        >>> haar()(np.zeros((2, 16, 16, 3), np.uint8)).valid.tolist()
        [[False], [False]]
    """
    of_faces, of_eyes = (cascade_xml.load(cascade_xml.opencv_file(name)) for name in ('frontalface_alt', 'eye'))
    find = cascade_detector.detector(of_faces, min_neighbors=min_neighbors, min_size=min_size)
    find_eyes = cascade_detector.detector(of_eyes, min_size=SIDE // 6, max_size=SIDE // 2)

    def eyes(image: np.ndarray, box: np.ndarray) -> np.ndarray:
        x1, y1, x2, y2 = box.tolist()
        face = cv2.resize(image[y1:y2, x1:x2], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        found = find_eyes(face[:UPPER])
        centers = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
        sides = [centers[centers[:, 0] < SIDE / 2], centers[centers[:, 0] >= SIDE / 2]]
        pair = USUAL * SIDE
        if all(len(side) for side in sides):  # the highest scores come first
            pair = np.stack([side[0] for side in sides])
        return np.array([x1, y1]) + pair * (np.array([x2 - x1, y2 - y1]) / SIDE)

    def detect(images: Any) -> Detected:
        images = np.asarray(images)
        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
            raise ValueError(f'the detector takes uint8 images [n, h, w, 3], got {images.dtype} {images.shape}')
        found = [find(image) for image in images]
        n, most = len(images), max([1, *(len(one.boxes) for one in found)])
        answer = Detected(
            np.zeros((n, most, 4), np.float32),
            np.zeros((n, most), np.float32),
            np.zeros((n, most, 5, 2), np.float32),
            np.zeros((n, most), bool),
        )
        for i, one in enumerate(found):
            count = len(one.boxes)
            answer.boxes[i, :count], answer.scores[i, :count], answer.valid[i, :count] = one.boxes, one.scores, True
            for j in range(count):
                answer.landmarks[i, j] = _landmarks(eyes(images[i], one.boxes[j]))
        return answer

    return detect


def _landmarks(eyes: np.ndarray) -> np.ndarray:
    """The five landmarks of ArcFace's template by the similarity that maps its eyes to these, as complex numbers."""
    template = ARCFACE_TEMPLATE @ np.array([1, 1j])
    left, right = eyes @ np.array([1, 1j])
    points = left + (template - template[0]) * (right - left) / (template[1] - template[0])
    return np.stack([points.real, points.imag], axis=-1)
