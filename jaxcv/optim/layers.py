"""Another learning rate for each layer: frozen layers, layers frozen for a while, rates that fall with depth.

A layer is named as the parameters have it, from the top: 'stem', 'stage1', 'stage4/block3', or '*' for all. The longest
name that fits a parameter counts.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxcv import tree
from jaxcv.optim.plateau import PlateauState
from jaxcv.types import Array, PyTree


class HeldState(NamedTuple):
    """State of an optimizer that waits for its start."""

    steps: Array
    """Updates so far, int32."""
    inner: PyTree


def by_layer(
    optimizer: Callable[..., optax.GradientTransformation],
    *,
    options: Mapping[str, Any],
    rates: Mapping[str, float],
    frozen_until: Mapping[str, int] | None = None,
) -> optax.GradientTransformationExtraArgs:
    """One optimizer for each group of layers, with its own learning rate and its own start.

    The rate of a layer is `learning_rate` times its entry in `rates`, 1 where it has none; 0 freezes it. A layer of
    `frozen_until` rests until that many updates are done. Then its optimizer starts, as any does, with the value that
    the schedules have by then; there is nothing to restart or to compile again.

    Args:
        optimizer: a function of this package, such as `momentum`.
        options: its arguments, `learning_rate` and others. Schedules among them count from the first update on,
            `reduce_on_plateau` watches the loss from there too; `clip_norm` is of all that moves, over all groups.
        rates: layer -> what its learning rate is multiplied by.
        frozen_until: layer -> updates it rests for.

    Returns:
        An optax transformation.

    Raises:
        ValueError: a negative rate; or, from its `init`, a layer that the parameters do not have.

    Example:
        >>> from jaxcv.optim import sgd
        >>> params = {'stem': jnp.ones(()), 'head': jnp.ones(())}
        >>> optimizer = by_layer(sgd, options={'learning_rate': 1.0}, rates={'stem': 0.1}, frozen_until={'stem': 1})
        >>> state = optimizer.init(params)
        >>> for _ in range(2):
        ...     updates, state = optimizer.update({'stem': jnp.ones(()), 'head': jnp.ones(())}, state, params)
        ...     print(round(updates['stem'].item(), 2), updates['head'].item())
        0.0 -1.0
        -0.1 -1.0

    Paper: Howard and Ruder 2018, "Universal Language Model Fine-tuning" (rates by depth, gradual unfreezing).
    """
    if any(rate < 0 for rate in rates.values()):
        raise ValueError(f'by_layer: rates must be at least 0, got {dict(rates)}')
    starts = dict(frozen_until or {})
    named = [*rates, *starts]

    def group(layer: str) -> tuple[float, int]:
        return tree.of_layer(layer, rates, 1.0), tree.of_layer(layer, starts, 0)

    def one(rate: float, start: int) -> optax.GradientTransformation:
        if rate == 0:
            return optax.set_to_zero()
        own = {name: _from(start, value) for name, value in options.items() if name != 'clip_norm'}
        own['learning_rate'] = _times(rate, own['learning_rate'])
        return _held(optimizer(**own), start) if start else optimizer(**own)

    # Labels tell of the layers and not of their rates and times, so that these may differ in a run that is resumed.
    labels = {layer: f'group{i}' for i, layer in enumerate(sorted({*named} - {tree.EVERYTHING}), 1)}
    partition = optax.partition(
        {'rest': one(*group('')), **{label: one(*group(layer)) for layer, label in labels.items()}},
        lambda params: tree.map_names(lambda name, _: tree.of_layer(name, labels, 'rest'), params),
    )

    def init_rest(params: PyTree) -> Array:
        names = list(tree.flat(params))
        if unknown := tree.unknown_layers(named, names):
            layers = ', '.join(dict.fromkeys(name.split('/')[0] for name in names))
            raise ValueError(f'no layer {", ".join(map(repr, unknown))}: the parameters have {layers}')
        return jnp.zeros((), jnp.int32)

    def rest(updates: PyTree, count: Array, params: PyTree = None) -> tuple[PyTree, Array]:
        """No gradient for what does not move, so that it does not count in the norm."""

        def moving(name: str, gradient: Array) -> Array:
            rate, start = group(name)
            return jnp.where((rate > 0) & (count >= start), gradient, 0).astype(gradient.dtype)

        return tree.map_names(moving, updates), count + 1

    norm = options.get('clip_norm')
    clipping = [] if norm is None else [optax.clip_by_global_norm(norm)]
    return optax.chain(optax.GradientTransformation(init_rest, rest), *clipping, partition)


def progressive_rates(layers: Sequence[str], *, factor: float = 0.3, frozen: int = 1) -> dict[str, float]:
    """Rates that fall from the last layer to the first: 1, factor, factor², ..., and 0 for the first few.

    The first layers see edges and blobs, which serve any task; the last ones are the most specific to theirs.

    Args:
        layers: names, from the input to the output.
        factor: a layer's rate over that of the next one.
        frozen: how many of the first layers do not learn at all.

    Returns:
        Layer -> rate, for `by_layer`.

    Example:
        >>> progressive_rates(['stem', 'stage1', 'stage2', 'head'], factor=0.5)
        {'stem': 0.0, 'stage1': 0.25, 'stage2': 0.5, 'head': 1.0}
    """
    last = len(layers) - 1
    return {layer: factor ** (last - i) if i >= frozen else 0.0 for i, layer in enumerate(layers)}


def _held(optimizer: optax.GradientTransformation, start: int) -> optax.GradientTransformationExtraArgs:
    inner = optax.with_extra_args_support(optimizer)

    def init(params: PyTree) -> HeldState:
        return HeldState(jnp.zeros((), jnp.int32), inner.init(params))

    def update(updates: PyTree, state: HeldState, params: PyTree = None, **extra: Any) -> tuple[PyTree, HeldState]:
        going = state.steps >= start
        new_updates, new_inner = inner.update(updates, state.inner, params, **extra)
        new_updates = jax.tree.map(lambda u: jnp.where(going, u, 0).astype(u.dtype), new_updates)
        kept = jax.tree.map(
            # What watches the loss goes on watching.
            lambda new, old: new if isinstance(new, PlateauState) else jnp.where(going, new, old),
            new_inner,
            state.inner,
            is_leaf=lambda x: isinstance(x, PlateauState),
        )
        return new_updates, HeldState(state.steps + 1, kept)

    return optax.GradientTransformationExtraArgs(init, update)


def _from(start: int, value: Any) -> Any:
    """A schedule as one sees it who starts counting later; anything else as it is."""
    return (lambda count: value(count + start)) if start and callable(value) else value


def _times(rate: float, learning_rate: Any) -> Any:
    if isinstance(learning_rate, optax.GradientTransformation):  # of reduce_on_plateau
        return optax.chain(learning_rate, optax.scale(rate))
    return (lambda count: rate * learning_rate(count)) if callable(learning_rate) else rate * learning_rate
