"""Augmentations that move pixels.

Each draws for one image; the batch's key is split, one key an image. So an image's draw does not depend on what stands
beside it, and a batch gives what a loop over its images gives.
"""

import jax
import jax.numpy as jnp
from jax import lax

from jaxcv.types import Array, Float, PRNGKeyArray, UInt8


def random_flip(
    key: PRNGKeyArray,
    images: Float[Array, 'n h w c'] | UInt8[Array, 'n h w c'],
    *,
    probability: float = 0.5,
) -> Float[Array, 'n h w c'] | UInt8[Array, 'n h w c']:
    """Mirror each image left to right with a probability.

    Args:
        key: a random key.
        images: `[n, h, w, c]`, floats or uint8.
        probability: of a flip, in [0, 1].

    Returns:
        `[n, h, w, c]` of the images' type.

    Raises:
        ValueError: the probability is outside [0, 1].

    Example:
        >>> print(random_flip(jax.random.key(0), jnp.array([[[[1.0], [2.0], [3.0]]]]), probability=1.0).ravel())
        [3. 2. 1.]
    """
    if not 0 <= probability <= 1:
        raise ValueError(f'probability must be in [0, 1], got {probability}')

    def flip(key: Array, image: Array) -> Array:
        return jnp.where(jax.random.bernoulli(key, probability), image[:, ::-1], image)

    return jax.vmap(flip)(jax.random.split(key, len(images)), images)


def random_shift(
    key: PRNGKeyArray,
    images: Float[Array, 'n h w c'] | UInt8[Array, 'n h w c'],
    *,
    max_shift: int,
    fill: float = 0.0,
) -> Float[Array, 'n h w c'] | UInt8[Array, 'n h w c']:
    """Shift each image by a random whole number of pixels, as CIFAR is trained: pad all round, crop at random.

    `out[y, x] = in[y + dy, x + dx]`, with dy and dx uniform in `{-max_shift, ..., max_shift}`.

    Args:
        key: a random key.
        images: `[n, h, w, c]`, floats or uint8.
        max_shift: the largest shift in pixels along each axis, at least 0.
        fill: the value of the pixels that come in from outside, in the images' unit.

    Returns:
        `[n, h, w, c]` of the images' type.

    Raises:
        ValueError: max_shift is negative, or fill is no value of a uint8 image.

    Example:
        >>> images = jnp.ones((2, 4, 4, 1))
        >>> print(random_shift(jax.random.key(0), images, max_shift=0).sum())
        32.0

    He et al., "Deep Residual Learning for Image Recognition", 2016, section 4.2.
    """
    if max_shift < 0:
        raise ValueError(f'max_shift must be at least 0, got {max_shift}')
    if images.dtype == jnp.uint8 and fill not in range(256):
        raise ValueError(f'fill must be a whole number in [0, 255] for uint8 images, got {fill}')

    def shift(key: Array, image: Array) -> Array:
        top, left = jax.random.randint(key, (2,), 0, 2 * max_shift + 1)
        margin = (max_shift, max_shift)
        padded = jnp.pad(image, (margin, margin, (0, 0)), constant_values=jnp.asarray(fill, image.dtype))
        return lax.dynamic_slice(padded, (top, left, 0), image.shape)

    return jax.vmap(shift)(jax.random.split(key, len(images)), images)
