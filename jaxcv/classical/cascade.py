"""Cascades of boosted trees of Haar-like features, as arrays.

A window goes through the stages one after another. In a stage, each tree leads to a leaf, and a window whose sum of
leaves is below the stage's threshold is rejected; most windows are rejected by the first stages.

Viola and Jones, "Robust Real-Time Face Detection", 2004.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Int32

from jaxcv.arguments import AtLeast1, checked
from jaxcv.classical.haar import HaarFeatures, feature_values, window_scales
from jaxcv.types import Array, Float, Int, UInt8

__all__ = ['Cascade', 'WindowScores', 'score_windows', 'stumps']

THRESHOLD_MARGIN = np.float32(1e-5)
"""OpenCV lowers all thresholds of stages by so much when it reads them."""


class Cascade(NamedTuple):
    """A cascade, with the numbers of OpenCV's XML.

    A node goes to its left child where `value · scale < threshold`, otherwise to the right one (`haar.window_scales`).
    A child > 0 is the place of a node in its tree; one <= 0 is minus the place of a leaf. A stump is a tree of one
    node, with the children 0 and -1.
    """

    size: Int32[np.ndarray, '2']
    """(width, height) of the window in pixels."""
    features: HaarFeatures
    feature: Int32[Array | np.ndarray, 'trees nodes']
    """Of each node; a tree with fewer nodes than another is filled up with zeros that nothing leads to."""
    threshold: Float32[Array | np.ndarray, 'trees nodes']
    left: Int32[Array | np.ndarray, 'trees nodes']
    right: Int32[Array | np.ndarray, 'trees nodes']
    leaves: Float32[Array | np.ndarray, 'trees nodes+1']
    """The votes."""
    stage: Int32[Array | np.ndarray, ' trees']
    """The stage of each tree, from 0; trees of a stage are neighbours."""
    stage_thresholds: Float32[Array | np.ndarray, ' stages']
    """A window passes a stage whose votes sum up to this threshold, less 0.00001, or more."""


class WindowScores(NamedTuple):
    """Votes of windows in all stages, without rejections."""

    sums: Float[Array, 'n stages']
    passed: Int[Array, ' n']
    """The number of stages before the first rejection."""


@checked
def stumps(
    features: HaarFeatures,
    feature: Int[np.ndarray, ' trees'],
    threshold: Float[np.ndarray, ' trees'],
    leaves: Float[np.ndarray, 'trees 2'],
    stage: Int[np.ndarray, ' trees'],
    stage_thresholds: Float[np.ndarray, ' stages'],
    *,
    size: tuple[AtLeast1, AtLeast1],
) -> Cascade:
    """Cascade of stumps, trees of one node each.

    Args:
        features: all that a stump may use.
        feature: of each stump, a place in `features`.
        threshold: of each stump.
        leaves: the votes below the threshold, and from it on.
        stage: of each stump, from 0, ascending.
        stage_thresholds: the least sum of votes that passes each stage.
        size: (width, height) of the window in pixels.

    Returns:
        The cascade, on the host.

    Example:
        >>> features = HaarFeatures(np.ones((1, 3, 4), np.int32), np.ones((1, 3), np.float32), np.array([False]))
        >>> cascade = stumps(features, np.array([0]), np.array([0.5]), np.array([[-1.0, 1.0]]), np.array([0]),
        ...                  np.array([0.0]), size=(24, 24))
        >>> print(cascade.left[0], cascade.right[0])
        [0] [-1]
    """
    parts = (np.asarray(part) for part in (features.boxes, features.weights, features.tilted))
    count = len(feature)
    return Cascade(
        np.array(size, np.int32),
        HaarFeatures(*(part.astype(kind) for part, kind in zip(parts, (np.int32, np.float32, bool), strict=True))),
        np.asarray(feature, np.int32)[:, None],
        np.asarray(threshold, np.float32)[:, None],
        np.zeros((count, 1), np.int32),
        np.full((count, 1), -1, np.int32),
        np.asarray(leaves, np.float32),
        np.asarray(stage, np.int32),
        np.asarray(stage_thresholds, np.float32),
    )


def score_windows(windows: UInt8[Array, 'n h w'], cascade: Cascade) -> WindowScores:
    """Votes of windows in every stage, and the number of stages that each one passes.

    All features of all windows are computed, as for training and for pictures of the stages: to search images,
    `cascade_detector` rejects early.

    Args:
        windows: `[n, h, w]`, uint8, of the cascade's size.
        cascade: of at least one stage.

    Returns:
        Sums in float32 and the numbers of passed stages. A flat window passes none.

    Raises:
        ValueError: the windows have another size.

    Example:
        >>> left_minus_right = np.array([[[1, 1, 1, 2], [2, 1, 1, 2], [0, 0, 0, 0]]], np.int32)
        >>> features = HaarFeatures(left_minus_right, np.array([[-1, 1, 0]], np.float32), np.array([False]))
        >>> cascade = stumps(features, np.array([0]), np.array([0.5]), np.array([[-1.0, 1.0]]), np.array([0]),
        ...                  np.array([0.0]), size=(4, 4))
        >>> window = jnp.pad(jnp.array([[[0, 255], [0, 255]]], jnp.uint8), ((0, 0), (1, 1), (1, 1)))
        >>> print(*score_windows(window, cascade))
        [[1.]] [1]
    """
    width, height = (int(side) for side in cascade.size)
    if windows.shape[1:] != (height, width):
        raise ValueError(f'the cascade takes windows of {height} x {width} pixels, got {windows.shape[1:]}')
    scales = window_scales(windows)
    values = feature_values(windows, cascade.features) * scales[:, None]
    go_left = values[:, cascade.feature] < cascade.threshold
    target = jnp.where(go_left, cascade.left, cascade.right)
    place = target[..., 0]
    for _ in range(cascade.feature.shape[1] - 1):
        following = jnp.take_along_axis(target, jnp.maximum(place, 0)[..., None], axis=-1)[..., 0]
        place = jnp.where(place > 0, following, place)
    votes = jnp.take_along_axis(jnp.asarray(cascade.leaves)[None], -place[..., None], axis=-1)[..., 0]
    stages = len(cascade.stage_thresholds)
    sums = jax.ops.segment_sum(votes.T, jnp.asarray(cascade.stage), num_segments=stages).T
    passes = (sums >= cascade.stage_thresholds - THRESHOLD_MARGIN) & (scales > 0)[:, None]
    return WindowScores(sums, jnp.sum(jnp.cumprod(passes.astype(jnp.int32), axis=1), axis=1))
