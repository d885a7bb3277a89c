"""From an augmentation of one example to that of a batch."""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp

from jaxcv.features import Example
from jaxcv.types import Array, Batch, Key, PRNGKeyArray, Scalar, UInt8

__all__ = ['Keys', 'fill_value', 'for_each', 'keys_for']

Keys: TypeAlias = PRNGKeyArray | Key[Array, 'n']
"""The key of an augmentation: one, or one for each of n examples."""


def for_each(function: Callable[[PRNGKeyArray, Example], Example], key: Keys, batch: Batch) -> Batch:
    """Apply a function of one example to each of a batch, with a key of its own: `out_i = function(key_i, batch_i)`.

    So an example's draw does not depend on the rest of the batch, and a batch gives the same as a loop over its
    examples.

    Args:
        function: (key, example) -> example; the arrays have no batch axis.
        key: one random key, split into one for each of the n examples; or an array of n keys, taken as they are.
        batch: arrays that share their first axis, n long.

    Returns:
        A new dict: each example's result, stacked.

    Raises:
        ValueError: there are several keys, but not one for each example.

    Example:
        >>> def noisy(key, example):
        ...     return {**example, 'image': example['image'] + jax.random.normal(key, example['image'].shape)}
        >>> batch = {'image': jnp.zeros((2, 1, 1, 1)), 'label': jnp.array([3, 4])}
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> both, second = for_each(noisy, keys, batch), for_each(noisy, keys[1:], {'image': batch['image'][1:]})
        >>> bool(both['image'][1] == second['image'][0])
        True
    """
    return jax.vmap(function)(keys_for(key, len(next(iter(batch.values())))), dict(batch))


def keys_for(key: Keys, n: int) -> Key[Array, 'n']:
    """One key for each of n examples: one key is split, n keys are taken as they are.

    Raises:
        ValueError: there are several keys, but not n.

    Example:
        >>> keys_for(jax.random.key(0), 3).shape
        (3,)
    """
    keys = key if key.ndim else jax.random.split(key, n)
    if keys.shape != (n,):
        raise ValueError(f'there are {n} examples, but keys of shape {keys.shape}: pass one key, or one an example')
    return keys


def fill_value(fill: float, dtype: jnp.dtype) -> Scalar | UInt8[Array, '']:
    """A constant pixel in an image's own unit: `fill` for floats, `255 fill` rounded for uint8.

    Args:
        fill: in [0, 1], black to white.
        dtype: of the images.

    Returns:
        A scalar of that type.

    Raises:
        ValueError: fill is outside [0, 1].

    Example:
        >>> print(fill_value(0.5, jnp.dtype('uint8')), fill_value(0.5, jnp.dtype('float32')))
        128 0.5
    """
    if not 0 <= fill <= 1:
        raise ValueError(f'fill must be in [0, 1], black to white (also for uint8 images), got {fill}')
    return jnp.asarray(round(255 * fill) if dtype == jnp.uint8 else fill, dtype)
