"""Augmentations that remove a part of the image."""

from typing import Literal

import jax
import jax.numpy as jnp

from jaxcv.arguments import AtLeast0, Share, checked
from jaxcv.augment.batch import Keys, fill_value, for_each
from jaxcv.features import Example
from jaxcv.types import Array, Batch, PRNGKeyArray

__all__ = ['cutout']


@checked
def cutout(
    key: Keys,
    batch: Batch,
    *,
    size: AtLeast0,
    fill: Share | Literal['noise'] = 0.5,
    probability: Share = 1.0,
) -> Batch:
    """Replace a random square of each image by gray or by noise, so that no single part of an object is decisive.

    `out = fill where top <= y < top + size and left <= x < left + size, else in`, the centre
    `(top + size // 2, left + size // 2)` uniform over all pixels: near the border, part of the square lies outside.

    Args:
        key: a random key, or one for each example.
        batch: `image` `[n, h, w, c]`, floats in [0, 1] or uint8. Boxes and masks stay: the object is still there.
        size: the square's side in pixels, at least 0.
        fill: 0 (black) to 1 (white), also for uint8; or `noise`, uniform over the range for each value.
        probability: of a square, in [0, 1].

    Returns:
        The batch, shapes and types as they were.

    Raises:
        ValueError: size is negative, or probability or fill outside [0, 1].

    Example:
        >>> images = cutout(jax.random.key(0), {'image': jnp.ones((1, 3, 3, 1))}, size=5, fill=0.0)['image']
        >>> print(images[0, 1, 1])
        [0.]

    DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017.
    """
    if fill == 'noise':
        fill_value(0, batch['image'].dtype)  # noise too needs a range

    def pattern(key: PRNGKeyArray, image: Array) -> Array:
        if fill != 'noise':
            return fill_value(fill, image.dtype)
        if image.dtype == jnp.uint8:
            return jax.random.bits(key, image.shape, jnp.uint8)
        return jax.random.uniform(key, image.shape, image.dtype)

    def cut(key: PRNGKeyArray, example: Example) -> Example:
        image = example['image']
        place_key, noise_key = jax.random.split(key)
        draws = jax.random.uniform(place_key, (3,))
        centre = jnp.floor(draws[:2] * jnp.array(image.shape[:2]))
        top, left = centre - size // 2
        y, x = jnp.arange(image.shape[0])[:, None, None], jnp.arange(image.shape[1])[:, None]
        square = (top <= y) & (y < top + size) & (left <= x) & (x < left + size)
        cut_out = square & (draws[2] < probability)
        return {**example, 'image': jnp.where(cut_out, pattern(noise_key, image), image)}

    return for_each(cut, key, batch)
