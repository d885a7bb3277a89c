"""Augmentations that move pixels, and with them every feature that follows the pixels by `jaxcv.features`.

Masks, boxes, the other view of a pair, disparity and flow move by the same map (`jaxcv.moves`). Pixels that come in
from outside are `fill` in images, `mask_fill` in `mask` (255 is the class that losses ignore), 0 or False in the
others. Images are resized bilinearly, averaging where they shrink; masks take the nearest pixel, since a mean of class
numbers is no class. The same operations on the host, in `jaxcv.data.transforms`, differ only in that interpolation.
"""

from collections.abc import Callable
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from jax import lax

from jaxcv import ops
from jaxcv.arguments import AtLeast0, AtLeast1, Positive, Range, Share, checked
from jaxcv.augment.batch import Keys, fill_value, for_each
from jaxcv.augment.resampling import resample_window
from jaxcv.features import FEATURES, Example
from jaxcv.moves import (
    Move,
    check_area_and_ratio,
    check_scales,
    image_size,
    largest_box,
    mirror_sources,
    move_example,
)
from jaxcv.sizes import PositiveSize, height_and_width
from jaxcv.types import IGNORED, Array, Batch, Int, PRNGKeyArray

__all__ = ['random_crop', 'random_flip', 'random_resized_crop', 'random_scale_crop', 'random_shift']


@checked
def random_flip(
    key: Keys,
    batch: Batch,
    *,
    probability: Share = 0.5,
    axis: Literal['horizontal', 'vertical'] = 'horizontal',
) -> Batch:
    """Mirror each example with a probability: `out[y, x] = in[y, w - 1 - x]`.

    The views of a pair, mirrored left to right, are exchanged; flow is negated along the axis.

    Args:
        key: a random key, or one for each example.
        batch: `image` `[n, h, w, c]`, floats or uint8, and features that follow it.
        probability: of a flip, in [0, 1].
        axis: `horizontal` swaps left and right, `vertical` top and bottom.

    Returns:
        The batch, shapes and types as they were; `box_valid` is added where there are boxes.

    Raises:
        ValueError: the probability is outside [0, 1]; or the axis is horizontal and there is the disparity of one
            view only, or a pair with masks, boxes or flow: the truths of the right view would be needed.

    Example:
        >>> batch = {'image': jnp.array([[[[1.0], [2.0], [3.0]]]]), 'boxes': jnp.array([[[0.0, 0.0, 1.0, 1.0]]])}
        >>> flipped = random_flip(jax.random.key(0), batch, probability=1.0)
        >>> print(flipped['image'].ravel(), flipped['boxes'][0, 0])
        [3. 2. 1.] [2. 0. 3. 1.]
    """
    size = image_size(batch, batch_axes=1)
    sources = mirror_sources(batch) if axis == 'horizontal' else {}
    along = 1 if axis == 'horizontal' else 0
    mirror_scale, mirror_shift = jnp.ones(2).at[along].set(-1), jnp.zeros(2).at[along].set(size[along])

    def flip(key: Array, example: Example) -> Example:
        drawn = jax.random.bernoulli(key, probability)

        def mirrored(name: str, x: Array) -> Array:
            source = example[sources[name]].reshape(x.shape) if name in sources else x
            return jnp.where(drawn, jnp.flip(source, along), x)

        move = Move(size, scale=jnp.where(drawn, mirror_scale, 1), shift=jnp.where(drawn, mirror_shift, 0))
        return _moved(example, move, mirrored)

    return for_each(flip, key, batch)


@checked
def random_shift(
    key: Keys,
    batch: Batch,
    *,
    max_shift: AtLeast0,
    fill: Share = 0.0,
    mask_fill: AtLeast0 = IGNORED,
    min_visible: Share = 0.0,
) -> Batch:
    """Shift each example by a random whole number of pixels, the augmentation of CIFAR: pad all round, crop at random.

    `out[y, x] = in[y + dy, x + dx]`, with dy and dx uniform in `{-max_shift, ..., max_shift}`. It is `random_crop` to
    the size that the images have.

    Args:
        key: a random key, or one for each example.
        batch: `image` `[n, h, w, c]`, floats or uint8, and features that follow it.
        max_shift: the largest shift in pixels along each axis, at least 0.
        fill: the pixels that come in from outside, 0 (black) to 1 (white), also for uint8.
        mask_fill: the class that comes in from outside.
        min_visible: a box stays valid where at least this share of its area stays in the image, and more than none.

    Returns:
        The batch, shapes and types as they were; `box_valid` is added where there are boxes.

    Raises:
        ValueError: max_shift is negative, or fill or min_visible outside [0, 1].

    Example:
        >>> batch = {'image': jnp.ones((2, 4, 4, 1))}
        >>> print(random_shift(jax.random.key(0), batch, max_shift=0)['image'].sum())
        32.0

    He et al., "Deep Residual Learning for Image Recognition", 2016, section 4.2.
    """
    return random_crop(
        key,
        batch,
        size=image_size(batch, batch_axes=1),
        padding=max_shift,
        fill=fill,
        mask_fill=mask_fill,
        min_visible=min_visible,
    )


@checked
def random_crop(
    key: Keys,
    batch: Batch,
    *,
    size: PositiveSize,
    padding: AtLeast0 = 0,
    fill: Share = 0.0,
    mask_fill: AtLeast0 = IGNORED,
    min_visible: Share = 0.0,
) -> Batch:
    """Cut a random patch out of each example, which may first be padded all round.

    `out[y, x] = padded[top + y, left + x]`, with `(top, left)` uniform over the places where the patch fits.

    Args:
        key: a random key, or one for each example.
        batch: `image` `[n, h, w, c]`, floats or uint8, and features that follow it.
        size: the patch's side, or (height, width), in pixels.
        padding: pixels put on each of the four sides, at least 0.
        fill: the padding, 0 (black) to 1 (white), also for uint8.
        mask_fill: the class of the padding.
        min_visible: a box stays valid where at least this share of its area stays in the image, and more than none.

    Returns:
        The batch with images and masks of (height, width); `box_valid` is added where there are boxes.

    Raises:
        ValueError: the patch does not fit, padding is negative, or fill or min_visible outside [0, 1].

    Example:
        >>> batch = {'image': jnp.ones((2, 8, 8, 3)), 'label': jnp.array([3, 1])}
        >>> random_crop(jax.random.key(0), batch, size=6)['image'].shape
        (2, 6, 6, 3)

    Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", 2012, section 4.1.
    """
    height, width = height_and_width(size)
    h, w = image_size(batch, batch_axes=1)
    places = h + 2 * padding - height + 1, w + 2 * padding - width + 1
    if min(places) < 1:
        raise ValueError(
            f'a patch of {(height, width)} pixels does not fit into {(h, w)} with {padding} around it: '
            'take a smaller size or more padding'
        )

    def outside(name: str, dtype: jnp.dtype) -> Array:
        if FEATURES[name].moved == 'resampled':
            return fill_value(fill, dtype)
        return jnp.asarray(mask_fill if name == 'mask' else FEATURES[name].outside, dtype)

    def crop(key: Array, example: Example) -> Example:
        corner = jax.random.randint(key, (2,), 0, jnp.array(places))

        def cut(name: str, x: Array) -> Array:
            margin = (padding, padding)
            padded = jnp.pad(x, (margin, margin, (0, 0)), constant_values=outside(name, x.dtype))
            return lax.dynamic_slice(padded, (*corner, 0), (height, width, x.shape[-1]))

        return _moved(example, Move((height, width), shift=padding - corner), cut, min_visible)

    return for_each(crop, key, batch)


@checked
def random_scale_crop(
    key: Keys,
    batch: Batch,
    *,
    size: PositiveSize,
    scales: tuple[AtLeast1, AtLeast1] = (256, 480),
    min_visible: Share = 0.0,
) -> Batch:
    """Multi-scale training: resize each example so that its short side is a random S, and cut out a random patch.

    `S ~ U{least, ..., largest}`; both sides are multiplied by S / short side (the long one rounded to whole pixels), so
    proportions are kept. Only the patch is ever computed, so the shapes do not depend on S.

    Args:
        key: a random key, or one for each example.
        batch: `image` `[n, h, w, c]`, floats in [0, 1] or uint8, and features that follow it.
        size: the patch's side, or (height, width), in pixels.
        scales: least and largest S, in pixels.
        min_visible: a box stays valid where at least this share of its area stays in the image, and more than none.

    Returns:
        The batch with images of (height, width), floats in [0, 1], and masks; `box_valid` is added where there are
        boxes.

    Raises:
        ValueError: the least S is smaller than the patch, the scales are no range, or min_visible is outside [0, 1].

    Example:
        >>> batch = {'image': jnp.zeros((2, 60, 80, 3), jnp.uint8)}
        >>> patch = jax.jit(lambda key, batch: random_scale_crop(key, batch, size=22, scales=(25, 48)))
        >>> images = patch(jax.random.key(0), batch)['image']
        >>> print(images.shape, images.dtype)
        (2, 22, 22, 3) float32

    Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2015, section 3.1.
    """
    height, width = height_and_width(size)
    check_scales((height, width), scales)
    short = min(image_size(batch, batch_axes=1))
    shape = jnp.array(image_size(batch, batch_axes=1))

    def patch(key: Array, example: Example) -> Example:
        draws = jax.random.uniform(key, (3,))
        short_side = scales[0] + jnp.floor(draws[0] * (scales[1] - scales[0] + 1))
        resized = jnp.round(shape * short_side / shape.min())
        corner = jnp.floor(draws[1:] * (resized - jnp.array([height, width]) + 1))
        move = Move((height, width), resized / shape, -corner)
        # The long side is rounded, by half a pixel at most.
        return _resampled(example, move, min_visible, (short / (scales[0] - 0.5),) * 2)

    return for_each(patch, key, batch)


@checked
def random_resized_crop(
    key: Keys,
    batch: Batch,
    *,
    size: PositiveSize,
    area: tuple[Annotated[float, Range(0, 1, '(]')], Annotated[float, Range(0, 1, '(]')]] = (0.08, 1.0),
    ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3),
    min_visible: Share = 0.0,
) -> Batch:
    """Cut a random box out of each example and resize it: Inception's crop, the standard augmentation of ImageNet.

    The box covers a uniform share of the area, has a log-uniform ratio of width to height, and lies anywhere. Of ten
    boxes the first that fits is taken, or else the largest centred one whose ratio is allowed. Where it shrinks, a
    pixel at the edge also averages those just outside of the box.

    Args:
        key: a random key, or one for each example.
        batch: `image` `[n, h, w, c]`, floats in [0, 1] or uint8, and features that follow it.
        size: the result's side, or (height, width), in pixels.
        area: least and largest share of the image's area.
        ratio: least and largest width / height.
        min_visible: a box stays valid where at least this share of its area stays in the image, and more than none.

    Returns:
        The batch with images of (height, width), floats in [0, 1], and masks; `box_valid` is added where there are
        boxes.

    Raises:
        ValueError: area, ratio or min_visible is no such range or share.

    Example:
        >>> batch = {'image': jnp.ones((2, 37, 50, 3))}
        >>> crop = jax.jit(lambda key, batch: random_resized_crop(key, batch, size=(16, 24)))
        >>> crop(jax.random.key(0), batch)['image'].shape
        (2, 16, 24, 3)

    Szegedy et al., "Going deeper with convolutions", 2015, section 6.
    """
    height, width = height_and_width(size)
    check_area_and_ratio(area, ratio)
    h, w = image_size(batch, batch_axes=1)

    def crop(key: Array, example: Example) -> Example:
        top_left, box = _draw_box(key, h, w, area, ratio)
        scale = jnp.array([height, width]) / box
        return _resampled(
            example, Move((height, width), scale, -top_left * scale), min_visible, (h / height, w / width)
        )

    return for_each(crop, key, batch)


def _draw_box(
    key: PRNGKeyArray, height: int, width: int, area: tuple[float, float], ratio: tuple[float, float]
) -> tuple[Int[Array, '2'], Int[Array, '2']]:
    """A random box of whole pixels inside the image: its (top, left) and its (height, width)."""
    draws = jax.random.uniform(key, (22,))  # in one call: several take longer to compile than all the rest
    areas = height * width * (area[0] + draws[:10] * (area[1] - area[0]))
    ratios = ratio[0] * (ratio[1] / ratio[0]) ** draws[10:20]
    boxes = jnp.round(jnp.sqrt(jnp.stack([areas / ratios, areas * ratios], axis=-1))).astype(jnp.int32)
    shape = jnp.array([height, width])
    fits = ((boxes > 0) & (boxes <= shape)).all(axis=-1)

    box = jnp.where(fits.any(), boxes[jnp.argmax(fits)], jnp.array(largest_box(height, width, ratio)))
    top_left = jnp.floor(draws[20:] * (shape - box + 1)).astype(jnp.int32)
    return jnp.where(fits.any(), top_left, (shape - box) // 2), box


def _resampled(example: Example, move: Move, min_visible: float, most_shrunk: tuple[float, float]) -> Example:
    """The example at a window inside of the old image: images resized bilinearly, the rest by the nearest pixel.

    `most_shrunk` is as in `resample_window`.
    """
    centres = [(jnp.arange(length) + 0.5 - move.shift[i]) / move.scale[i] for i, length in enumerate(move.size)]

    def resample(name: str, x: Array) -> Array:
        if FEATURES[name].moved == 'resampled':
            out = resample_window(ops.to_float(x), move, most_shrunk=most_shrunk)
            return jnp.clip(out, 0, 1)  # the weights of a pixel add up to 1 but for rounding
        rows, columns = (
            jnp.clip(jnp.floor(at).astype(jnp.int32), 0, length - 1)
            for at, length in zip(centres, x.shape[:2], strict=True)
        )
        return x[rows[:, None], columns]

    return _moved(example, move, resample, min_visible)


def _moved(example: Example, move: Move, function: Callable[[str, Array], Array], min_visible: float = 0.0) -> Example:
    """The example moved, with `function(name, array)` applied to all that has pixels, each as `[h w c]`."""

    def pixels(name: str, x: Array) -> Array:
        if FEATURES[name].axes.startswith('k'):
            return jnp.moveaxis(function(name, jnp.moveaxis(x, 0, -1)), -1, 0)
        return function(name, x if x.ndim == 3 else x[..., None]).reshape(*move.size, *x.shape[2:])

    return move_example(example, move, pixels, min_visible=min_visible)
