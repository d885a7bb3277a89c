"""A row of blocks: what the stages of residual and mobile networks are."""

from collections.abc import Callable, Sequence

from flax import linen as nn

from jaxcv.types import Array, Float


class BlockStage(nn.Module):
    """The blocks of one stage, one after another.

    Attributes:
        blocks: (name, constructor) of each, which takes the name.

    Example:
        >>> import functools, jax, jax.numpy as jnp
        >>> from jaxcv.nn import BasicBlock
        >>> blocks = [(f'block{i}', functools.partial(BasicBlock, features=8)) for i in (1, 2)]
        >>> variables = jax.eval_shape(BlockStage(blocks).init, jax.random.key(0), jnp.ones((1, 6, 6, 4)))
        >>> sorted(variables['params'])
        ['block1', 'block2']
    """

    blocks: Sequence[tuple[str, Callable[..., nn.Module]]]

    @nn.compact
    def __call__(self, x: Float[Array, 'n h w c'], *, train: bool = False) -> Float[Array, 'n i j f']:
        """Apply the blocks in turn."""
        for name, block in self.blocks:
            x = block(name=name)(x, train=train)
        return x
