"""Operations of a traced program: the multiplications and additions of its products and convolutions."""

import math
from collections.abc import Iterator
from typing import Any

from jax.extend import core


def count_operations(program: core.ClosedJaxpr | core.Jaxpr) -> int:
    """Return the floating point operations of a program's matrix products and convolutions, on all devices together.

    A product of [m k] and [k n] has 2 m k n operations, a convolution 2 k for each number that it gives, where k is the
    number of weights that the number takes: what papers count, twice their multiply-adds. Forward and backward pass and
    what is computed again (`remat`) count, as they are traced; element by element operations don't, nor the zeros
    between the rows of a transposed convolution. A `scan` counts as often as it runs, a `while_loop` once, a `cond` by
    its longest branch.

    The compiler's own count depends on the backend: on a GPU it leaves out what cuDNN computes, nearly everything.

    Args:
        program: `jax.make_jaxpr(f)(x)` or `jax.jit(f).trace(x).jaxpr`.

    Returns:
        The number of operations.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> count_operations(jax.make_jaxpr(jnp.dot)(jnp.ones((4, 8)), jnp.ones((8, 2))))
        128
    """
    program = program.jaxpr if isinstance(program, core.ClosedJaxpr) else program
    return sum(_operations(equation) for equation in program.eqns)


def _operations(equation: core.JaxprEqn) -> int:
    name, parameters = equation.primitive.name, equation.params
    if name == 'dot_general':
        return 2 * math.prod(_shape(equation.outvars[0])) * _contracted(equation)
    if name == 'conv_general_dilated':
        kernel, numbers = _shape(equation.invars[1]), parameters['dimension_numbers']
        weights = math.prod(kernel[axis] for axis in numbers.rhs_spec[1:])
        return 2 * math.prod(_shape(equation.outvars[0])) * weights // math.prod(parameters['lhs_dilation'])
    inner = [count_operations(each) for each in _programs(parameters)]
    if name == 'cond':
        return max(inner)
    if name == 'scan':
        return parameters['length'] * sum(inner)
    if name == 'shard_map':  # traced as the part of one device
        return parameters['mesh'].size * sum(inner)
    return sum(inner)


def _shape(variable: Any) -> tuple[int, ...]:
    return variable.aval.shape


def _contracted(equation: core.JaxprEqn) -> int:
    (axes, _), _ = equation.params['dimension_numbers']
    return math.prod(_shape(equation.invars[0])[axis] for axis in axes)


def _programs(parameters: dict[str, Any]) -> Iterator[core.ClosedJaxpr | core.Jaxpr]:
    for value in parameters.values():
        for each in value if isinstance(value, tuple | list) else (value,):
            if isinstance(each, core.ClosedJaxpr | core.Jaxpr):
                yield each
