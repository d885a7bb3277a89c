"""Augmentations that change colours and move no pixel; all images of an example, such as a pair, alike.

torchvision's formulas, on floats in [0, 1]. Brightness, contrast and saturation each blend the image with a second one:
black, its mean grey, its greys; a factor of 1 keeps the image, 0 gives the second one.
"""

from collections.abc import Callable, Sequence
from typing import Annotated

import jax
import jax.numpy as jnp

from jaxcv.arguments import NonNegative, Range, Share, checked
from jaxcv.augment.batch import Keys, check_images, for_each, image_names
from jaxcv.features import Example, lookup
from jaxcv.types import Array, Batch, Float, PRNGKeyArray, Scalar

__all__ = [
    'color_jitter',
    'photometric_distortion',
    'random_brightness',
    'random_contrast',
    'random_grayscale',
    'random_hue',
    'random_saturation',
]


@checked
def random_brightness(key: Keys, batch: Batch, *, max_change: NonNegative = 0.4) -> Batch:
    """Make each image brighter or darker.

    `out = clip(f · image, 0, 1)`, with f uniform in `[max(0, 1 - max_change), 1 + max_change]`.

    Args:
        key: a random key, or one for each example.
        batch: with `image` `[n, h, w, c]`, floats in [0, 1].
        max_change: the largest change of the factor, at least 0.

    Returns:
        The batch with new images `[n, h, w, c]`.

    Raises:
        ValueError: the images are no floats, or max_change is negative.

    Example:
        >>> batch = {'image': jnp.full((2, 1, 1, 3), 0.5)}
        >>> bright = random_brightness(jax.random.key(0), batch, max_change=0.2)['image']
        >>> bool((abs(bright - 0.5) <= 0.1).all() and bright[0, 0, 0, 0] != bright[1, 0, 0, 0])
        True
    """
    _check(batch)
    return _recolored(lambda key, image: blend(image, _black(image), _factor(key, max_change)), key, batch)


@checked
def random_contrast(key: Keys, batch: Batch, *, max_change: NonNegative = 0.4) -> Batch:
    """Raise or lower the contrast of each image.

    `out = clip(f · image + (1 - f) · m, 0, 1)`, with m the mean grey of the image (without three channels, its mean)
    and f uniform in `[max(0, 1 - max_change), 1 + max_change]`.

    Args:
        key: a random key, or one for each example.
        batch: with `image` `[n, h, w, c]`, floats in [0, 1].
        max_change: the largest change of the factor, at least 0.

    Returns:
        The batch with new images `[n, h, w, c]`.

    Raises:
        ValueError: the images are no floats, or max_change is negative.

    Example:
        >>> batch = {'image': jnp.full((1, 2, 2, 3), 0.5)}
        >>> print(random_contrast(jax.random.key(0), batch)['image'][0, 0, 0].round(3))  # there is none to change
        [0.5 0.5 0.5]
    """
    _check(batch)
    return _recolored(lambda key, image: blend(image, mean_gray(image), _factor(key, max_change)), key, batch)


@checked
def random_saturation(key: Keys, batch: Batch, *, max_change: NonNegative = 0.4) -> Batch:
    """Make the colours of each image stronger or paler.

    `out = clip(f · image + (1 - f) · grey, 0, 1)`, with `grey = 0.2989 r + 0.587 g + 0.114 b` of the pixel and f
    uniform in `[max(0, 1 - max_change), 1 + max_change]`.

    Args:
        key: a random key, or one for each example.
        batch: with `image` `[n, h, w, 3]`, floats in [0, 1].
        max_change: the largest change of the factor, at least 0.

    Returns:
        The batch with new images `[n, h, w, 3]`.

    Raises:
        ValueError: the images are no floats or have not 3 channels, or max_change is negative.

    Example:
        >>> batch = {'image': jnp.ones((1, 1, 1, 3)) * jnp.array([0.6, 0.5, 0.4])}
        >>> print(random_saturation(jax.random.key(0), batch, max_change=0.0)['image'].ravel())
        [0.6 0.5 0.4]
    """
    _check(batch)
    _check_rgb(batch)
    return _recolored(lambda key, image: blend(image, gray(image), _factor(key, max_change)), key, batch)


@checked
def random_hue(key: Keys, batch: Batch, *, max_change: Annotated[float, Range(0, 0.5)] = 0.1) -> Batch:
    """Rotate the hues of each image on the colour circle.

    In HSV: `hue' = (hue + d) mod 1`, with d uniform in `[-max_change, max_change]`.

    Args:
        key: a random key, or one for each example.
        batch: with `image` `[n, h, w, 3]`, floats in [0, 1].
        max_change: the largest rotation, in [0, 0.5]: 0.5 is half the circle.

    Returns:
        The batch with new images `[n, h, w, 3]`.

    Raises:
        ValueError: the images are no floats or have not 3 channels, or max_change is outside [0, 0.5].

    Example:
        >>> batch = {'image': jnp.full((1, 1, 1, 3), 0.5)}
        >>> print(random_hue(jax.random.key(0), batch)['image'].ravel())  # grey has no hue
        [0.5 0.5 0.5]
    """
    _check(batch)
    _check_rgb(batch)
    return _recolored(lambda key, image: _turned(key, image, max_change), key, batch)


@checked
def color_jitter(
    key: Keys,
    batch: Batch,
    *,
    brightness: NonNegative = 0.4,
    contrast: NonNegative = 0.4,
    saturation: NonNegative = 0.4,
    hue: Annotated[float, Range(0, 0.5)] = 0.1,
) -> Batch:
    """Change brightness, contrast, saturation and hue, in an order that is drawn for each image.

    See `random_brightness`, `random_contrast`, `random_saturation` and `random_hue`.

    Args:
        key: a random key, or one for each example.
        batch: with `image` `[n, h, w, 3]`, floats in [0, 1]; any number of channels if saturation and hue are 0.
        brightness: the largest change of the factor, at least 0; 0 omits it. Likewise for the next two.
        contrast: likewise.
        saturation: likewise.
        hue: the largest rotation, in [0, 0.5].

    Returns:
        The batch with new images `[n, h, w, c]`.

    Raises:
        ValueError: the images are no floats or lack the three channels, or a largest change is out of its range.

    Example:
        >>> batch = {'image': jnp.full((2, 4, 4, 3), 0.5), 'label': jnp.array([3, 7])}
        >>> jittered = jax.jit(color_jitter)(jax.random.key(0), batch)
        >>> jittered['image'].shape, jittered['label'].tolist()
        ((2, 4, 4, 3), [3, 7])

    Howard, "Some Improvements on Deep Convolutional Neural Network Based Image Classification", 2013.
    """
    _check(batch)
    if saturation > 0 or hue > 0:
        _check_rgb(batch)

    def jitter(key: PRNGKeyArray, image: Array) -> Array:
        order_key, hue_key, *keys = jax.random.split(key, 5)
        factors = [_factor(k, change) for k, change in zip(keys, (brightness, contrast, saturation), strict=True)]
        *places, hue_place = jax.random.permutation(order_key, 4)

        def blended(image: Array, earliest: Array | int, latest: Array | int) -> Array:
            return _in_order(image, factors, places, earliest, latest)

        if hue == 0:
            return blended(image, 0, 3)
        return blended(_turned(hue_key, blended(image, 0, hue_place), hue), hue_place, 3)

    return _recolored(jitter, key, batch)


@checked
def photometric_distortion(
    key: Keys,
    batch: Batch,
    *,
    brightness: NonNegative = 0.125,
    contrast: NonNegative = 0.5,
    saturation: NonNegative = 0.5,
    hue: Annotated[float, Range(0, 0.5)] = 0.05,
    probability: Share = 0.5,
) -> Batch:
    """SSD's change of colours: brightness, contrast, saturation and hue, each with a probability of its own.

    Brightness is first; contrast follows it, or comes after saturation and hue, with even chances. See
    `random_brightness`, `random_contrast`, `random_saturation` and `random_hue`; the defaults are torchvision's.

    Args:
        key: a random key, or one for each example.
        batch: with `image` `[n, h, w, 3]`, floats in [0, 1].
        brightness: the largest change of the factor, at least 0. Likewise for the next two.
        contrast: likewise.
        saturation: likewise.
        hue: the largest rotation, in [0, 0.5]; SSD's is 18 degrees.
        probability: of each of the four, in [0, 1].

    Returns:
        The batch with new images `[n, h, w, 3]`; boxes and masks stay as they are.

    Raises:
        ValueError: the images are no floats or lack the three channels, or an option is out of its range.

    Example:
        >>> batch = {'image': jnp.full((2, 4, 4, 3), 0.5), 'boxes': jnp.zeros((2, 1, 4))}
        >>> jax.jit(photometric_distortion)(jax.random.key(0), batch)['image'].shape
        (2, 4, 4, 3)

    Liu et al., "SSD: Single Shot MultiBox Detector", 2016, section 2.2.
    """
    check_images(batch, unit=True)
    _check_rgb(batch)

    def distort(key: PRNGKeyArray, image: Array) -> Array:
        drawn_key, hue_key, *keys = jax.random.split(key, 5)
        draws = jax.random.uniform(drawn_key, (5,))
        drawn = draws[:4] < probability
        factors = [_factor(k, change) for k, change in zip(keys, (brightness, contrast, saturation), strict=True)]
        # A factor of 1 and a turn of 0 leave the image as it is.
        darker, sharper, paler = (jnp.where(here, factor, 1.0) for here, factor in zip(drawn[:3], factors, strict=True))
        turn = jnp.where(drawn[3], jax.random.uniform(hue_key, minval=-hue, maxval=hue), 0.0).astype(image.dtype)
        early = draws[4] < 0.5
        image = blend(image, _black(image), darker)
        image = blend(image, mean_gray(image), jnp.where(early, sharper, 1.0))
        image = blend(image, gray(image), paler)
        image = jnp.where(drawn[3], turn_hue(image, turn), image)
        return blend(image, mean_gray(image), jnp.where(early, 1.0, sharper))

    return _recolored(distort, key, batch)


@checked
def random_grayscale(key: Keys, batch: Batch, *, probability: Share = 0.1) -> Batch:
    """Turn some images grey: `r = g = b = 0.2989 r + 0.587 g + 0.114 b`.

    Args:
        key: a random key, or one for each example.
        batch: with `image` `[n, h, w, 3]`, floats in [0, 1].
        probability: of grey, in [0, 1].

    Returns:
        The batch with new images `[n, h, w, 3]`.

    Raises:
        ValueError: the images are no floats or have not 3 channels, or the probability is outside [0, 1].

    Example:
        >>> batch = {'image': jnp.ones((1, 1, 1, 3)) * jnp.array([1.0, 0.0, 0.0])}
        >>> print(random_grayscale(jax.random.key(0), batch, probability=1.0)['image'].ravel())
        [0.2989 0.2989 0.2989]
    """
    _check(batch)
    _check_rgb(batch)

    def grayed(key: PRNGKeyArray, image: Array) -> Array:
        return jnp.where(jax.random.bernoulli(key, probability), gray(image), image)

    return _recolored(grayed, key, batch)


def gray(image: Float[Array, 'h w c']) -> Float[Array, 'h w 1']:
    """The grey of each pixel, `0.2989 r + 0.587 g + 0.114 b`; without three channels, their mean."""
    if image.shape[-1] != 3:
        return image.mean(-1, keepdims=True)
    return 0.2989 * image[..., :1] + 0.587 * image[..., 1:2] + 0.114 * image[..., 2:]


def blend(image: Float[Array, 'h w c'], second: Float[Array, '...'], factor: Scalar | float) -> Float[Array, 'h w c']:
    """Mix two images, `clip(f · image + (1 - f) · second, 0, 1)`."""
    factor = jnp.asarray(factor, image.dtype)
    return jnp.clip(factor * image + (1 - factor) * second, 0, 1)


def turn_hue(image: Float[Array, 'h w 3'], turn: Scalar | float) -> Float[Array, 'h w 3']:
    """Add `turn` circles to the hue of each pixel, and keep the value v and the chroma c of HSV.

    A channel is `v - c (1 - w)`. With h the hue in sixths of the circle, from 0 for red, its weight w, clipped to
    [0, 1], is `|h - 3| - 1` for red, `2 - |h - 2|` for green and `2 - |h - 4|` for blue.
    """
    red, green, blue = jnp.moveaxis(image, -1, 0)
    value = jnp.maximum(jnp.maximum(red, green), blue)
    chroma = value - jnp.minimum(jnp.minimum(red, green), blue)
    scale = 1 / jnp.where(chroma > 0, chroma, 1)
    # No channel is compared with `value`: a compiler may round the two differently, which gives the wrong sixth.
    hue = jnp.where(green >= blue, 2 + scale * (blue - red), 4 + scale * (red - green))
    hue = jnp.where((red >= green) & (red >= blue), scale * (green - blue), hue) + 6 * turn
    hue -= 6 * jnp.floor(hue / 6)
    weights = abs(hue - 3) - 1, 2 - abs(hue - 2), 2 - abs(hue - 4)
    return jnp.stack([value - chroma * (1 - jnp.clip(weight, 0, 1)) for weight in weights], -1)


def _black(image: Array) -> Array:
    return jnp.zeros((1, 1, 1), image.dtype)


def mean_gray(image: Float[Array, 'h w c']) -> Float[Array, '1 1 1']:
    """The mean of `gray`."""
    # The grey of the mean is the mean of the greys, and eight times as fast on a CPU.
    return gray(image.mean(axis=(0, 1), keepdims=True))


def _in_order(
    image: Array, factors: Sequence[Array], places: Sequence[Array], earliest: Array | int, latest: Array | int
) -> Array:
    """Change brightness, contrast and saturation in the order of their places, those from `earliest` to `latest`.

    The order is a value, and a batch would compute all branches of a choice. So every step that some order needs is
    computed, with the factor 1 where this one does not need it. Contrast, which needs the image's mean, comes once:
    brightness and saturation have steps before and after it.
    """
    brightness, contrast, saturation = (
        jnp.where((earliest <= place) & (place <= latest), factor, 1.0)
        for factor, place in zip(factors, places, strict=True)
    )
    darkened, flattened, faded = places

    def pointwise(image: Array, here: Callable[[Array], Array]) -> Array:
        first = here(darkened) & (darkened < faded)
        image = blend(image, _black(image), jnp.where(first, brightness, 1.0))
        image = blend(image, gray(image), jnp.where(here(faded), saturation, 1.0))
        return blend(image, _black(image), jnp.where(here(darkened) & ~first, brightness, 1.0))

    image = pointwise(image, lambda place: place < flattened)
    image = blend(image, mean_gray(image), contrast)
    return pointwise(image, lambda place: place > flattened)


def _factor(key: PRNGKeyArray, change: float) -> Scalar:
    return jax.random.uniform(key, minval=max(0.0, 1 - change), maxval=1 + change)


def _turned(key: PRNGKeyArray, image: Array, change: float) -> Array:
    shift = jax.random.uniform(key, minval=-change, maxval=change)
    return turn_hue(image, shift.astype(image.dtype))


def _recolored(function: Callable[[PRNGKeyArray, Array], Array], key: Keys, batch: Batch) -> Batch:
    def recolor(key: PRNGKeyArray, example: Example) -> Example:
        return {**example, **{name: function(key, example[name]) for name in image_names(example)}}

    return for_each(recolor, key, batch)


def _check(batch: Batch) -> None:
    for name in image_names(batch) or ['image']:
        if not jnp.issubdtype(lookup(batch, name).dtype, jnp.floating):
            raise ValueError(f'colours change on floats in [0, 1], got {batch[name].dtype}: pass ops.to_float(images)')
    check_images(batch, unit=True)


def _check_rgb(batch: Batch) -> None:
    for name in image_names(batch):
        if batch[name].shape[-1] != 3:
            raise ValueError(f'images must have 3 channels, red, green and blue, got {batch[name].shape}')
