"""The published weights of faces, in installed packages: MTCNN's of facenet-pytorch, dlib's of face-recognition-models.

Neither package is imported. Both are installed without their dependencies, which are old versions of PyTorch and NumPy
that reading the weights does not need: `pip install --no-deps facenet-pytorch face-recognition-models`.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from jaxcv import weights
from jaxcv.arguments import AtLeast1, checked
from jaxcv.faces.embedding import face_embedder
from jaxcv.faces.haar_cascade import haar
from jaxcv.faces.mtcnn_cascade import Detected, Networks, mtcnn
from jaxcv.types import Float, UInt8

MTCNN = 'facenet-pytorch'
DLIB = 'face-recognition-models'
NETWORK = 'dlib_face_recognition_resnet_model_v1.dat'
PREDICTOR = 'shape_predictor_5_face_landmarks.dat'


def load_mtcnn() -> Networks:
    """Load the weights of MTCNN's networks from the package facenet-pytorch (MIT license).

    Returns:
        The variables, for `mtcnn`.

    Raises:
        FileNotFoundError: the package is not installed; the message has the command that installs it.

    Example:
        >>> load_mtcnn().pnet['params']['conv1']['kernel'].shape
        (3, 3, 3, 10)
    """
    return Networks(
        *(
            weights.load(name, weights.packaged(MTCNN, file=f'{name}.pt'), source='facenet_pytorch')
            for name in Networks._fields
        )
    )


@checked
def load_detector(
    *, kind: Literal['mtcnn', 'haar'] | None = None, min_size: AtLeast1 = 40
) -> Callable[[UInt8[Any, 'n h w 3']], Detected]:
    """Make a detector of faces: MTCNN where its weights are installed, or else cascades of Haar-like features.

    Args:
        kind: 'mtcnn' or 'haar'; None: as above.
        min_size: the least side of a face in pixels.

    Returns:
        The detector: uint8 images `[n, h, w, 3]`, RGB -> Detected.

    Raises:
        FileNotFoundError: 'mtcnn' is asked for, and its package is not installed; or 'haar', and OpenCV has no
            cascades; or neither is there.

    Example:
        >>> load_detector(kind='haar')(np.zeros((1, 16, 16, 3), np.uint8)).valid.any().item()
        False
    """
    if kind == 'haar':
        return haar(min_size=min_size)
    try:
        return mtcnn(load_mtcnn(), min_size=min_size)
    except FileNotFoundError as error:
        if kind == 'mtcnn':
            raise
        try:
            return haar(min_size=min_size)
        except FileNotFoundError as other:
            raise FileNotFoundError(f'{error}; instead of it: {other}') from None


def load_embedder() -> Callable[[Any, Any], Float[np.ndarray, 'n 128']]:
    """Load dlib's face recognition network and landmarks from the package face-recognition-models (CC0).

    Returns:
        `embed(image, landmarks) -> vectors`, see `face_embedder`.

    Raises:
        FileNotFoundError: the package is not installed; the message has the command that installs it.

    Example:
        >>> load_embedder()(np.zeros((8, 8, 3), np.uint8), np.zeros((0, 5, 2))).shape
        (0, 128)
    """
    variables = weights.load('dlib_embedder', weights.packaged(DLIB, file=NETWORK), source='dlib')
    return face_embedder(variables, weights.read_shape_predictor(weights.packaged(DLIB, file=PREDICTOR)))
