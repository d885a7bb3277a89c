"""Batch normalization, and the response normalization of before."""

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike

from jaxcv.task import BATCH_MOMENTS
from jaxcv.types import Array, Float


class BatchNorm(nn.Module):
    """Batch normalization: `y = scale (x - mean) / sqrt(var + epsilon) + bias`, channel by channel.

    In training, mean and (biased) variance are the batch's, and the running ones become
    `momentum * running + (1 - momentum) * batch`; otherwise they are the running ones. Statistics are taken in float32.
    Parameters 'scale' and 'bias' and statistics 'mean' and 'var' are named as in `flax.linen.BatchNorm`. Where the
    collection 'batch_moments' is mutable, the batch's own mean and var are left there, for
    `jaxcv.training.make_recalibration`.

    Attributes:
        momentum: share of the running statistics that stays; PyTorch's momentum 0.1 is 0.9 here.
        epsilon: added to the variance.
        dtype: type of the result.
        axis_name: the mapped axis over which statistics are taken too, under `pmap` or `shard_map`. Under `jit` over a
            mesh they are those of the whole batch without it.
        scale_init: first value of 'scale'.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x = jnp.arange(8.0).reshape(2, 2, 2, 1)
        >>> variables = BatchNorm().init(jax.random.key(0), x)
        >>> y, updated = BatchNorm().apply(variables, x, train=True, mutable=['batch_stats'])
        >>> y.mean().round(4).item(), y.var().round(4).item(), round(updated['batch_stats']['mean'].item(), 2)
        (0.0, 1.0, 0.35)

    Ioffe and Szegedy 2015, Batch normalization (https://arxiv.org/abs/1502.03167).
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None
    scale_init: nn.initializers.Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool = False) -> Float[Array, 'n h w c']:
        """Normalize x; `train` takes the batch's statistics and updates the running ones."""
        shape = x.shape[-1:]
        scale = self.param('scale', self.scale_init, shape)
        bias = self.param('bias', nn.initializers.zeros, shape)
        running_mean = self.variable('batch_stats', 'mean', jnp.zeros, shape)
        running_var = self.variable('batch_stats', 'var', jnp.ones, shape)
        x = x.astype(jnp.float32)
        if train:
            mean, mean_of_squares = x.mean(axis=(0, 1, 2)), jnp.square(x).mean(axis=(0, 1, 2))
            if self.axis_name is not None and not self.is_initializing():
                mean, mean_of_squares = lax.pmean((mean, mean_of_squares), self.axis_name)
            var = jnp.maximum(mean_of_squares - jnp.square(mean), 0)
            if not self.is_initializing():
                for name, value in {'mean': mean, 'var': var}.items():
                    self.sow(BATCH_MOMENTS, name, value, init_fn=lambda: None, reduce_fn=lambda _, new: new)
                running_mean.value = self.momentum * running_mean.value + (1 - self.momentum) * mean
                running_var.value = self.momentum * running_var.value + (1 - self.momentum) * var
        else:
            mean, var = running_mean.value, running_var.value
        slope = scale * lax.rsqrt(var + self.epsilon)
        return (x * slope + (bias - mean * slope)).astype(self.dtype)


def local_response_norm(
    x: Float[Array, 'n h w c'], *, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, bias: float = 2.0
) -> Float[Array, 'n h w c']:
    """Divide by the neighbouring channels' energy: `y[c] = x[c] / (bias + alpha sum_d x[d]^2)^beta`, pixel by pixel.

    The sum is over the `size` channels around c, as far as there are. PyTorch's divides alpha by the size.

    Args:
        x: features.
        size: number of channels in the sum, odd.
        alpha: weight of the sum.
        beta: exponent.
        bias: added to the weighted sum.

    Returns:
        Features of the same shape.

    Example:
        >>> import jax.numpy as jnp
        >>> y = local_response_norm(jnp.full((1, 1, 1, 3), 2.0), size=3, alpha=1.0, beta=0.5, bias=1.0)
        >>> [round(value, 3) for value in y.ravel().tolist()]
        [0.667, 0.555, 0.667]

    Krizhevsky et al. 2012, ImageNet classification with deep convolutional neural networks, section 3.3.
    """
    squares = jnp.square(x.astype(jnp.float32))
    energy = lax.reduce_window(
        squares, 0.0, lax.add, (1, 1, 1, size), (1, 1, 1, 1), ((0, 0), (0, 0), (0, 0), (size // 2, size // 2))
    )
    return (x * (bias + alpha * energy) ** -beta).astype(x.dtype)
