"""k-means of the sides of boxes in IoU: the anchors that a data set needs.

Redmon and Farhadi, "YOLO9000: Better, faster, stronger", 2017 (https://arxiv.org/abs/1612.08242), section 2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxcv.types import Array, Float, PRNGKeyArray

__all__ = ['BoxSizes', 'fit', 'sides_iou']


class BoxSizes(NamedTuple):
    """Clusters of the sides of boxes, by ascending area."""

    sides: Float[Array, 'k 2']
    """(width, height) of each."""
    mean_iou: Float[Array, '']
    """Mean over the boxes of the IoU with their own cluster."""


def sides_iou(sides: Float[Array, 'n 2'], others: Float[Array, 'k 2']) -> Float[Array, 'n k']:
    """IoU of boxes with one common centre, from their sides alone.

    Args:
        sides: (width, height), `[n, 2]`.
        others: `[k, 2]`, in the same unit.

    Returns:
        `[n, k]`; 0 for two boxes without area.

    Example:
        >>> print(sides_iou(jnp.array([[2.0, 2.0]]), jnp.array([[2.0, 1.0], [4.0, 4.0]])))
        [[0.5  0.25]]
    """
    shared = jnp.minimum(sides[:, None], others).prod(axis=-1)
    union = sides.prod(axis=-1)[:, None] + others.prod(axis=-1) - shared
    return jnp.where(union > 0, shared / jnp.where(union > 0, union, 1), 0)


def fit(
    key: PRNGKeyArray, sides: Float[Array, 'n 2'], *, clusters: int, iterations: int = 50, restarts: int = 10
) -> BoxSizes:
    """Cluster the sides of boxes by the distance `1 - IoU`.

    Each step gives a box to the cluster of its largest IoU, and each cluster the mean sides of its boxes. The mean does
    not minimize this distance, so a step may be worse than the one before: the best of all steps of all restarts is
    returned. The first clusters are drawn as in k-means++: boxes, with probabilities in proportion to the distance from
    those drawn so far.

    Args:
        key: randomness of the first clusters.
        sides: (width, height) of each box, greater than 0, `[n, 2]`.
        clusters: k, from 1 to n.
        iterations: steps of a restart.
        restarts: first clusters that are tried.

    Returns:
        BoxSizes.

    Raises:
        ValueError: there are fewer boxes than clusters.

    Example:
        >>> sides = jnp.array([[10.0, 10.0], [10.0, 10.0], [40.0, 20.0]])
        >>> found = fit(jax.random.key(0), sides, clusters=2)
        >>> print(found.sides, f'{found.mean_iou:.3f}')
        [[10. 10.]
         [40. 20.]] 1.000
    """
    if not 1 <= clusters <= len(sides):
        raise ValueError(f'clusters must be from 1 to the number of boxes, {len(sides)}, got {clusters}')
    sides = sides.astype(jnp.float32)

    def draw(i: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        key, centres, best = state
        distance = 1 - best
        # Where all boxes are clusters already, any is as good.
        weights = jnp.where(distance.sum() > 0, distance, 1)
        drawn = jax.random.choice(jax.random.fold_in(key, i), sides, p=weights / weights.sum())
        return key, centres.at[i].set(drawn), jnp.maximum(best, sides_iou(sides, drawn[None])[:, 0])

    def step(state: tuple[Array, BoxSizes], _: None) -> tuple[tuple[Array, BoxSizes], None]:
        centres, best = state
        iou = sides_iou(sides, centres)
        mean = iou.max(axis=1).mean()
        better = mean > best.mean_iou
        best = BoxSizes(jnp.where(better, centres, best.sides), jnp.where(better, mean, best.mean_iou))
        own = jax.nn.one_hot(iou.argmax(axis=1), clusters)
        count = own.sum(axis=0)[:, None]
        centres = jnp.where(count > 0, own.T @ sides / jnp.maximum(count, 1), centres)
        return (centres, best), None

    def run(key: PRNGKeyArray) -> BoxSizes:
        _, start, _ = lax.fori_loop(0, clusters, draw, (key, jnp.zeros((clusters, 2)), jnp.zeros(len(sides))))
        (_, best), _ = lax.scan(step, (start, BoxSizes(start, jnp.float32(-1))), length=iterations + 1)
        return best

    tried = lax.map(run, jax.random.split(key, restarts))
    best = jax.tree.map(lambda x: x[tried.mean_iou.argmax()], tried)
    return best._replace(sides=best.sides[jnp.argsort(best.sides.prod(axis=-1))])
