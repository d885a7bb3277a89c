"""Modules of which only the outputs are kept for the gradient.

Flax's `nn.remat` marks the second computation with a barrier, which XLA drops on a CPU: it finds that it has the same
values already, and keeps them. So there the second computation and the gradient are a branch of a conditional on the
gradient that comes in: nothing of it can be known before.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.core import lift
from jax import lax
from jax.custom_derivatives import CustomVJPPrimal, SymbolicZero

from jaxcv.ops.convolution.switch import is_plain
from jaxcv.types import Array, PyTree

M = TypeVar('M', bound=Callable[..., Any])
Leaves = list[Array | None]


def remat(module: M) -> M:
    """Return a module class whose inside is computed again for the gradient: `flax.linen.remat`, on a CPU too.

    A gradient then holds the outputs of all blocks, and the inside of one block at a time, for a third more of time. On
    a CPU forward-mode derivatives need `ops.convolution.plain`.

    Args:
        module: a module class, called with arrays only.

    Returns:
        A class with the same attributes, parameters and values.

    Example:
        >>> dense, x = remat(nn.Dense)(features=2), jnp.ones((1, 3))
        >>> variables = dense.init(jax.random.key(0), x)
        >>> jax.tree.map(jnp.shape, jax.grad(lambda variables: dense.apply(variables, x).sum())(variables))
        {'params': {'bias': (2,), 'kernel': (3, 2)}}
    """
    return nn.transforms.lift_transform(_lifted, module)


def _lifted(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of a scope that `lift_transform` makes a module's methods of."""

    def inner(scope_of: Any, packed: Any, variables: PyTree, keys: PyTree, *inputs: Array) -> PyTree:
        def pure(variables: PyTree, keys: PyTree, *inputs: Array) -> PyTree:
            scope = scope_of(variables, keys)
            return function(scope, *inputs), packed(scope)

        again = computed_again if jax.default_backend() == 'cpu' and not is_plain() else jax.remat
        return again(pure)(variables, keys, *inputs)

    return lift.pack(inner, (True,), (True,), (True,), name='remat')


def computed_again(function: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """Return the function of trees of arrays, which is computed again for its gradient.

    Example:
        >>> float(jax.grad(computed_again(jnp.square))(3.0))
        6.0
    """

    def applied(*inputs: PyTree) -> PyTree:
        # Traced once: a module that is called a second time draws other random numbers.
        traced, constants = jax.closure_convert(function, *inputs)
        leaves, tree = jax.tree.flatten((*inputs, *constants))
        alone = jax.custom_vjp(lambda *leaves: traced(*jax.tree.unflatten(tree, leaves)))

        # Each is kept once: the leaves that a gradient is wanted of, with None for the others, and the reverse.
        def forward(*leaves: CustomVJPPrimal) -> tuple[PyTree, tuple[Leaves, Leaves]]:
            wanted = [leaf.value if leaf.perturbed else None for leaf in leaves]
            others = [None if leaf.perturbed else leaf.value for leaf in leaves]
            return traced(*jax.tree.unflatten(tree, [leaf.value for leaf in leaves])), (wanted, others)

        def backward(saved: tuple[Leaves, Leaves], gradient: PyTree) -> tuple[Array | None, ...]:
            wanted, others = saved
            known = {i: g for i, g in enumerate(jax.tree.leaves(gradient)) if not isinstance(g, SymbolicZero)}

            def outputs(wanted: Leaves) -> dict[int, Array]:
                leaves = [b if a is None else a for a, b in zip(wanted, others, strict=True)]
                found = jax.tree.leaves(traced(*jax.tree.unflatten(tree, leaves)))
                return {i: found[i] for i in known}

            def derived(wanted: Leaves, known: dict[int, Array]) -> Leaves:
                return jax.vjp(outputs, wanted)[1](known)[0]

            first = next(iter(known.values()))
            return tuple(lax.cond(_any_number(first), derived, lambda wanted, _: wanted, wanted, known))

        alone.defvjp(forward, backward, symbolic_zeros=True)
        return alone(*leaves)

    return applied


def _any_number(x: Array) -> Array:
    """Return True, by comparisons that no compiler sees through: a number is negative, or not, or not a number."""
    first = x[(0,) * x.ndim]
    return (first < 0) | (first >= 0) | jnp.isnan(first)
