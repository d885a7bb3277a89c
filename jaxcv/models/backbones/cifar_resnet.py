"""The residual networks of He et al. 2016, section 4.2, for small images (https://arxiv.org/abs/1512.03385)."""

import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast1, Below1, checked
from jaxcv.models.backbones.resnet import ResNet
from jaxcv.nn.residual import BasicBlock, Shortcut


@checked
def cifar_resnet(
    *,
    depth: int = 20,
    num_classes: AtLeast1 = 10,
    width: AtLeast1 = 16,
    shortcut: Shortcut = 'identity',
    dtype: DTypeLike = jnp.float32,
    dropout: Below1 = 0.0,
    stochastic_depth: Below1 = 0.0,
) -> ResNet:
    """Make a ResNet for small images, of depth 6n+2: a 3x3 stem, then 3 stages of n basic blocks.

    Args:
        depth: number of layers with weights, 6n+2: 20, 32, 44, 56 and 110 in the paper.
        num_classes: number of logits.
        width: channels of the stem and the first stage; the next two have twice and four times as many.
        shortcut: 'identity' subsamples and pads with zero channels, as the paper does here; 'projection' is a 1x1
            convolution.
        dtype: compute type, such as `jnp.bfloat16` or `'bfloat16'`; parameters, statistics and logits stay float32.
        dropout: probability in [0, 1) of dropping a feature before the last layer, in training; needs
            `rngs={'dropout': key}`, as stochastic depth does.
        stochastic_depth: probability in [0, 1) of dropping the last block's residual branch, example by example, in
            training; it rises linearly to that from the first block on (Huang et al. 2016,
            https://arxiv.org/abs/1603.09382, who have 0.5 at the last).

    Returns:
        A module: `apply(variables, images [n h w c]) -> logits [n num_classes]`, with stages 'stem', 'stage1' to
        'stage3' at strides 1, 1, 2, 4.

    Raises:
        ValueError: depth is not 6n+2, or a probability is not in [0, 1).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model, images = cifar_resnet(depth=8, width=4), jnp.ones((2, 8, 8, 1))
        >>> variables = jax.jit(model.init)(jax.random.key(0), images)
        >>> jax.jit(model.apply)(variables, images).shape
        (2, 10)

    He et al. 2016, Deep residual learning for image recognition, section 4.2 (https://arxiv.org/abs/1512.03385).
    """
    blocks, rest = divmod(depth - 2, 6)
    if rest or blocks < 1:
        nearest = sorted({6 * max(n, 1) + 2 for n in (blocks, blocks + 1)})
        raise ValueError(f'depth of a cifar_resnet is 6n+2, not {depth}; the nearest: {", ".join(map(str, nearest))}.')
    return ResNet(
        block=BasicBlock,
        depths=(blocks,) * 3,
        num_classes=num_classes,
        width=width,
        small_images=True,
        shortcut=shortcut,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        dtype=dtype,
    )
