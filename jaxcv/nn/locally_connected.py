"""Locally connected layer: a convolution whose filters differ from place to place."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, checked
from jaxcv.types import Array, Float

INIT = nn.initializers.variance_scaling(1.0, 'fan_in', 'normal', in_axis=(0, 1, 4), out_axis=5, batch_axis=(2, 3))


@checked
class LocallyConnected(nn.Module):
    """Locally connected layer: `y[i, j, f] = b[i, j, f] + Σ_{a b c} x[s i + a, s j + b, c] w[a, b, i, j, c, f]`.

    Each place of the output has filters of its own, where a convolution shares them. So it has as many more parameters
    as there are places, a shifted image does not give a shifted output, and the size of the input is fixed by the first
    one. For images that are aligned, such as faces, each region has other features.

    It is a loop over the places of the window: the patches, 81 times the input for a 9 x 9 window, are never in memory,
    forwards or backwards.

    Attributes:
        features: channels of the output, f.
        kernel_size: rows and columns of the window.
        strides: pixels from one window to the next, s.
        dtype: compute type; parameters stay float32.
        kernel_init: first value of 'kernel', `[rows, columns of the window, i, j, c, f]`.
        bias_init: first value of 'bias', `[i, j, f]`.

    Raises:
        ValueError: (when called) the input is smaller than the window, or of another size than the layer was made for.

    Example:
        >>> layer, x = LocallyConnected(features=2), jnp.ones((1, 5, 6, 3))
        >>> variables = layer.init(jax.random.key(0), x)
        >>> variables['params']['kernel'].shape, layer.apply(variables, x).shape
        ((3, 3, 3, 4, 3, 2), (1, 3, 4, 2))

    Taigman et al. 2014, DeepFace: closing the gap to human-level performance in face verification.
    """

    features: AtLeast1
    kernel_size: AtLeast1 = 3
    strides: AtLeast1 = 1
    dtype: DTypeLike = jnp.float32
    kernel_init: nn.initializers.Initializer = INIT
    bias_init: nn.initializers.Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c']) -> Float[Array, 'n i j f']:
        """Apply the filters of each place."""
        size, strides = self.kernel_size, self.strides
        rows, columns = ((length - size) // strides + 1 for length in x.shape[1:3])
        self._check(x, rows, columns)
        shape = (size, size, rows, columns, x.shape[-1], self.features)
        kernel = self.param('kernel', self.kernel_init, shape).astype(self.dtype)
        bias = self.param('bias', self.bias_init, (rows, columns, self.features)).astype(self.dtype)
        x = x.astype(self.dtype)
        window = (x.shape[0], (rows - 1) * strides + 1, (columns - 1) * strides + 1, x.shape[-1])

        # Recomputed in the backward pass, which would else keep the input of every place of the window: the patches.
        @jax.checkpoint
        def add(x: Array, total: Array, place: Array, filters: Array) -> Array:
            part = lax.dynamic_slice(x, (0, place // size, place % size, 0), window)[:, ::strides, ::strides]
            return total + jnp.einsum('nijc,ijcf->nijf', part, filters)

        total, _ = lax.scan(
            lambda total, one: (add(x, total, *one), None),
            jnp.broadcast_to(bias, (x.shape[0], *bias.shape)),
            (jnp.arange(size**2), kernel.reshape(size**2, *shape[2:])),
        )
        return total

    def _check(self, x: Array, rows: int, columns: int) -> None:
        layer = '/'.join(self.path) or 'this layer'
        if rows < 1 or columns < 1:
            raise ValueError(
                f'{layer}: a window of {self.kernel_size} x {self.kernel_size} does not fit features of '
                f'{x.shape[1]} x {x.shape[2]}: the images are too small for this network'
            )
        if not self.has_variable('params', 'kernel'):
            return
        made: tuple[int, ...] = self.get_variable('params', 'kernel').shape[2:5]
        if made != (rows, columns, x.shape[-1]):
            height, width = ((length - 1) * self.strides + self.kernel_size for length in made[:2])
            raise ValueError(
                f'{layer} is locally connected and was made for features of {height} x {width} pixels and {made[2]} '
                f'channels, got {x.shape[1]} x {x.shape[2]} and {x.shape[3]}: its filters belong to places, so that '
                'images of another size must be resized'
            )
