"""The contracts: what a task is to a train step.

A task is to a model what an optax `GradientTransformation` is to an optimizer: a NamedTuple of pure functions, made by
a factory that closes over the model, the loss and the metrics. So one train step and one loop serve classification,
segmentation, detection, embeddings and stereo.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jaxcv.types import Array, Batch, PRNGKeyArray, PyTree, Scalar, Variables

BATCH_MOMENTS = 'batch_moments'
"""If a loss is given a state with this collection, empty, batch norms leave their batch's statistics in it."""


class LossOutput(NamedTuple):
    """A loss as a sum and its weight, so that devices, hosts and micro-batches of unequal masks add up exactly.

    The loss that is minimized is `total / weight`, both summed over the global batch. A mean of means is not that.
    """

    total: Scalar
    """Sum of the loss over the valid examples (anchors, pixels)."""
    weight: Scalar
    """What to divide by: the number of valid examples, or a detector's number of positive anchors."""
    state: PyTree
    """The mutable collections after the pass, `{'batch_stats': ...}`; `{}` where there are none."""
    logs: Mapping[str, Scalar]
    """Further sums with the same weight; the step reports each divided by it."""


class Metric(NamedTuple):
    """Accumulated on the device; `merge` is associative, so batches and devices may be joined in any order."""

    init: Callable[[], PyTree]
    """() -> the empty state."""
    update: Callable[[PyTree, Mapping[str, Array], Batch], PyTree]
    """(state, predictions, batch) -> state. Ignores examples whose `predictions['valid']` is False."""
    merge: Callable[[PyTree, PyTree], PyTree]
    """(state, state) -> state."""
    compute: Callable[[PyTree], Array]
    """state -> the value: a scalar, or an array such as a confusion matrix."""


class Task(NamedTuple):
    """Pure functions that close over a model: all that training, evaluation and prediction need to know of it."""

    init: Callable[[PRNGKeyArray, Batch], Variables]
    """(key, batch) -> variables, `{'params': ..., 'batch_stats': ...}`."""
    loss: Callable[[PyTree, PyTree, Batch, PRNGKeyArray], LossOutput]
    """(params, state, batch, key) -> LossOutput, in training mode."""
    predict: Callable[[Variables, Batch], Mapping[str, Any]]
    """(variables, batch) -> predictions of fixed shape; `valid` marks the real ones."""
    metrics: Mapping[str, Metric]
    """Name -> Metric, updated from `predict`'s result."""
