"""Layers that leave something out at random in training: single features, or whole residual branches.

Both are inverted: what stays is scaled up, so that the mean is the same in training and there is nothing to do after
it. Both draw from the stream 'dropout', `apply(..., rngs={'dropout': key})`, and need it in training only.
"""

from flax import linen as nn

from jaxcv.types import Array, Float


class Dropout(nn.Module):
    """Dropout: in training each value is 0 with probability `rate`, and divided by `1 - rate` otherwise.

    `y = m x / (1 - rate)`, each `m ~ Bernoulli(1 - rate)`; outside training `y = x`.

    Attributes:
        rate: the probability in [0, 1) that a value is left out.

    Raises:
        ValueError: the rate is not in [0, 1).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> y = Dropout(rate=0.5).apply({}, jnp.ones((2, 8)), train=True, rngs={'dropout': jax.random.key(0)})
        >>> sorted(set(y.ravel().tolist()))
        [0.0, 2.0]

    Srivastava et al. 2014, Dropout: a simple way to prevent neural networks from overfitting.
    """

    rate: float

    def __post_init__(self):
        """Check the rate."""
        check_rate('Dropout: rate', self.rate)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, '*n'], *, train: bool = False) -> Float[Array, '*n']:
        """Return x, in training with some of its values left out."""
        return nn.Dropout(self.rate)(x, deterministic=not train)


class StochasticDepth(nn.Module):
    """Stochastic depth: in training the whole branch of an example is 0 with probability `rate`.

    `y_i = m_i x_i / (1 - rate)`, one `m_i ~ Bernoulli(1 - rate)` for each example; outside training `y = x`. Goes at
    the end of a residual branch, before the sum. The paper scales by `1 - rate` after training instead, as here in the
    mean.

    Attributes:
        rate: the probability in [0, 1) that a branch is left out.

    Raises:
        ValueError: the rate is not in [0, 1).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> branch, rngs = jnp.ones((6, 2)), {'dropout': jax.random.key(2)}
        >>> y = StochasticDepth(rate=0.5).apply({}, branch, train=True, rngs=rngs)
        >>> sorted(set(map(tuple, y.tolist())))
        [(0.0, 0.0), (2.0, 2.0)]

    Huang et al. 2016, Deep networks with stochastic depth (https://arxiv.org/abs/1603.09382).
    """

    rate: float

    def __post_init__(self):
        """Check the rate."""
        check_rate('StochasticDepth: rate', self.rate)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, 'n *shape'], *, train: bool = False) -> Float[Array, 'n *shape']:
        """Return the branch x, in training without those of some examples."""
        return nn.Dropout(self.rate, broadcast_dims=tuple(range(1, x.ndim)))(x, deterministic=not train)


def check_rate(name: str, rate: float) -> None:
    """Raise a ValueError that names the option where the rate is not in [0, 1)."""
    if not 0 <= rate < 1:
        raise ValueError(f'{name} is the probability of leaving out, in [0, 1), got {rate}')
