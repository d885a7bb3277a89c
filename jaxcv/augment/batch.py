"""From an augmentation of one example to that of a batch."""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxcv.features import FEATURES, Example
from jaxcv.types import Array, Batch, Key, PRNGKeyArray, Scalar, UInt8

__all__ = ['Keys', 'check_images', 'fill_value', 'for_each', 'keys_for']

_ROUNDING = 0.01
"""By so much images may leave [0, 1]: those in half precision, and resized ones."""

Keys: TypeAlias = PRNGKeyArray | Key[Array, ' n']
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
        ValueError: there are several keys, but not one for each example, or the images are not `[n, h, w, c]`.

    Example:
        >>> def noisy(key, example):
        ...     return {**example, 'image': example['image'] + jax.random.normal(key, example['image'].shape)}
        >>> batch = {'image': jnp.zeros((2, 1, 1, 1)), 'label': jnp.array([3, 4])}
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> both, second = for_each(noisy, keys, batch), for_each(noisy, keys[1:], {'image': batch['image'][1:]})
        >>> bool(both['image'][1] == second['image'][0])
        True
    """
    check_images(batch)
    return jax.vmap(function)(keys_for(key, len(next(iter(batch.values())))), dict(batch))


def keys_for(key: Keys, n: int) -> Key[Array, ' n']:
    """One key for each of n examples: one key is split, n keys are taken as they are.

    Raises:
        ValueError: there are several keys, but not n, or they are arrays of numbers (of `jax.random.PRNGKey`).

    Example:
        >>> keys_for(jax.random.key(0), 3).shape
        (3,)
    """
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        raise ValueError(f'keys are those of jax.random.key, got {key.dtype}: pass jax.random.wrap_key_data(key)')
    keys = key if key.ndim else jax.random.split(key, n)
    if keys.shape != (n,):
        raise ValueError(f'there are {n} examples, but keys of shape {keys.shape}: pass one key, or one an example')
    return keys


def check_images(batch: Batch, *, unit: bool = False) -> None:
    """Raise an error for images that no augmentation takes.

    Args:
        batch: with images or without.
        unit: whether floats must be in [0, 1], as those whose colours change. It is checked of concrete values; under
            `jit` they are not known.

    Raises:
        ValueError: the images are not `[n, h, w, c]`, or floats have values outside of [0, 1].

    Example:
        >>> check_images({'image': jnp.zeros((2, 4, 4, 3))}, unit=True)
    """
    for name in image_names(batch):
        _check_images(batch, batch[name], unit)


def image_names(batch: Batch) -> list[str]:
    """The names of the images of a batch or an example: `image`, or those of a pair.

    Example:
        >>> image_names({'right': 1, 'left': 0, 'disparity': 2})
        ['left', 'right']
    """
    return [name for name, feature in FEATURES.items() if feature.moved == 'resampled' and name in batch]


def _check_images(batch: Batch, images: Array | np.ndarray, unit: bool) -> None:
    if images.ndim != 4:
        hint = ': images[..., None] has the channel' * (images.ndim == 3)
        raise ValueError(f'images must be of shape [n, h, w, c], got {images.shape}{hint}')
    if not unit or isinstance(images, jax.core.Tracer) or not images.size:
        return
    rows = images if 'valid' not in batch else jnp.where(jnp.asarray(batch['valid'])[:, None, None, None], images, 0)
    low, high = float(rows.min()), float(rows.max())
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise ValueError(
            f'images must be floats in [0, 1], got {low:.3g} to {high:.3g}: divide those of 0 to 255 by 255; normalize '
            'after the augmentations'
        )


def fill_value(fill: float, dtype: jnp.dtype) -> Scalar | UInt8[Array, '']:
    """A constant pixel in an image's own unit: `fill` for floats, `255 fill` rounded for uint8.

    Args:
        fill: in [0, 1], black to white.
        dtype: of the images.

    Returns:
        A scalar of that type.

    Raises:
        ValueError: fill is outside [0, 1], or images of this type have no range.

    Example:
        >>> print(fill_value(0.5, jnp.dtype('uint8')), fill_value(0.5, jnp.dtype('float32')))
        128 0.5
    """
    if not 0 <= fill <= 1:
        raise ValueError(f'fill must be in [0, 1], black to white (also for uint8 images), got {fill}')
    if dtype != jnp.uint8 and not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f'images must be floats in [0, 1] or uint8, got {dtype}: divide by their range first')
    return jnp.asarray(round(255 * fill) if dtype == jnp.uint8 else fill, dtype)
