"""Wide residual networks (Zagoruyko and Komodakis 2016, https://arxiv.org/abs/1605.07146) for small images: WRN-28-10.

Pre-activated blocks, of more channels and less depth. Those for large images are in `resnet.py`.
"""

import functools
from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, Below1, checked
from jaxcv.models.backbones.stage import BlockStage
from jaxcv.models.checks import check_classes, check_images, compute_type
from jaxcv.models.strides import Stage, declared, steps
from jaxcv.nn.conv import Conv
from jaxcv.nn.norm import BatchNorm
from jaxcv.nn.regularization import check_rate
from jaxcv.nn.residual import PreActivationBlock
from jaxcv.types import Array, Float, Images


class WideResNet(nn.Module):
    """A pre-activated wide residual network for small images: the module behind `wide_resnet28_10`."""

    depths: Sequence[int]
    width: int
    num_classes: int
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    def __post_init__(self):
        """Check the option that the layers would check in training only."""
        check_classes(self.num_classes)
        check_rate('dropout', self.dropout)
        self.dtype = compute_type(self.dtype)
        super().__post_init__()

    def setup(self):
        """Make the last batch norm and the head, which `features` does not use."""
        self.bn = BatchNorm(dtype=self.dtype)
        self.head = nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=nn.initializers.he_normal())

    @property
    def stages(self) -> dict[str, Stage]:
        """Return the stages that it declares, for `jaxcv.models.stages`."""
        names = ('stem', *(f'stage{i + 1}' for i in range(len(self.depths))))
        channels = (16, *(self.width * 2**i for i in range(len(self.depths))))
        return declared(zip(names, steps((1, 1, *(2 for _ in self.depths[1:])), 32), channels, strict=True))

    @nn.compact
    def features(self, images: Images, *, train: bool = False) -> dict[str, Float[Array, 'n i j f']]:
        """Return the outputs of 'stem' and of 'stage1', 'stage2', ... by name, before the batch norm that follows."""
        check_images(self, images)
        x = Conv(16, dtype=self.dtype, name='stem')(images)
        stages = {'stem': x}
        for i, depth in enumerate(self.depths):
            block = functools.partial(
                PreActivationBlock, features=self.width * 2**i, dropout=self.dropout, dtype=self.dtype
            )
            first = functools.partial(block, strides=1 if i == 0 else 2)
            blocks = [('block1', first), *((f'block{j + 1}', block) for j in range(1, depth))]
            x = stages[f'stage{i + 1}'] = BlockStage(blocks, name=f'stage{i + 1}')(x, train=train)
        return stages

    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, 'n classes']:
        """Return float32 logits; `train` takes the batch's statistics, updates the running ones, and drops."""
        last = self.features(images, train=train)[f'stage{len(self.depths)}']
        return self.head(nn.relu(self.bn(last, train=train)).mean(axis=(1, 2))).astype(jnp.float32)


@checked
def wide_resnet28_10(
    *,
    num_classes: AtLeast1 = 10,
    dtype: DTypeLike = jnp.float32,
    dropout: Below1 = 0.0,
) -> WideResNet:
    """Make a WRN-28-10 for small images: 28 layers, 10 times the channels of a ResNet; 36,479,194 parameters.

    A 3x3 stem of 16 channels, then 3 stages of 4 pre-activated blocks of 160, 320 and 640 channels.

    Args:
        num_classes: number of logits.
        dtype: compute type, as in `resnet18`.
        dropout: probability in [0, 1) of dropping a value between the two convolutions of a block, in training; the
            paper's table 6 compares 0 and 0.3. Needs `rngs={'dropout': key}`.

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`, with stages 'stem', 'stage1' to
        'stage3' at strides 1, 1, 2, 4.

    Raises:
        ValueError: dropout is not in [0, 1).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = wide_resnet28_10()
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))
        >>> sum(leaf.size for leaf in jax.tree.leaves(shapes['params']))
        36479194

    Zagoruyko and Komodakis 2016, Wide residual networks (https://arxiv.org/abs/1605.07146).

    Published weights, by source: 'xternalz'.
    """
    return WideResNet(depths=(4, 4, 4), width=160, num_classes=num_classes, dropout=dropout, dtype=dtype)
