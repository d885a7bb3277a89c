"""Batch normalization, also with statistics that are held."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike

from jaxcv.arguments import Below1, NonNegative, Positive, checked
from jaxcv.task import BATCH_MOMENTS
from jaxcv.types import DATA_AXIS, Array, Float


@checked
class BatchNorm(nn.Module):
    """Batch normalization: `y = scale (x - mean) / sqrt(var + epsilon) + bias`, channel by channel.

    In training, mean and (biased) variance are the batch's, and the running ones become
    `momentum * running + (1 - momentum) * batch`; otherwise they are the running ones. Statistics are taken in float32.
    Parameters 'scale' and 'bias' and statistics 'mean' and 'var' are named as in `flax.linen.BatchNorm`. Where the
    collection 'batch_moments' is mutable, the batch's own mean and var are stored there, for
    `jaxcv.training.make_recalibration`.

    One input is hidden: where a mapped axis named 'data' (`jaxcv.types.DATA_AXIS`) is bound when the layer is traced,
    by `pmap`, `shard_map` or `vmap(axis_name='data')`, training averages the moments over it, so that they are those
    of the whole batch. Under `jit` over a mesh no axis is bound, and they are those of the whole batch anyway. Give an
    axis of anything but parts of one batch, such as the members of an ensemble, another name.

    Training on one value a channel is an error: its variance is 0, whatever the value, so that the layer would output
    its bias, and the running variance would fall to 0.

    Attributes:
        momentum: share of the running statistics that stays; PyTorch's momentum 0.1 is 0.9 here.
        epsilon: added to the variance.
        dtype: type of the result.
        scale_init: first value of 'scale'.
        train_scale: whether 'scale' has a gradient; otherwise it keeps its value.

    Raises:
        ValueError: (in training) the batch has one value a channel: one image of 1 x 1 features.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x = jnp.arange(8.0).reshape(2, 2, 2, 1)
        >>> variables = BatchNorm().init(jax.random.key(0), x)
        >>> y, updated = BatchNorm().apply(variables, x, train=True, mutable=['batch_stats'])
        >>> y.mean().round(4).item(), y.var().round(4).item(), round(updated['batch_stats']['mean'].item(), 2)
        (0.0, 1.0, 0.35)

    Ioffe and Szegedy 2015, Batch normalization (https://arxiv.org/abs/1502.03167).
    """

    momentum: Below1 = 0.9
    epsilon: Positive = 1e-5
    dtype: DTypeLike = jnp.float32
    scale_init: nn.initializers.Initializer = nn.initializers.ones
    train_scale: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, 'n *size c'], *, train: bool = False) -> Float[Array, 'n *size c']:
        """Normalize x; `train` takes the batch's statistics and updates the running ones."""
        shape = x.shape[-1:]
        scale = self.param('scale', self.scale_init, shape)
        if not self.train_scale:
            scale = lax.stop_gradient(scale)
        bias = self.param('bias', nn.initializers.zeros, shape)
        running_mean = self.variable('batch_stats', 'mean', jnp.zeros, shape)
        running_var = self.variable('batch_stats', 'var', jnp.ones, shape)
        x = x.astype(jnp.float32)
        if train:
            if not self.is_initializing():
                _check_count(x, '/'.join(self.path))
            axes = tuple(range(x.ndim - 1))
            mean, mean_of_squares = x.mean(axis=axes), jnp.square(x).mean(axis=axes)
            if _is_bound(DATA_AXIS) and not self.is_initializing():
                mean, mean_of_squares = lax.pmean((mean, mean_of_squares), DATA_AXIS)
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


@checked
class FrozenBatchNorm(nn.Module):
    """Batch normalization by statistics that are held: `y = scale (x - mean) / sqrt(var + epsilon) + bias`, always.

    Nothing of it is trained: all four arrays, 'scale', 'bias', 'mean' and 'var', are in the collection 'batch_stats',
    out of reach of gradients and of weight decay. Detectors that start from a pretrained backbone have it where an
    update has too few images for statistics of its own; the convolutions between are trained.

    Attributes:
        epsilon: added to the variance; 0 for the weights of torchvision's first detectors.
        dtype: type of the result.
        scale_init: first value of 'scale'.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x = jnp.arange(8.0).reshape(2, 2, 2, 1)
        >>> variables = FrozenBatchNorm(epsilon=0.0).init(jax.random.key(0), x)
        >>> sorted(variables), bool(jnp.all(FrozenBatchNorm(epsilon=0.0).apply(variables, x, train=True) == x))
        (['batch_stats'], True)
    """

    epsilon: NonNegative = 1e-5
    dtype: DTypeLike = jnp.float32
    scale_init: nn.initializers.Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool = False) -> Float[Array, 'n h w c']:
        """Normalize x; `train` changes nothing."""
        shape = x.shape[-1:]
        ones, zeros = nn.initializers.ones, nn.initializers.zeros
        inits = {'scale': self.scale_init, 'bias': zeros, 'mean': zeros, 'var': ones}
        key = jax.random.key(0)  # of constants
        scale, bias, mean, var = (
            self.variable('batch_stats', name, init, key, shape, jnp.float32).value for name, init in inits.items()
        )
        slope = scale * lax.rsqrt(var + self.epsilon)
        return (x.astype(jnp.float32) * slope + (bias - mean * slope)).astype(self.dtype)


def _check_count(x: Array, layer: str) -> None:
    """Raise a ValueError unless the batch, of all devices, has several values a channel."""
    count = math.prod(x.shape[:-1]) * (lax.axis_size(DATA_AXIS) if _is_bound(DATA_AXIS) else 1)
    if count < 2:
        raise ValueError(
            f'{layer or "batch norm"} would train on {count} value{"s" * (count != 1)} a channel, features of shape '
            f'{x.shape} [n h w c]: their variance is 0. Take at least two images an update (data.batch_size divided by '
            'training.accumulate), larger images, a network without the pooling before it (image_pooling=False, '
            'global_norm=False), or freeze the layer'
        )


def _is_bound(axis_name: str) -> bool:
    """Return whether the code being traced is inside a `pmap`, `shard_map` or `vmap` over an axis of this name."""
    try:
        lax.axis_size(axis_name)
    except NameError:
        return False
    return True
