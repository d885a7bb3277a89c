"""Losses of detectors of points (CenterNet), each term normalized within its image."""

import jax
import jax.numpy as jnp

from jaxcv.arguments import checked
from jaxcv.losses.detection import Terms, Truth
from jaxcv.ops.center_points import Radius, center_targets
from jaxcv.types import Array, Float


@checked
def center_heatmap_loss(
    logits: Float[Array, 'h w c'], heatmap: Float[Array, 'h w c'], *, alpha: float = 2.0, beta: float = 4.0
) -> Float[Array, 'h w c']:
    """Penalty-reduced focal loss of a heat map, cell by cell.

    `-(1 - p)^α log p` where the target y is 1, else `-(1 - y)^β p^α log(1 - p)`: near a centre a high score is wrong
    only a little. p is clipped to [1e-4, 1 - 1e-4], as in the released code.

    Args:
        logits: of each cell and class, `[h, w, c]`.
        heatmap: y in [0, 1], `[h, w, c]`: 1 at the centres.
        alpha: α.
        beta: β.

    Returns:
        float32 `[h, w, c]`.

    Example:
        >>> values = center_heatmap_loss(jnp.zeros((1, 2, 1)), jnp.array([[[1.0], [0.5]]]))
        >>> [f'{value:.3f}' for value in values.ravel()]
        ['0.173', '0.011']

    Law and Deng 2018, CornerNet (https://arxiv.org/abs/1808.01244).
    """
    p = jnp.clip(jax.nn.sigmoid(logits.astype(jnp.float32)), 1e-4, 1 - 1e-4)
    hit = (1 - p) ** alpha * jnp.log(p)
    near = (1 - heatmap) ** beta * p**alpha * jnp.log(1 - p)
    return -jnp.where(heatmap == 1, hit, near)


@checked
def centernet(
    heatmap_logits: Float[Array, 'h w c'],
    sizes: Float[Array, 'h w 2'],
    offsets: Float[Array, 'h w 2'],
    truth: Truth,
    *,
    stride: float = 4.0,
    alpha: float = 2.0,
    beta: float = 4.0,
    size_weight: float = 0.1,
    offset_weight: float = 1.0,
    overlap: float = 0.7,
    radius: Radius = 'published',
) -> Terms:
    """Loss of CenterNet, of one image: of the heat map, and L1 of sizes and offsets at the centres.

    The heat map's is divided by the number of centres (not at all where there is none), the others by twice the number
    of objects. In the released code these numbers are the whole batch's; here each image has its own, so that devices
    and micro-batches add up.

    Args:
        heatmap_logits: `[h, w, c]`.
        sizes: (width, height) in cells, `[h, w, 2]`.
        offsets: (x, y), `[h, w, 2]`.
        truth: the objects; crowds are left out.
        stride: pixels of the image in a cell; the task passes the detector's.
        alpha: as in `center_heatmap_loss`.
        beta: as there.
        size_weight: factor of the sizes' term.
        offset_weight: factor of the offsets' term.
        overlap: of `ops.gaussian_radius`.
        radius: its form.

    Returns:
        The terms 'heatmap', 'sizes' and 'offsets', float32 scalars.

    Example:
        >>> truth = Truth(jnp.array([[0.0, 0.0, 24.0, 16.0]]), jnp.array([1]), jnp.array([True]))
        >>> maps = jnp.zeros((8, 8, 2)), jnp.zeros((8, 8, 2)), jnp.zeros((8, 8, 2))
        >>> {name: f'{value:.2f}' for name, value in centernet(*maps, truth).items()}
        {'heatmap': '21.83', 'sizes': '0.50', 'offsets': '0.00'}

    Zhou et al. 2019, Objects as points (https://arxiv.org/abs/1904.07850).
    """
    real = truth.box_valid if truth.box_crowd is None else truth.box_valid & ~truth.box_crowd
    targets = center_targets(
        truth.boxes,
        truth.box_labels,
        real,
        size=(heatmap_logits.shape[0], heatmap_logits.shape[1]),
        stride=stride,
        num_classes=heatmap_logits.shape[-1],
        overlap=overlap,
        form=radius,
    )
    values = center_heatmap_loss(heatmap_logits, targets.heatmap, alpha=alpha, beta=beta)
    objects = 2 * real.sum() + 1e-4

    def at_centres(found: Array, wanted: Array) -> Array:
        rows, columns = targets.cells[:, 0], targets.cells[:, 1]
        difference = jnp.abs(found.astype(jnp.float32)[rows, columns] - wanted)
        return jnp.where(real[:, None], difference, 0).sum() / objects

    return {
        'heatmap': values.sum() / jnp.maximum(1, (targets.heatmap == 1).sum()),
        'sizes': size_weight * at_centres(sizes, targets.sizes),
        'offsets': offset_weight * at_centres(offsets, targets.offsets),
    }
