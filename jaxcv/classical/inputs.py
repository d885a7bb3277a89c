"""Inputs of the classical methods: conversion of their types, and the check of their values.

All methods take the same inputs by the functions of this module: arrays of any real type, of NumPy, JAX or pandas, and
nested lists. Shapes are checked always. Values are checked where they are concrete: under `jit` they are not known, so
that a caller who compiles `predict` checks them outside.
"""

import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcv.types import Array, Float, Int

__all__ = ['check_count', 'check_finite', 'to_classes', 'to_numbers', 'to_rows', 'to_weights']

_LARGEST = float(np.finfo(np.float32).max)


def to_numbers(name: str, values: Any, *, shape: tuple[int, ...]) -> Array | np.ndarray:
    """Convert to an array of floats: of JAX if it is one already, else float64 of NumPy.

    The range of float64 is that of float32, so that nothing overflows where the caller rounds, after a subtraction.

    Args:
        name: the values' name in error messages.
        values: numbers or booleans, in an array, a frame or nested lists.
        shape: the shape to have; an axis of -1 has any length.

    Returns:
        The numbers, finite where they are concrete.

    Raises:
        ValueError: they are no numbers, are of another shape, or are not finite in float32.

    Example:
        >>> to_numbers('targets', [1, 2], shape=(2,))
        array([1., 2.])
    """
    array = to_array(name, values)
    floating = jnp.issubdtype(array.dtype, jnp.floating)
    if not (floating or jnp.issubdtype(array.dtype, jnp.bool_) or jnp.issubdtype(array.dtype, jnp.integer)):
        raise ValueError(f'{name} must be real numbers, got {_kind(array)}')
    _check_shape(name, array, shape)
    if isinstance(array, jax.Array) and (_is_traced(array) or floating):
        numbers: Array | np.ndarray = array.astype(jnp.promote_types(array.dtype, jnp.float32))
    else:
        numbers = np.asarray(array).astype(np.float64)
    check_finite(name, numbers)
    return numbers


def to_rows(name: str, values: Any, *, columns: int | None = None) -> Array | np.ndarray:
    """Convert features, one row for each example, as `to_numbers`.

    Args:
        name: the values' name in error messages.
        values: `[n, d]`.
        columns: the number of features of the training examples; None for any, from 1 on.

    Returns:
        `[n, d]`.

    Raises:
        ValueError: as `to_numbers`, or there is another number of features.

    Example:
        >>> to_rows('features', [[0, 1], [2, 3]]).shape
        (2, 2)
    """
    array = to_array(name, values)
    rows = '[m, ' + ('d' if columns is None else str(columns)) + ']'
    if array.ndim != 2 or (array.shape[1] == 0 if columns is None else array.shape[1] != columns):
        as_in = '' if columns is None else ', as those of the training'
        hint = ': reshape(-1, 1) makes rows of one feature, reshape(1, -1) one row' * (array.ndim == 1)
        raise ValueError(f'{name} must be of shape {rows}{as_in}, got {array.shape}{hint}')
    return to_numbers(name, array, shape=array.shape)


def to_classes(
    name: str,
    values: Any,
    *,
    shape: tuple[int, ...],
    num_classes: int | None = None,
    ignored: int | None = None,
) -> Int[Array, '*shape']:
    """Convert class indices to int32: whole numbers from 0 on, of any type.

    Args:
        name: the values' name in error messages.
        values: the class of each example (or pixel).
        shape: the shape to have.
        num_classes: the number of classes; None for any.
        ignored: a number that is allowed though it is no class.

    Returns:
        int32, of that shape.

    Raises:
        ValueError: they are no whole numbers, are of another shape, or out of range.

    Example:
        >>> print(to_classes('labels', [0.0, 2.0], shape=(2,)))
        [0 2]
    """
    array = to_array(name, values)
    if isinstance(array, np.ndarray) and array.dtype.kind in 'OSUT' and array.size:
        raise ValueError(
            f'{name} must be integers from 0 on, got {_kind(array)}: '
            f'`names, {name} = np.unique({name}, return_inverse=True)` numbers them'
        )
    numbers = to_numbers(name, array, shape=shape)
    if _is_traced(numbers):
        return jnp.asarray(array).astype(jnp.int32)
    found = np.asarray(numbers)[np.asarray(numbers) != ignored] if ignored is not None else np.asarray(numbers)
    if not found.size:
        return jnp.asarray(np.asarray(numbers), jnp.int32)
    least, most = found.min(), found.max()
    if least < 0 or (num_classes is not None and most >= num_classes) or (found % 1).any():
        to = 'on' if num_classes is None else f'to {num_classes - 1}'
        or_ignored = '' if ignored is None else f' or {ignored}'
        raise ValueError(
            f'{name} must be integers from 0 {to}{or_ignored}, got {array.dtype} from {least:g} to {most:g}'
        )
    return jnp.asarray(np.asarray(numbers), jnp.int32)


def to_weights(values: Any, *, n: int) -> Float[Array, ' n']:
    """Convert the weights of examples to float32; None is 1 for each.

    Args:
        values: `[n]`, at least 0.
        n: the number of examples.

    Returns:
        float32 `[n]`.

    Raises:
        ValueError: as `to_numbers`; one is negative, or all are 0.

    Example:
        >>> print(to_weights([1, 0, 2], n=3))
        [1. 0. 2.]
    """
    if values is None:
        return jnp.ones(n)
    weights = to_numbers('weights', values, shape=(n,))
    if not _is_traced(weights) and not (weights.min() >= 0 and weights.max() > 0):
        raise ValueError(f'weights must be at least 0, and not all of them 0, got {weights.min()} to {weights.max()}')
    return jnp.asarray(weights, jnp.float32)


def check_finite(name: str, values: Any) -> None:
    """Raise an error for values that are NaN or infinite, or would be in float32.

    Args:
        name: the values' name in the error message.
        values: of any shape; unchecked under `jit`.

    Raises:
        ValueError: one of them is not finite.

    Example:
        >>> check_finite('features', jnp.array([[0.5], [2.0]]))
    """
    if _is_traced(values):
        return
    # On the device that they are on, by one program; `abs <= largest` is false for NaN too.
    if bool(_all_finite(values) if isinstance(values, jax.Array) else (abs(values) <= _LARGEST).all()):
        return
    wrong = np.argwhere(~(abs(np.asarray(values)) <= _LARGEST))
    raise ValueError(
        f'{name} must be finite, but {len(wrong)} of {values.size} are NaN or infinite, or too large for float32, the '
        f'first at {wrong[0].tolist()}: leave those examples out, or fill in what is missing'
    )


@jax.jit
def _all_finite(values: Array) -> Array:
    return jnp.all(jnp.abs(values) <= _LARGEST)


def check_count(name: str, value: Any, *, most: int | None = None, of: str = '') -> int:
    """Return a count as an int, from 1 on.

    Args:
        name: its name in the error message.
        value: an integer, of Python or NumPy.
        most: the largest that is allowed; None for any.
        of: the things that there are `most` of.

    Returns:
        The count.

    Raises:
        ValueError: it is no integer, or out of range.

    Example:
        >>> check_count('k', np.int64(3), most=5, of='training examples')
        3
    """
    allowed = 'at least 1' if most is None else f'from 1 to the {most} {of}'
    try:
        count = operator.index(value)
    except TypeError:
        raise ValueError(f'{name} must be an int, {allowed}, got {value!r}') from None
    if isinstance(value, bool) or count < 1 or (most is not None and count > most):
        raise ValueError(f'{name} must be {allowed}, got {value}')
    return count


def to_array(name: str, values: Any) -> Array | np.ndarray:
    """An array of JAX as it is, and anything else as an array of NumPy.

    Raises:
        ValueError: nested lists are of unequal lengths.

    Example:
        >>> to_array('labels', [0, 1]).shape
        (2,)
    """
    if isinstance(values, jax.Array):
        return values
    if hasattr(values, 'toarray'):
        raise ValueError(f'{name} must be dense, got {type(values).__name__}: pass {name}.toarray()')
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:
        raise ValueError(f'{name} must be an array, or rows of equal length: {error}') from None


def _check_shape(name: str, array: Array | np.ndarray, shape: tuple[int, ...]) -> None:
    if array.ndim == len(shape) and all(want in (-1, have) for want, have in zip(shape, array.shape, strict=True)):
        return
    wanted = str(shape).replace('-1', 'n')
    hint = f': pass {name}.ravel()' if array.size == np.prod(shape) and len(shape) == 1 else ''
    raise ValueError(f'{name} must be of shape {wanted}, one for each example, got {array.shape}{hint}')


def _kind(array: Array | np.ndarray) -> str:
    """The type of an array's values, in words; of objects, the types of those that are no numbers."""
    if array.dtype != np.dtype(object):
        return 'strings' if isinstance(array, np.ndarray) and array.dtype.kind in 'SUT' else str(array.dtype)
    wrong = {type(value).__name__ for value in array.ravel().tolist() if not isinstance(value, int | float)}
    return f'objects of type {", ".join(sorted(wrong))}' if wrong else 'objects: pass .astype(float)'


def _is_traced(values: Any) -> bool:
    return isinstance(values, jax.core.Tracer)
