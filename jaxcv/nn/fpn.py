"""Feature pyramids: maps of several strides that share their meaning (FPN), and the path back up (PANet)."""

from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import checked
from jaxcv.nn.conv import Conv
from jaxcv.nn.norm import BatchNorm
from jaxcv.ops.resize import resize_nearest
from jaxcv.types import Array, Float

Extra = Literal['none', 'pool', 'convs_of_output', 'convs_of_input']
Map = Float[Array, 'n _ _ _']
_uniform = nn.initializers.variance_scaling(1.0, 'fan_in', 'uniform')
"""He et al.'s for a linear layer, as in torchvision's pyramids."""


@checked
class FPN(nn.Module):
    """Feature pyramid network: each map is its own features plus the coarser map, enlarged.

    `m_i = lateral(c_i) + up(m_{i+1})`, `p_i = output(m_i)`: the lateral convolutions are 1x1, the output ones 3x3, both
    with a bias, and `up` takes the nearest pixel.

    Attributes:
        features: channels of all maps.
        extra: coarser maps after the last: 'none'; 'pool', every second pixel of the last output (Faster R-CNN's);
            'convs_of_output', two 3x3 convolutions of stride 2 with a ReLU between, of the last output (torchvision's
            first RetinaNet), or 'convs_of_input', of the last of the backbone's maps (the paper's).
        norm: a batch norm in place of the biases (torchvision's second Faster R-CNN).
        dtype: compute type; parameters stay float32.

    Example:
        >>> import jax
        >>> maps = [jnp.ones((1, size, size, 8 * size)) for size in (8, 4, 2)]
        >>> pyramid = FPN(features=16, extra='convs_of_output')
        >>> [p.shape for p in jax.eval_shape(pyramid.init_with_output, jax.random.key(0), maps)[0]]
        [(1, 8, 8, 16), (1, 4, 4, 16), (1, 2, 2, 16), (1, 1, 1, 16), (1, 1, 1, 16)]

    Lin et al. 2017, Feature pyramid networks for object detection (https://arxiv.org/abs/1612.03144).
    """

    features: int = 256
    extra: Extra = 'none'
    norm: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, maps: Sequence[Map], *, train: bool = False) -> list[Map]:
        """Return the pyramid's maps, the finest first, of the backbone's in the same order."""
        merged: list[Map] = []
        for i, x in reversed(list(enumerate(maps, start=1))):
            x = self._conv(x, f'lateral{i}', 1, train)
            merged.insert(0, x + resize_nearest(merged[0], size=x.shape[1:3]) if merged else x)
        outputs = [self._conv(x, f'output{i}', 3, train) for i, x in enumerate(merged, start=1)]
        if self.extra == 'pool':
            outputs.append(outputs[-1][:, ::2, ::2])
        if self.extra.startswith('convs'):
            x = outputs[-1] if self.extra == 'convs_of_output' else maps[-1]
            outputs.append(_conv(self.features, 3, self.dtype, 'extra1', strides=2)(x))
            outputs.append(_conv(self.features, 3, self.dtype, 'extra2', strides=2)(nn.relu(outputs[-1])))
        return outputs

    def _conv(self, x: Map, name: str, kernel_size: int, train: bool) -> Map:
        if not self.norm:
            return _conv(self.features, kernel_size, self.dtype, name)(x)
        x = Conv(self.features, kernel_size, dtype=self.dtype, kernel_init=_uniform, name=f'{name}_conv')(x)
        return BatchNorm(dtype=self.dtype, name=f'{name}_bn')(x, train=train)


class PANet(nn.Module):
    """Path aggregation network: an FPN and a path from its finest map back to the coarsest.

    `n_1 = p_1`, `n_{i+1} = p_{i+1} + down(n_i)` with a 3x3 convolution of stride 2, and a 3x3 convolution on all but
    the first: details reach the coarse maps over a few layers, not over the whole backbone. As MMDetection's PAFPN.

    Attributes:
        features: channels of all maps.
        extra: coarser maps, each with every second pixel of the one before.
        dtype: compute type; parameters stay float32.

    Example:
        >>> import jax
        >>> maps = [jnp.ones((1, size, size, 8 * size)) for size in (8, 4, 2)]
        >>> network = PANet(features=16, extra=1)
        >>> [p.shape for p in jax.eval_shape(network.init_with_output, jax.random.key(0), maps)[0]]
        [(1, 8, 8, 16), (1, 4, 4, 16), (1, 2, 2, 16), (1, 1, 1, 16)]

    Liu et al. 2018, Path aggregation network for instance segmentation (https://arxiv.org/abs/1803.01534).
    """

    features: int = 256
    extra: int = 0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, maps: Sequence[Map], *, train: bool = False) -> list[Map]:
        """Return the maps, the finest first, of the backbone's in the same order."""
        down = FPN(self.features, dtype=self.dtype, name='fpn')(maps, train=train)
        merged = [down[0]]
        for i, x in enumerate(down[1:], start=1):
            step = _conv(self.features, 3, self.dtype, f'down{i}', strides=2)(merged[-1])
            merged.append(x + step[:, : x.shape[1], : x.shape[2]])
        after = [_conv(self.features, 3, self.dtype, f'after{i}')(x) for i, x in enumerate(merged[1:], start=1)]
        outputs = [merged[0], *after]
        for _ in range(self.extra):
            outputs.append(outputs[-1][:, ::2, ::2])
        return outputs


def _conv(features: int, kernel_size: int, dtype: DTypeLike, name: str, strides: int = 1) -> Conv:
    return Conv(features, kernel_size, strides, use_bias=True, dtype=dtype, kernel_init=_uniform, name=name)
