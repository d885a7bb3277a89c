"""Models by their shapes: traced, once for each, and never run."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcv.ops import convolution


def shapes_of(model: nn.Module, *, size: int = 96, channels: int = 3, method: str | None = None) -> dict[str, Any]:
    """The shapes of the variables that a method has, a tree of the caller's own."""
    return jax.tree.map(lambda leaf: leaf, _shapes_of(model, size, channels, method))


@functools.cache
def _shapes_of(model: nn.Module, size: int, channels: int, method: str | None) -> dict[str, Any]:
    """They are those of every formulation of a convolution; XLA's own is traced the fastest."""
    images = jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32)
    with convolution.plain():
        return jax.eval_shape(lambda key, images: model.init(key, images, method=method), jax.random.key(0), images)


def shallow(model: nn.Module) -> nn.Module:
    """The model with one block at each place of its table; widths and strides stay."""
    if hasattr(model, 'rows'):
        return model.clone(rows=tuple(row._replace(depth=1) for row in model.rows))
    return model.clone(depths=(1,) * len(model.depths)) if hasattr(model, 'depths') else model
