"""GC-Net (Kendall et al. 2017, https://arxiv.org/abs/1703.04309): disparity by 3-D convolutions of a cost volume.

Both views are encoded by one residual network; their features are paired at each disparity; an encoder and decoder of
3-D convolutions makes of this volume a cost for each pixel and disparity, whose soft argmin is the answer.
"""

import functools
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, checked
from jaxcv.models.checks import compute_type
from jaxcv.models.stereo.pairs import both, split_pairs
from jaxcv.models.strides import Stage
from jaxcv.nn.conv import Conv
from jaxcv.nn.norm import BatchNorm
from jaxcv.nn.remat import remat
from jaxcv.nn.volumes import Conv3D, ConvTranspose3D
from jaxcv.ops.convolution import conv3d
from jaxcv.ops.cost_volume import cost_volume, soft_argmin
from jaxcv.ops.cost_volume_conv import cost_volume_conv
from jaxcv.types import Array, Float, Images

Form = Literal['paper', 'public']
Volume = Literal['implicit', 'explicit']
MULTIPLE = 32
"""Of rows, columns and disparities: the network halves them five times."""


class Unary(nn.Module):
    """The features of one view, at half its resolution: layers 1 to 18 of the paper's table."""

    features: int
    blocks: int
    train: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Images) -> Float[Array, 'n i j f']:
        """Encode images."""

        def conv_norm(name: str, x: Array, size: int = 3, strides: int = 1) -> Array:
            layer = functools.partial(Conv, self.features, kernel_size=size, strides=strides, use_bias=True)
            x = layer(dtype=self.dtype, name=f'{name}_conv')(x)
            return BatchNorm(dtype=self.dtype, name=f'{name}_bn')(x, train=self.train)

        x = nn.relu(conv_norm('first', x, 5, 2))
        for i in range(1, self.blocks + 1):
            y = nn.relu(conv_norm(f'block{i}_1', x))
            x = nn.relu(x + conv_norm(f'block{i}_2', y))
        return Conv(self.features, use_bias=True, dtype=self.dtype, name='last_conv')(x)


class VolumeConv(nn.Module):
    """The 3 x 3 x 3 convolution of the cost volume of two feature maps, with a bias."""

    features: int
    disparities: int
    strides: int
    volume: Volume
    dtype: DTypeLike

    @nn.compact
    def __call__(self, left: Float[Array, 'n h w c'], right: Float[Array, 'n h w c']) -> Float[Array, 'n k i j f']:
        """Convolve the volume."""
        shape = (3, 3, 3, 2 * left.shape[-1], self.features)
        kernel = self.param('kernel', Conv3D.kernel_init, shape).astype(self.dtype)
        bias = self.param('bias', nn.initializers.zeros, (self.features,)).astype(self.dtype)
        if self.volume == 'implicit':
            y = cost_volume_conv(left, right, kernel, disparities=self.disparities, strides=self.strides)
        else:
            volume = cost_volume(left, right, disparities=self.disparities)
            y = conv3d(volume, kernel, strides=self.strides, padding=1)
        return y + bias


class Convs3D(nn.Module):
    """A row of 3-D convolutions with batch norm and ReLU; the first one may stride, or be of a cost volume."""

    features: int
    depth: int
    strides: int
    train: bool
    dtype: DTypeLike
    disparities: int = 0
    """Of the volume of two feature maps; 0 where the input is one volume."""
    volume: Volume = 'implicit'

    @nn.compact
    def __call__(self, *x: Array) -> Float[Array, 'n k i j f']:
        """Convolve a volume, or two feature maps."""
        for i in range(1, self.depth + 1):
            strides = self.strides if i == 1 else 1
            name = f'conv{i}'
            layer: nn.Module
            if i == 1 and self.disparities:
                layer = VolumeConv(self.features, self.disparities, strides, self.volume, self.dtype, name=name)
            else:
                layer = Conv3D(self.features, strides=strides, use_bias=True, dtype=self.dtype, name=name)
            x = (nn.relu(BatchNorm(dtype=self.dtype, name=f'bn{i}')(layer(*x), train=self.train)),)
        return x[0]


class Up3D(nn.Module):
    """A transposed 3-D convolution with batch norm and ReLU, and a skip connection."""

    features: int
    sum_first: bool
    """Add the skip connection before the ReLU."""
    train: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, 'n k i j f'], skip: Float[Array, 'n d h w c']) -> Float[Array, 'n d h w c']:
        """Upsample x and add the skip connection."""
        layer = functools.partial(ConvTranspose3D, self.features, padding=1, output_padding=1, use_bias=True)
        x = layer(dtype=self.dtype, name='conv')(x)
        x = BatchNorm(dtype=self.dtype, name='bn')(x, train=self.train)
        return nn.relu(x + skip) if self.sum_first else nn.relu(x) + skip


class Answer(nn.Module):
    """The last transposed convolution, to one cost for each pixel and disparity, and the soft argmin."""

    dtype: DTypeLike

    def setup(self):
        """Make the convolution."""
        self.conv = ConvTranspose3D(1, padding=1, output_padding=1, use_bias=True, dtype=self.dtype)

    def costs(self, x: Float[Array, 'n k i j f']) -> Float[Array, 'n d h w']:
        """Return the costs in float32."""
        return self.conv(x)[..., 0].astype(jnp.float32)

    def __call__(self, x: Float[Array, 'n k i j f']) -> Float[Array, 'n h w']:
        """Return the disparities."""
        return soft_argmin(self.costs(x))


class GCNet(nn.Module):
    """The module behind `gcnet`."""

    disparities: int = 192
    width: int = 32
    blocks: int = 8
    form: Form = 'paper'
    volume: Volume = 'implicit'
    remat: bool = True
    dtype: DTypeLike = jnp.float32
    images: ClassVar[int] = 2
    """Images that are stacked along the channels of the input."""

    def __post_init__(self):
        """Check the disparities, which five halvings must leave whole."""
        if self.disparities % MULTIPLE or self.disparities < MULTIPLE:
            raise ValueError(f'gcnet: disparities must be a multiple of {MULTIPLE}, got {self.disparities}')
        super().__post_init__()

    def setup(self):
        """Make the last layer, which `features` does not use."""
        self.answer = self._block(Answer)(self.dtype)

    @property
    def stages(self) -> dict[str, Stage]:
        """Return the stages that it declares, for `jaxcv.models.stages`."""
        return {'unary': Stage(2, self.width), 'volume': Stage(2, self.width)}

    def _block(self, module: Callable[..., Any]) -> Callable[..., Any]:
        return remat(module) if self.remat else module

    @nn.compact
    def features(self, pairs: Images, *, train: bool = False) -> dict[str, Array]:
        """Return 'unary' of the left view [n i j c], and 'volume', from which the costs are made [n k i j c]."""
        left, right = split_pairs(self, pairs, multiple=MULTIPLE)
        unary = self._block(Unary)(self.width, self.blocks, train, self.dtype, name='unary')
        views = both(unary, left, right)
        convs = self._block(Convs3D)

        def of_volume(name: str, features: int, depth: int, strides: int) -> Array:
            volume = (self.disparities // 2, self.volume)
            return convs(features, depth, strides, train, self.dtype, *volume, name=name)(*views)

        def of(name: str, features: int, depth: int, strides: int, x: Array) -> Array:
            return convs(features, depth, strides, train, self.dtype, name=name)(x)

        width = 2 * self.width
        skips = [of_volume('scale1', self.width, 2, 1)]
        x = of_volume('down1', width, 1, 2)
        if self.form == 'paper':
            skips.append(of('scale2', width, 2, 1, x))
            for i, features in ((2, width), (3, width), (4, 2 * width)):
                x = of(f'down{i}', features, 1, 2, x)
                skips.append(of(f'scale{i + 1}', features, 2, 1, x))
        else:
            skips.append(of_volume('scale2', width, 3, 2))
            for i in (2, 3):
                skips.append(of(f'scale{i + 1}', width, 3, 2, x))
                x = of(f'down{i}', width, 1, 2, x)
            skips.append(of('scale5', 2 * width, 3, 2, x))
        *skips, x = skips
        for i, skip in enumerate(reversed(skips), start=1):
            up = self._block(Up3D)(skip.shape[-1], self.form == 'public', train, self.dtype, name=f'up{i}')
            x = up(x, skip)
        return {'unary': views[0], 'volume': x}

    def costs(self, pairs: Images, *, train: bool = False) -> Float[Array, 'n d h w']:
        """Return the cost of each disparity at each pixel, in float32; the least one is best."""
        x = self.features(pairs, train=train)['volume']
        return self.answer.costs(x)[:, :, : pairs.shape[1], : pairs.shape[2]]

    def levels(self, pairs: Images, *, train: bool = False) -> dict[int, Float[Array, 'n i j']]:
        """Return the disparity of the padded images at stride 1, the only one, in their pixels."""
        return {1: self.answer(self.features(pairs, train=train)['volume'])}

    def __call__(self, pairs: Images, *, train: bool = False) -> Float[Array, 'n h w']:
        """Return disparities in [0, disparities - 1], float32, of the images' size and in their pixels."""
        return self.levels(pairs, train=train)[1][:, : pairs.shape[1], : pairs.shape[2]]


@checked
def gcnet(
    *,
    disparities: AtLeast1 = 192,
    width: AtLeast1 = 32,
    blocks: AtLeast1 = 8,
    form: Form = 'paper',
    volume: Volume = 'implicit',
    remat: bool = True,
    dtype: DTypeLike = jnp.float32,
) -> GCNet:
    """Make GC-Net, a soft argmin of costs that 3-D convolutions find in a cost volume: 2,847,201 parameters.

    The parameters are those of the paper's table; its text has 3.5 million. Inside, images are padded to multiples of
    32.

    Args:
        disparities: D, a multiple of 32; the answers are in [0, D - 1].
        width: channels of the features of a view; the 3-D layers have so many, twice and four times as many.
        blocks: residual blocks of each view.
        form: 'public' is the PyTorch version by zyf12389 (3,179,553 parameters): layers 21, 24 and 27 exist twice, once
            before the next scale and once before the skip connection, which is added before the ReLU.
        volume: 'implicit' computes the first two 3-D layers from the features of both views, without the cost volume:
            half of the products of the network, and a third of its memory, are not needed. 'explicit' builds it; the
            numbers are the same up to rounding.
        remat: compute the blocks again in the gradient (`jaxcv.nn.remat`), so that only their outputs are kept. With
            192 disparities and one float32 pair a CPU's training step takes 11.5 GiB at 540 x 960 pixels, and 23.8
            GiB without.
        dtype: compute type, such as `jnp.bfloat16` or `'bfloat16'`; parameters, statistics and costs stay float32.

    Returns:
        A module: `apply(variables, pairs [n h w 2c]) -> disparity [n h w]`, for stereo pairs of any size, stacked along
        their channels, the left view first. `method='costs'` gives the costs `[n d h w]`.

    Raises:
        ValueError: the disparities are no multiple of 32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model, pairs = gcnet(disparities=32, width=4, blocks=1), jnp.ones((1, 30, 50, 6))
        >>> jax.eval_shape(model.init_with_output, jax.random.key(0), pairs)[0].shape
        (1, 30, 50)

    Kendall et al. 2017, End-to-end learning of geometry and context for deep stereo regression
    (https://arxiv.org/abs/1703.04309).

    Published weights, by source: 'gcnet_pytorch'.
    """
    return GCNet(disparities, width, blocks, form, volume, remat, compute_type(dtype))
