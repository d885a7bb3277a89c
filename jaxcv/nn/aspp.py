"""Atrous spatial pyramid pooling (DeepLab): dilated convolutions of several rates side by side.

An atrous convolution is a dilated one: `Conv(dilation=rate)`.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast0, AtLeast1, Below1, checked
from jaxcv.nn.conv import Conv
from jaxcv.nn.conv_norm import ConvNorm
from jaxcv.nn.depthwise import DepthwiseSeparableConv
from jaxcv.nn.regularization import Dropout
from jaxcv.types import Array, Float


@checked
class ASPP(nn.Module):
    """DeepLab v3's: `project([1x1(x), 3x3_r1(x), 3x3_r2(x), ..., 1x1(mean(x))])`, channels stacked.

    Each is a convolution, batch norm and ReLU; the branch of the mean over the image is equal at all pixels.
    'branch0' is the 1x1 convolution, 'branch1' and on are those of the rates, 'pool' that of the mean.

    Attributes:
        features: channels of each branch and of the result.
        rates: dilations; the paper has 6, 12, 18 at output stride 16 and their doubles at 8, torchvision its triples.
        image_pooling: add the branch of the mean.
        separable: make the convolutions of the rates depthwise separable, as DeepLab v3+ can.
        dropout: probability in [0, 1) of dropping a value of the result, in training.
        dtype: compute type; parameters and statistics stay float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = ASPP(features=8, rates=(2, 4)), jnp.ones((1, 9, 7, 4))
        >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
        >>> sorted(variables['params']), y.shape
        (['branch0', 'branch1', 'branch2', 'pool', 'project'], (1, 9, 7, 8))

    Chen et al. 2017, Rethinking atrous convolution for semantic image segmentation (https://arxiv.org/abs/1706.05587).
    """

    features: AtLeast1 = 256
    rates: Sequence[AtLeast1] = (12, 24, 36)
    image_pooling: bool = True
    separable: bool = False
    dropout: Below1 = 0.5
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool = False) -> Float[Array, 'n h w f']:
        """Apply all branches; `train` takes the batch's statistics, updates the running ones, and drops."""

        def one(name: str, y: Array) -> Array:
            layer = ConvNorm(self.features, kernel_size=1, dtype=self.dtype, name=name)
            return layer(y, train=train)

        make: Callable[..., nn.Module] = DepthwiseSeparableConv if self.separable else ConvNorm
        branches = [one('branch0', x)]
        for i, rate in enumerate(self.rates, start=1):
            conv = make(self.features, dilation=rate, dtype=self.dtype, name=f'branch{i}')
            branches.append(conv(x, train=train))
        if self.image_pooling:
            # The mean of many pixels is taken in float32, whatever the compute type.
            mean = x.mean(axis=(1, 2), keepdims=True, dtype=jnp.float32).astype(self.dtype)
            branches.append(jnp.broadcast_to(one('pool', mean), branches[0].shape))
        y = one('project', jnp.concatenate(branches, axis=-1))
        return Dropout(self.dropout, name='drop')(y, train=train)


@checked
class SummedASPP(nn.Module):
    """DeepLab v2's: the sum of the scores of dilated convolutions of several rates, `sum_r score_r(x)`.

    A branch is one 3x3 convolution to the scores, as in the paper's ResNet; with `hidden_features` it is a 3x3 and a
    1x1 convolution, each with ReLU and dropout, and a 1x1 one to the scores: fc6, fc7 and fc8 of its VGG.

    Attributes:
        features: channels of the result, a class each.
        rates: dilations.
        hidden_features: channels of the two hidden layers of a branch, 1024 in the paper; 0 leaves them out.
        dropout: probability in [0, 1) of dropping a hidden value, in training.
        dtype: compute type; parameters stay float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = SummedASPP(features=3, rates=(2, 4)), jnp.ones((1, 9, 7, 4))
        >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
        >>> sorted(variables['params']), y.shape
        (['branch1_score', 'branch2_score'], (1, 9, 7, 3))

    Chen et al. 2016, DeepLab, section 3.2 (https://arxiv.org/abs/1606.00915).
    """

    features: AtLeast1
    rates: Sequence[AtLeast1] = (6, 12, 18, 24)
    hidden_features: AtLeast0 = 0
    dropout: Below1 = 0.5
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool = False) -> Float[Array, 'n h w f']:
        """Add up the branches; `train` drops."""
        total = jnp.zeros((), self.dtype)
        for i, rate in enumerate(self.rates, start=1):
            y, kernel_size, dilation = x, 3, rate
            if self.hidden_features:
                for name, kernel_size, dilation in (('fc6', 3, rate), ('fc7', 1, 1)):
                    conv = Conv(
                        self.hidden_features,
                        kernel_size,
                        dilation=dilation,
                        use_bias=True,
                        dtype=self.dtype,
                        name=f'branch{i}_{name}',
                    )
                    y = Dropout(self.dropout, name=f'branch{i}_{name}_drop')(nn.relu(conv(y)), train=train)
            total += Conv(
                self.features,
                kernel_size,
                dilation=dilation,
                use_bias=True,
                dtype=self.dtype,
                kernel_init=nn.initializers.normal(0.01),
                name=f'branch{i}_score',
            )(y)
        return total
