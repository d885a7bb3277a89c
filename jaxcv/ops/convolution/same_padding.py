"""TensorFlow's padding."""

import jax.numpy as jnp

from jaxcv.sizes import Size, pair
from jaxcv.types import Array, Float


def pad_same(
    x: Float[Array, 'n h w c'], *, kernel_size: Size, strides: int = 1, dilation: int = 1, value: float = 0.0
) -> Float[Array, 'n i j c']:
    """Pad with zeros as TensorFlow's SAME, before a convolution without padding.

    A side of n pixels gets `p = max(0, (ceil(n / s) - 1) s + d (k - 1) + 1 - n)` zeros, `p // 2` of them before it. Use
    it with weights that were trained in TensorFlow; unlike PyTorch's padding it depends on the size of the image.

    Args:
        x: images or features.
        kernel_size: rows and columns of the kernel, k; one number stands for both.
        strides: pixels from one output to the next, s.
        dilation: pixels from one place of the kernel to the next, d.
        value: of the padding, in place of 0; -inf before a max pooling.

    Returns:
        The padded features; the convolution then gives ceil(h / s) rows, and columns likewise.

    Example:
        >>> import jax.numpy as jnp
        >>> [pad_same(jnp.ones((1, n, n, 1)), kernel_size=3, strides=2).shape[1] for n in (4, 5)]
        [5, 7]
    """
    sides = []
    for size, k in zip(x.shape[1:3], pair(kernel_size), strict=True):
        total = max(0, (-(-size // strides) - 1) * strides + dilation * (k - 1) + 1 - size)
        sides.append((total // 2, total - total // 2))
    return jnp.pad(x, ((0, 0), *sides, (0, 0)), constant_values=value)
