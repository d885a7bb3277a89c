"""Convolution layer."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast0, AtLeast1, checked
from jaxcv.ops.convolution import conv2d
from jaxcv.sizes import Pair, PositiveSize, pair
from jaxcv.types import Array, Float


@checked
class Conv(nn.Module):
    """Convolution layer: `ops.conv2d` and an optional bias; parameters have the names and shapes of `flax.linen.Conv`.

    Input of other channels than those that the kernel was made for, or too small for the kernel, is an error that names
    the layer.

    Attributes:
        features: output channels.
        kernel_size: rows and columns of the kernel; one number stands for both.
        strides: pixels from one output to the next.
        padding: zeros on every side; of a pair, the first above and below, the second left and right. None keeps the
            size at stride 1: `dilation (kernel_size - 1) / 2`.
        dilation: pixels from one place of the kernel to the next.
        groups: number of groups that the channels are split into, each with its own filters.
        use_bias: add a bias; not needed before a batch norm.
        dtype: compute type; parameters stay float32.
        kernel_init: first value of 'kernel'; He et al. 2015 with the fan-out, as in torchvision's ResNets.
        bias_init: first value of 'bias'.

    Raises:
        ValueError: (when called) x has other channels than in `init`, or fewer pixels than the kernel reaches.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> conv, x = Conv(features=8, kernel_size=3, strides=2), jnp.ones((1, 6, 6, 4))
        >>> variables = conv.init(jax.random.key(0), x)
        >>> variables['params']['kernel'].shape, conv.apply(variables, x).shape
        ((3, 3, 4, 8), (1, 3, 3, 8))
    """

    features: AtLeast1
    kernel_size: PositiveSize = 3
    strides: AtLeast1 = 1
    padding: AtLeast0 | tuple[AtLeast0, AtLeast0] | None = None
    dilation: AtLeast1 = 1
    groups: AtLeast1 = 1
    use_bias: bool = False
    dtype: DTypeLike = jnp.float32
    kernel_init: nn.initializers.Initializer = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')
    bias_init: nn.initializers.Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c']) -> Float[Array, 'n i j f']:
        """Convolve x."""
        height, width = pair(self.kernel_size)
        same = self.dilation * (height - 1) // 2, self.dilation * (width - 1) // 2
        padding = pair(same if self.padding is None else self.padding)
        self._check(x, (height, width), padding)
        kernel = self.param('kernel', self.kernel_init, (height, width, x.shape[-1] // self.groups, self.features))
        y = conv2d(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            strides=self.strides,
            padding=padding,
            dilation=self.dilation,
            groups=self.groups,
        )
        if self.use_bias:
            y += self.param('bias', self.bias_init, (self.features,)).astype(self.dtype)
        return y

    def _check(self, x: Array, kernel_size: Pair, padding: Pair) -> None:
        """Raise a ValueError that names the layer, unless x has the kernel's channels and an output has pixels."""
        layer = '/'.join(self.path) or 'this convolution'
        if self.has_variable('params', 'kernel'):
            channels = self.get_variable('params', 'kernel').shape[2] * self.groups
            if channels != x.shape[-1]:
                raise ValueError(
                    f'{layer} was made for images or features of {channels} channels, got {x.shape[-1]}, of shape '
                    f'{x.shape} [n h w c]'
                )
        for size, window, zeros in zip(x.shape[1:3], kernel_size, padding, strict=True):
            if size + 2 * zeros < self.dilation * (window - 1) + 1:
                raise ValueError(
                    f'{layer}: a kernel of {kernel_size[0]} x {kernel_size[1]} does not fit features of '
                    f'{x.shape[1]} x {x.shape[2]}: the images are too small for this network'
                )
