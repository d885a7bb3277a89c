"""Landmarks of faces by a cascade of regression trees, as dlib's shape predictors find them.

A shape of p landmarks begins as the mean shape of the training faces, in the box of the face. Each forest of the
cascade adds a correction, the sum over its trees:

    s_(k+1) = s_k + Σ_t r_t(pixels of the image, at places relative to s_k)

A split of a tree compares the difference of two pixels with a threshold. The places of the pixels move with the shape:
each is an offset from a landmark, turned and scaled by the similarity transform from the mean shape to s_k.

Kazemi and Sullivan 2014, One Millisecond Face Alignment with an Ensemble of Regression Trees.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxcv.ops.alignment import similarity_transform
from jaxcv.types import Array, Float, Int, UInt8

__all__ = ['predict']


class ShapePredictor(NamedTuple):
    """A cascade of c forests of t complete trees with s splits, for p landmarks."""

    initial: Float[Any, 'p 2']
    """The mean shape: (x, y) of each landmark, in a box from (0, 0) to (1, 1)."""
    anchors: Int[Any, 'c f']
    """The landmark that each of f pixels is near to."""
    deltas: Float[Any, 'c f 2']
    """The place of each pixel, relative to that landmark of the mean shape."""
    first: Int[Any, 'c t s']
    """The pixel of each split, by the breadth of the tree: the children of node i are 2i + 1 and 2i + 2."""
    second: Int[Any, 'c t s']
    """The pixel that is subtracted from it."""
    thresholds: Float[Any, 'c t s']
    """A difference above it goes to node 2i + 1."""
    leaves: Float[Any, 'c t l v']
    """The correction of each leaf: (x, y) of each landmark in turn."""


def predict(
    predictor: ShapePredictor, image: UInt8[Array, 'h w'] | UInt8[Array, 'h w 3'], boxes: Float[Array, 'n 4']
) -> Float[Array, 'n p 2']:
    """Find the landmarks of the faces in an image.

    Args:
        predictor: of `weights.read_shape_predictor`.
        image: uint8, gray or RGB; of RGB the mean of the three channels, rounded down, is taken.
        boxes: of the faces, `[n, 4]`, xyxy in pixels. They should be such as the predictor was trained with: dlib's are
            squares from the brows to the chin.

    Returns:
        (x, y) in pixels, `[n, p, 2]`; dlib rounds them to whole pixels.

    Example:
        >>> corners = jnp.array([[0.0, 0.0], [1.0, 1.0]])
        >>> none = jnp.zeros((1, 1, 1), jnp.int32)
        >>> still = ShapePredictor(corners, none[0], jnp.zeros((1, 1, 2)), none, none, none, jnp.zeros((1, 1, 2, 4)))
        >>> print(predict(still, jnp.zeros((50, 50), jnp.uint8), jnp.array([[10.0, 20.0, 31.0, 41.0]]))[0])
        [[10. 20.]
         [30. 40.]]
    """
    predictor, image, boxes = jax.tree.map(jnp.asarray, (predictor, image, boxes))
    gray = image if image.ndim == 2 else image.astype(jnp.int32).sum(axis=-1) // 3
    gray = gray.astype(jnp.float32)
    depth = predictor.leaves.shape[2].bit_length() - 1
    centered = predictor.initial - predictor.initial.mean(axis=0)

    def one(box: Array) -> Array:
        corner, size = box[:2], box[2:] - 1 - box[:2]  # the last pixel is within dlib's boxes

        def add(shape: Array, stage: tuple[Array, ...]) -> tuple[Array, None]:
            anchors, deltas, first, second, thresholds, leaves = stage
            turn = similarity_transform(centered, shape)[:, :2]
            places = corner + size * (shape[anchors] + jnp.einsum('ij,fj->fi', turn, deltas, precision='highest'))
            x, y = jnp.moveaxis(jnp.floor(places + 0.5).astype(jnp.int32), -1, 0)
            inside = (x >= 0) & (x < gray.shape[1]) & (y >= 0) & (y < gray.shape[0])
            pixels = jnp.where(inside, gray.at[y, x].get(mode='clip'), 0)
            trees = jnp.arange(len(first))
            node = jnp.zeros(len(first), jnp.int32)
            for _ in range(depth):
                difference = pixels[first[trees, node]] - pixels[second[trees, node]]
                node = 2 * node + jnp.where(difference > thresholds[trees, node], 1, 2)
            return shape + leaves[trees, node - first.shape[1]].sum(axis=0).reshape(-1, 2), None

        shape, _ = jax.lax.scan(add, predictor.initial, tuple(predictor[1:]))
        return corner + size * shape

    return jax.vmap(one)(boxes)
