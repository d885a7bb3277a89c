"""Residual networks for faces as insightface has them, the backbones of ArcFace; and MobileFaceNet.

They take aligned faces of 112 x 112 pixels, RGB, as (x / 255 - 0.5) / 0.5, and differ from ResNets: a stem of stride 1,
so that the first stage strides too; blocks of two 3x3 convolutions with a batch norm before the first, PReLU, the
stride on the second, and no activation after the sum; all places of the last 7 x 7 features in one dense layer.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, Below1, checked
from jaxcv.models.checks import check_images, compute_type
from jaxcv.models.variants import variant
from jaxcv.nn.conv import Conv
from jaxcv.nn.norm import BatchNorm
from jaxcv.nn.prelu import PReLU
from jaxcv.nn.regularization import Dropout
from jaxcv.types import Array, Float, Images

SIZE = 112
"""Rows and columns of the faces that the published networks take."""
INIT = nn.initializers.normal(0.1)
LARGEST_STRIDE = 16


def embedded(x: Array, features: int, norm: Callable[..., nn.Module], *, train: bool, use_bias: bool) -> Array:
    """A dense layer over all places, 'fc', and a batch norm, 'norm', both in float32."""
    x = x.astype(jnp.float32)
    x = nn.Dense(features, use_bias=use_bias, name='fc')(x.reshape(x.shape[0], -1))
    return norm(name='norm')(x[:, None, None], train=train)[:, 0, 0]


class IBlock(nn.Module):
    """The block of these networks: norm, 3x3, norm, PReLU, 3x3 with the stride, norm, and the shortcut."""

    features: int
    strides: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool) -> Float[Array, 'n i j f']:
        """Apply the block; `train` takes the batch's statistics and updates the running ones."""
        norm = functools.partial(BatchNorm, dtype=self.dtype)
        conv = functools.partial(Conv, self.features, dtype=self.dtype, kernel_init=INIT)
        y = conv(3, name='conv1')(norm(name='bn1')(x, train=train))
        y = PReLU(name='prelu')(norm(name='bn2')(y, train=train))
        y = norm(name='bn3')(conv(3, self.strides, name='conv2')(y), train=train)
        if self.strides == 1 and x.shape[-1] == self.features:
            return x + y
        shortcut = conv(1, self.strides, padding=0, name='shortcut_conv')(x)
        return norm(name='shortcut_bn')(shortcut, train=train) + y


class IResNet(nn.Module):
    """The module behind `iresnet` and its variants."""

    depths: tuple[int, ...]
    size: int = 512
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n d']:
        """Return float32 embeddings, of any length."""
        check_images(self, images, smallest=LARGEST_STRIDE)
        x = Conv(64, 3, dtype=self.dtype, kernel_init=INIT, name='stem_conv')(images)
        x = PReLU(name='stem_prelu')(BatchNorm(dtype=self.dtype, name='stem_bn')(x, train=train))
        for stage, depth in enumerate(self.depths):
            for block in range(depth):
                strides = 2 if block == 0 else 1
                name = f'stage{stage + 1}_block{block + 1}'
                x = IBlock(64 * 2**stage, strides, self.dtype, name=name)(x, train=train)
        x = BatchNorm(dtype=self.dtype, name='bn')(x, train=train)
        x = Dropout(self.dropout, name='drop')(x, train=train)
        fixed = functools.partial(BatchNorm, train_scale=False)
        return embedded(x, self.size, fixed, train=train, use_bias=True)


@checked
def iresnet(
    depths: tuple[int, ...],
    *,
    features: AtLeast1 = 512,
    dropout: Below1 = 0.0,
    dtype: DTypeLike = jnp.float32,
) -> IResNet:
    """Make a residual network for faces.

    Args:
        depths: blocks of each of the four stages.
        features: numbers of an embedding.
        dropout: probability in [0, 1) of dropping a value before the last layer, in training; needs
            `rngs={'dropout': key}`.
        dtype: compute type of the convolutions, such as `jnp.bfloat16`; the dense layer and the norm after it stay
            float32.

    Returns:
        A module: `apply(variables, images [n h w c]) -> embeddings [n features]`, of any length. The size of the images
        is fixed by `init`, 112 x 112 for the published weights. The scale of the last norm stays 1.

    Raises:
        ValueError: the probability is not in [0, 1).

    Example:
        >>> from jaxcv import models
        >>> models.embedding.iresnet50().depths
        (3, 4, 14, 3)

    Deng et al. 2019, ArcFace (https://arxiv.org/abs/1801.07698).
    """
    return IResNet(depths, features, dropout, compute_type(dtype))


iresnet18 = variant(iresnet, 'iresnet18', (2, 2, 2, 2), "IResNet-18; insightface's, 24,025,600 parameters.")
iresnet34 = variant(iresnet, 'iresnet34', (3, 4, 6, 3), "IResNet-34; insightface's, 34,139,328 parameters.")
iresnet50 = variant(
    iresnet,
    'iresnet50',
    (3, 4, 14, 3),
    "IResNet-50; insightface's, 43,590,848 parameters: not a ResNet-50, its blocks have two convolutions.",
)
iresnet100 = variant(iresnet, 'iresnet100', (3, 13, 30, 3), "IResNet-100; insightface's, 65,156,160 parameters.")


class ConvPReLU(nn.Module):
    """A convolution and its batch norm, with a PReLU or none."""

    features: int
    kernel_size: int
    strides: int
    groups: int
    padding: int
    prelu: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool) -> Float[Array, 'n i j f']:
        """Apply them; `train` takes the batch's statistics and updates the running ones."""
        conv = Conv(
            self.features,
            self.kernel_size,
            self.strides,
            padding=self.padding,
            groups=self.groups,
            dtype=self.dtype,
            name='conv',
        )
        x = BatchNorm(dtype=self.dtype, name='bn')(conv(x), train=train)
        return PReLU(name='prelu')(x) if self.prelu else x


class MobileFaceNet(nn.Module):
    """The module behind `mobilefacenet`."""

    size: int = 512
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n d']:
        """Return float32 embeddings, of any length."""
        check_images(self, images, smallest=SIZE)

        def layer(x: Array, name: str, features: int, **options: int) -> Array:
            of: dict[str, Any] = {'kernel_size': 1, 'strides': 1, 'groups': 1, 'prelu': True, **options}
            padding = of['kernel_size'] // 2 if of['kernel_size'] == 3 else 0
            return ConvPReLU(features=features, padding=padding, dtype=self.dtype, name=name, **of)(x, train=train)

        def block(x: Array, name: str, features: int, groups: int, strides: int) -> Array:
            """An inverted residual without its sum."""
            x = layer(x, f'{name}_expand', groups)
            x = layer(x, f'{name}_depthwise', groups, kernel_size=3, strides=strides, groups=groups)
            return layer(x, f'{name}_project', features, prelu=False)

        x = layer(images, 'stem1', 128, kernel_size=3, strides=2)
        x = layer(x, 'stem2', 128, kernel_size=3, groups=64)
        # (features, groups of the block that strides, groups of the others, their number)
        for stage, (features, wide, groups, depth) in enumerate(
            ((128, 128, 128, 4), (256, 256, 256, 6), (256, 512, 256, 2))
        ):
            x = block(x, f'stage{stage + 1}_down', features, wide, 2)
            for number in range(depth):
                x = x + block(x, f'stage{stage + 1}_block{number + 1}', features, groups, 1)
        x = layer(x.astype(jnp.float32), 'last', 512)
        x = layer(x, 'global', 512, kernel_size=7, groups=512, prelu=False)
        return embedded(x, self.size, BatchNorm, train=train, use_bias=False)


@checked
def mobilefacenet(*, features: AtLeast1 = 512, dtype: DTypeLike = jnp.float32) -> MobileFaceNet:
    """Make a MobileFaceNet of twice the paper's width; insightface's `mbf`, 2,059,520 parameters.

    Args:
        features: numbers of an embedding.
        dtype: compute type, such as `jnp.bfloat16`; the dense layer and the norm after it stay float32.

    Returns:
        A module: `apply(variables, images [n 112 112 c]) -> embeddings [n features]`, of any length.

    Example:
        >>> from jaxcv import models
        >>> models.embedding.mobilefacenet(features=128).size
        128

    Chen et al. 2018, MobileFaceNets (https://arxiv.org/abs/1804.07573).
    """
    return MobileFaceNet(features, compute_type(dtype))
