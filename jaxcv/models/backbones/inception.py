"""Inception v3 (Szegedy et al. 2016, https://arxiv.org/abs/1512.00567), equal to torchvision's.

Large kernels become stacks of small ones, and square ones pairs of a row and a column; each change of size has a
convolution and a pooling side by side. Layers are named as in torchvision, which follows TensorFlow's release.
"""

import functools
from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, Below1, checked
from jaxcv.models.checks import Window, check_classes, check_images, compute_type, smallest_size
from jaxcv.models.strides import OutputStride, Stage, Step, check_output_stride, declared, pool, steps
from jaxcv.nn.conv_norm import ConvNorm
from jaxcv.nn.regularization import Dropout, check_rate
from jaxcv.ops.pool import avg_pool
from jaxcv.sizes import Size
from jaxcv.types import Array, Float, Images

INIT = nn.initializers.normal(0.1)
"""Of all but the auxiliary dense layer; torchvision cuts it off at 20 standard deviations."""
Layer = functools.partial(ConvNorm, epsilon=1e-3, kernel_init=INIT)
"""Convolution, batch norm and ReLU."""
SMALLEST_FOR_AUXILIARY = 17
"""Rows and columns at stride 16 that the auxiliary head needs: those of a 299 x 299 image."""


class Mixed(nn.Module):
    """A module of Inception v3: the branches of its `kind`, side by side."""

    dtype: DTypeLike
    step: Step
    """Its stride, and the dilation of its kernels."""
    kind: Callable[..., list[Array]]
    features: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool) -> Float[Array, 'n i j f']:
        """Apply the branches to x and stack their channels."""

        def conv(x: Array, name: str, features: int, kernel_size: Size = 1, strides: int = 1) -> Array:
            layer = Layer(
                features,
                kernel_size,
                strides,
                self.step.dilation,
                padding='symmetric' if strides == 1 else 0,
                dtype=self.dtype,
                name=name,
            )
            return layer(x, train=train)

        branches = self.kind(conv, x, self.step, *self.features)
        return jnp.concatenate(branches, axis=-1)


def _mixed5(conv: Callable[..., Array], x: Array, step: Step, pool_features: int) -> list[Array]:
    """Figure 5: two 3x3 convolutions in the place of one 5x5."""
    five = conv(conv(x, 'branch5x5_1', 48), 'branch5x5_2', 64, 5)
    double = conv(conv(x, 'branch3x3dbl_1', 64), 'branch3x3dbl_2', 96, 3)
    return [
        conv(x, 'branch1x1', 64),
        five,
        conv(double, 'branch3x3dbl_3', 96, 3),
        conv(avg_pool(x, window=3, padding=step.dilation, dilation=step.dilation), 'branch_pool', pool_features),
    ]


def _reduction6(conv: Callable[..., Array], x: Array, step: Step) -> list[Array]:
    """Figure 10: convolutions and a pooling side by side, all at stride 2."""
    double = conv(conv(x, 'branch3x3dbl_1', 64), 'branch3x3dbl_2', 96, 3)
    return [
        conv(x, 'branch3x3', 384, 3, step.strides),
        conv(double, 'branch3x3dbl_3', 96, 3, step.strides),
        pool(x, step, window=3),
    ]


def _mixed6(conv: Callable[..., Array], x: Array, step: Step, features: int) -> list[Array]:
    """Figure 6: a 1x7 and a 7x1 convolution in the place of a 7x7."""
    seven = conv(conv(x, 'branch7x7_1', features), 'branch7x7_2', features, (1, 7))
    double = conv(conv(x, 'branch7x7dbl_1', features), 'branch7x7dbl_2', features, (7, 1))
    double = conv(conv(double, 'branch7x7dbl_3', features, (1, 7)), 'branch7x7dbl_4', features, (7, 1))
    return [
        conv(x, 'branch1x1', 192),
        conv(seven, 'branch7x7_3', 192, (7, 1)),
        conv(double, 'branch7x7dbl_5', 192, (1, 7)),
        conv(avg_pool(x, window=3, padding=step.dilation, dilation=step.dilation), 'branch_pool', 192),
    ]


def _reduction7(conv: Callable[..., Array], x: Array, step: Step) -> list[Array]:
    """As figure 10, with a 7x7 branch."""
    seven = conv(conv(x, 'branch7x7x3_1', 192), 'branch7x7x3_2', 192, (1, 7))
    seven = conv(seven, 'branch7x7x3_3', 192, (7, 1))
    return [
        conv(conv(x, 'branch3x3_1', 192), 'branch3x3_2', 320, 3, step.strides),
        conv(seven, 'branch7x7x3_4', 192, 3, step.strides),
        pool(x, step, window=3),
    ]


def _mixed7(conv: Callable[..., Array], x: Array, step: Step) -> list[Array]:
    """Figure 7: a 1x3 and a 3x1 convolution side by side, for more channels on the coarsest grid."""
    three = conv(x, 'branch3x3_1', 384)
    double = conv(conv(x, 'branch3x3dbl_1', 448), 'branch3x3dbl_2', 384, 3)
    return [
        conv(x, 'branch1x1', 320),
        conv(three, 'branch3x3_2a', 384, (1, 3)),
        conv(three, 'branch3x3_2b', 384, (3, 1)),
        conv(double, 'branch3x3dbl_3a', 384, (1, 3)),
        conv(double, 'branch3x3dbl_3b', 384, (3, 1)),
        conv(avg_pool(x, window=3, padding=step.dilation, dilation=step.dilation), 'branch_pool', 192),
    ]


STAGES: dict[str, dict[str, tuple]] = {
    'stage2': {'mixed5b': (_mixed5, (32,)), 'mixed5c': (_mixed5, (64,)), 'mixed5d': (_mixed5, (64,))},
    'stage3': {
        'mixed6a': (_reduction6,),
        'mixed6b': (_mixed6, (128,)),
        'mixed6c': (_mixed6, (160,)),
        'mixed6d': (_mixed6, (160,)),
        'mixed6e': (_mixed6, (192,)),
    },
    'stage4': {'mixed7a': (_reduction7,), 'mixed7b': (_mixed7,), 'mixed7c': (_mixed7,)},
}
"""The kind of each module, and its number of features where that varies."""


class Auxiliary(nn.Module):
    """A classifier on the features at stride 16, for training: its loss is added, weighted."""

    num_classes: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool) -> Float[Array, 'n classes']:
        """Return float32 logits."""

        def conv(x: Array, name: str, features: int, kernel_size: int) -> Array:
            layer = Layer(features, kernel_size, padding=0, dtype=self.dtype, name=name)
            return layer(x, train=train)

        x = conv(avg_pool(x, window=5, strides=3), 'conv0', 128, 1)
        x = conv(x, 'conv1', 768, 5).mean(axis=(1, 2))
        head = nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=nn.initializers.normal(0.001), name='head')
        return head(x).astype(jnp.float32)


class InceptionV3(nn.Module):
    """A stem and eleven modules: the module behind `inception_v3`."""

    num_classes: int
    aux_heads: bool = True
    dropout: float = 0.5
    dtype: DTypeLike = jnp.float32
    output_stride: int = 32

    def __post_init__(self):
        """Check the options that the layers would check late."""
        check_classes(self.num_classes)
        check_rate('dropout', self.dropout)
        check_output_stride(self.output_stride)
        super().__post_init__()

    def setup(self):
        """Make the heads, which `features` does not use: their parameters are not needed there."""
        self.drop = Dropout(self.dropout)
        self.head = nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=INIT)
        if self.aux_heads:
            self.aux = Auxiliary(self.num_classes, self.dtype)

    @property
    def stages(self) -> dict[str, Stage]:
        """Return the stages that it declares, for `jaxcv.models.stages`."""
        names, channels = ('stem', 'stage1', *STAGES), (64, 192, 288, 768, 2048)
        return declared(zip(names, steps((2, 2, 2, 2, 2), self.output_stride), channels, strict=True))

    @property
    def num_auxiliary(self) -> int:
        """Return the number of auxiliary heads."""
        return 1 if self.aux_heads else 0

    @nn.compact
    def features(self, images: Images, *, train: bool = False) -> dict[str, Float[Array, 'n i j f']]:
        """Return the last outputs before each change of size, 'stem' and 'stage1' to 'stage4'."""

        def conv(x: Array, name: str, features: int, kernel_size: int, strides: int = 1, padding: int = 0) -> Array:
            layer = Layer(
                features,
                kernel_size,
                strides,
                padding=padding,
                dtype=self.dtype,
                name=name,
            )
            return layer(x, train=train)

        _, pool1, pool2, *reductions = steps((2, 2, 2, 2, 2), self.output_stride)
        reduced = [Window(3, 2) for step in reductions if step.strides > 1]
        windows = [Window(3, 2), Window(3), Window(3, pool1.strides), Window(3), Window(3, pool2.strides), *reduced]
        check_images(self, images, smallest=smallest_size(windows))
        x = conv(images, 'conv1a', 32, 3, strides=2)
        x = conv(x, 'conv2a', 32, 3)
        stages = {'stem': conv(x, 'conv2b', 64, 3, padding=1)}
        x = conv(pool(stages['stem'], pool1, window=3), 'conv3b', 80, 1)
        stages['stage1'] = conv(x, 'conv4a', 192, 3)
        x = pool(stages['stage1'], pool2, window=3)
        for (stage, modules), step in zip(STAGES.items(), (Step(1, 1, 1), *reductions), strict=True):
            for name, kind in modules.items():
                x = Mixed(self.dtype, step, *kind, name=name)(x, train=train)
                step = Step(1, step.dilation_after, step.dilation_after)  # only the first one of a stage reduces
            stages[stage] = x
        return stages

    def with_auxiliary(self, images: Images, *, train: bool = False) -> tuple[Float[Array, 'n classes'], ...]:
        """Return the float32 logits of the head and of the auxiliary one."""
        if not self.aux_heads:
            raise ValueError('this InceptionV3 has no auxiliary head: make it with aux_heads=True')
        stages = self.features(images, train=train)
        x = stages['stage3']
        if min(x.shape[1:3]) < SMALLEST_FOR_AUXILIARY:
            raise ValueError(
                f'the auxiliary head needs {SMALLEST_FOR_AUXILIARY} rows and columns at stride 16, got '
                f'{x.shape[1]} x {x.shape[2]}: use images of 299 x 299 pixels or more, or aux_heads=False'
            )
        return self._logits(stages['stage4'], train=train), self.aux(x, train=train)

    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n classes']:
        """Return float32 logits; `train` takes the batch's statistics, updates the running ones, and drops."""
        if self.is_initializing() and self.aux_heads:
            # The auxiliary head gets its parameters too; they do not depend on the size of the images.
            size = SMALLEST_FOR_AUXILIARY
            self.aux(jnp.zeros((1, size, size, 768), self.dtype), train=train)
        return self._logits(self.features(images, train=train)['stage4'], train=train)

    def _logits(self, x: Array, *, train: bool) -> Array:
        return self.head(self.drop(x.mean(axis=(1, 2)), train=train)).astype(jnp.float32)


@checked
def inception_v3(
    *,
    num_classes: AtLeast1 = 1000,
    aux_heads: bool = True,
    dropout: Below1 = 0.5,
    dtype: DTypeLike = jnp.float32,
    output_stride: OutputStride = 32,
) -> InceptionV3:
    """Make an Inception v3: 11 modules of factorized convolutions; torchvision's, 27,161,264 parameters.

    Without the auxiliary head, 23,834,568 parameters.

    Args:
        num_classes: number of logits.
        aux_heads: have the auxiliary classifier, for training; the published weights and their count have it. Then
            `apply(..., method='with_auxiliary')` returns two logits, of the head and of the auxiliary one.
        dropout: probability in [0, 1) of dropping a feature before the last layer, in training; needs
            `rngs={'dropout': key}`.
        dtype: compute type, such as `jnp.bfloat16` or `'bfloat16'`; parameters, statistics and logits stay float32.
        output_stride: the last stage's stride; at 16 or 8 the last one or two stages dilate instead of striding, with
            the same parameters.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`, with stages 'stem', 'stage1' to
        'stage4' at strides 2, 4, 8, 16, 32 (or less, by output_stride), without padding in the stem: 147, 71, 35, 17
        and 8 rows of a 299 x 299 image. Images have 75 pixels a side or more, with the auxiliary head's logits 299.

    Raises:
        ValueError: the probability is not in [0, 1), or the output stride is none of 8, 16, 32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model, images = inception_v3(num_classes=5), jnp.ones((1, 299, 299, 3))
        >>> variables = jax.eval_shape(model.init, jax.random.key(0), images)
        >>> apply = lambda variables: model.apply(variables, images, method='with_auxiliary')
        >>> [logits.shape for logits in jax.eval_shape(apply, variables)]
        [(1, 5), (1, 5)]

    Szegedy et al. 2016, Rethinking the Inception architecture for computer vision
    (https://arxiv.org/abs/1512.00567).

    Published weights, by source: 'torchvision', 'timm' (without the auxiliary head).
    """
    return InceptionV3(
        num_classes=num_classes,
        aux_heads=aux_heads,
        dropout=dropout,
        dtype=compute_type(dtype),
        output_stride=output_stride,
    )
