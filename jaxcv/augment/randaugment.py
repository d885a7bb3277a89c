"""RandAugment: a few operations, drawn for each image, at one magnitude.

Which operation an image gets is a value, not a shape: in a batch every branch of a switch would be computed. So the 14
operations are written in three forms, each computed once for all of them:

* **moved**: `out[p] = image[A p + t]`, the nearest pixel: shears, translations, rotation;
* **scaled**: `out = clip(a image + b, 0, 1)`: brightness, color, contrast, sharpness, autocontrast;
* **looked up**: `out = table[image]` for the 256 values of a byte: posterize, solarize, equalize.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcv.arguments import AtLeast0, AtLeast2, Share, checked
from jaxcv.augment.batch import Keys, check_images, for_each
from jaxcv.augment.color import gray, mean_gray
from jaxcv.features import Example, moved_features
from jaxcv.types import Array, Batch, Float, Int, PRNGKeyArray, Scalar

__all__ = ['rand_augment']

_MOVED = ('shear_x', 'shear_y', 'translate_x', 'translate_y', 'rotate')
_SCALED = ('brightness', 'color', 'contrast', 'sharpness', 'autocontrast')
_LOOKED_UP = ('posterize', 'solarize', 'equalize')
OPERATIONS = (*_MOVED, *_SCALED, *_LOOKED_UP, 'identity')
"""The names, in the order of their indices."""

_SIGNED = np.isin(OPERATIONS, (*_MOVED, *_SCALED[:-1]))


@checked
def rand_augment(
    key: Keys,
    batch: Batch,
    *,
    num_ops: AtLeast0 = 2,
    magnitude: AtLeast0 = 9,
    num_magnitude_bins: AtLeast2 = 31,
    fill: Share = 0.0,
) -> Batch:
    """Apply operations drawn at random to each image, one after another: RandAugment, as in torchvision.

    The 14 (identity, shear x and y, translate x and y, rotate, brightness, color, contrast, sharpness, posterize,
    solarize, autocontrast, equalize) are equally likely. Those with two directions draw a sign.

    Args:
        key: a random key, or one for each example.
        batch: with `image` `[n, h, w, c]`, floats in [0, 1], of 1 or 3 channels.
        num_ops: how many operations an image goes through, at least 0.
        magnitude: the bin of the magnitude, in `{0, ..., num_magnitude_bins - 1}`. The last bin means a shear of
            0.3, a translation by 45 % of the image, 30 degrees, factors of 1 ± 0.9, 4 bits, all pixels solarized.
        num_magnitude_bins: the number of bins, at least 2.
        fill: the value of the pixels that come in from outside, in [0, 1].

    Returns:
        The batch with new images `[n, h, w, c]`.

    Raises:
        ValueError: the images are no floats or have another number of channels, the batch has other features of pixels
            or boxes, which are not moved, or an option is out of its range.

    Example:
        >>> batch = {'image': jnp.full((2, 4, 4, 3), 0.5), 'label': jnp.array([3, 7])}
        >>> augment = jax.jit(lambda key, batch: rand_augment(key, batch, num_ops=1))
        >>> augmented = augment(jax.random.key(0), batch)
        >>> augmented['image'].shape, augmented['label'].tolist()
        ((2, 4, 4, 3), [3, 7])

    Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space", 2020.
    """
    images = batch['image']
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f'rand_augment takes floats in [0, 1], got {images.dtype}: pass ops.to_float(images)')
    check_images(batch, unit=True)
    if images.shape[-1] not in (1, 3):
        raise ValueError(f'rand_augment takes images with 1 or 3 channels, got {images.shape}')
    if unmoved := sorted({*moved_features(batch)} - {'image'}):
        raise ValueError(f'the batch has {", ".join(unmoved)}, which rand_augment does not move with the image')
    if magnitude >= num_magnitude_bins:
        raise ValueError(f'magnitude must be in [0, {num_magnitude_bins - 1}], one of the bins, got {magnitude}')
    values = magnitudes(images.shape[1], images.shape[2], share=magnitude / (num_magnitude_bins - 1))

    def augment(key: PRNGKeyArray, example: Example) -> Example:
        image = example['image']
        which_key, sign_key = jax.random.split(key)
        drawn = jax.random.randint(which_key, (num_ops,), 0, len(OPERATIONS))
        signs = jnp.where(jnp.array(_SIGNED)[drawn] & jax.random.bernoulli(sign_key, shape=(num_ops,)), -1.0, 1.0)
        for which, sign in zip(drawn, signs, strict=True):
            image = apply(image, which, sign * values[which], fill=fill)
        return {**example, 'image': image}

    return for_each(augment, key, batch)


def magnitudes(height: int, width: int, *, share: float) -> Float[Array, '14']:
    """The magnitude of each of `OPERATIONS`, without its sign, for images of that size.

    Shears are slopes, translations pixels, rotation degrees; brightness to sharpness are the change of the factor;
    posterize is bits, solarize a byte; autocontrast, equalize and identity have none.

    Args:
        height: of the images, in pixels.
        width: likewise.
        share: the fraction of the greatest magnitude, in [0, 1].

    Returns:
        float32 `[14]`, in the order of `OPERATIONS`.

    Example:
        >>> values = magnitudes(331, 331, share=0.5)
        >>> print(values[OPERATIONS.index('translate_x')], values[OPERATIONS.index('posterize')])
        75.0 6.0
    """
    greatest = {
        'shear_x': 0.3,
        'shear_y': 0.3,
        'translate_x': 150 / 331 * width,
        'translate_y': 150 / 331 * height,
        'rotate': 30.0,
        **dict.fromkeys(('brightness', 'color', 'contrast', 'sharpness'), 0.9),
    }
    values = {name: share * value for name, value in greatest.items()}
    values |= {'posterize': 8 - round(4 * share), 'solarize': 255 * (1 - share)}
    return jnp.array([values.get(name, 0.0) for name in OPERATIONS], jnp.float32)


def apply(
    image: Float[Array, 'h w c'], operation: Int[Array, ''] | int, magnitude: Scalar | float, *, fill: float = 0.0
) -> Float[Array, 'h w c']:
    """Apply one operation to one image.

    Args:
        image: `[h, w, c]`, floats in [0, 1].
        operation: its index in `OPERATIONS`.
        magnitude: with its sign, in the unit of `magnitudes`.
        fill: the value of the pixels that come in from outside.

    Returns:
        `[h, w, c]`.

    Example:
        >>> image = jnp.array([[[20.0], [230.0]]]) / 255
        >>> print((255 * jax.jit(apply)(image, OPERATIONS.index('solarize'), 128.0)).ravel().round())
        [20. 25.]
    """
    operation, magnitude = jnp.asarray(operation, jnp.int32), jnp.asarray(magnitude, jnp.float32)
    form = (operation >= jnp.array([len(_MOVED), len(_MOVED + _SCALED), len(OPERATIONS) - 1])).sum(dtype=jnp.int32)
    forms = [
        _moved(image, operation, magnitude, fill),
        _scaled(image, operation - len(_MOVED), magnitude),
        _looked_up(image, operation - len(_MOVED + _SCALED), magnitude),
        image,
    ]
    return lax.select_n(form, *forms)


def _moved(image: Array, which: Array, magnitude: Array, fill: float) -> Array:
    height, width, _ = image.shape
    zero, one = jnp.zeros(()), jnp.ones(())
    angle = jnp.deg2rad(magnitude)
    cos, sin, pixels = jnp.cos(angle), jnp.sin(angle), jnp.trunc(magnitude)
    # Coordinates are those of pixel centres, from the centre of the image; shears keep the top left corner in place.
    a, b, s, c, d, t = jnp.stack(
        [
            jnp.stack([one, magnitude, magnitude * height / 2, zero, one, zero]),
            jnp.stack([one, zero, zero, magnitude, one, magnitude * width / 2]),
            jnp.stack([one, zero, -pixels, zero, one, zero]),
            jnp.stack([one, zero, zero, zero, one, -pixels]),
            jnp.stack([cos, -sin, zero, sin, cos, zero]),
        ]
    )[which]
    y = jnp.arange(height)[:, None] - (height - 1) / 2
    x = jnp.arange(width) - (width - 1) / 2
    from_x = jnp.round(a * x + b * y + s + (width - 1) / 2).astype(jnp.int32)
    from_y = jnp.round(c * x + d * y + t + (height - 1) / 2).astype(jnp.int32)
    inside = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
    places = jnp.where(inside, from_y * width + from_x, 0)
    return jnp.where(inside[..., None], image.reshape(height * width, -1)[places], jnp.asarray(fill, image.dtype))


def _scaled(image: Array, which: Array, magnitude: Array) -> Array:
    factor = (1 + magnitude).astype(image.dtype)
    low, high = image.min(axis=(0, 1)), image.max(axis=(0, 1))
    flat = high == low  # a channel without contrast stays as it is
    stretch = jnp.where(flat, 1, 1 / jnp.where(flat, 1, high - low))
    seconds = [
        jnp.zeros_like(image),
        jnp.broadcast_to(gray(image), image.shape),
        jnp.broadcast_to(mean_gray(image), image.shape),
        _blurred(image),
    ]
    blended = factor * image + (1 - factor) * lax.select_n(jnp.minimum(which, 3), *seconds)
    stretched = (image - jnp.where(flat, 0, low)) * stretch
    return jnp.clip(jnp.where(which == _SCALED.index('autocontrast'), stretched, blended), 0, 1)


def _blurred(image: Array) -> Array:
    """Each pixel with its neighbours, weighted 5 to 1; the border, which lacks some, stays."""
    if min(image.shape[:2]) < 3:
        return image
    rows = image[:-2] + image[1:-1] + image[2:]
    around = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    inner = image[1:-1, 1:-1]
    return image.at[1:-1, 1:-1].set((around + 4 * inner) / 13)


def _looked_up(image: Array, which: Array, magnitude: Array) -> Array:
    channels = image.shape[-1]
    # The tables of the channels are joined to one: a single histogram and a single look-up serve all channels.
    places = jnp.round(image * 255).astype(jnp.int32) + 256 * jnp.arange(channels)
    counts = jnp.zeros(256 * channels, jnp.int32).at[places.ravel()].add(1).reshape(channels, 256)
    byte = jnp.arange(256)
    step = 2 ** (8 - jnp.clip(magnitude, 0, 8).astype(jnp.int32))
    tables = [
        jnp.broadcast_to(byte // step * step, counts.shape),
        jnp.broadcast_to(jnp.where(byte >= magnitude, 255 - byte, byte), counts.shape),
        _equalizing(counts),
    ]
    table = lax.select_n(jnp.clip(which, 0, len(tables) - 1), *tables)
    return (table.ravel() / 255).astype(image.dtype)[places]


def _equalizing(counts: Array) -> Array:
    """The tables `[c, 256]` that make histograms `[c, 256]` flat, in Pillow's whole numbers."""
    byte = jnp.arange(256)
    below = jnp.cumsum(counts, axis=1) - counts
    # All pixels but those of the brightest value are distributed evenly.
    step = jnp.where(counts > 0, below, 0).max(axis=1, keepdims=True) // 255
    table = jnp.clip((below + step // 2) // jnp.maximum(step, 1), 0, 255)
    return jnp.where(step == 0, byte, table)
