"""What functions of a task return, checked by their traced shapes: each generator yields a line for each problem."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxcv import paths
from jaxcv.task import LossOutput, Metric, Task

VALID = 'valid'
MADE = {
    'model': ('a Linen module', ('init', 'apply')),
    'task': ('a Task', Task._fields),
    'optimizer': ('an optax transformation', ('init', 'update')),
    'average': ('an optax transformation', ('init', 'update')),
}
"""Section -> the kind of thing that its function returns, and the members that it has."""


def made_problems(section: str, function: str, made: Any) -> Iterator[str]:
    """Problems of what the function of a section returns.

    Args:
        section: of the config.
        function: its name.
        made: the result.

    Example:
        >>> list(made_problems('model', 'mine.net', None))
        ['model: mine.net returns NoneType, not a Linen module']
    """
    kind, members = MADE.get(section, ('', ()))
    if inspect.isclass(made) and members:
        yield f'{section}: {function} returns the class {made.__name__}: call it, {made.__name__}(...)'
    elif any(not hasattr(made, member) for member in members):
        yield f'{section}: {function} returns {type(made).__name__}, not {kind}'
    elif section == 'model':
        parameters = inspect.signature(type(made).__call__).parameters
        if 'train' not in parameters and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            call = f'{type(made).__name__}.__call__'
            yield f"{section}: {call} of {function} has no argument 'train': def __call__(self, images, *, train=False)"


def augment_problems(after: Any, before: Mapping[str, Any]) -> Iterator[str]:
    """Problems of the batch that an augmentation returns.

    Args:
        after: the traced result.
        before: the traced batch that it was given.
    """
    if not isinstance(after, Mapping):
        yield f'returns {type(after).__name__}, not the batch, a dict of features'
        return
    if lost := sorted(before.keys() - after.keys()):
        yield f'loses {", ".join(map(repr, lost))}: return {{**batch, ...}}'
    for name in before.keys() & after.keys():
        was, now = before[name], after[name]
        if now.shape[:1] != was.shape[:1]:
            yield f'{name!r} has the shape {now.shape}, of a batch of {was.shape[0]} examples'
        elif was.ndim == 4 and (now.ndim != 4 or now.shape[-1] != was.shape[-1]):
            yield f'{name!r} becomes {now.shape} of {was.shape}: images are [n h w c]'
        elif jnp.issubdtype(was.dtype, jnp.floating) and not jnp.issubdtype(now.dtype, jnp.floating):
            yield f'{name!r} becomes {now.dtype}: images are floats in [0, 1]'


def loss_problems(output: Any, state: Mapping[str, Any]) -> Iterator[str]:
    """Problems of the result of a task's loss.

    Args:
        output: the traced result.
        state: the collections that it was given, beside the parameters.
    """
    if not isinstance(output, LossOutput):
        yield f'loss returns {type(output).__name__}, not LossOutput(total, weight, state, logs)'
        return
    numbers = {'total': output.total, 'weight': output.weight, **output.logs}
    for name, x in numbers.items():
        if x.shape != ():
            yield f'loss: {name} has the shape {x.shape}: it is one number, the sum over the valid examples'
    if not jnp.issubdtype(output.total.dtype, jnp.floating):
        yield f'loss: total is {output.total.dtype}, not a float'
    given, returned = (
        {name: x.shape for name, x in paths.flat(dict(collections)).items()} for collections in (state, output.state)
    )
    for name in sorted(given.keys() | returned.keys()):
        if given.get(name) != returned.get(name):
            now, was = returned.get(name, 'missing'), given.get(name, 'missing')
            yield f'loss: {name} of the state is {now}, and was {was}: return the collections as they were given'
            return


def prediction_problems(predictions: Any, count: int) -> Iterator[str]:
    """Problems of the result of a task's `predict` for a batch of `count` examples."""
    if not isinstance(predictions, Mapping):
        yield f'predict returns {type(predictions).__name__}, not a dict of arrays'
        return
    if VALID not in predictions:
        yield f'predict returns no {VALID!r}: hand on that of the batch, so that padding is not counted'
    for name, x in paths.flat(dict(predictions)).items():
        if x.shape[:1] != (count,):
            yield f'predict: {name} has the shape {x.shape}, of a batch of {count} examples'


def metric_problems(name: str, metric: Metric, contribution: Any, count: int) -> Iterator[str]:
    """Problems of a metric's contribution of a batch of `count` examples."""
    leaves = paths.flat(contribution)
    if metric.where == 'host':
        for leaf, x in leaves.items():
            if x.shape[:1] != (count,):
                yield f'metric {name}: {leaf or "measure"} has the shape {x.shape}, of a batch of {count} examples'
        return
    merged = paths.flat(jax.eval_shape(metric.merge, contribution, contribution))
    if {leaf: x.shape for leaf, x in leaves.items()} != {leaf: x.shape for leaf, x in merged.items()}:
        yield f'metric {name}: merge changes the shapes of what measure returns'


def traced(what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """`jax.eval_shape`, whose errors other than ValueError are ValueErrors that name the function.

    Example:
        >>> traced('task.loss', lambda batch: batch['mask'], {'label': jnp.zeros(2)})
        Traceback (most recent call last):
        ValueError: task.loss: KeyError: 'mask'
    """
    try:
        return jax.eval_shape(function, *arguments)
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f'{what}: {type(error).__name__}: {error}') from error
