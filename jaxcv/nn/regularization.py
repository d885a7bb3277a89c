"""Dropout of single values, and stochastic depth: dropout of whole residual branches.

Both divide the kept values by the probability of keeping, in training, so that the mean is that of x and prediction
needs no scaling. Both draw from the stream 'dropout', `apply(..., rngs={'dropout': key})`, in training only.
"""

from flax import linen as nn

from jaxcv.arguments import Below1, checked, faults
from jaxcv.types import Array, Float


@checked
class Dropout(nn.Module):
    """Dropout: in training each value is set to 0 with probability `rate`, and divided by `1 - rate` otherwise.

    `y = m x / (1 - rate)`, each `m ~ Bernoulli(1 - rate)`; outside training `y = x`.

    Attributes:
        rate: probability in [0, 1) of setting a value to 0.

    Raises:
        ValueError: the rate is not in [0, 1).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> y = Dropout(rate=0.5).apply({}, jnp.ones((2, 8)), train=True, rngs={'dropout': jax.random.key(0)})
        >>> sorted(set(y.ravel().tolist()))
        [0.0, 2.0]

    Srivastava et al. 2014, Dropout: a simple way to prevent neural networks from overfitting.
    """

    rate: Below1

    @nn.compact
    def __call__(self, x: Float[Array, '*n'], *, train: bool = False) -> Float[Array, '*n']:
        """Return x; `train` sets values to 0 at random."""
        return nn.Dropout(self.rate)(x, deterministic=not train)


@checked
class StochasticDepth(nn.Module):
    """Stochastic depth: in training an example's whole branch is set to 0 with probability `rate`.

    `y_i = m_i x_i / (1 - rate)`, one `m_i ~ Bernoulli(1 - rate)` for each example; outside training `y = x`. Use it at
    the end of a residual branch, before the sum. The paper multiplies by `1 - rate` at test time instead, with the same
    mean.

    Attributes:
        rate: probability in [0, 1) of setting a branch to 0.

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

    rate: Below1

    @nn.compact
    def __call__(self, x: Float[Array, ' n *shape'], *, train: bool = False) -> Float[Array, ' n *shape']:
        """Return the branch x; `train` sets those of some examples to 0 at random."""
        return nn.Dropout(self.rate, broadcast_dims=tuple(range(1, x.ndim)))(x, deterministic=not train)


def check_rate(name: str, rate: float) -> None:
    """Raise a ValueError that names the option, unless the rate is in [0, 1)."""
    if wrong := faults(name, rate, Below1):
        raise ValueError(wrong[0])
