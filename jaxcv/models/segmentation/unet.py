"""U-Nets (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597): an encoder, and a decoder with skip connections.

`unet` is the paper's; `backbone_unet` has any backbone as its encoder, and the decoder of segmentation-models-pytorch
behind a batch norm of each stage; `unet_resnet34` is that library's, without these norms, on its default encoder.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, Below1, checked
from jaxcv.models.backbones.resnet import resnet34
from jaxcv.models.checks import check_classes, check_images, compute_type
from jaxcv.models.segmentation.head import score_layer
from jaxcv.models.strides import Stage, by_stride, stages
from jaxcv.nn.conv import Conv
from jaxcv.nn.conv_norm import ConvNorm
from jaxcv.nn.conv_transpose import ConvTranspose
from jaxcv.nn.norm import BatchNorm
from jaxcv.nn.regularization import Dropout, check_rate
from jaxcv.ops.image import center_crop
from jaxcv.ops.pool import max_pool
from jaxcv.ops.resize import resize_nearest
from jaxcv.types import Array, Float, Images

UNetPadding = Literal['same', 'valid']


class TwoConvs(nn.Module):
    """Two 3x3 convolutions with ReLU, and batch norm if asked for."""

    features: int
    padding: int
    batch_norm: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool) -> Float[Array, 'n i j f']:
        """Convolve twice."""
        for i in (1, 2):
            conv = Conv(
                self.features,
                padding=self.padding,
                use_bias=not self.batch_norm,
                dtype=self.dtype,
                kernel_init=nn.initializers.he_normal(),
                name=f'conv{i}',
            )
            x = conv(x)
            if self.batch_norm:
                x = BatchNorm(dtype=self.dtype, name=f'bn{i}')(x, train=train)
            x = nn.relu(x)
        return x


class UNet(nn.Module):
    """The paper's network: the module behind `unet`."""

    num_classes: int
    width: int = 64
    depth: int = 4
    padding: UNetPadding = 'same'
    batch_norm: bool = False
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32
    num_auxiliary: ClassVar[int] = 0
    """This network has no auxiliary heads."""

    def __post_init__(self):
        """Check the option that the layers would check in training only."""
        check_classes(self.num_classes)
        check_rate('dropout', self.dropout)
        super().__post_init__()

    def setup(self):
        """Make the last convolution, which `features` does not use."""
        self.score = score_layer(self.num_classes, dtype=self.dtype)

    @property
    def stages(self) -> dict[str, Stage]:
        """Return the stages that it declares, for `jaxcv.models.stages`."""
        levels = [Stage(2**level, self.width * 2**level) for level in range(self.depth + 1)]
        down = {f'down{i}': stage for i, stage in enumerate(levels[:-1], start=1)}
        up = {f'up{i}': levels[i - 1] for i in range(self.depth, 0, -1)}
        return {**down, 'bottom': levels[-1], **up}

    @nn.compact
    def features(self, images: Images, *, train: bool = False) -> dict[str, Float[Array, 'n i j f']]:
        """Return 'down1', 'down2', ... and 'bottom', then ..., 'up2', 'up1', all of the padded images."""
        check_images(self, images)
        pad = int(self.padding == 'same')

        def convs(name: str, level: int, x: Array) -> Array:
            features = self.width * 2**level
            return TwoConvs(features, pad, self.batch_norm, self.dtype, name=name)(x, train=train)

        x, stages = self._padded(images), {}
        for level in range(self.depth):
            stages[f'down{level + 1}'] = convs(f'down{level + 1}', level, x)
            x = max_pool(stages[f'down{level + 1}'], window=2, strides=2, padding=0)
        x = stages['bottom'] = Dropout(self.dropout, name='drop')(convs('bottom', self.depth, x), train=train)
        for level in reversed(range(self.depth)):
            name = f'up{level + 1}'
            layer = ConvTranspose(self.width * 2**level, use_bias=True, dtype=self.dtype, name=f'{name}_conv')
            x = layer(x)
            _, rows, columns, _ = x.shape
            skip = center_crop(stages[f'down{level + 1}'], size=(rows, columns))
            x = stages[name] = convs(name, level, jnp.concatenate([skip, x], axis=-1))
        return stages

    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n h w classes']:
        """Return float32 logits; `train` takes the batch's statistics, updates the running ones, and drops."""
        x = self.features(images, train=train)['up1']
        _, rows, columns, _ = images.shape
        return self.score(center_crop(x, size=(rows, columns))).astype(jnp.float32)

    def _padded(self, images: Array) -> Array:
        """Pad by mirroring: to even sizes at each level, plus the pixels that unpadded convolutions remove."""
        unit = 2**self.depth
        # Two convolutions at each level, down and up, remove 4 pixels a side there: 2^level pixels of the image each.
        removed, rest = (0, 0) if self.padding == 'same' else (6 * unit - 4, 4)
        sides = []
        for size in images.shape[1:3]:
            more = (rest - size) % unit
            sides.append((removed + more // 2, removed + more - more // 2))
        return jnp.pad(images, ((0, 0), *sides, (0, 0)), mode='reflect')


class UNetDecoder(nn.Module):
    """Steps of upsampling by the nearest pixel, a skip connection and two convolutions, one for each finer stride."""

    features: Sequence[int]
    normalize_stages: bool
    """Put a batch norm on each of the encoder's stages before anything else."""
    dtype: DTypeLike

    @nn.compact
    def __call__(self, images: Images, encoded: Mapping[int, Array], *, train: bool) -> dict[str, Array]:
        """Return the outputs 'up1', 'up2', ... from the encoder's features by stride."""
        if self.normalize_stages:
            encoded = {
                stride: BatchNorm(dtype=self.dtype, name=f'stage{stride}_bn')(x, train=train)
                for stride, x in encoded.items()
            }
        coarsest, *_ = strides = sorted(encoded, reverse=True)
        x, outputs = encoded[coarsest], {}
        for i, (stride, features) in enumerate(self.steps(strides), start=1):
            skip = encoded.get(stride)
            x = resize_nearest(x, size=images.shape[1:3] if skip is None else skip.shape[1:3])
            x = x if skip is None else jnp.concatenate([x, skip.astype(x.dtype)], axis=-1)
            for j in (1, 2):
                layer = ConvNorm(features, dtype=self.dtype, name=f'block{i}_conv{j}')
                x = layer(x, train=train)
            outputs[f'up{i}'] = x
        return outputs

    def steps(self, strides: Sequence[int]) -> list[tuple[int, int]]:
        """Return (stride, channels) of each step; the last one is at stride 1, without a skip where there is none."""
        _, *finer = sorted({*strides, 1}, reverse=True)
        if len(finer) > len(self.features):
            raise ValueError(
                f'a backbone of {len(strides)} resolutions needs {len(finer)} decoder_features, got {self.features}'
            )
        return list(zip(finer, self.features[-len(finer) :], strict=True))


class BackboneUNet(nn.Module):
    """A backbone, the decoder, and a 3x3 convolution to the classes: behind `backbone_unet` and `unet_resnet34`."""

    backbone: nn.Module
    decoder: UNetDecoder
    num_classes: int
    dtype: DTypeLike = jnp.float32
    num_auxiliary: ClassVar[int] = 0
    """This network has no auxiliary heads."""

    def setup(self):
        """Make the last convolution, which `features` does not use."""
        self.score = score_layer(self.num_classes, kernel_size=3, dtype=self.dtype)

    @property
    def stages(self) -> dict[str, Stage]:
        """Return the backbone's stages and then the decoder's, for `jaxcv.models.stages`."""
        encoder = stages(self.backbone)
        steps = self.decoder.steps([*{stage.stride for stage in encoder.values()}])
        return {**encoder, **{f'up{i}': Stage(*step) for i, step in enumerate(steps, start=1)}}

    def features(self, images: Images, *, train: bool = False) -> dict[str, Float[Array, 'n i j f']]:
        """Return the backbone's stages, then the decoder's, 'up1' and on, the last one at the images' size."""
        encoded = self.backbone.features(images, train=train)
        return {**encoded, **self.decoder(images, by_stride(self.backbone, encoded), train=train)}

    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n h w classes']:
        """Return float32 logits; `train` takes the batch's statistics and updates the running ones."""
        *_, last = self.features(images, train=train).values()
        return self.score(last).astype(jnp.float32)


@checked
def unet(
    *,
    num_classes: AtLeast1 = 21,
    width: AtLeast1 = 64,
    depth: AtLeast1 = 4,
    padding: UNetPadding = 'same',
    batch_norm: bool = False,
    dropout: Below1 = 0.0,
    dtype: DTypeLike = jnp.float32,
) -> UNet:
    """Make the U-Net of the paper: 31,030,658 parameters from one channel to 2 classes.

    Args:
        num_classes: number of logits of a pixel.
        width: channels of the first level; each later one has twice as many.
        depth: levels below the first.
        padding: 'valid' is the paper's: convolutions without padding, and skip connections that are cropped. Here the
            images are mirrored at their borders first, as the paper does for its tiles, by 92 pixels on every side at
            depth 4. 'same' has convolutions that keep the size: less to compute, and zeros outside.
        batch_norm: add a batch norm after each 3x3 convolution, which loses its bias.
        dropout: probability in [0, 1) of dropping a value at the bottom, in training; needs
            `rngs={'dropout': key}`.
        dtype: compute type, such as `jnp.bfloat16` or `'bfloat16'`; parameters, statistics and logits stay float32.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n h w num_classes]`, for images of any size, with
        stages 'down1', ..., 'bottom' and 'up4', ..., 'up1' of the padded images.

    Raises:
        ValueError: the probability is not in [0, 1).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model, images = unet(num_classes=2, width=4, padding='valid'), jnp.ones((1, 40, 33, 1))
        >>> jax.eval_shape(model.init_with_output, jax.random.key(0), images)[0].shape
        (1, 40, 33, 2)

    Ronneberger et al. 2015, U-Net: convolutional networks for biomedical image segmentation
    (https://arxiv.org/abs/1505.04597).
    """
    return UNet(num_classes, width, depth, padding, batch_norm, dropout, compute_type(dtype))


@checked
def backbone_unet(
    *,
    backbone: nn.Module,
    num_classes: AtLeast1 = 21,
    decoder_features: Sequence[AtLeast1] = (256, 128, 64, 32, 16),
    normalize_stages: bool = True,
    dtype: DTypeLike = jnp.float32,
) -> BackboneUNet:
    """Make a U-Net whose encoder is a backbone: the last stage of each stride is a skip connection.

    A step of the decoder upsamples by the nearest pixel, stacks the skip connection, and has two 3x3 convolutions with
    batch norm and ReLU; the last step is at the images' own size.

    Args:
        backbone: a model that declares its stages, such as `models.resnet18()`, with its own dtype.
        num_classes: number of logits of a pixel.
        decoder_features: channels of the steps, the coarsest first; a backbone with fewer resolutions uses the last
            ones.
        normalize_stages: put a batch norm on each stage of the backbone. Without it a stage counts in the
            concatenation by its own scale: a stage that ends in a convolution without activation, as those of
            MobileNet v2 and EfficientNet do, has values of 7 to 10, the ReLU of the step before of less than 1, and
            the untrained decoder passes nearly nothing of the coarse stages on. A long training evens that out (82.7
            and 84.2 % mean IoU without and with norms in `experiments.studies.segmenters`). False is
            segmentation-models-pytorch's.
        dtype: compute type of the decoder, such as `jnp.bfloat16` or `'bfloat16'`; parameters, statistics and logits
            stay float32.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n h w num_classes]`, for images of any size that the
        backbone takes, with its stages and 'up1', 'up2', ... of the decoder. It raises ValueError where the backbone
        has more resolutions than there are decoder features.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxcv import models
        >>> model, images = backbone_unet(backbone=models.vgg11_bn(), num_classes=5), jnp.ones((1, 50, 33, 3))
        >>> jax.eval_shape(model.init_with_output, jax.random.key(0), images)[0].shape
        (1, 50, 33, 5)

    Ronneberger et al. 2015, U-Net: convolutional networks for biomedical image segmentation
    (https://arxiv.org/abs/1505.04597).
    """
    check_classes(num_classes)
    dtype = compute_type(dtype)
    return BackboneUNet(backbone, UNetDecoder(tuple(decoder_features), normalize_stages, dtype), num_classes, dtype)


@checked
def unet_resnet34(*, num_classes: AtLeast1 = 1, dtype: DTypeLike = jnp.float32) -> BackboneUNet:
    """Make the Unet of segmentation-models-pytorch on a ResNet-34: 24,436,369 parameters.

    Args:
        num_classes: number of logits of a pixel; one, as there by default, is for a sigmoid.
        dtype: compute type, such as `jnp.bfloat16` or `'bfloat16'`; parameters, statistics and logits stay float32.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n h w num_classes]`, as `backbone_unet`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model, images = unet_resnet34(), jnp.ones((1, 50, 33, 3))
        >>> jax.eval_shape(model.init_with_output, jax.random.key(0), images)[0].shape
        (1, 50, 33, 1)

    Ronneberger et al. 2015, U-Net: convolutional networks for biomedical image segmentation
    (https://arxiv.org/abs/1505.04597).
    """
    return backbone_unet(backbone=resnet34(dtype=dtype), num_classes=num_classes, normalize_stages=False, dtype=dtype)
