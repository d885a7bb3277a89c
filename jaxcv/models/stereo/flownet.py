"""FlowNets (Dosovitskiy et al. 2015, https://arxiv.org/abs/1504.06852): optical flow by an encoder and a decoder.

FlowNetS takes both images stacked; FlowNetC encodes each and correlates the features. The decoder predicts the flow at
strides 64 to 4, each level from the coarser one. The networks are the released ones, with a tenth convolution and leaky
ReLUs, which the paper's text does not have.
"""

import functools
from typing import ClassVar, Literal

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast0, AtLeast1, NonNegative, Positive, checked
from jaxcv.models.checks import compute_type
from jaxcv.models.stereo.pairs import ConvUnit, at_full_size, both, split_pairs
from jaxcv.models.strides import Stage
from jaxcv.nn.conv import Conv
from jaxcv.nn.conv_transpose import ConvTranspose
from jaxcv.ops.correlation import correlation
from jaxcv.types import Array, Float, Images

Biases = Literal['all', 'not_upsampling', 'encoder']
LEVELS = (6, 5, 4, 3, 2)
"""The levels of the decoder; that of number k has the stride 2^k."""
SKIPS = {5: 'conv5_1', 4: 'conv4_1', 3: 'conv3_1', 2: 'conv2'}


class FlowNet(nn.Module):
    """The module behind `flownet_s` and `flownet_c`."""

    correlated: bool
    width: float = 1.0
    batch_norm: bool = False
    biases: Biases = 'all'
    last_conv: bool = True
    slope: float = 0.1
    scale: float = 20.0
    max_displacement: int = 20
    stride: int = 2
    dtype: DTypeLike = jnp.float32
    images: ClassVar[int] = 2
    """Images that are stacked along the channels of the input."""

    @property
    def stages(self) -> dict[str, Stage]:
        """Return the stages that it declares, for `jaxcv.models.stages`."""
        first = {'conv1': Stage(2, self._width(64)), 'conv2': Stage(4, self._width(128))}
        encoder = {f'conv{k}_1': Stage(2**k, self._width(c)) for k, c in zip((3, 4, 5), (256, 512, 512), strict=True)}
        last = {'conv6_1' if self.last_conv else 'conv6': Stage(64, self._width(1024))}
        return {**first, **encoder, **last, **{f'flow{k}': Stage(2**k, 2) for k in LEVELS}}

    def _width(self, channels: int) -> int:
        return max(1, round(self.width * channels))

    @nn.compact
    def features(self, pairs: Images, *, train: bool = False) -> dict[str, Float[Array, 'n i j f']]:
        """Return 'conv1', 'conv2', 'conv3_1' ... 'conv6_1' of the first image, and then 'flow6' ... 'flow2'."""
        first, second = split_pairs(self, pairs, multiple=64)
        found: dict[str, Array] = {}

        def unit(name: str, channels: int, size: int = 3, strides: int = 1) -> ConvUnit:
            width = self._width(channels)
            return ConvUnit(width, size, strides, self.batch_norm, self.slope, self.dtype, name=name)

        def first_layers(x: Array) -> tuple[Array, Array, Array]:
            one = unit('conv1', 64, 7, 2)(x, train=train)
            two = unit('conv2', 128, 5, 2)(one, train=train)
            return one, two, unit('conv3', 256, 5, 2)(two, train=train)

        if self.correlated:
            ours, (*_, theirs) = both(first_layers, first, second)
            found['conv1'], found['conv2'], x = ours
            scores = correlation(x, theirs, max_displacement=self.max_displacement, stride=self.stride)
            redirected = unit('conv_redir', 32, 1)(x, train=train)
            x = jnp.concatenate([redirected, nn.leaky_relu(scores, self.slope)], axis=-1)
        else:
            found['conv1'], found['conv2'], x = first_layers(jnp.concatenate([first, second], axis=-1))
        x = found['conv3_1'] = unit('conv3_1', 256)(x, train=train)
        for level, channels in ((4, 512), (5, 512), (6, 1024)):
            x = unit(f'conv{level}', channels, strides=2)(x, train=train)
            name = f'conv{level}_1' if level < 6 or self.last_conv else 'conv6'
            x = found[name] = unit(name, channels)(x, train=train) if name != 'conv6' else x
        return {**found, **self._decode(x, found)}

    def _decode(self, x: Array, skips: dict[str, Array]) -> dict[str, Array]:
        """Return the flow of each level, from the coarsest features and those of the encoder."""
        predicts, upsamples = self.biases != 'encoder', self.biases == 'all'

        def predict(level: int, x: Array) -> Array:
            # Of the inputs' variance: by the two outputs, Conv's own rule, flows would begin at 100 pixels.
            layer = functools.partial(Conv, 2, use_bias=predicts, kernel_init=nn.initializers.lecun_normal())
            return layer(dtype=self.dtype, name=f'predict_flow{level}')(x)

        def upsample(name: str, x: Array, features: int, *, bias: bool) -> Array:
            layer = functools.partial(ConvTranspose, features, kernel_size=4, padding=1, use_bias=bias)
            return layer(dtype=self.dtype, name=name)(x)

        flows = {6: predict(6, x)}
        for level, features in ((5, 512), (4, 256), (3, 128), (2, 64)):
            up = upsample(f'deconv{level}', x, self._width(features), bias=predicts)
            coarse = upsample(f'upsampled_flow{level + 1}_to_{level}', flows[level + 1], 2, bias=upsamples)
            x = jnp.concatenate([skips[SKIPS[level]], nn.leaky_relu(up, self.slope), coarse], axis=-1)
            flows[level] = predict(level, x)
        return {f'flow{level}': self.scale * flow.astype(jnp.float32) for level, flow in flows.items()}

    def levels(self, pairs: Images, *, train: bool = False) -> dict[int, Float[Array, 'n i j 2']]:
        """Return the flow at each stride, 64, 32, 16, 8 and 4, of the padded images, all in pixels of the images."""
        found = self.features(pairs, train=train)
        return {2**level: found[f'flow{level}'] for level in LEVELS}

    def __call__(self, pairs: Images, *, train: bool = False) -> Float[Array, 'n h w 2']:
        """Return the flow (dx, dy) from the first image to the second, float32, of their size and in their pixels."""
        return at_full_size(self.levels(pairs, train=train)[4], stride=4, size=pairs.shape[1:3])


@checked
def flownet_s(
    *,
    width: Positive = 1.0,
    batch_norm: bool = False,
    biases: Biases = 'all',
    last_conv: bool = True,
    slope: NonNegative = 0.1,
    scale: Positive = 20.0,
    dtype: DTypeLike = jnp.float32,
) -> FlowNet:
    """Make FlowNetS, which finds the flow from both images stacked: 38,676,514 parameters.

    Args:
        width: factor of the channels of all layers but the predictions.
        batch_norm: add a batch norm after each convolution of the encoder, which loses its bias.
        biases: the layers with a bias. 'all' is the original's in Caffe; 'not_upsampling' leaves out the layers that
            upsample the flow, as flownet2-pytorch's FlowNetS (38,676,506 parameters); 'encoder' has them in the encoder
            only, as FlowNetPytorch (38,675,536).
        last_conv: have the layer conv6_1, as all released networks; False is the paper's text.
        slope: of the leaky ReLUs below 0; 0 is the paper's text.
        scale: pixels of one unit of the predictions: networks are trained on the flow divided by it.
        dtype: compute type, such as `jnp.bfloat16` or `'bfloat16'`; parameters and flows stay float32.

    Returns:
        A module: `apply(variables, pairs [n h w 2c]) -> flow [n h w 2]`, for pairs of images of any size, stacked along
        their channels. Inside they are padded to multiples of 64. `method='levels'` gives the flows by stride, for
        `losses.multi_scale_flow`; all are in pixels of the images, whatever their stride.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model, pairs = flownet_s(width=0.1), jnp.ones((1, 60, 70, 6))
        >>> jax.eval_shape(model.init_with_output, jax.random.key(0), pairs)[0].shape
        (1, 60, 70, 2)

    Dosovitskiy et al. 2015, FlowNet: learning optical flow with convolutional networks
    (https://arxiv.org/abs/1504.06852).

    Published weights, by source: 'flownet_pytorch', 'flownet2_pytorch'.
    """
    return FlowNet(False, width, batch_norm, biases, last_conv, slope, scale, dtype=compute_type(dtype))


@checked
def flownet_c(
    *,
    width: Positive = 1.0,
    batch_norm: bool = False,
    biases: Biases = 'all',
    last_conv: bool = True,
    slope: NonNegative = 0.1,
    scale: Positive = 20.0,
    max_displacement: AtLeast0 = 20,
    stride: AtLeast1 = 2,
    dtype: DTypeLike = jnp.float32,
) -> FlowNet:
    """Make FlowNetC, which correlates the features of both images: 39,175,298 parameters.

    Args:
        width: factor of the channels of all layers but the correlation and the predictions.
        batch_norm: add a batch norm after each convolution of the encoder, which loses its bias.
        biases: the layers with a bias. 'all' is the original's in Caffe; 'encoder' has them in the encoder only, as
            FlowNetPytorch (39,174,320 parameters); 'not_upsampling' leaves out the layers that upsample the flow.
        last_conv: have the layer conv6_1, as all released networks; False is the paper's text.
        slope: of the leaky ReLUs below 0; 0 is the paper's text.
        scale: pixels of one unit of the predictions: networks are trained on the flow divided by it.
        max_displacement: of the correlation, in pixels of the features at stride 8: 20 are 160 pixels of the images.
        stride: of the correlation, from one displacement to the next.
        dtype: compute type, such as `jnp.bfloat16` or `'bfloat16'`; parameters and flows stay float32.

    Returns:
        A module as `flownet_s`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model, pairs = flownet_c(width=0.1), jnp.ones((1, 60, 70, 6))
        >>> jax.eval_shape(model.init_with_output, jax.random.key(0), pairs)[0].shape
        (1, 60, 70, 2)

    Dosovitskiy et al. 2015, FlowNet: learning optical flow with convolutional networks
    (https://arxiv.org/abs/1504.06852).

    Published weights, by source: 'flownet_pytorch', 'flownet2_pytorch'.
    """
    dtype = compute_type(dtype)
    return FlowNet(True, width, batch_norm, biases, last_conv, slope, scale, max_displacement, stride, dtype)
