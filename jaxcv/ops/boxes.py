"""Boxes: formats, clipping, areas, and the overlap of pairs (IoU and its generalized, distance and complete forms)."""

from typing import Literal

import jax.numpy as jnp
from jax import lax

from jaxcv.arguments import checked
from jaxcv.types import Array, Bool, Float

BoxFormat = Literal['xyxy', 'xywh', 'cxcywh', 'yxyx']
Overlap = Literal['iou', 'giou', 'diou', 'ciou']


@checked
def convert_boxes(boxes: Float[Array, '*n 4'], *, source: BoxFormat, target: BoxFormat) -> Float[Array, '*n 4']:
    """Convert boxes from one format to another.

    Args:
        boxes: `[*n, 4]`, pixels or shares of the image.
        source: 'xyxy' (corners; jaxcv's own), 'xywh' (left, top, width, height: COCO's files), 'cxcywh' (centre, width,
            height: YOLO's files) or 'yxyx' (tfds, EfficientDet).
        target: the format that is returned.

    Returns:
        Boxes `[*n, 4]`.

    Example:
        >>> print(convert_boxes(jnp.array([[10.0, 20.0, 30.0, 60.0]]), source='xyxy', target='cxcywh'))
        [[20. 40. 20. 40.]]
    """
    a, b, c, d = jnp.moveaxis(jnp.asarray(boxes), -1, 0)
    x1, y1, x2, y2 = {
        'xyxy': lambda: (a, b, c, d),
        'yxyx': lambda: (b, a, d, c),
        'xywh': lambda: (a, b, a + c, b + d),
        'cxcywh': lambda: (a - c / 2, b - d / 2, a + c / 2, b + d / 2),
    }[source]()
    numbers = {
        'xyxy': lambda: (x1, y1, x2, y2),
        'yxyx': lambda: (y1, x1, y2, x2),
        'xywh': lambda: (x1, y1, x2 - x1, y2 - y1),
        'cxcywh': lambda: ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1),
    }[target]()
    return jnp.stack(numbers, axis=-1)


def clip_boxes(boxes: Float[Array, '*n 4'], *, size: tuple[float | Array, float | Array]) -> Float[Array, '*n 4']:
    """Clip boxes to an image: x to [0, width], y to [0, height].

    Args:
        boxes: `[*n, 4]`, xyxy in pixels.
        size: (height, width) of the image; numbers, or arrays that broadcast with `*n`.

    Returns:
        Boxes `[*n, 4]`. One that lies outside of the image has no area left.

    Example:
        >>> print(clip_boxes(jnp.array([[-5.0, 3.0, 20.0, 9.0]]), size=(8, 16)))
        [[ 0.  3. 16.  8.]]
    """
    height, width = size
    upper = jnp.stack(jnp.broadcast_arrays(*(jnp.asarray(x, boxes.dtype) for x in (width, height, width, height))), -1)
    return jnp.clip(boxes, 0, upper)


def box_area(boxes: Float[Array, '*n 4']) -> Float[Array, '*n']:
    """Area of boxes, `(x2 - x1) (y2 - y1)`; 0 where a side is negative.

    Args:
        boxes: `[*n, 4]`, xyxy.

    Returns:
        Areas `[*n]`.

    Example:
        >>> print(box_area(jnp.array([[0.0, 0.0, 2.0, 3.0], [4.0, 0.0, 2.0, 3.0]])))
        [6. 0.]
    """
    x1, y1, x2, y2 = jnp.moveaxis(boxes, -1, 0)
    return jnp.maximum(x2 - x1, 0) * jnp.maximum(y2 - y1, 0)


def box_intersection(boxes: Float[Array, '*#n 4'], others: Float[Array, '*#n 4']) -> Float[Array, '...']:
    """Area of the intersection of each box with the other at its place; leading axes broadcast.

    Args:
        boxes: `[*n, 4]`, xyxy.
        others: `[*n, 4]`.

    Returns:
        Areas `[*n]`; 0 where they do not meet.

    Example:
        >>> print(box_intersection(jnp.array([0.0, 0.0, 2.0, 2.0]), jnp.array([[1.0, 1.0, 3.0, 3.0]])))
        [1.]
    """
    low = jnp.maximum(boxes[..., :2], others[..., :2])
    high = jnp.minimum(boxes[..., 2:], others[..., 2:])
    sides = jnp.maximum(high - low, 0)
    return sides[..., 0] * sides[..., 1]


@checked
def box_iou(
    boxes: Float[Array, '*n a 4'], others: Float[Array, '*n b 4'], *, kind: Overlap = 'iou'
) -> Float[Array, '*n a b']:
    """Overlap of all pairs of two sets of boxes: `|A ∩ B| / |A ∪ B|`, and its generalizations.

    Args:
        boxes: `[*n, a, 4]`, xyxy.
        others: `[*n, b, 4]`.
        kind: as in `paired_box_iou`.

    Returns:
        `[*n, a, b]`; 0, not NaN, for two boxes without area.

    Example:
        >>> boxes = jnp.array([[0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0]])
        >>> print(box_iou(boxes, boxes).round(3))
        [[1.    0.333]
         [0.333 1.   ]]
    """
    return paired_box_iou(boxes[..., :, None, :], others[..., None, :, :], kind=kind)


@checked
def paired_box_iou(
    boxes: Float[Array, '*#n 4'], others: Float[Array, '*#n 4'], *, kind: Overlap = 'iou'
) -> Float[Array, '...']:
    """Overlap of each box with the other at its place; leading axes broadcast.

    * 'iou': `|A ∩ B| / |A ∪ B|`.
    * 'giou': `iou - (|C| - |A ∪ B|) / |C|`, C being the smallest box around both; in (-1, 1].
    * 'diou': `iou - d² / c²`, d being the distance of the centres and c the diagonal of C.
    * 'ciou': `diou - α v`, `v = 4/π² (atan(w_B / h_B) - atan(w_A / h_A))²`, `α = v / (1 - iou + v)` without gradient.

    The last three have a gradient for boxes that do not touch, and so serve as losses, `1 - overlap`.

    Args:
        boxes: `[*n, 4]`, xyxy.
        others: `[*n, 4]`.
        kind: which of the four.

    Returns:
        `[*n]`. A ratio whose divisor is 0 counts as 0, and its gradient is 0.

    Example:
        >>> a, b = jnp.array([0.0, 0.0, 1.0, 1.0]), jnp.array([2.0, 0.0, 3.0, 1.0])
        >>> [f'{paired_box_iou(a, b, kind=kind):.2f}' for kind in ('iou', 'giou', 'diou', 'ciou')]
        ['0.00', '-0.33', '-0.40', '-0.40']

    Rezatofighi et al. 2019, Generalized intersection over union (https://arxiv.org/abs/1902.09630); Zheng et al. 2020,
    Distance-IoU loss (https://arxiv.org/abs/1911.08287).
    """
    shared = box_intersection(boxes, others)
    union = box_area(boxes) + box_area(others) - shared
    iou = _ratio(shared, union)
    if kind == 'iou':
        return iou
    low = jnp.minimum(boxes[..., :2], others[..., :2])
    high = jnp.maximum(boxes[..., 2:], others[..., 2:])
    around = high - low
    if kind == 'giou':
        enclosing = around[..., 0] * around[..., 1]
        return iou - _ratio(enclosing - union, enclosing)
    centres = (boxes[..., :2] + boxes[..., 2:] - others[..., :2] - others[..., 2:]) / 2
    diou = iou - _ratio(jnp.sum(centres**2, axis=-1), jnp.sum(around**2, axis=-1))
    if kind == 'diou':
        return diou
    v = 4 / jnp.pi**2 * (_slope(others) - _slope(boxes)) ** 2
    return diou - lax.stop_gradient(_ratio(v, 1 - iou + v)) * v


def crowd_iou(boxes: Float[Array, '*n a 4'], crowds: Float[Array, '*n b 4']) -> Float[Array, '*n a b']:
    """Overlap of boxes with regions of a crowd, `|A ∩ C| / |A|`: the share of the box that the region covers.

    As in COCO's evaluation: a box inside a crowd region has 1, however large the region is.

    Args:
        boxes: detections or anchors `[*n, a, 4]`, xyxy.
        crowds: `[*n, b, 4]`.

    Returns:
        `[*n, a, b]` in [0, 1]; 0 for a box without area.

    Example:
        >>> print(crowd_iou(jnp.array([[0.0, 0.0, 2.0, 2.0]]), jnp.array([[1.0, -9.0, 99.0, 99.0]])))
        [[0.5]]
    """
    shared = box_intersection(boxes[..., :, None, :], crowds[..., None, :, :])
    return _ratio(shared, jnp.broadcast_to(box_area(boxes)[..., :, None], shared.shape))


def boxes_of_side(boxes: Float[Array, '*n 4'], *, least: float) -> Bool[Array, '*n']:
    """Select the boxes whose sides are both at least so long, in pixels; NaN sides are not.

    Args:
        boxes: `[*n, 4]`, xyxy.
        least: length of a side.

    Returns:
        bool `[*n]`.

    Example:
        >>> print(boxes_of_side(jnp.array([[0.0, 0.0, 5.0, 5.0], [0.0, 0.0, 0.5, 5.0]]), least=1.0))
        [ True False]
    """
    return ((boxes[..., 2] - boxes[..., 0]) >= least) & ((boxes[..., 3] - boxes[..., 1]) >= least)


def _ratio(numerator: Array, divisor: Array) -> Array:
    """Divide; 0 where the divisor is 0, also in the gradient."""
    safe = divisor > 0
    return jnp.where(safe, numerator / jnp.where(safe, divisor, 1), 0)


def _slope(boxes: Array) -> Array:
    """Return the angle `atan(width / height)`, with a gradient at boxes without area."""
    width, height = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
    real = (width > 0) & (height > 0)
    return jnp.where(real, jnp.arctan2(jnp.where(real, width, 1), jnp.where(real, height, 1)), 0)
