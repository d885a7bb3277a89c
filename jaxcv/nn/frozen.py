"""Frozen layers: no gradient, and evaluation mode while the others train."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
from flax import linen as nn

from jaxcv import paths
from jaxcv.types import Variables


class Frozen(NamedTuple):
    """A model with frozen layers: `init` and `apply` as the module's."""

    init: Callable[..., Variables]
    apply: Callable[..., Any]
    module: nn.Module
    """The model itself, for what it declares."""


def frozen(model: nn.Module, *, layers: Mapping[str, bool]) -> Frozen:
    """Freeze layers of a model: the same model, on the same variables, with layers that are not trained.

    Their parameters are constants to the gradient, which is not computed below the first layer that is trained; their
    batch norms use the running statistics and do not update them, and they drop nothing.

    Args:
        model: a Linen module whose layers take `train=`.
        layers: whether a layer is frozen, by its name in the parameters: 'stem', or 'stage1/block2' for a part of one,
            or '*' for all; the longest name that fits counts. `{'*': True, 'head': False}` leaves a linear probe.

    Returns:
        `init` and `apply`, as the module's, and the module.

    Raises:
        ValueError: (when applied) the model has no such layer.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxcv import models
        >>> images = jnp.ones((2, 8, 8, 1))
        >>> model = frozen(models.cifar_resnet(depth=8, width=4), layers={'*': True, 'head': False})
        >>> variables = jax.jit(model.init)(jax.random.key(0), images)
        >>> train = jax.jit(lambda variables: model.apply(variables, images, train=True, mutable=['batch_stats']))
        >>> bool(jnp.all(train(variables)[1]['batch_stats']['stem']['bn']['mean'] == 0))
        True
    """

    def is_frozen(name: str) -> bool:
        return paths.of_layer(name, layers, False)

    def constant(name: str, value: Any) -> Any:
        return jax.lax.stop_gradient(value) if is_frozen(name) else value

    def apply(variables: Variables, *args: Any, **kwargs: Any) -> Any:
        params = paths.map_names(constant, variables['params'])
        names = list(paths.flat(params))
        if unknown := paths.unknown_layers([layer for layer, is_so in layers.items() if is_so], names):
            raise ValueError(
                f'frozen: no layer {", ".join(map(repr, unknown))}; the network has {", ".join(variables["params"])}'
            )

        def in_evaluation_mode(call: Callable, args: tuple, kwargs: dict, context: Any) -> Any:
            layer = '/'.join(context.module.path)
            # A module without parameters, such as the dropout before the head, belongs to no layer.
            if kwargs.get('train') and layer and is_frozen(layer) and not paths.unknown_layers([layer], names):
                kwargs = {**kwargs, 'train': False}
            return call(*args, **kwargs)

        with nn.intercept_methods(in_evaluation_mode):
            return model.apply({**variables, 'params': params}, *args, **kwargs)

    return Frozen(model.init, apply, model)
