"""Checksum of a pytree of arrays, the same however they are sharded."""

import jax
import jax.numpy as jnp

from jaxcv.types import Array, PyTree


@jax.jit
def checksum(state: PyTree) -> Array:
    """Compute a 32-bit checksum of all bits of a pytree of arrays, on their devices.

    Σ aᵢ bᵢ mod 2³² over the words bᵢ of all arrays, with odd weights aᵢ made from a word's place. An odd weight is
    invertible mod 2³², so a change of one word always changes the sum; the weights of two places nearly always differ,
    so an exchange of two words does too. Integer sums are exact in any order, so the sharding does not matter.

    Example:
        >>> int(checksum({'a': jnp.zeros(3)})) == int(checksum({'a': jnp.array([0.0, 0.0, 1e-30])}))
        False
    """
    total = jnp.zeros((), jnp.uint32)
    for i, leaf in enumerate(jax.tree.leaves(state)):
        # Any type as its bits: words of 8, 16 or 32 bits, 64-bit types as two words on a further axis.
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        if leaf.dtype == jnp.bool_:
            leaf = leaf.astype(jnp.uint8)
        words = jax.lax.bitcast_convert_type(leaf, jnp.dtype(f'uint{8 * min(leaf.dtype.itemsize, 4)}'))
        words = words.astype(jnp.uint32)
        # Weight of a place: the product over the axes of a different odd function of the index on each.
        weights = jnp.full(words.shape, 2 * i + 1, jnp.uint32)
        for axis, factor in enumerate(range(1, 2 * words.ndim, 2)):
            position = jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis)
            weights = weights * (2 * (position * jnp.uint32(2654435761 + factor)) + 1)
        total = total + jnp.sum(weights * words, dtype=jnp.uint32)
    return total
