"""Learning rates by layer: frozen layers, layers frozen for a while, rates that fall with depth.

A layer is the first parts of its parameters' names: 'stem', 'stage1', 'stage4/block3', or '*' for all. Of those that
contain a parameter the longest counts (`jaxcv.paths`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxcv import paths
from jaxcv.arguments import AtLeast0, NonNegative, Range, checked
from jaxcv.optim.durations import Delay
from jaxcv.optim.schedules.plateau import PlateauState
from jaxcv.types import Array, PyTree


class HeldState(NamedTuple):
    """State of an optimizer that starts later."""

    steps: Array
    """Updates so far, int32."""
    inner: PyTree


@checked
def by_layer(
    optimizer: Callable[..., optax.GradientTransformation],
    *,
    options: Mapping[str, Any],
    rates: Mapping[str, NonNegative],
    frozen_until: Mapping[str, Delay] | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Make an optimizer for each group of layers, with its own learning rate and its own start.

    The learning rate of a layer is `learning_rate` times its entry in `rates` (1 without one); 0 freezes it. A layer in
    `frozen_until` is frozen for that many updates; then its optimizer starts with a fresh state, at the value that the
    schedules have by then. The compiled step stays the same.

    Args:
        optimizer: a function of this package, such as `momentum`.
        options: its arguments, `learning_rate` and others. Schedules among them count from the first update of the run,
            and `reduce_on_plateau` uses the losses from there; `clip_norm` is the norm over all layers that are not
            frozen.
        rates: layer -> factor of its learning rate, in [0, inf).
        frozen_until: layer -> updates for which it is frozen.

    Returns:
        An optax transformation.

    Raises:
        ValueError: an argument out of its range; or, from `init` of the transformation, a layer that the parameters do
            not have, or no parameter that is ever trained.

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
    optimizer(**options)  # checks them, whichever layers are frozen
    starts = dict(frozen_until or {})
    named = [*rates, *starts]

    def group(layer: str) -> tuple[float, int]:
        return paths.of_layer(layer, rates, 1.0), paths.of_layer(layer, starts, 0)

    def of_group(rate: float, start: int) -> optax.GradientTransformation:
        if rate == 0:
            return optax.set_to_zero()
        own = {name: _from(start, value) for name, value in options.items() if name != 'clip_norm'}
        own['learning_rate'] = _times(rate, own['learning_rate'])
        return _held(optimizer(**own), start) if start else optimizer(**own)

    # The labels, which are in the state, depend on the layers' names only: rates and times may change in a resumed run.
    labels = {layer: f'group{i}' for i, layer in enumerate(sorted({*named} - {paths.EVERYTHING}), 1)}
    partition = optax.partition(
        {'rest': of_group(*group('')), **{label: of_group(*group(layer)) for layer, label in labels.items()}},
        lambda params: paths.map_names(lambda name, _: paths.of_layer(name, labels, 'rest'), params),
    )

    norm = options.get('clip_norm')
    clipping = [] if norm is None else [optax.clip_by_global_norm(norm)]
    return optax.chain(_zero_frozen(named, group), *clipping, partition)


@checked
def progressive_rates(
    layers: Sequence[str], *, factor: Annotated[float, Range(0, 1, '(]')] = 0.3, frozen: AtLeast0 = 1
) -> dict[str, float]:
    """Rates by depth for fine-tuning: 1, factor, factor², ... from the last layer on, and 0 for the first few.

    The first layers detect edges and blobs, which serve any task; the last ones are specific to the task.

    Args:
        layers: names, from the input to the output.
        factor: rate of a layer over that of the next one, in (0, 1].
        frozen: number of first layers with the rate 0.

    Returns:
        Layer -> rate, for `by_layer`.

    Raises:
        ValueError: an argument out of its range, or no layer that is not frozen.

    Example:
        >>> progressive_rates(['stem', 'stage1', 'stage2', 'head'], factor=0.5)
        {'stem': 0.0, 'stage1': 0.25, 'stage2': 0.5, 'head': 1.0}
    """
    last = len(layers) - 1
    if frozen > last:
        raise ValueError(f'frozen must be less than the number of layers, which is {len(layers)}, got {frozen}')
    return {layer: factor ** (last - i) if i >= frozen else 0.0 for i, layer in enumerate(layers)}


def _zero_frozen(named: Sequence[str], group: Callable[[str], tuple[float, int]]) -> optax.GradientTransformation:
    """Set the gradients of frozen layers to 0, so that they do not count in the norm; check the layers' names."""

    def init(params: PyTree) -> Array:
        names = list(paths.flat(params))
        if unknown := paths.unknown_layers(named, names):
            layers = ', '.join(dict.fromkeys(name.split('/')[0] for name in names))
            missing = ', '.join(map(repr, unknown))
            raise ValueError(f'rates, frozen_until: no layer {missing}; the parameters have {layers}')
        if names and not any(group(name)[0] for name in names):
            raise ValueError('every layer is frozen: give one of them a rate over 0')
        return jnp.zeros((), jnp.int32)

    def update(updates: PyTree, count: Array, params: PyTree = None) -> tuple[PyTree, Array]:
        def moving(name: str, gradient: Array) -> Array:
            rate, start = group(name)
            return jnp.where((rate > 0) & (count >= start), gradient, 0).astype(gradient.dtype)

        return paths.map_names(moving, updates), count + 1

    return optax.GradientTransformation(init, update)


def _held(optimizer: optax.GradientTransformation, start: int) -> optax.GradientTransformationExtraArgs:
    """Return the optimizer with steps of 0, and a state that stays, for the first `start` updates."""
    inner = optax.with_extra_args_support(optimizer)

    def init(params: PyTree) -> HeldState:
        return HeldState(jnp.zeros((), jnp.int32), inner.init(params))

    def update(updates: PyTree, state: HeldState, params: PyTree = None, **extra: Any) -> tuple[PyTree, HeldState]:
        going = state.steps >= start
        new_updates, new_inner = inner.update(updates, state.inner, params, **extra)
        new_updates = jax.tree.map(lambda u: jnp.where(going, u, 0).astype(u.dtype), new_updates)
        kept = jax.tree.map(
            # Plateau schedules see the loss of frozen layers' updates too.
            lambda new, old: new if isinstance(new, PlateauState) else jnp.where(going, new, old),
            new_inner,
            state.inner,
            is_leaf=lambda x: isinstance(x, PlateauState),
        )
        return new_updates, HeldState(state.steps + 1, kept)

    return optax.GradientTransformationExtraArgs(init, update)


def _from(start: int, value: Any) -> Any:
    """Return a schedule for a count that starts at 0 after `start` updates, and anything else as it is."""
    return (lambda count: value(count + start)) if start and callable(value) else value


def _times(rate: float, learning_rate: Any) -> Any:
    """Multiply a learning rate in any of its forms by a factor."""
    if isinstance(learning_rate, optax.GradientTransformation):  # of reduce_on_plateau
        return optax.chain(learning_rate, optax.scale(rate))
    return (lambda count: rate * learning_rate(count)) if callable(learning_rate) else rate * learning_rate
