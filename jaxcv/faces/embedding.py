"""Vectors of faces by dlib's network: corners of the eyes, an aligned face of 150 x 150 pixels, 128 numbers."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcv.classical import shape_predictor
from jaxcv.classical.shape_predictor import ShapePredictor
from jaxcv.models.embedding import dlib_embedder
from jaxcv.ops.alignment import dlib_faces, similarity_transform
from jaxcv.types import Array, Float, Variables

THRESHOLD = 0.6
"""The Euclidean distance from which on dlib's vectors are of two people."""
MEAN = (122.782, 117.001, 104.298)
STD = 256.0


def face_embedder(variables: Variables, predictor: ShapePredictor) -> Callable[[Any, Any], Float[np.ndarray, 'n 128']]:
    """Make the function from the faces of an image to dlib's vectors.

    The predictor begins with the box in which the eyes of its mean shape are those of the face, and finds the corners
    of the eyes and the place under the nose; `ops.dlib_faces` cuts the face out.

    Args:
        variables: of `models.embedding.dlib_embedder()`.
        predictor: dlib's of five landmarks. `load_embedder()` loads both.

    Returns:
        `embed(image, landmarks)`: of a uint8 image `[h, w, 3]`, RGB, and of landmarks `[n, 5, 2]` whose first two are
        the eyes, as in `Detected`, the vectors `[n, 128]`, of a length of about 1.4. It is compiled for numbers of
        faces that are powers of 2, and for each size of images.

    Example:
        >>> embed = face_embedder({}, ShapePredictor(*(None,) * 7))  # with weights: faces.load_embedder()
        >>> embed(np.zeros((64, 64, 3), np.uint8), np.zeros((0, 5, 2))).shape
        (0, 128)

    King 2017, High Quality Face Recognition with Deep Metric Learning (http://blog.dlib.net/2017/02).
    """
    variables, predictor = jax.tree.map(jnp.asarray, (variables, predictor))
    network = dlib_embedder()

    @jax.jit
    def cut(predictor: ShapePredictor, image: Array, eyes: Array) -> Array:
        corners = shape_predictor.predict(predictor, image, eye_boxes(predictor.initial, eyes))
        # As dlib does, whose pixels are whole numbers.
        return jnp.floor(dlib_faces(image.astype(jnp.float32), corners))

    @jax.jit
    def apply(variables: Variables, faces: Array) -> Array:
        vectors: Any = network.apply(variables, (faces - jnp.array(MEAN)) / STD)
        return vectors

    def embed(image: Any, landmarks: Any) -> Float[np.ndarray, 'n 128']:
        image, eyes = np.asarray(image), np.asarray(landmarks, np.float32)[:, :2]
        if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8:
            raise ValueError(f'the embedder takes a uint8 image [h, w, 3], got {image.dtype} {image.shape}')
        if not len(eyes):
            return np.zeros((0, 128), np.float32)
        several = 1 << (len(eyes) - 1).bit_length()
        padded = np.concatenate([eyes, eyes[:1].repeat(several - len(eyes), axis=0)])
        return np.asarray(apply(variables, cut(predictor, image, padded)))[: len(eyes)]

    return embed


def eye_boxes(initial: Float[Array, '5 2'], eyes: Float[Array, 'n 2 2']) -> Float[Array, 'n 4']:
    """Boxes in which the eyes of a mean shape are those of faces.

    Args:
        initial: dlib's mean shape of five landmarks, in a box from (0, 0) to (1, 1).
        eyes: (x, y) in pixels of both eyes, that on the left of the image first.

    Returns:
        xyxy, squares.

    Example:
        >>> mean_shape = jnp.array([[0.8, 0.3], [0.6, 0.3], [0.2, 0.3], [0.4, 0.3], [0.5, 0.6]])
        >>> print(eye_boxes(mean_shape, jnp.array([[[30.0, 40.0], [70.0, 40.0]]]))[0].round())
        [  0.  10. 101. 111.]
    """
    right, left = initial[:2].mean(axis=0), initial[2:4].mean(axis=0)
    turns = similarity_transform(jnp.broadcast_to(jnp.stack([left, right]), eyes.shape), eyes)[:, :, :2]
    side = jnp.sqrt(jnp.sum(jnp.square(turns[:, 0]), axis=-1))[:, None]
    corner = eyes.mean(axis=1) - side * (left + right) / 2
    return jnp.concatenate([corner, corner + side + 1], axis=-1)
