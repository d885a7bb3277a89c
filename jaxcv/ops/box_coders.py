"""Box coders: a box relative to an anchor, as a network predicts it."""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import jax.numpy as jnp

from jaxcv.arguments import checked
from jaxcv.types import Array, Float

LARGEST_GROWTH = math.log(1000 / 16)
"""The largest logarithm of a ratio of sides that Detectron's family decodes: 62.5 times an anchor of 16 pixels."""


class BoxCoder(NamedTuple):
    """Two functions, each the other's inverse."""

    encode: Callable[[Array, Array], Array]
    """(boxes [*n 4], anchors [*n 4]) -> the four numbers that lead from the anchor to the box."""
    decode: Callable[[Array, Array], Array]
    """(numbers [*n 4], anchors [*n 4]) -> boxes."""


@checked
def box_coder(
    *,
    weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
    largest_growth: float | None = LARGEST_GROWTH,
    order: Literal['xyxy', 'yxyx'] = 'xyxy',
) -> BoxCoder:
    """Coder of boxes relative to anchors, of the R-CNN family: shifts of the centre and logarithms of the sides.

    `t_x = w_x (x - x_a) / width_a`, `t_y = w_y (y - y_a) / height_a`, `t_w = w_w log(width / width_a)`,
    `t_h = w_h log(height / height_a)`, for a box with the centre (x, y) and an anchor with the centre (x_a, y_a).

    Args:
        weights: `(w_x, w_y, w_w, w_h)`, which bring the four numbers to one scale. R-CNN's region proposals and
            RetinaNet have ones, the second stage of Fast R-CNN and later ones `(10, 10, 5, 5)`.
        largest_growth: `t_w / w_w` and `t_h / w_h` are clipped to it from above before exp, so that a bad start gives
            no infinite boxes. None: not clipped.
        order: of the four numbers, 'xyxy' for (x, y, w, h) and 'yxyx' for (y, x, h, w). The boxes are xyxy in both.

    Returns:
        A BoxCoder; it computes in float32. A box or an anchor without area, as in padding, is encoded as if its side
        were 1: the numbers are finite, and so are the gradients.

    Example:
        >>> coder, anchor = box_coder(), jnp.array([0.0, 0.0, 10.0, 20.0])
        >>> code = coder.encode(jnp.array([5.0, 0.0, 15.0, 20.0]), anchor)
        >>> print(code, coder.decode(code, anchor))
        [0.5 0.  0.  0. ] [ 5.  0. 15. 20.]

    Girshick et al. 2014, Rich feature hierarchies (https://arxiv.org/abs/1311.2524), appendix C.
    """
    places = (0, 1, 2, 3) if order == 'xyxy' else (1, 0, 3, 2)
    scale = jnp.asarray(weights, jnp.float32)[jnp.asarray(places)]

    def encode(boxes: Float[Array, '*n 4'], anchors: Float[Array, '*n 4']) -> Float[Array, '*n 4']:
        (centres, sides), (centres_of, sides_of) = _centre_and_sides(boxes), _centre_and_sides(anchors)
        sides, sides_of = (jnp.where(x > 0, x, 1) for x in (sides, sides_of))
        numbers = jnp.concatenate([(centres - centres_of) / sides_of, jnp.log(sides / sides_of)], axis=-1)
        return (numbers * jnp.asarray(weights, jnp.float32))[..., places]

    def decode(numbers: Float[Array, '*n 4'], anchors: Float[Array, '*n 4']) -> Float[Array, '*n 4']:
        numbers = (numbers.astype(jnp.float32) / scale)[..., places]
        centres_of, sides_of = _centre_and_sides(anchors)
        growth = numbers[..., 2:]
        growth = growth if largest_growth is None else jnp.minimum(growth, largest_growth)
        centres, half = centres_of + numbers[..., :2] * sides_of, sides_of * jnp.exp(growth) / 2
        return jnp.concatenate([centres - half, centres + half], axis=-1)

    return BoxCoder(encode, decode)


def ssd_coder(*, variances: Sequence[float] = (0.1, 0.1, 0.2, 0.2)) -> BoxCoder:
    """Coder of SSD, whose published 'variances' divide the numbers: `box_coder(weights=1 / variances)`, not clipped.

    Args:
        variances: of (x, y, w, h).

    Returns:
        A BoxCoder.

    Example:
        >>> code = ssd_coder().encode(jnp.array([5.0, 0.0, 15.0, 20.0]), jnp.array([0.0, 0.0, 10.0, 20.0]))
        >>> print(code)
        [5. 0. 0. 0.]
    """
    return box_coder(weights=[1 / variance for variance in variances], largest_growth=None)


def efficientdet_coder() -> BoxCoder:
    """Coder of EfficientDet: `(t_y, t_x, t_h, t_w)` without weights, not clipped.

    Returns:
        A BoxCoder.

    Example:
        >>> code = efficientdet_coder().encode(jnp.array([5.0, 0.0, 15.0, 20.0]), jnp.array([0.0, 0.0, 10.0, 20.0]))
        >>> print(code)
        [0.  0.5 0.  0. ]
    """
    return box_coder(largest_growth=None, order='yxyx')


def _centre_and_sides(boxes: Array) -> tuple[Array, Array]:
    boxes = boxes.astype(jnp.float32)
    low, high = boxes[..., :2], boxes[..., 2:]
    return (low + high) / 2, high - low
