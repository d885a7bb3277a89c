"""Convolution."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.types import Array, Float


def conv2d(
    x: Float[Array, 'n h w c'],
    kernel: Float[Array, 'kh kw d f'],
    *,
    strides: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Float[Array, 'n i j f']:
    """Convolve."""
    if kernel.shape[:2] == (1, 1) and groups == 1 and padding == 0:
        return x[:, ::strides, ::strides] @ kernel[0, 0]
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(strides, strides),
        padding=[(padding, padding)] * 2,
        rhs_dilation=(dilation, dilation),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        feature_group_count=groups,
    )


class Conv(nn.Module):
    """Convolution layer."""

    features: int
    kernel_size: int = 3
    strides: int = 1
    padding: int | None = None
    dilation: int = 1
    groups: int = 1
    use_bias: bool = False
    dtype: DTypeLike = jnp.float32
    kernel_init: nn.initializers.Initializer = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c']) -> Float[Array, 'n i j f']:
        """Convolve x."""
        size = self.kernel_size
        kernel = self.param('kernel', self.kernel_init, (size, size, x.shape[-1] // self.groups, self.features))
        padding = self.dilation * (size - 1) // 2 if self.padding is None else self.padding
        out = conv2d(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            strides=self.strides,
            padding=padding,
            dilation=self.dilation,
            groups=self.groups,
        )
        if self.use_bias:
            out += self.param('bias', nn.initializers.zeros, (self.features,)).astype(self.dtype)
        return out
