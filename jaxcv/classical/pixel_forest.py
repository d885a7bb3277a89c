"""Segmentation by a random forest that classifies each pixel by differences of intensity near it.

Shotton et al., "Real-Time Human Pose Recognition in Parts from Single Depth Images", 2011 (the Kinect).
"""

import functools
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Shaped

from jaxcv.arguments import AtLeast1, Positive, Range, checked
from jaxcv.classical import random_forest
from jaxcv.classical.inputs import check_count, to_array, to_classes, to_numbers
from jaxcv.classical.splits import Criterion
from jaxcv.types import IGNORED, Array, Float, Int, Key, UInt8

__all__ = [
    'Offsets',
    'PixelForest',
    'draw_offsets',
    'fit',
    'intensity_difference_features',
    'predict',
    'predict_probabilities',
]


class Offsets(NamedTuple):
    """The two points, relative to a pixel, that each feature compares."""

    first: Float[Array, 'd 2']
    """(dx, dy) in pixels; with depth, in pixels times the unit of depth."""
    second: Float[Array, 'd 2']
    channels: Int[Array, 'd 2']
    """The channel that is read at each of the two points."""


class PixelForest(NamedTuple):
    """A forest and its features."""

    forest: random_forest.Forest
    offsets: Offsets
    mean_pixel: Float[Array, ' c']
    """The mean pixel of the training images. Its length is the number of channels that other images must have."""
    mean_depth: Float[Array, ''] | None
    """The mean depth of the training images; None if they had no depth, and then others must have none."""
    largest: Float[Array, '']
    """The largest pixel of the training images, by which images of another range are found out."""


@checked
def draw_offsets(key: Key[Array, ''], *, num_features: AtLeast1, radius: Positive, channels: AtLeast1) -> Offsets:
    """Draw pairs of points in a square around the pixel; in every second pair the first point is the pixel itself.

    Each coordinate is `r · s · |s|`, with s uniform in [-1, 1]: dense near the pixel, sparse far from it.

    Args:
        key: the random key.
        num_features: the number of pairs.
        radius: r, the largest offset in pixels (with depth, in pixels times the unit of depth).
        channels: the number of channels of the images.

    Returns:
        The offsets.

    Raises:
        ValueError: a number is not positive.

    Example:
        >>> offsets = draw_offsets(jax.random.key(0), num_features=4, radius=8, channels=3)
        >>> print(offsets.first.shape, offsets.first[1])
        (4, 2) [0. 0.]
    """
    place, channel = jax.random.split(key)
    uniform = jax.random.uniform(place, (2, num_features, 2), minval=-1, maxval=1)
    first, second = radius * uniform * jnp.abs(uniform)
    first = jnp.where(jnp.arange(num_features)[:, None] % 2 == 0, first, 0)
    return Offsets(first, second, jax.random.randint(channel, (num_features, 2), 0, channels))


def intensity_difference_features(
    images: Float[Array, 'n h w c'] | UInt8[Array, 'n h w c'], depth: Float[Array, 'n h w'] | None, offsets: Offsets
) -> Float[Array, 'n h w d']:
    """Compute the features of every pixel, `f(x) = I(x + u) - I(x + v)`.

    With depth d they are `I(x + u / d(x)) - I(x + v / d(x))`: the offsets are fixed on the object instead of the image,
    so the features do not depend on its distance. Points are rounded to the nearest pixel; outside of the image, the
    nearest pixel of its border is read.

    Args:
        images: of any range; uint8 is used as it is, from 0 to 255. The paper's features have the depth as image.
        depth: greater than 0, in any unit; None for offsets in pixels.
        offsets: see `draw_offsets`.

    Returns:
        `[n, h, w, d]`, in the images' unit.

    Example:
        >>> offsets = Offsets(jnp.array([[0.0, 0.0]]), jnp.array([[1.0, 0.0]]), jnp.zeros((1, 2), int))
        >>> image = jnp.array([[1.0, 2.0, 4.0]])[None, :, :, None]
        >>> print(intensity_difference_features(image, None, offsets)[0, 0, :, 0])
        [-1. -2.  0.]
    """
    pixels = jnp.arange(images.shape[0] * images.shape[1] * images.shape[2])
    return _features(images, depth, offsets, pixels).reshape(*images.shape[:3], -1)


@checked
def fit(
    key: Key[Array, ''],
    images: Shaped[Any, 'n h w c'],
    masks: Shaped[Any, 'n h w'],
    depth: Shaped[Any, 'n h w'] | None,
    *,
    num_classes: AtLeast1,
    pixels_per_image: AtLeast1 = 500,
    balanced: bool = True,
    num_features: AtLeast1 = 200,
    radius: Positive = 16,
    num_trees: AtLeast1 = 20,
    max_features: AtLeast1 | Annotated[float, Range(0, 1, '(]')] | Literal['sqrt'] | None = 'sqrt',
    max_depth: AtLeast1 | None = 16,
    min_samples_leaf: AtLeast1 = 1,
    criterion: Criterion = 'entropy',
) -> PixelForest:
    """Grow a forest on labelled pixels, drawn from each image with replacement.

    Args:
        key: the random key of the pixels, the offsets and the forest.
        images: with the same range, channels and sizes of objects as the images to predict.
        masks: the class of each pixel; those of 255 have none and are never drawn.
        depth: see `intensity_difference_features`; None for offsets in pixels.
        num_classes: the number of classes.
        pixels_per_image: the number of pixels drawn from each image.
        balanced: whether all classes of an image are equally probable; otherwise all its pixels are.
        num_features: the number of pairs of points.
        radius: the largest distance of a point along each axis, see `draw_offsets`.
        num_trees: the number of trees.
        max_features: the number of features that a node tries, see `random_forest.fit`.
        max_depth: the maximum number of splits on a path.
        min_samples_leaf: the minimum number of pixels on each side of a split.
        criterion: the impurity, `'gini'` or `'entropy'`.

    Returns:
        The forest and its offsets.

    Raises:
        ValueError: shapes do not agree, a value is not finite, a depth is not above 0, a class is out of range, or no
            pixel has a class.

    Example:
        >>> image = jnp.zeros((1, 8, 8, 1)).at[:, :, 4:].set(1)
        >>> forest = fit(jax.random.key(0), image, image[..., 0].astype(int), None, num_classes=2, num_trees=5)
        >>> print(jnp.mean(predict(forest, image, None) == image[..., 0]))
        1.0
    """
    images, depth = _checked(images, depth)
    masks = to_classes('masks', masks, shape=images.shape[:3], num_classes=num_classes, ignored=IGNORED)
    classes = jnp.where(masks == IGNORED, 0, masks)
    pixels_per_image = check_count('pixels_per_image', pixels_per_image)
    if criterion == 'variance':
        raise ValueError("pixels have classes: criterion must be 'gini' or 'entropy'")
    for_pixels, for_offsets, for_forest = jax.random.split(key, 3)
    offsets = draw_offsets(for_offsets, num_features=num_features, radius=radius, channels=images.shape[-1])
    pixels, weights = _draw_pixels(
        for_pixels, masks, num_classes=num_classes, count=pixels_per_image, balanced=balanced
    )
    if not weights.any():
        raise ValueError(f'no pixel has a class: all of the masks is {IGNORED}')
    forest = random_forest.fit(
        for_forest,
        _features(images, depth, offsets, pixels),
        classes.ravel()[pixels],
        weights,
        num_classes=num_classes,
        num_trees=num_trees,
        max_features=max_features,
        max_depth=max_depth,
        min_samples_leaf=min_samples_leaf,
        criterion=criterion,
    )
    return PixelForest(
        forest,
        offsets,
        mean_pixel=jnp.mean(images, axis=(0, 1, 2), dtype=jnp.float32),
        mean_depth=None if depth is None else jnp.mean(depth),
        largest=jnp.max(images).astype(jnp.float32),
    )


@checked
def predict(
    forest: PixelForest,
    images: Shaped[Any, 'n h w c'],
    depth: Shaped[Any, 'n h w'] | None,
    *,
    block_size: AtLeast1 = 8192,
) -> Int[Array, 'n h w']:
    """Predict the most probable class of every pixel.

    Args:
        forest: what `fit` returned.
        images: like those of `fit`; of any size.
        depth: as in `fit`; None if that was without depth.
        block_size: see `predict_probabilities`.

    Returns:
        Masks `[n, h, w]`, int32.

    Raises:
        ValueError: the number of channels is not that of `fit`, or the depth has another size than the images, or is
            given or missing unlike in `fit`; images are in [0, 1] and those of `fit` were bytes, or the reverse.

    Example:
        >>> image = jnp.zeros((1, 8, 8, 1)).at[:, :, 4:].set(1)
        >>> forest = fit(jax.random.key(0), image, image[..., 0].astype(int), None, num_classes=2, num_trees=5)
        >>> print(predict(forest, image, None)[0, 0])
        [0 0 0 0 1 1 1 1]
    """
    return jnp.argmax(predict_probabilities(forest, images, depth, block_size=block_size), axis=-1).astype(jnp.int32)


@checked
def predict_probabilities(
    forest: PixelForest,
    images: Shaped[Any, 'n h w c'],
    depth: Shaped[Any, 'n h w'] | None,
    *,
    block_size: AtLeast1 = 8192,
) -> Float[Array, 'n h w classes']:
    """Predict the share of each class at every pixel, in memory bounded by `block_size`.

    Args:
        forest: what `fit` returned.
        images: like those of `fit`; of any size.
        depth: as in `fit`; None if that was without depth.
        block_size: the number of pixels whose features are in memory at a time.

    Returns:
        `[n, h, w, classes]`, which sum to 1.

    Raises:
        ValueError: the number of channels is not that of `fit`, or the depth has another size than the images, or is
            given or missing unlike in `fit`; images are in [0, 1] and those of `fit` were bytes, or the reverse.

    Example:
        >>> image = jnp.zeros((1, 8, 8, 1)).at[:, :, 4:].set(1)
        >>> forest = fit(jax.random.key(0), image, image[..., 0].astype(int), None, num_classes=2, num_trees=5)
        >>> print(predict_probabilities(forest, image, None).shape)
        (1, 8, 8, 2)
    """
    images, depth = _checked(images, depth)
    channels = len(forest.mean_pixel)
    if images.shape[-1] != channels:
        raise ValueError(f'the forest was fitted to images of {channels} channels, these have {images.shape[-1]}')
    if (depth is None) != (forest.mean_depth is None):
        raise ValueError(
            'the forest was fitted with depth, which predictions need too'
            if depth is None
            else 'the forest was fitted without depth: pass None'
        )
    _check_range(images, forest.largest)
    return _predict_probabilities(forest, images, depth, block_size=check_count('block_size', block_size))


@functools.partial(jax.jit, static_argnames='block_size')
def _predict_probabilities(forest: PixelForest, images: Array, depth: Array | None, *, block_size: int) -> Array:
    n, h, w, _ = images.shape
    size = min(block_size, n * h * w)
    blocks = jnp.minimum(jnp.arange(-(-n * h * w // size) * size), n * h * w - 1).reshape(-1, size)

    def probabilities(pixels: Array) -> Array:
        return random_forest.predict_probabilities(forest.forest, _features(images, depth, forest.offsets, pixels))

    found = lax.map(probabilities, blocks)
    return found.reshape(-1, found.shape[-1])[: n * h * w].reshape(n, h, w, -1)


@jax.jit
def _features(images: Array, depth: Array | None, offsets: Offsets, pixels: Array) -> Array:
    """Return the features `[p, d]` of pixels `[p]`, indexed through all images."""
    _, h, w, _ = images.shape
    image, y, x = pixels // (h * w), pixels // w % h, pixels % w
    scale = 1.0 if depth is None else 1 / depth.reshape(-1)[pixels][:, None]

    def read(offset: Array, channel: Array) -> Array:
        dx, dy = (jnp.round(offset * scale).astype(jnp.int32) for offset in offset.T)
        row, column = jnp.clip(y[:, None] + dy, 0, h - 1), jnp.clip(x[:, None] + dx, 0, w - 1)
        return images[image[:, None], row, column, channel].astype(jnp.float32)

    return read(offsets.first, offsets.channels[:, 0]) - read(offsets.second, offsets.channels[:, 1])


@functools.partial(jax.jit, static_argnames=('num_classes', 'count', 'balanced'))
def _draw_pixels(key: Array, masks: Array, *, num_classes: int, count: int, balanced: bool) -> tuple[Array, Array]:
    """`count` pixels of each image, indexed through all images, and weights: 0 if the image has no labelled pixel."""
    n, h, w = masks.shape

    def draw(key: Array, mask: Array) -> tuple[Array, Array]:
        labelled = mask != IGNORED
        share = labelled.astype(jnp.float32)
        if balanced:
            frequency = jnp.bincount(jnp.where(labelled, mask, num_classes), length=num_classes + 1)
            share /= jnp.maximum(frequency, 1)[jnp.where(labelled, mask, num_classes)]
        until = jnp.cumsum(share)
        at = jnp.searchsorted(until, jax.random.uniform(key, (count,)) * until[-1], side='right')
        at = jnp.minimum(at, h * w - 1)
        return at, labelled[at].astype(jnp.float32)

    pixels, weights = jax.vmap(draw)(jax.random.split(key, n), masks.reshape(n, -1).astype(jnp.int32))
    return (jnp.arange(n)[:, None] * (h * w) + pixels).ravel(), weights.ravel()


def _checked(images: Any, depth: Any) -> tuple[Array, Array | None]:
    """Images of uint8 as they are, others and the depth as float32; both finite."""
    images = to_array('images', images)
    if images.ndim != 4 or not images.size:
        hint = ': images[..., None] has the channel' * (images.ndim == 3)
        raise ValueError(f'images must be of shape [n, h, w, c], got {images.shape}{hint}')
    if images.dtype != np.uint8:
        images = jnp.asarray(to_numbers('images', images, shape=images.shape), jnp.float32)
    if depth is not None:
        array = to_array('depth', depth)
        if array.shape != images.shape[:3]:
            raise ValueError(f'depth must be of shape {images.shape[:3]}, as the images are, got {array.shape}')
        depth = jnp.asarray(to_numbers('depth', array, shape=array.shape), jnp.float32)
        if not isinstance(depth, jax.core.Tracer) and not depth.min() > 0:
            raise ValueError(f'depth must be above 0, got {depth.min()}: fill in the pixels that have none')
    return jnp.asarray(images), depth


def _check_range(images: Array, largest: Array) -> None:
    """Raise an error for images in [0, 1] where those of the training went to 255, and the reverse."""
    if isinstance(images, jax.core.Tracer) or isinstance(largest, jax.core.Tracer):
        return
    was, now = float(largest), float(images.max())
    # Byte images may be dark.
    if (was <= 1 and now > 100) or (was > 100 and now <= 1 and jnp.issubdtype(images.dtype, jnp.floating)):
        raise ValueError(f'the forest was fitted to images of values up to {was:g}, these go up to {now:g}')
