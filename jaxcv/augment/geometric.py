"""Augmentations that move pixels: the image, and with it the boxes, the class mask and the instances' masks.

What comes into the picture from outside is `fill` in the image, `mask_fill` in `mask` (255 is the class that losses
ignore) and 0 in `masks`. Images are resized bilinearly, averaging where they shrink; masks take the nearest pixel,
since a mean of class numbers is no class.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from jaxcv import ops
from jaxcv.augment.batch import Example, Keys, fill_value, for_each
from jaxcv.types import Array, Batch, Float, Int, PRNGKeyArray

__all__ = ['random_crop', 'random_flip', 'random_resized_crop', 'random_scale_patch', 'random_shift']


def random_flip(
    key: Keys,
    batch: Batch,
    *,
    probability: float = 0.5,
    axis: Literal['horizontal', 'vertical'] = 'horizontal',
) -> Batch:
    """Mirror each example with a probability: `out[y, x] = in[y, w - 1 - x]`.

    Args:
        key: a random key, or one for each example.
        batch: `image` `[n, h, w, c]`, floats or uint8; `boxes`, `mask`, `masks` are mirrored along.
        probability: of a flip, in [0, 1].
        axis: `horizontal` swaps left and right, `vertical` top and bottom.

    Returns:
        The batch, shapes and types as they were; `box_valid` is added where there are boxes.

    Raises:
        ValueError: the probability is outside [0, 1].

    Example:
        >>> batch = {'image': jnp.array([[[[1.0], [2.0], [3.0]]]]), 'boxes': jnp.array([[[0.0, 0.0, 1.0, 1.0]]])}
        >>> flipped = random_flip(jax.random.key(0), batch, probability=1.0)
        >>> print(flipped['image'].ravel(), flipped['boxes'][0, 0])
        [3. 2. 1.] [2. 0. 3. 1.]
    """
    if not 0 <= probability <= 1:
        raise ValueError(f'probability must be in [0, 1], got {probability}')
    along = 1 if axis == 'horizontal' else 0
    low, high = (0, 2) if axis == 'horizontal' else (1, 3)

    def flip(key: Array, example: Example) -> Example:
        drawn = jax.random.bernoulli(key, probability)
        height, width = example['image'].shape[:2]
        length = (height, width)[along]

        def mirrored(boxes: Float[Array, 'k 4']) -> Float[Array, 'k 4']:
            swapped = boxes.at[:, low].set(length - boxes[:, high]).at[:, high].set(length - boxes[:, low])
            return jnp.where(drawn, swapped, boxes)

        pictures = _each_picture(example, lambda name, x: jnp.where(drawn, jnp.flip(x, along), x))
        return {**example, **pictures, **_boxes(example, mirrored, height, width)}

    return for_each(flip, key, batch)


def random_shift(
    key: Keys,
    batch: Batch,
    *,
    max_shift: int,
    fill: float = 0.0,
    mask_fill: int = 255,
    min_visible: float = 0.0,
) -> Batch:
    """Shift each example by a random whole number of pixels, as CIFAR is trained: pad all round, crop at random.

    `out[y, x] = in[y + dy, x + dx]`, with dy and dx uniform in `{-max_shift, ..., max_shift}`. It is `random_crop` to
    the size that the images have.

    Args:
        key: a random key, or one for each example.
        batch: `image` `[n, h, w, c]`, floats or uint8; `boxes`, `mask`, `masks` are shifted along.
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
    if max_shift < 0:
        raise ValueError(f'max_shift must be at least 0, got {max_shift}')
    height, width = batch['image'].shape[1:3]
    return random_crop(
        key,
        batch,
        size=(height, width),
        padding=max_shift,
        fill=fill,
        mask_fill=mask_fill,
        min_visible=min_visible,
    )


def random_crop(
    key: Keys,
    batch: Batch,
    *,
    size: int | tuple[int, int],
    padding: int = 0,
    fill: float = 0.0,
    mask_fill: int = 255,
    min_visible: float = 0.0,
) -> Batch:
    """Cut a random patch out of each example, which may first be padded all round.

    `out[y, x] = padded[top + y, left + x]`, with `(top, left)` uniform over the places where the patch fits.

    Args:
        key: a random key, or one for each example.
        batch: `image` `[n, h, w, c]`, floats or uint8; `boxes`, `mask`, `masks` are cut along.
        size: the patch's side, or (height, width), in pixels.
        padding: pixels put on each of the four sides, at least 0.
        fill: the padding, 0 (black) to 1 (white), also for uint8.
        mask_fill: the class of the padding.
        min_visible: a box stays valid where at least this share of its area stays in the image, and more than none.

    Returns:
        The batch with pictures of (height, width); `box_valid` is added where there are boxes.

    Raises:
        ValueError: the patch does not fit, padding is negative, or fill or min_visible outside [0, 1].

    Example:
        >>> batch = {'image': jnp.ones((2, 8, 8, 3)), 'label': jnp.array([3, 1])}
        >>> random_crop(jax.random.key(0), batch, size=6)['image'].shape
        (2, 6, 6, 3)

    Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", 2012, section 4.1.
    """
    height, width = _size(size)
    h, w = batch['image'].shape[1:3]
    _check_min_visible(min_visible)
    if padding < 0:
        raise ValueError(f'padding must be at least 0, got {padding}')
    places = h + 2 * padding - height + 1, w + 2 * padding - width + 1
    if min(places) < 1:
        raise ValueError(
            f'a patch of {(height, width)} pixels does not fit into {(h, w)} with {padding} around it: '
            'take a smaller size or more padding'
        )
    fills = {'image': fill_value(fill, batch['image'].dtype), 'mask': mask_fill, 'masks': 0}

    def crop(key: Array, example: Example) -> Example:
        top, left = jax.random.randint(key, (2,), 0, jnp.array(places))

        def cut(name: str, x: Array) -> Array:
            margin = (padding, padding)
            padded = jnp.pad(x, (margin, margin, (0, 0)), constant_values=jnp.asarray(fills[name], x.dtype))
            return lax.dynamic_slice(padded, (top, left, 0), (height, width, x.shape[-1]))

        def shifted(boxes: Float[Array, 'k 4']) -> Float[Array, 'k 4']:
            return boxes + (padding - jnp.array([left, top, left, top]))

        boxes = _boxes(example, shifted, height, width, min_visible)
        return {**example, **_each_picture(example, cut), **boxes}

    return for_each(crop, key, batch)


def random_scale_patch(
    key: Keys,
    batch: Batch,
    *,
    size: int | tuple[int, int],
    scales: tuple[int, int] = (256, 480),
    min_visible: float = 0.0,
) -> Batch:
    """Multi-scale training: resize each example so that its short side is a random S, and cut a random patch.

    `S ~ U{least, ..., largest}`; both sides are multiplied by S / short side (the long one rounded to whole pixels), so
    proportions are kept. Only the patch is ever computed, so the shapes do not depend on S.

    Args:
        key: a random key, or one for each example.
        batch: `image` `[n, h, w, c]`, floats in [0, 1] or uint8; `boxes`, `mask`, `masks` are resized and cut along.
        size: the patch's side, or (height, width), in pixels.
        scales: least and largest S, in pixels.
        min_visible: a box stays valid where at least this share of its area stays in the image, and more than none.

    Returns:
        The batch with float images in [0, 1] and pictures of (height, width); `box_valid` is added where there are
        boxes.

    Raises:
        ValueError: the least S is smaller than the patch, the scales are no range, or min_visible is outside [0, 1].

    Example:
        >>> batch = {'image': jnp.zeros((2, 60, 80, 3), jnp.uint8)}
        >>> patch = jax.jit(lambda key, batch: random_scale_patch(key, batch, size=22, scales=(25, 48)))
        >>> images = patch(jax.random.key(0), batch)['image']
        >>> print(images.shape, images.dtype)
        (2, 22, 22, 3) float32

    Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2015, section 3.1.
    """
    height, width = _size(size)
    _check_min_visible(min_visible)
    if not max(height, width) <= scales[0] <= scales[1]:
        raise ValueError(
            f'scales must be size <= least <= largest: a patch of {(height, width)} pixels does not fit into {scales}'
        )
    shape = jnp.array(batch['image'].shape[1:3])

    def patch(key: Array, example: Example) -> Example:
        draws = jax.random.uniform(key, (3,))
        short_side = scales[0] + jnp.floor(draws[0] * (scales[1] - scales[0] + 1))
        resized = jnp.round(shape * short_side / shape.min())
        corner = jnp.floor(draws[1:] * (resized - jnp.array([height, width]) + 1))
        return _resampled(example, resized / shape, -corner, (height, width), min_visible)

    return for_each(patch, key, batch)


def random_resized_crop(
    key: Keys,
    batch: Batch,
    *,
    size: int | tuple[int, int],
    area: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    min_visible: float = 0.0,
) -> Batch:
    """Cut a random box out of each example and resize it: Inception's crop, the standard augmentation of ImageNet.

    The box covers a uniform share of the area, has a log-uniform ratio of width to height, and lies anywhere. Of ten
    boxes the first that fits is taken, or else the largest centred one whose ratio is allowed. Where it shrinks, a
    pixel at the edge also averages those just outside of the box.

    Args:
        key: a random key, or one for each example.
        batch: `image` `[n, h, w, c]`, floats in [0, 1] or uint8; `boxes`, `mask`, `masks` are cut and resized along.
        size: the result's side, or (height, width), in pixels.
        area: least and largest share of the image's area.
        ratio: least and largest width / height.
        min_visible: a box stays valid where at least this share of its area stays in the image, and more than none.

    Returns:
        The batch with float images in [0, 1] and pictures of (height, width); `box_valid` is added where there are
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
    height, width = _size(size)
    _check_min_visible(min_visible)
    if not 0 < area[0] <= area[1] <= 1:
        raise ValueError(f'area must be two shares of the image, 0 < least <= largest <= 1, got {area}')
    if not 0 < ratio[0] <= ratio[1]:
        raise ValueError(f'ratio must be 0 < least <= largest, got {ratio}')
    h, w = batch['image'].shape[1:3]

    def crop(key: Array, example: Example) -> Example:
        top_left, box = _draw_box(key, h, w, area, ratio)
        scale = jnp.array([height, width]) / box
        return _resampled(example, scale, -top_left * scale, (height, width), min_visible)

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

    aspect = min(max(width / height, ratio[0]), ratio[1])
    centred = jnp.array([min(height, max(1, round(width / aspect))), min(width, max(1, round(height * aspect)))])
    box = jnp.where(fits.any(), boxes[jnp.argmax(fits)], centred)
    top_left = jnp.floor(draws[20:] * (shape - box + 1)).astype(jnp.int32)
    return jnp.where(fits.any(), top_left, (shape - box) // 2), box


def _resampled(
    example: Example,
    scale: Float[Array, '2'],
    offset: Float[Array, '2'],
    size: tuple[int, int],
    min_visible: float,
) -> Example:
    """The example on a grid of `size`: what was at (y, x) is at `(y, x) * scale + offset`, inside the old image."""
    height, width = size
    centres = [(jnp.arange(length) + 0.5 - offset[i]) / scale[i] for i, length in enumerate(size)]

    def resample(name: str, x: Array) -> Array:
        if name == 'image':
            shape = (height, width, x.shape[-1])
            out = jax.image.scale_and_translate(ops.to_float(x), shape, (0, 1), scale, offset, method='linear')
            return jnp.clip(out, 0, 1)  # the weights of a pixel add up to 1 but for rounding
        rows, columns = (
            jnp.clip(jnp.floor(at).astype(jnp.int32), 0, length - 1)
            for at, length in zip(centres, x.shape[:2], strict=True)
        )
        return x[rows[:, None], columns]

    def moved(boxes: Float[Array, 'k 4']) -> Float[Array, 'k 4']:
        return boxes * jnp.tile(scale[::-1], 2) + jnp.tile(offset[::-1], 2)

    return {**example, **_each_picture(example, resample), **_boxes(example, moved, height, width, min_visible)}


def _each_picture(example: Example, function: Callable[[str, Array], Array]) -> Example:
    """`function(name, picture)` of all that has pixels in the example, each as `[h w c]`."""
    out = {'image': function('image', example['image'])}
    if 'mask' in example:
        out['mask'] = function('mask', example['mask'][..., None])[..., 0]
    if 'masks' in example:
        out['masks'] = jnp.moveaxis(function('masks', jnp.moveaxis(example['masks'], 0, -1)), -1, 0)
    return out


def _boxes(
    example: Example, move: Callable[[Array], Array], height: int, width: int, min_visible: float = 0.0
) -> Example:
    """`boxes` moved and clipped to the image, and `box_valid` without those of which too little is left."""
    if 'boxes' not in example:
        return {}
    boxes = move(example['boxes'])
    clipped = jnp.clip(boxes, 0, jnp.array([width, height, width, height], boxes.dtype))
    area = _area(boxes)
    share = _area(clipped) / jnp.where(area > 0, area, 1)
    # Rounding must not make a box that only touches the border visible, nor one that is whole less than whole.
    visible = (share > 1e-4) & (share > min_visible - 1e-4)
    return {'boxes': clipped, 'box_valid': visible & example.get('box_valid', True)}


def _area(boxes: Float[Array, 'k 4']) -> Float[Array, 'k']:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _size(size: int | tuple[int, int]) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f'size must be at least 1 pixel, got {size}')
    return height, width


def _check_min_visible(min_visible: float) -> None:
    if not 0 <= min_visible <= 1:
        raise ValueError(f'min_visible must be a share in [0, 1], got {min_visible}')
