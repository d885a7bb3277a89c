"""A backbone with a head on its last stage, upsampled: torchvision's FCNs, DeepLab v1 to v3, PSPNet."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.models.strides import Stage, stages
from jaxcv.nn.conv import Conv
from jaxcv.nn.conv_norm import ConvNorm
from jaxcv.nn.regularization import Dropout
from jaxcv.ops.resize import resize_bilinear
from jaxcv.types import Array, Float, Images


def upsampled(
    scores: Float[Array, 'n i j classes'], images: Images, *, align_corners: bool = False
) -> Float[Array, 'n h w classes']:
    """Resize scores bilinearly to the images' size, as float32 logits.

    Example:
        >>> import jax.numpy as jnp
        >>> upsampled(jnp.ones((1, 2, 3, 5)), jnp.ones((1, 16, 24, 3))).shape
        (1, 16, 24, 5)
    """
    return resize_bilinear(scores.astype(jnp.float32), size=images.shape[1:3], align_corners=align_corners)


class FCNHead(nn.Module):
    """A 3x3 convolution with batch norm and ReLU, dropout, and a 1x1 convolution to the classes.

    It is the head of torchvision's FCNs, and the auxiliary head of these, of its DeepLabs and of the PSPNet.
    """

    num_classes: int
    features: int | None = None
    """Of the 3x3; None for a quarter of the input's."""
    dropout: float = 0.1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool = False) -> Float[Array, 'n h w classes']:
        """Score each pixel."""
        features = self.features or x.shape[-1] // 4
        x = ConvNorm(features, dtype=self.dtype, name='hidden')(x, train=train)
        x = Dropout(self.dropout, name='drop')(x, train=train)
        return score_layer(self.num_classes, dtype=self.dtype, name='score')(x)


def score_layer(
    num_classes: int, *, kernel_size: int = 1, dtype: DTypeLike = jnp.float32, name: str | None = None
) -> Conv:
    """Make the last convolution of a head, with PyTorch's initialization but a bias of 0."""
    uniform = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')
    return Conv(num_classes, kernel_size, use_bias=True, dtype=dtype, kernel_init=uniform, name=name)


class BackboneHead(nn.Module):
    """A backbone and a head on its last stage, upsampled bilinearly; maybe an auxiliary head on the stage before."""

    backbone: nn.Module
    head: nn.Module
    auxiliary: nn.Module | None = None
    align_corners: bool = False

    @property
    def stages(self) -> dict[str, Stage]:
        """Return the backbone's stages, for `jaxcv.models.stages`."""
        return stages(self.backbone)

    @property
    def num_auxiliary(self) -> int:
        """Return the number of auxiliary heads."""
        return 0 if self.auxiliary is None else 1

    def features(self, images: Images, *, train: bool = False) -> dict[str, Float[Array, 'n i j f']]:
        """Return the backbone's stages by name."""
        return self.backbone.features(images, train=train)

    def with_auxiliary(self, images: Images, *, train: bool = False) -> tuple[Float[Array, 'n h w classes'], ...]:
        """Return the float32 logits of the head and of the auxiliary one."""
        if self.auxiliary is None:
            raise ValueError('this network has no auxiliary head: make it with aux_head=True')
        stages = self.features(images, train=train)
        *_, before, _ = stages.values()
        auxiliary = upsampled(self.auxiliary(before, train=train), images, align_corners=self.align_corners)
        return self._logits(images, stages, train=train), auxiliary

    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n h w classes']:
        """Return float32 logits; `train` takes the batch's statistics, updates the running ones, and drops."""
        if self.is_initializing() and self.auxiliary is not None:  # it gets its parameters too
            return self.with_auxiliary(images, train=train)[0]
        return self._logits(images, self.features(images, train=train), train=train)

    def _logits(self, images: Images, stages: dict[str, Array], *, train: bool) -> Array:
        *_, last = stages.values()
        return upsampled(self.head(last, train=train), images, align_corners=self.align_corners)
