"""The weighted bidirectional feature pyramid of EfficientDet (BiFPN)."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import checked
from jaxcv.nn.conv_norm import ConvNorm, Padding
from jaxcv.nn.depthwise import SeparableConv
from jaxcv.nn.norm import BatchNorm
from jaxcv.ops.convolution import pad_same
from jaxcv.ops.pool import max_pool
from jaxcv.ops.resize import resize_nearest
from jaxcv.types import Array, Float

Fusion = Literal['fast', 'softmax', 'sum']
Paths = Literal['bifpn', 'pan']
Map = Float[Array, 'n _ _ _']
_uniform = nn.initializers.variance_scaling(1.0, 'fan_in', 'uniform')


class PyramidNode(NamedTuple):
    """One fusion of a cell."""

    level: int
    """The level that its result has, from 0, the finest."""
    inputs: tuple[int, ...]
    """Places of the maps that it fuses, in the sequence of the cell's maps and its nodes before."""


def pyramid_nodes(levels: int, *, paths: Paths = 'bifpn') -> list[PyramidNode]:
    """Nodes of one cell: a path from the coarsest map down to the finest, and one back up.

    Args:
        levels: maps of the cell.
        paths: 'bifpn', where a node on the way up also takes the cell's own map of its level, and a level whose node
            would have one input has none; or 'pan', each level one node a path, without that shortcut.

    Returns:
        The nodes in the order of computation. The last node of each level, or its map where it has none, is the result.

    Example:
        >>> [tuple(node) for node in pyramid_nodes(3)]
        [(1, (1, 2)), (0, (0, 3)), (1, (1, 3, 4)), (2, (2, 5))]
        >>> [tuple(node) for node in pyramid_nodes(2, paths='pan')]
        [(1, (1,)), (0, (0, 2)), (0, (3,)), (1, (2, 4))]
    """
    nodes: list[PyramidNode] = []
    last = list(range(levels))

    def add(level: int, *inputs: int) -> None:
        nodes.append(PyramidNode(level, tuple(dict.fromkeys(inputs))))
        last[level] = levels + len(nodes) - 1

    down, up = range(levels - 1, -1, -1), range(levels)
    if paths == 'pan':
        for level in down:
            add(level, last[level], *last[level + 1 : level + 2])
        for level in up:
            add(level, last[level], *(last[level - 1 : level] if level else ()))
    else:
        for level in down[1:]:
            add(level, last[level], last[level + 1])
        for level in up[1:]:
            add(level, level, last[level], last[level - 1])
    return nodes


@checked
class BiFPN(nn.Module):
    """Weighted bidirectional feature pyramid: cells of a path down and a path up, whose nodes learn what to weigh.

    A node is `bn(separable(silu(Σ_i w_i resampled_i)))`. Its weights are `relu(v_i) / (Σ_j relu(v_j) + 1e-4)` ('fast'),
    `softmax(v)_i`, or 1 ('sum', of D6 and D7). Maps are resampled by max pooling of 3 with stride 2 and by the nearest
    pixel; one that has other channels than `features` passes a 1x1 convolution and a batch norm before.

    Attributes:
        features: channels of all maps.
        repeats: cells.
        extra: coarser maps after the last: of the first a 1x1 convolution, a batch norm and a max pooling, of each next
            a max pooling.
        fusion: the weights, as above.
        paths: of each cell, as in `pyramid_nodes`.
        padding: of the poolings: 'symmetric' as PyTorch, or 'same' as TensorFlow.
        use_bias: biases before the batch norms, which make them redundant; the published TensorFlow weights have them.
        epsilon: of the batch norms.
        momentum: of the batch norms: the share of the running statistics that stays.
        dtype: compute type; parameters and statistics stay float32.

    Example:
        >>> import jax
        >>> maps = [jnp.ones((1, size, size, 8 * size)) for size in (8, 4, 2)]
        >>> pyramid = BiFPN(features=16, repeats=1, extra=1)
        >>> shapes = jax.eval_shape(pyramid.init_with_output, jax.random.key(0), maps)[0]
        >>> [p.shape for p in shapes]
        [(1, 8, 8, 16), (1, 4, 4, 16), (1, 2, 2, 16), (1, 1, 1, 16)]

    Tan et al. 2020, EfficientDet, section 3 (https://arxiv.org/abs/1911.09070).
    """

    features: int = 64
    repeats: int = 3
    extra: int = 0
    fusion: Fusion = 'fast'
    paths: Paths = 'bifpn'
    padding: Padding = 'symmetric'
    use_bias: bool = False
    epsilon: float = 1e-3
    momentum: float = 0.99
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, maps: Sequence[Map], *, train: bool = False) -> list[Map]:
        """Return the maps, the finest first, of the backbone's in the same order."""
        maps = list(maps)
        layers: dict[str, Any] = {
            'features': self.features,
            'use_bias': self.use_bias,
            'epsilon': self.epsilon,
            'momentum': self.momentum,
            'dtype': self.dtype,
        }
        for i in range(1, self.extra + 1):
            maps.append(_halved(_projected(maps[-1], f'extra{i}', layers, train), self.padding))
        sizes = [(x.shape[1], x.shape[2]) for x in maps]
        _check(sizes)
        nodes = pyramid_nodes(len(maps), paths=self.paths)
        for cell in range(1, self.repeats + 1):
            found = list(maps)
            for j, node in enumerate(nodes, start=1):
                fused = FusionNode(**layers, fusion=self.fusion, padding=self.padding, name=f'cell{cell}_node{j}')
                found.append(fused({i + 1: found[i] for i in node.inputs}, sizes[node.level], train=train))
            for node, x in zip(nodes, found[len(maps) :], strict=True):
                maps[node.level] = x
        return maps


class FusionNode(nn.Module):
    """One node of a BiFPN: maps resampled to one size, weighed, added and convolved. Attributes as there."""

    features: int
    fusion: Fusion
    padding: Padding
    use_bias: bool
    epsilon: float
    momentum: float
    dtype: DTypeLike

    @nn.compact
    def __call__(self, maps: Mapping[int, Map], size: tuple[int, int], *, train: bool) -> Map:
        """Fuse maps, by their place in the cell from 1 on."""
        layers: dict[str, Any] = {
            name: getattr(self, name) for name in ('features', 'use_bias', 'epsilon', 'momentum', 'dtype')
        }
        resampled = [_resampled(_projected(x, f'input{i}', layers, train), size, self.padding) for i, x in maps.items()]
        x = sum(weight * one for weight, one in zip(self._weights(len(maps)), resampled, strict=True))
        conv = SeparableConv(self.features, use_bias=self.use_bias, kernel_init=_uniform, dtype=self.dtype, name='conv')
        return BatchNorm(self.momentum, self.epsilon, self.dtype, name='bn')(conv(nn.silu(x)), train=train)

    def _weights(self, count: int) -> Sequence:
        """Return the weight of each map, of the compute type."""
        if self.fusion == 'sum':
            return [1] * count
        weights = self.param('weights', nn.initializers.ones, (count,))
        if self.fusion == 'softmax':
            return list(jax.nn.softmax(weights).astype(self.dtype))
        positive = nn.relu(weights)
        return list((positive / (positive.sum() + 1e-4)).astype(self.dtype))


def _projected(x: Map, name: str, layers: Mapping[str, Any], train: bool) -> Map:
    """Return the map with `features` channels: itself, or by a 1x1 convolution and a batch norm."""
    if x.shape[-1] == layers['features']:
        return x
    glorot = nn.initializers.xavier_uniform()
    return ConvNorm(**layers, kernel_size=1, activation=None, kernel_init=glorot, name=name)(x, train=train)


def _resampled(x: Map, size: tuple[int, int], padding: Padding) -> Map:
    if x.shape[1] < size[0] or x.shape[2] < size[1]:
        return resize_nearest(x, size=size)
    if x.shape[1:3] == size:
        return x
    return _halved(x, padding)[:, : size[0], : size[1]]


def _halved(x: Map, padding: Padding) -> Map:
    """Return the maxima of windows of 3 with stride 2; sizes are halved and rounded up."""
    if padding == 'same':
        return max_pool(pad_same(x, kernel_size=3, strides=2, value=-jnp.inf), padding=0)
    return max_pool(x)


def _check(sizes: Sequence[tuple[int, int]]) -> None:
    """Raise a ValueError unless each map has half the size of the one before, rounded up or down."""
    if len(sizes) < 2 or any(
        b not in (max(1, a // 2), -(-a // 2))
        for fine, coarse in itertools.pairwise(sizes)
        for a, b in zip(fine, coarse, strict=True)
    ):
        raise ValueError(
            'a BiFPN takes two maps or more, each with half the rows and columns of the one before, got '
            + ', '.join(f'{rows} x {columns}' for rows, columns in sizes)
        )
