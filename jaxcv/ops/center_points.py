"""Objects as points: heat maps of their centres, and the peaks of a heat map (CenterNet)."""

from typing import Literal, NamedTuple

import jax.numpy as jnp
from jax import lax

from jaxcv.arguments import checked
from jaxcv.ops.boxes import clip_boxes
from jaxcv.ops.detections import Detections
from jaxcv.ops.pool import max_pool
from jaxcv.types import Array, Bool, Float, Int

Radius = Literal['published', 'exact']


class CenterTargets(NamedTuple):
    """What a network of points is trained on, in the cells of its map."""

    heatmap: Float[Array, 'h w c']
    """1 at the centre of an object of the class, Gaussian around it."""
    cells: Int[Array, 'g 2']
    """(row, column) of each object's centre."""
    sizes: Float[Array, 'g 2']
    """(width, height) of each object, in cells."""
    offsets: Float[Array, 'g 2']
    """(x, y) of the centre less that of its cell, in [0, 1)."""


@checked
def gaussian_radius(
    height: Float[Array, '*n'], width: Float[Array, '*n'], *, overlap: float = 0.7, form: Radius = 'published'
) -> Float[Array, '*n']:
    """Distance that both corners of a box may move so that its IoU with the box stays at least `overlap`.

    Three cases are solved: both corners move inwards, both outwards, or one each way; the smallest root counts. The
    released code of CornerNet and CenterNet divides each root by 2 instead of by twice the leading coefficient, and
    takes the larger root of the first two cases: 'published', 2.8 times the third case's root, gives its numbers.

    Args:
        height: of boxes, `[*n]`.
        width: of boxes, `[*n]`.
        overlap: in (0, 1).
        form: 'published' or 'exact'.

    Returns:
        The radius `[*n]`, not rounded.

    Example:
        >>> side = jnp.array(8.0)
        >>> print(*(f'{gaussian_radius(side, side, form=form):.3f}' for form in ('published', 'exact')))
        2.187 0.653

    Law and Deng 2018, CornerNet (https://arxiv.org/abs/1808.01244).
    """
    total, area = height + width, height * width
    # a r² - b r + c = 0 for the first two cases, a r² + b r - c = 0 for the third.
    cases = (
        (1.0, total, area * (1 - overlap) / (1 + overlap)),
        (4.0, 2 * total, (1 - overlap) * area),
        (4 * overlap, 2 * overlap * total, (1 - overlap) * area),
    )
    one, two, three = (
        (b, jnp.sqrt(jnp.maximum(b**2 + sign * 4 * a * c, 0)), a)
        for (a, b, c), sign in zip(cases, (-1, -1, 1), strict=True)
    )
    if form == 'published':
        roots = ((one[0] + one[1]) / 2, (two[0] + two[1]) / 2, (three[1] - three[0]) / 2)
    else:
        roots = ((one[0] - one[1]) / 2, (two[0] - two[1]) / 8, (three[1] - three[0]) / (2 * three[2]))
    return jnp.minimum(jnp.minimum(roots[0], roots[1]), roots[2])


@checked
def center_targets(
    boxes: Float[Array, 'g 4'],
    box_labels: Int[Array, ' g'],
    box_valid: Bool[Array, ' g'],
    *,
    size: tuple[int, int],
    stride: float,
    num_classes: int,
    overlap: float = 0.7,
    form: Radius = 'published',
) -> CenterTargets:
    """Make the targets of one image.

    Around the cell of each centre is a Gaussian of the radius r, `exp(-d² / (2 σ²))` with `σ = (2 r + 1) / 6`, within
    `2 r + 1` cells; where those of a class overlap, the larger counts.

    Args:
        boxes: xyxy in pixels, `[g, 4]`.
        box_labels: from 0 on, `[g]`.
        box_valid: False for padding, `[g]`.
        size: (rows, columns) of the map.
        stride: pixels of the image in a cell.
        num_classes: channels of the map.
        overlap: of `gaussian_radius`.
        form: of `gaussian_radius`.

    Returns:
        CenterTargets. Padding leaves no trace in the heat map.

    Example:
        >>> boxes, labels, real = jnp.array([[0.0, 0.0, 24.0, 16.0]]), jnp.array([1]), jnp.array([True])
        >>> targets = center_targets(boxes, labels, real, size=(8, 8), stride=4.0, num_classes=2)
        >>> targets.heatmap[2, 3], targets.sizes
        (Array([0., 1.], dtype=float32), Array([[6., 4.]], dtype=float32))

    Zhou et al. 2019, Objects as points (https://arxiv.org/abs/1904.07850).
    """
    rows, columns = size
    # The released code clips to the last cell, not to the end of it.
    within = clip_boxes(boxes / stride, size=(rows - 1, columns - 1))
    sizes = within[:, 2:] - within[:, :2]
    centres = (within[:, :2] + within[:, 2:]) / 2
    places = jnp.floor(centres).astype(jnp.int32)
    real = box_valid & (sizes > 0).all(axis=-1)
    sides = jnp.ceil(sizes)
    radius = jnp.maximum(0, jnp.floor(gaussian_radius(sides[:, 1], sides[:, 0], overlap=overlap, form=form)))
    y, x = jnp.arange(rows)[:, None], jnp.arange(columns)

    def add(heatmap: Array, one: tuple) -> tuple[Array, None]:
        place, label, r, is_real = one
        dx, dy = x - place[0], y - place[1]
        sigma = (2 * r + 1) / 6
        bump = jnp.exp(-(dx**2 + dy**2) / (2 * sigma**2))
        inside = (jnp.abs(dx) <= r) & (jnp.abs(dy) <= r) & is_real
        bump = jnp.where(inside & (bump >= jnp.finfo(jnp.float32).eps), bump, 0)
        return heatmap.at[..., label].max(bump, mode='drop'), None

    labels = jnp.where(real, box_labels, num_classes)  # out of range: dropped
    heatmap, _ = lax.scan(add, jnp.zeros((rows, columns, num_classes)), (places, labels, radius, real))
    return CenterTargets(heatmap, places[:, ::-1], sizes, centres - places)


def select_centers(
    heatmap: Float[Array, 'h w c'],
    sizes: Float[Array, 'h w 2'],
    offsets: Float[Array, 'h w 2'],
    *,
    size: tuple[int, int],
    least_score: float = 0.0,
    most: int = 100,
) -> Detections:
    """Select the objects of one image: the highest cells that are not lower than any of the eight around them.

    Args:
        heatmap: probabilities, `[h, w, c]`.
        sizes: (width, height) in cells, `[h, w, 2]`.
        offsets: (x, y) of the centre in its cell, `[h, w, 2]`.
        size: (height, width) of the image, in pixels.
        least_score: cells with a lower value, or the same, are no objects.
        most: objects returned.

    Returns:
        Detections, of `most` objects.

    Example:
        >>> heatmap = jnp.zeros((4, 4, 1)).at[1, 2].set(0.9).at[1, 1].set(0.5)
        >>> found = select_centers(heatmap, jnp.full((4, 4, 2), 2.0), jnp.zeros((4, 4, 2)), size=(16, 16), most=2)
        >>> print(found.boxes[0], found.box_valid)
        [ 4.  0. 12.  8.] [ True False]
    """
    rows, columns, classes = heatmap.shape
    peaks = heatmap == max_pool(heatmap[None], window=3, strides=1, padding=1)[0]
    scores = jnp.where(peaks & (heatmap > least_score), heatmap, 0).reshape(-1)
    values, pairs = lax.top_k(scores, min(most, scores.size))
    values, pairs = (jnp.pad(x, (0, most - len(x))) for x in (values, pairs))
    cells, labels = pairs // classes, pairs % classes
    corner = jnp.stack([cells % columns, cells // columns], axis=-1)
    centres = corner + offsets.reshape(-1, 2)[cells]
    half = sizes.reshape(-1, 2)[cells] / 2
    stride = jnp.array([size[1] / columns, size[0] / rows] * 2, jnp.float32)
    boxes = clip_boxes(jnp.concatenate([centres - half, centres + half], axis=-1) * stride, size=size)
    valid = values > 0
    return Detections(
        jnp.where(valid[:, None], boxes, 0),
        jnp.where(valid, values, 0),
        jnp.where(valid, labels, 0).astype(jnp.int32),
        valid,
    )
