"""Evaluation: every example once, metrics accumulated on the device."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax

from jaxcv.task import Task
from jaxcv.types import Batch, PyTree, Variables

EvalStep = Callable[[Variables, PyTree, Batch], PyTree]


def make_eval_step(task: Task) -> EvalStep:
    """Makes the pure function (variables, metric states, batch) -> metric states.

    Example:
        >>> from jaxcv import models, tasks
        >>> task = tasks.classification(models.linear_classifier(num_classes=10), num_classes=10)
        >>> step = jax.jit(make_eval_step(task))
    """

    def step(variables: Variables, states: PyTree, batch: Batch) -> PyTree:
        predictions = task.predict(variables, batch)
        return {name: metric.update(states[name], predictions, batch) for name, metric in task.metrics.items()}

    return step


def evaluate(step: EvalStep, task: Task, variables: Variables, batches: Iterable[Batch]) -> Mapping[str, Any]:
    """Runs the (compiled) evaluation step over the batches.

    Args:
        step: from `make_eval_step`, in `jax.jit`.
        task: whose metrics they are.
        variables: what the model is applied to.
        batches: on the device; with several processes each gives its block of every global batch.

    Returns:
        Metric name -> value: a float for a scalar, else a NumPy array.
    """
    states = {name: metric.init() for name, metric in task.metrics.items()}
    for batch in batches:
        states = step(variables, states, batch)
    values = jax.device_get({name: metric.compute(states[name]) for name, metric in task.metrics.items()})
    return {name: float(value) if value.ndim == 0 else value for name, value in values.items()}
