"""DispNets (Mayer et al. 2016, https://arxiv.org/abs/1512.02134): disparity by an encoder and a decoder.

They differ from FlowNets by one level more, by a convolution after each concatenation of the decoder, and by one
channel. DispNetC correlates the features of both views along their rows. Predictions are positive, as everywhere here;
the original's are the x component of a flow, and negative.
"""

import functools
from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast0, NonNegative, Positive, checked
from jaxcv.models.checks import compute_type
from jaxcv.models.stereo.pairs import ConvUnit, at_full_size, both, split_pairs
from jaxcv.models.strides import Stage
from jaxcv.nn.conv import Conv
from jaxcv.nn.conv_transpose import ConvTranspose
from jaxcv.ops.correlation import correlation_1d
from jaxcv.ops.resize import resize_bilinear
from jaxcv.types import Array, Float, Images

LEVELS = (6, 5, 4, 3, 2, 1)
"""The levels of the decoder; that of number k has the stride 2^k."""
WIDTHS = {5: 512, 4: 256, 3: 128, 2: 64, 1: 32}
"""Channels of the decoder at each level."""
SKIPS = {5: 'conv5b', 4: 'conv4b', 3: 'conv3b', 2: 'conv2', 1: 'conv1'}


class DispNet(nn.Module):
    """The module behind `dispnet` and `dispnet_c`."""

    correlated: bool
    width: float = 1.0
    batch_norm: bool = False
    iconv_activation: bool = True
    learned_upsampling: bool = True
    slope: float = 0.1
    scale: float = 1.0
    max_displacement: int = 40
    two_sided: bool = False
    dtype: DTypeLike = jnp.float32
    images: ClassVar[int] = 2
    """Images that are stacked along the channels of the input."""

    @property
    def stages(self) -> dict[str, Stage]:
        """Return the stages that it declares, for `jaxcv.models.stages`."""
        channels = {'conv1': 64, 'conv2': 128, 'conv3b': 256, 'conv4b': 512, 'conv5b': 512, 'conv6b': 1024}
        encoder = {name: Stage(2 ** int(name[4]), self._width(c)) for name, c in channels.items()}
        return {**encoder, **{f'disparity{k}': Stage(2**k, 1) for k in LEVELS}}

    def _width(self, channels: int) -> int:
        return max(1, round(self.width * channels))

    @nn.compact
    def features(self, pairs: Images, *, train: bool = False) -> dict[str, Float[Array, 'n i j f']]:
        """Return 'conv1', 'conv2', 'conv3b' ... 'conv6b' of the left view, then 'disparity6' ... 'disparity1'."""
        left, right = split_pairs(self, pairs, multiple=64)
        found: dict[str, Array] = {}

        def unit(name: str, channels: int, size: int = 3, strides: int = 1) -> ConvUnit:
            width = self._width(channels)
            return ConvUnit(width, size, strides, self.batch_norm, self.slope, self.dtype, name=name)

        def first_layers(x: Array) -> tuple[Array, Array]:
            one = unit('conv1', 64, 7, 2)(x, train=train)
            return one, unit('conv2', 128, 5, 2)(one, train=train)

        if self.correlated:
            (found['conv1'], x), (_, theirs) = both(first_layers, left, right)
            found['conv2'] = x
            scores = correlation_1d(x, theirs, max_displacement=self.max_displacement, two_sided=self.two_sided)
            redirected = unit('conv_redir', 64, 1)(x, train=train)
            x = jnp.concatenate([redirected, nn.leaky_relu(scores, self.slope)], axis=-1)
        else:
            found['conv1'], x = first_layers(jnp.concatenate([left, right], axis=-1))
            found['conv2'] = x
        for level, channels, size in ((3, 256, 5), (4, 512, 3), (5, 512, 3), (6, 1024, 3)):
            x = unit(f'conv{level}a', channels, size, 2)(x, train=train)
            x = found[f'conv{level}b'] = unit(f'conv{level}b', channels)(x, train=train)
        return {**found, **self._decode(x, found)}

    def _decode(self, x: Array, skips: dict[str, Array]) -> dict[str, Array]:
        """Return the disparity of each level, from the coarsest features and those of the encoder."""

        def conv(name: str, features: int, x: Array, init: nn.initializers.Initializer) -> Array:
            return Conv(features, use_bias=True, kernel_init=init, dtype=self.dtype, name=name)(x)

        def predict(level: int, x: Array) -> Array:
            # Of the inputs' variance: by its one output, Conv's own rule, a disparity would begin at 20 pixels.
            return conv(f'pr{level}', 1, x, nn.initializers.lecun_normal())

        def upsample(name: str, features: int, x: Array) -> Array:
            layer = functools.partial(ConvTranspose, features, kernel_size=4, padding=1, use_bias=True)
            return layer(dtype=self.dtype, name=name)(x)

        found = {6: predict(6, x)}
        for level, channels in WIDTHS.items():
            features, coarse = self._width(channels), found[level + 1]
            up = nn.leaky_relu(upsample(f'upconv{level}', features, x), self.slope)
            if self.learned_upsampling:
                coarse = upsample(f'up_pr{level + 1}', 1, coarse)
            else:
                coarse = resize_bilinear(coarse, size=up.shape[1:3])
            x = jnp.concatenate([up, coarse, skips[SKIPS[level]]], axis=-1)
            x = conv(f'iconv{level}', features, x, nn.initializers.he_normal())
            x = nn.leaky_relu(x, self.slope) if self.iconv_activation else x
            found[level] = predict(level, x)
        return {f'disparity{level}': self.scale * field.astype(jnp.float32) for level, field in found.items()}

    def levels(self, pairs: Images, *, train: bool = False) -> dict[int, Float[Array, 'n i j']]:
        """Return the disparity at each stride, 64, 32 ... 2, of the padded images, all in pixels of the images."""
        found = self.features(pairs, train=train)
        return {2**level: found[f'disparity{level}'][..., 0] for level in LEVELS}

    def __call__(self, pairs: Images, *, train: bool = False) -> Float[Array, 'n h w']:
        """Return disparities, float32, at least 0, of the images' size and in their pixels."""
        finest = self.features(pairs, train=train)['disparity1']
        return jnp.maximum(at_full_size(finest, stride=2, size=pairs.shape[1:3])[..., 0], 0)


@checked
def dispnet(
    *,
    width: Positive = 1.0,
    batch_norm: bool = False,
    iconv_activation: bool = True,
    learned_upsampling: bool = True,
    slope: NonNegative = 0.1,
    scale: Positive = 1.0,
    dtype: DTypeLike = jnp.float32,
) -> DispNet:
    """Make DispNet, which finds the disparity from both views stacked: 42,322,459 parameters.

    Args:
        width: factor of the channels of all layers but the predictions.
        batch_norm: add a batch norm after each convolution of the encoder, which loses its bias.
        iconv_activation: apply a leaky ReLU after the convolutions `iconv`; re-implementations differ.
        learned_upsampling: upsample the predictions by transposed convolutions, or bilinearly (42,322,374 parameters).
        slope: of the leaky ReLUs below 0.
        scale: pixels of one unit of the predictions; the original has 1.
        dtype: compute type, such as `jnp.bfloat16` or `'bfloat16'`; parameters and disparities stay float32.

    Returns:
        A module: `apply(variables, pairs [n h w 2c]) -> disparity [n h w]`, for stereo pairs of any size, stacked along
        their channels, the left view first. Inside they are padded to multiples of 64. `method='levels'` gives the
        disparities by stride, for `losses.multi_scale_disparity`; all are in pixels of the images.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model, pairs = dispnet(width=0.1), jnp.ones((1, 60, 70, 6))
        >>> jax.eval_shape(model.init_with_output, jax.random.key(0), pairs)[0].shape
        (1, 60, 70)

    Mayer et al. 2016, A large dataset to train convolutional networks for disparity, optical flow, and scene flow
    estimation (https://arxiv.org/abs/1512.02134).
    """
    dtype = compute_type(dtype)
    return DispNet(False, width, batch_norm, iconv_activation, learned_upsampling, slope, scale, dtype=dtype)


@checked
def dispnet_c(
    *,
    width: Positive = 1.0,
    batch_norm: bool = False,
    iconv_activation: bool = True,
    learned_upsampling: bool = True,
    slope: NonNegative = 0.1,
    scale: Positive = 1.0,
    max_displacement: AtLeast0 = 40,
    two_sided: bool = False,
    dtype: DTypeLike = jnp.float32,
) -> DispNet:
    """Make DispNetC, which correlates the features of both views along their rows: 42,174,107 parameters.

    Args:
        width: factor of the channels of all layers but the correlation and the predictions.
        batch_norm: add a batch norm after each convolution of the encoder, which loses its bias.
        iconv_activation: apply a leaky ReLU after the convolutions `iconv`; re-implementations differ.
        learned_upsampling: upsample the predictions by transposed convolutions, or bilinearly.
        slope: of the leaky ReLUs below 0.
        scale: pixels of one unit of the predictions; the original has 1.
        max_displacement: of the correlation, in pixels of the features at stride 4: 40 are 160 pixels of the images.
        two_sided: correlate in both directions: 81 channels and 42,430,107 parameters.
        dtype: compute type, such as `jnp.bfloat16` or `'bfloat16'`; parameters and disparities stay float32.

    Returns:
        A module as `dispnet`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model, pairs = dispnet_c(width=0.1), jnp.ones((1, 60, 70, 6))
        >>> jax.eval_shape(model.init_with_output, jax.random.key(0), pairs)[0].shape
        (1, 60, 70)

    Mayer et al. 2016, A large dataset to train convolutional networks for disparity, optical flow, and scene flow
    estimation (https://arxiv.org/abs/1512.02134).
    """
    form = (True, width, batch_norm, iconv_activation, learned_upsampling, slope, scale)
    return DispNet(*form, max_displacement, two_sided, compute_type(dtype))
