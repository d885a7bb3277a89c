"""The switch for plain XLA operations, without custom gradients."""

from contextlib import AbstractContextManager

import jax

# A part of the key of JAX's caches: a function that is compiled without the switch is traced anew with it.
_PLAIN = jax.make_user_context(default_value=False)


def plain() -> AbstractContextManager[None]:
    """Return a context in which convolutions and max poolings are XLA's own operations, on a CPU too.

    Within it `conv2d` is one `lax.conv_general_dilated`, and `max_pool` one `lax.reduce_window` an axis. Use it to
    export a model (converters to ONNX have no rule for a custom gradient or `vmap`), and for forward-mode and second
    derivatives on a CPU, which custom gradients exclude. Do not train within it: on a CPU gradients of kernels are
    several times slower, and a dilated max pooling has no gradient on any device.

    It holds for the thread that enters it, while a function is traced: this is the one argument of these functions that
    is not in their signatures. A function under `jit` that was first called outside is traced again.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxcv import ops
        >>> x, kernel = jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 1))
        >>> square = lambda kernel: (ops.conv2d(x, kernel) ** 2).sum()
        >>> with ops.convolution.plain():
        ...     print(jax.hessian(square)(kernel).shape)
        (3, 3, 1, 1, 3, 3, 1, 1)
    """
    return _PLAIN(True)


def is_plain() -> bool:
    """Return whether the code that is traced is within `plain`."""
    return _PLAIN.value
