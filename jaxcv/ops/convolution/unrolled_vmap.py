"""`vmap` over kernels, one member after another."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from jaxcv.types import Array

MOST_MEMBERS = 32
"""The largest number of kernels that are unrolled; more take too long to compile, and become a grouped convolution."""


def unroll_vmap(function: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    """Return the function with a `vmap` that is unrolled where it maps the second argument (as a rule the kernel).

    JAX's own rule makes one grouped convolution of m mapped ones, which a CPU runs several times slower than the m one
    after another; and the gradients of pointwise.py and dense.py would sum over chunks m times as large. With this rule
    an ensemble of 8 trains at 1.07 times the speed of its members one after another (`python -m benchmarks.ensemble`).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> members = jax.vmap(unroll_vmap(jnp.matmul), in_axes=(None, 0))(jnp.ones((2, 3)), jnp.ones((4, 3, 5)))
        >>> members.shape
        (4, 2, 5)
    """
    alone = jax.custom_batching.custom_vmap(function)

    # JAX calls the rule with the arrays' mapped axis in front, and with one flag an array that says whether it has one.
    # The rule returns the result, with the same axis in front, and whether the result has it.
    @alone.def_vmap
    def rule(size: int, mapped: Sequence[bool], *arrays: Array) -> tuple[Array, bool]:
        if size > MOST_MEMBERS or not mapped[1]:
            return jax.vmap(function, [0 if m else None for m in mapped])(*arrays), True
        members = [[a[i] if m else a for a, m in zip(arrays, mapped, strict=True)] for i in range(size)]
        # `alone`, not `function`: in a vmap of a vmap each member meets this rule again.
        return jnp.stack([alone(*member) for member in members]), True

    return alone
