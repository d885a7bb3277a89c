"""A convolution, its batch norm and an activation: the unit of Inceptions and mobile networks."""

from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast0, AtLeast1, Below1, Positive, checked
from jaxcv.nn.conv import Conv
from jaxcv.nn.norm import BatchNorm
from jaxcv.ops.convolution import pad_same
from jaxcv.sizes import PositiveSize
from jaxcv.types import Array, Float

Padding = Literal['symmetric', 'same']
"""PyTorch's, the same on every side, or TensorFlow's SAME, which depends on the size of the image."""


@checked
class ConvNorm(nn.Module):
    """A convolution, a batch norm and an activation: `activation(bn(conv(x)))`.

    Attributes:
        features: output channels.
        kernel_size: rows and columns of the kernel, odd; one number stands for both.
        strides: pixels from one output to the next.
        dilation: pixels from one place of the kernel to the next.
        groups: channels are split into so many groups; as many as channels make it a depthwise convolution.
        activation: None for none.
        padding: 'symmetric' is `dilation (kernel_size - 1) / 2` on every side; 'same' is TensorFlow's; a number is of
            zeros on every side.
        kernel_init: first value of the kernel; He et al. 2015 with the fan-out.
        epsilon: of the batch norm.
        momentum: of the batch norm: the share of the running statistics that stays.
        dtype: compute type; parameters and statistics stay float32.
        use_bias: a bias of the convolution, which the norm makes redundant; some published networks have it.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = ConvNorm(features=8, strides=2), jnp.ones((1, 6, 6, 4))
        >>> jax.eval_shape(layer.init_with_output, jax.random.key(0), x)[0].shape
        (1, 3, 3, 8)
    """

    features: AtLeast1
    kernel_size: PositiveSize = 3
    strides: AtLeast1 = 1
    dilation: AtLeast1 = 1
    groups: AtLeast1 = 1
    activation: Callable[[Array], Array] | None = nn.relu
    padding: Padding | AtLeast0 = 'symmetric'
    kernel_init: nn.initializers.Initializer = Conv.kernel_init
    epsilon: Positive = 1e-5
    momentum: Below1 = 0.9
    dtype: DTypeLike = jnp.float32
    use_bias: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool = False) -> Float[Array, 'n i j f']:
        """Apply the three; `train` takes the batch's statistics and updates the running ones."""
        padding = None if self.padding == 'symmetric' else self.padding
        if padding == 'same':
            x = pad_same(x, kernel_size=self.kernel_size, strides=self.strides, dilation=self.dilation)
            padding = 0
        x = Conv(
            self.features,
            kernel_size=self.kernel_size,
            strides=self.strides,
            padding=padding,
            dilation=self.dilation,
            groups=self.groups,
            use_bias=self.use_bias,
            dtype=self.dtype,
            kernel_init=self.kernel_init,
            name='conv',
        )(x)
        x = BatchNorm(self.momentum, self.epsilon, self.dtype, name='bn')(x, train=train)
        return x if self.activation is None else self.activation(x)
