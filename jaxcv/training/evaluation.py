"""Evaluation: every example once, each metric merged over the batches."""

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxcv.task import Predictions, Task
from jaxcv.types import Array, Batch, PyTree, Variables

Answers = Mapping[str, Array]
EvalStep = Callable[[Variables, Batch], tuple[Mapping[str, PyTree], Answers]]


def make_eval_step(task: Task, answer: Callable[[Predictions], Answers] = lambda predictions: {}) -> EvalStep:
    """Evaluation step: one prediction, of which metrics and pictures are made.

    Args:
        task: its `predict` and its metrics.
        answer: predictions -> the arrays to be shown, such as `task.presentation.answer`.

    Returns:
        A pure function (variables, batch) -> ({metric name: what the batch contributes}, answer(predictions)).

    Example:
        >>> from jaxcv import models, tasks
        >>> task = tasks.classification(models.linear_classifier(num_classes=10), num_classes=10)
        >>> step = jax.jit(make_eval_step(task, task.presentation.answer))
    """

    def step(variables: Variables, batch: Batch) -> tuple[Mapping[str, PyTree], Answers]:
        predictions = task.predict(variables, batch)
        contributions = {name: metric.measure(predictions, batch) for name, metric in task.metrics.items()}
        return contributions, answer(predictions)

    return step


def evaluate(
    step: EvalStep,
    task: Task,
    variables: Variables,
    batches: Iterable[Batch],
    see: Callable[[Batch, Answers], None] | None = None,
) -> dict[str, Any]:
    """Evaluate a task: the values of its metrics over all batches.

    The contributions to metrics on the device are merged there. Those to metrics on the host are gathered over all
    processes after each batch, without the rows whose `valid` is False, and joined at the end, in the order of `index`
    where the batches have it: so the values do not depend on which examples share a batch. Batches may have several
    shapes; the step is compiled once for each.

    Args:
        step: from `make_eval_step`, under `jax.jit`, on one device or a mesh.
        task: the step's.
        variables: of the model.
        batches: on the device; with several processes each gives its block of every global batch.
        see: called with each batch and its answer, both on the device.

    Returns:
        {value name: value} of all metrics: floats for numbers, else NumPy arrays.

    Raises:
        ValueError: two metrics have a value of one name, or there are no batches.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxcv import models, tasks
        >>> task = tasks.classification(models.linear_classifier(num_classes=2), num_classes=2)
        >>> batch = {'image': jnp.zeros((2, 1, 1, 1)), 'label': jnp.array([0, 1]), 'valid': jnp.array([True, True])}
        >>> step = jax.jit(make_eval_step(task))
        >>> evaluate(step, task, task.init(jax.random.key(0), batch), [batch])['top1']
        0.5
    """
    names = Counter(name for metric in task.metrics.values() for name in metric.units)
    if twice := sorted(name for name, number in names.items() if number > 1):
        raise ValueError(f'two metrics have a value of one name: {", ".join(twice)}')
    on_device = tuple((name, metric.merge) for name, metric in task.metrics.items() if metric.where == 'device')
    on_host = [name for name, metric in task.metrics.items() if metric.where == 'host']

    sums: dict[str, PyTree] | None = None
    collected: dict[str, list[PyTree]] = {name: [] for name in on_host}
    places: list[np.ndarray] = []
    for batch in batches:
        contributions, answers = step(variables, batch)
        new = {name: contributions[name] for name, _ in on_device}
        sums = new if sums is None else _merge(on_device, sums, new)
        if on_host:
            known = {name: batch[name] for name in ('valid', 'index') if name in batch}
            known, rows = _gather((known, {name: contributions[name] for name in on_host}))
            valid = known['valid'].astype(bool)
            places += [known['index'][valid]] if 'index' in known else []
            for name, leaves in rows.items():
                collected[name].append(jax.tree.map(lambda leaf, valid=valid: leaf[valid], leaves))
        if see is not None:
            see(batch, answers)
    if sums is None:
        raise ValueError('there are no batches to evaluate')

    joined = functools.partial(_joined, np.concatenate(places) if places else None)
    states = {
        **jax.device_get(sums),
        **{name: jax.tree.map(lambda *parts: joined(parts), *parts) for name, parts in collected.items()},
    }
    values = [metric.compute(states[name]) for name, metric in task.metrics.items()]
    return {name: _on_host(value) for computed in values for name, value in computed.items()}


@functools.partial(jax.jit, static_argnums=0)
def _merge(merges: tuple[tuple[str, Callable], ...], left: Mapping, right: Mapping) -> dict[str, PyTree]:
    return {name: merge(left[name], right[name]) for name, merge in merges}


def _gather(rows: PyTree) -> PyTree:
    """Return the rows of all processes, in the order of the global batch, as NumPy arrays."""
    if jax.process_count() > 1:
        rows = multihost_utils.process_allgather(rows, tiled=True)
    return jax.tree.map(np.asarray, jax.device_get(rows))


def _joined(places: np.ndarray | None, parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return the rows of all batches, in the order of the examples' places in the data set."""
    rows = np.concatenate(parts)
    if places is None or (places[1:] >= places[:-1]).all():
        return rows
    return rows[np.argsort(places, kind='stable')]


def _on_host(value: Any) -> float | np.ndarray:
    return float(value) if np.ndim(value) == 0 else np.asarray(value)
