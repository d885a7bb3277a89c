"""GoogLeNet, or Inception v1 (Szegedy et al. 2015, https://arxiv.org/abs/1409.4842).

Equal to torchvision's: batch norm (epsilon 1e-3) where the paper has response normalization, poolings that round up,
and 3x3 convolutions in the '5x5' branches, a mistake that the published weights keep. `paper_5x5` has the paper's.
"""

import functools

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, Below1, checked
from jaxcv.models.checks import Window, check_classes, check_images, compute_type, smallest_size
from jaxcv.models.strides import OutputStride, Stage, check_output_stride, declared, pool, steps
from jaxcv.nn.conv_norm import ConvNorm
from jaxcv.nn.inception import Inception
from jaxcv.nn.regularization import Dropout, check_rate
from jaxcv.ops.pool import adaptive_avg_pool
from jaxcv.types import Array, Float, Images

STAGES = {
    'stage2': {
        'inception3a': (64, (96, 128), (16, 32), 32),
        'inception3b': (128, (128, 192), (32, 96), 64),
    },
    'stage3': {
        'inception4a': (192, (96, 208), (16, 48), 64),
        'inception4b': (160, (112, 224), (24, 64), 64),
        'inception4c': (128, (128, 256), (24, 64), 64),
        'inception4d': (112, (144, 288), (32, 64), 64),
        'inception4e': (256, (160, 320), (32, 128), 128),
    },
    'stage4': {
        'inception5a': (256, (160, 320), (32, 128), 128),
        'inception5b': (384, (192, 384), (48, 128), 128),
    },
}
"""The paper's table 1: 1x1, (3x3 reduce, 3x3), (5x5 reduce, 5x5), pool projection."""

NORMAL = nn.initializers.normal(0.01)
Layer = functools.partial(ConvNorm, epsilon=1e-3, kernel_init=NORMAL)
"""Convolution, batch norm and ReLU."""


class Auxiliary(nn.Module):
    """A classifier on an intermediate module, for training: its loss is added, weighted by 0.3."""

    num_classes: int
    dropout: float
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool) -> Float[Array, 'n classes']:
        """Return float32 logits."""
        x = adaptive_avg_pool(x, size=4)
        x = Layer(128, kernel_size=1, dtype=self.dtype, name='conv')(x, train=train)
        x = nn.relu(nn.Dense(1024, dtype=self.dtype, kernel_init=NORMAL, name='fc1')(x.reshape(x.shape[0], -1)))
        x = Dropout(self.dropout, name='drop')(x, train=train)
        return nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=NORMAL, name='head')(x).astype(jnp.float32)


class GoogLeNet(nn.Module):
    """A stem and nine inception modules: the module behind `googlenet`."""

    num_classes: int
    aux_heads: bool = False
    paper_5x5: bool = False
    dropout: float = 0.2
    aux_dropout: float = 0.7
    dtype: DTypeLike = jnp.float32
    output_stride: int = 32

    def __post_init__(self):
        """Check the options that the layers would check late."""
        check_classes(self.num_classes)
        check_rate('dropout', self.dropout)
        check_rate('aux_dropout', self.aux_dropout)
        check_output_stride(self.output_stride)
        super().__post_init__()

    def setup(self):
        """Make the heads, which `features` does not use: their parameters are not needed there."""
        self.drop = Dropout(self.dropout)
        self.head = nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=NORMAL)
        if self.aux_heads:
            self.aux1, self.aux2 = (Auxiliary(self.num_classes, self.aux_dropout, self.dtype) for _ in range(2))

    @property
    def stages(self) -> dict[str, Stage]:
        """Return the stages that it declares, for `jaxcv.models.stages`."""
        names, channels = ('stem', 'stage1', *STAGES), (64, 192, 480, 832, 1024)
        return declared(zip(names, steps((2, 2, 2, 2, 2), self.output_stride), channels, strict=True))

    @property
    def num_auxiliary(self) -> int:
        """Return the number of auxiliary heads."""
        return 2 if self.aux_heads else 0

    @nn.compact
    def _outputs(self, images: Images, *, train: bool) -> dict[str, Array]:
        """Return the outputs of the stages and of the single inception modules."""

        def conv(x: Array, name: str, features: int, kernel_size: int, strides: int = 1) -> Array:
            layer = Layer(features, kernel_size, strides, dtype=self.dtype, name=name)
            return layer(x, train=train)

        _, first, *later = pools = steps((2, 2, 2, 2, 2), self.output_stride)
        windows = [Window(3, 2, ceil_mode=True) for step in pools[1:4] if step.strides > 1]
        check_images(self, images, smallest=smallest_size([Window(7, 2, 3), *windows]))
        outputs = {'stem': conv(images, 'stem', 64, 7, 2)}
        x = conv(pool(outputs['stem'], first, window=3, ceil_mode=True), 'conv2', 64, 1)
        x = outputs['stage1'] = conv(x, 'conv3', 192, 3)
        for (stage, modules), step in zip(STAGES.items(), later, strict=True):
            x = pool(x, step, window=2 if stage == 'stage4' else 3, ceil_mode=True)
            for name, widths in modules.items():
                inception = Inception(
                    *widths,
                    kernel_size=5 if self.paper_5x5 else 3,
                    dilation=step.dilation_after,
                    dtype=self.dtype,
                    name=name,
                )
                x = outputs[name] = inception(x, train=train)
            outputs[stage] = x
        return outputs

    def features(self, images: Images, *, train: bool = False) -> dict[str, Float[Array, 'n i j f']]:
        """Return the last outputs before each change of size, 'stem' and 'stage1' to 'stage4'."""
        outputs = self._outputs(images, train=train)
        return {name: x for name, x in outputs.items() if name.startswith('st')}

    def with_auxiliary(self, images: Images, *, train: bool = False) -> tuple[Float[Array, 'n classes'], ...]:
        """Return the float32 logits of the head, of the auxiliary one at 4a and of that at 4d."""
        if not self.aux_heads:
            raise ValueError('this GoogLeNet has no auxiliary heads: make it with aux_heads=True')
        outputs = self._outputs(images, train=train)
        return (
            self._logits(outputs['stage4'], train=train),
            self.aux1(outputs['inception4a'], train=train),
            self.aux2(outputs['inception4d'], train=train),
        )

    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n classes']:
        """Return float32 logits; `train` takes the batch's statistics, updates the running ones, and drops."""
        if self.is_initializing() and self.aux_heads:  # they get their parameters too
            return self.with_auxiliary(images, train=train)[0]
        return self._logits(self._outputs(images, train=train)['stage4'], train=train)

    def _logits(self, x: Array, *, train: bool) -> Array:
        return self.head(self.drop(x.mean(axis=(1, 2)), train=train)).astype(jnp.float32)


@checked
def googlenet(
    *,
    num_classes: AtLeast1 = 1000,
    aux_heads: bool = False,
    paper_5x5: bool = False,
    dropout: Below1 = 0.2,
    aux_dropout: Below1 = 0.7,
    dtype: DTypeLike = jnp.float32,
    output_stride: OutputStride = 32,
) -> GoogLeNet:
    """Make a GoogLeNet (Inception v1): 9 inception modules; torchvision's, 6,624,904 parameters.

    With the auxiliary heads, which the published checkpoint holds, 13,004,888 parameters.

    Args:
        num_classes: number of logits.
        aux_heads: add the paper's two classifiers on intermediate modules, for training. Then
            `apply(..., method='with_auxiliary')` returns three logits: of the head, the first and the second one.
        paper_5x5: use 5x5 convolutions as the paper does, not torchvision's 3x3.
        dropout: probability in [0, 1) of dropping a feature before the last layer, in training; needs
            `rngs={'dropout': key}`. The paper has 0.4.
        aux_dropout: the same in the auxiliary heads.
        dtype: compute type, such as `jnp.bfloat16` or `'bfloat16'`; parameters, statistics and logits stay float32.
        output_stride: the last stage's stride; at 16 or 8 the last one or two stages dilate instead of striding, with
            the same parameters.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`, with stages 'stem', 'stage1' to
        'stage4' at strides 2, 4, 8, 16, 32 (or less, by output_stride).

    Raises:
        ValueError: a probability is not in [0, 1), or the output stride is none of 8, 16, 32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model, images = googlenet(num_classes=5, aux_heads=True), jnp.ones((1, 64, 64, 3))
        >>> variables = jax.eval_shape(model.init, jax.random.key(0), images)
        >>> apply = lambda variables: model.apply(variables, images, method='with_auxiliary')
        >>> [logits.shape for logits in jax.eval_shape(apply, variables)]
        [(1, 5), (1, 5), (1, 5)]

    Szegedy et al. 2015, Going deeper with convolutions (https://arxiv.org/abs/1409.4842).
    """
    return GoogLeNet(
        num_classes=num_classes,
        aux_heads=aux_heads,
        paper_5x5=paper_5x5,
        dropout=dropout,
        aux_dropout=aux_dropout,
        dtype=compute_type(dtype),
        output_stride=output_stride,
    )
