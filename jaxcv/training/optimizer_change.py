"""Another optimizer for a run that is resumed: the parts of its state that stay, start anew, or are left out."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxcv.training.state import COUNTERS, TrainState, applied_updates
from jaxcv.types import PyTree

ELAPSED = ('count', 'steps')
"""Counters that a new part may have; one called `step` is that of a schedule inside, which would begin again."""


class OptimizerChange(NamedTuple):
    """A change of the optimizer of a train state."""

    apply: Callable[[TrainState], TrainState]
    """The state with the earlier optimizer -> with the one of now. Pure."""
    lines: Sequence[str]
    """The parts that start anew and those that are left out, a line each; those that only count go on."""


class _Part(NamedTuple):
    """The state of one transformation of a chain."""

    name: str
    """Its place, without the positions in chains, and its type."""
    leaves: Sequence[int]
    """The places of its arrays among those of the whole state."""
    structure: Any
    """Its tree and shapes."""
    counts: bool
    """Whether it is one counter and nothing else."""
    held: bool
    """Whether it is inside a transformation that holds it back for some updates, so that its own count is another."""


def optimizer_change(
    before: TrainState, init: Callable[[PyTree], PyTree], *, members: bool = False
) -> OptimizerChange | None:
    """Match the state of an earlier optimizer with that of another one, transformation by transformation.

    Transformations without arrays (clipping, penalties) come and go. Those of both optimizers keep their state. One
    that only the earlier has is left out. One that only the other has starts anew from the parameters (a velocity of
    0); its counter of updates, where it has nothing else, is that of the run, so that a schedule goes on.

    Args:
        before: the train state with the earlier optimizer, or its shapes.
        init: parameters -> the state of the other optimizer.
        members: whether the state has a first axis of several networks, which `init` is mapped over.

    Returns:
        The change; None where it is not clear how to go on, since both have a transformation of one kind, but not as
        many of it or of other shapes, or the new one has a schedule of its own inside.

    Example:
        >>> import optax
        >>> params = {'w': jnp.ones(2)}
        >>> state = TrainState(jnp.array(5), params, {}, optax.sgd(0.1, momentum=0.9).init(params), None, True)
        >>> change = optimizer_change(state, optax.chain(optax.clip(1.0), optax.sgd(0.1, momentum=0.9)).init)
        >>> change.lines, jax.tree.leaves(change.apply(state).opt_state)[0].tolist()
        ([], [0.0, 0.0])
    """
    init = jax.vmap(init) if members else init
    after = jax.eval_shape(init, before.params)
    old, new = _by_name(before.opt_state), _by_name(after)
    taken: dict[int, int] = {}
    fresh: list[_Part] = []
    for name, parts in new.items():
        if name not in old:
            fresh += parts
        elif [part.structure for part in parts] != [part.structure for part in old[name]]:
            return None
        else:
            for part, its in zip(parts, old[name], strict=True):
                taken |= dict(zip(part.leaves, its.leaves, strict=True))
    names = [_field(path) for path, _ in jax.tree_util.tree_flatten_with_path(after)[0]]
    shapes = jax.tree.leaves(after)
    counters = {i for part in fresh for i in part.leaves if jnp.issubdtype(shapes[i].dtype, jnp.integer)}
    if any(names[i] in COUNTERS and names[i] not in ELAPSED for i in counters) or any(part.held for part in fresh):
        return None
    # A counter beside moments counts them (Adam's debiasing); one that stands alone, or is called steps, the updates.
    elapsed = {i for part in fresh for i in part.leaves if i in counters and len(part.leaves) == 1}
    elapsed |= {i for i in counters if names[i] == 'steps'}

    def apply(state: TrainState) -> TrainState:
        leaves, count = jax.tree.leaves(state.opt_state), applied_updates(state)
        made = jax.tree.leaves(init(state.params))
        chosen = [
            leaves[taken[i]] if i in taken else jnp.broadcast_to(count, x.shape).astype(x.dtype) if i in elapsed else x
            for i, x in enumerate(made)
        ]
        return state._replace(opt_state=jax.tree.unflatten(jax.tree.structure(after), chosen))

    lines = [f'{part.name} starts anew' for part in fresh if not part.counts]
    lines += [
        f'{part.name} is left out'
        for name, parts in old.items()
        if name not in new
        for part in parts
        if not part.counts
    ]
    return OptimizerChange(apply, lines)


def _by_name(opt_state: PyTree) -> dict[str, list[_Part]]:
    """Name -> the parts of that name, in the order of the chain."""
    counted = 0
    parts: dict[str, list[_Part]] = defaultdict(list)
    for path, part in jax.tree_util.tree_flatten_with_path(opt_state, is_leaf=_is_part)[0]:
        flat, structure = jax.tree.flatten(part)
        places = range(counted, counted + len(flat))
        counted += len(flat)
        if flat:
            words = [_field((key,)) for key in path if not isinstance(key, jax.tree_util.SequenceKey)]
            name = '/'.join([*words, type(part).__name__ if isinstance(part, tuple) else 'counter'])
            shapes = [(x.shape, x.dtype) for x in flat]
            counts = len(flat) == 1 and jnp.issubdtype(flat[0].dtype, jnp.integer)
            parts[name].append(_Part(name, places, (structure, shapes), counts, 'inner' in words))
    return parts


def _is_part(value: object) -> bool:
    """Whether it is the state of one transformation: a NamedTuple with no other inside but empty ones."""
    return _is_state(value) and not any(
        _is_state(inner) or type(inner) is tuple
        for field in value  # type: ignore[attr-defined]
        for inner in jax.tree.leaves(field, is_leaf=lambda x: isinstance(x, tuple))
    )


def _is_state(value: object) -> bool:
    return isinstance(value, tuple) and bool(getattr(value, '_fields', ()))


def _field(path: Sequence[Any]) -> str:
    """The last name of a path, '' if there is none."""
    last = path[-1] if path else None
    return str(getattr(last, 'name', getattr(last, 'key', '')))
