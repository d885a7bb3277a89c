"""Augmentations of pairs of images: a geometry for both and a little for each, colours, and covered places.

A pair is `image` and `next_image` with `flow`, or `left` and `right` with `disparity`. The other augmentations move or
recolour both images of a pair alike; those of this file also make them differ.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from jaxcv import ops
from jaxcv.arguments import AtLeast1, NonNegative, Positive, Share, checked
from jaxcv.augment.batch import Keys, check_images, fill_value, for_each
from jaxcv.augment.color import blend, mean_gray
from jaxcv.features import Example
from jaxcv.moves import image_size, moved_features
from jaxcv.sizes import PositiveSize, height_and_width
from jaxcv.types import Array, Batch, Bool, Float, PRNGKeyArray

__all__ = ['random_pair_affine', 'random_pair_colors', 'random_pair_eraser']

_DRAWS = 20
"""Maps that are drawn for an example; the first whose frames lie inside of the images is taken."""
_FRAMES = ('image', 'next_image')
_FIELD = ('flow', 'flow_valid', 'flow_visible')


@checked
def random_pair_affine(
    key: Keys,
    batch: Batch,
    *,
    size: PositiveSize | None = None,
    translation: Share = 0.2,
    rotation: NonNegative = 17.0,
    scale: tuple[Positive, Positive] = (0.9, 2.0),
    relative_translation: Share = 0.004,
    relative_rotation: NonNegative = 1.0,
    relative_scale: tuple[Positive, Positive] = (0.985, 1.015),
) -> Batch:
    """Shift, rotate and scale both frames of a pair by one map, and the second one a little more; the flow follows.

    A pixel x of the result takes its colour from `A1 x` in the first frame and `A2 x` in the second, both affine. With
    f the old flow, the new one is `A2^-1 (A1 x + f(A1 x)) - x`, f by the nearest pixel. Of 20 maps that are drawn, the
    first that takes no pixel from outside of the images is used; if there is none, the middle is cut out.

    It is for optical flow. The rows of a stereo pair must stay rows: `random_scale_crop`, `random_resized_crop` and
    `random_flip` move its views and its disparity.

    Args:
        key: a random key, or one for each example.
        batch: `image`, `next_image` `[n, h, w, c]`, floats in [0, 1] or uint8, and `flow` with what belongs to it.
        size: the result's side, or (height, width), in pixels; None: as the images.
        translation: the largest shift of both, as a share of the image's width and height.
        rotation: the largest angle of both, to either side, in degrees.
        scale: least and largest magnification of both, log-uniform.
        relative_translation: likewise for the second frame, after both.
        relative_rotation: likewise.
        relative_scale: likewise.

    Returns:
        The batch with frames of the size, floats in [0, 1], and `flow_valid`, which is False where nothing is known.
        `flow_visible` stays that of the whole image: a pixel may leave the part that is cut out.

    Raises:
        ValueError: there are no two frames, a feature cannot be rotated (such as boxes), or a range is none.

    Example:
        >>> frames = {name: jnp.zeros((1, 8, 8, 3)) for name in ('image', 'next_image')}
        >>> still = {'rotation': 0.0, 'translation': 0.0, 'scale': (2.0, 2.0)}
        >>> both = {'relative_rotation': 0.0, 'relative_translation': 0.0, 'relative_scale': (1.0, 1.0)}
        >>> batch = {**frames, 'flow': jnp.ones((1, 8, 8, 2))}
        >>> print(random_pair_affine(jax.random.key(0), batch, **still, **both)['flow'][0, 0, 0])
        [2. 2.]

    Dosovitskiy et al., "FlowNet: Learning Optical Flow with Convolutional Networks", 2015, section 4.2.
    """
    for name, (least, most) in {'scale': scale, 'relative_scale': relative_scale}.items():
        if least > most:
            raise ValueError(f'{name} must be 0 < least <= largest, got {(least, most)}')
    if missing := [name for name in _FRAMES if name not in batch]:
        raise ValueError(f'random_pair_affine moves image and next_image, and there is no {missing[0]}')
    if unmoved := [name for name in moved_features(batch) if name not in (*_FRAMES, *_FIELD)]:
        raise ValueError(f'random_pair_affine cannot rotate {", ".join(unmoved)}: drop them first')
    check_images(batch)
    old = image_size(batch, batch_axes=1)
    new = old if size is None else height_and_width(size)

    def draw(key: PRNGKeyArray) -> tuple[Array, Array]:
        """Maps of both frames, `[draws 2 3]` each."""
        both, own = jax.random.uniform(key, (2, _DRAWS, 4), minval=-1, maxval=1)
        first = _affine(both, old, translation, rotation, scale)
        second = _affine(own, new, relative_translation, relative_rotation, relative_scale)
        shared, identity = _centred(first, new, old), jnp.eye(3)[:2]
        little = _centred(second, new, new)
        fits = _inside(shared, new, old) & _inside(_chained(shared, little), new, old)
        best = jnp.argmax(fits)
        zoom = max(1.0, *(a / b for a, b in zip(new, old, strict=True)))
        middle = _centred(jnp.array([[1 / zoom, 0, 0], [0, 1 / zoom, 0]])[None], new, old)[0]
        one = jnp.where(fits.any(), shared[best], middle)
        return one, _chained(one, jnp.where(fits.any(), little[best], identity))

    def move(key: PRNGKeyArray, example: Example) -> Example:
        one, two = draw(key)
        pixels = jnp.stack(jnp.meshgrid(*map(jnp.arange, new[::-1])), axis=-1).astype(jnp.float32)  # (x, y)
        sources = {name: _apply(matrix, pixels) for name, matrix in zip(_FRAMES, (one, two), strict=True)}
        moved = dict(example) | {name: _bilinear(example[name], at) for name, at in sources.items()}
        if 'flow' not in example:
            return moved
        at = sources['image']
        inside = _is_inside(at, old)
        x, y = (jnp.clip(jnp.round(at[..., i]).astype(jnp.int32), 0, old[1 - i] - 1) for i in range(2))
        known = {'flow_valid': jnp.ones(old, bool), **{name: example[name] for name in _FIELD[1:] if name in example}}
        moved |= {name: value[y, x] & inside for name, value in known.items()}
        target = _apply(_inverse(two), at + example['flow'][y, x])
        return moved | {'flow': jnp.where(moved['flow_valid'][..., None], target - pixels, 0)}

    return for_each(move, key, batch)


@checked
def random_pair_colors(
    key: Keys,
    batch: Batch,
    *,
    brightness: NonNegative = 0.2,
    contrast: tuple[float, float] = (-0.8, 0.4),
    color: tuple[Positive, Positive] = (0.5, 2.0),
    gamma: tuple[Positive, Positive] = (0.7, 1.5),
    noise: NonNegative = 0.04,
    relative: Share = 0.1,
) -> Batch:
    """Change the colours of both images of a pair mostly alike, and each a little by itself; FlowNet's augmentation.

    In this order: each channel times its factor; `(1 + contrast) image - contrast m`, with m the mean grey; plus
    brightness; clipped to [0, 1], to the power of gamma; plus Gaussian noise, drawn for each pixel of each image. Every
    number is drawn for the pair, and shifted for each image by up to `relative` of half its range.

    Args:
        key: a random key, or one for each example.
        batch: a pair `[n, h, w, c]`, floats in [0, 1].
        brightness: the standard deviation of the number that is added.
        contrast: least and largest; 0 leaves the contrast, -1 leaves none.
        color: least and largest factor of a channel, log-uniform.
        gamma: least and largest exponent, log-uniform.
        noise: the largest standard deviation of the noise; that of a pair is uniform.
        relative: 0 changes both images alike.

    Returns:
        The batch with new images; the truth stays as it is.

    Raises:
        ValueError: there is no pair, the images are no floats in [0, 1], or a range is none.

    Example:
        >>> pair = {name: jnp.full((1, 4, 4, 3), 0.5) for name in ('left', 'right')}
        >>> alike = random_pair_colors(jax.random.key(0), pair, noise=0.0, relative=0.0)
        >>> bool((alike['left'] == alike['right']).all() and alike['left'][0, 0, 0, 0] != 0.5)
        True

    Dosovitskiy et al., "FlowNet: Learning Optical Flow with Convolutional Networks", 2015, section 4.2.
    """
    for name, (least, most) in {'contrast': contrast, 'color': color, 'gamma': gamma}.items():
        if least > most:
            raise ValueError(f'{name} must be least <= largest, got {(least, most)}')
    names = _pair(batch, 'random_pair_colors')
    if wrong := [name for name in names if not jnp.issubdtype(batch[name].dtype, jnp.floating)]:
        raise ValueError(f'colours change on floats in [0, 1], got {batch[wrong[0]].dtype}: pass ops.to_float(images)')
    check_images(batch, unit=True)

    def recolored(key: PRNGKeyArray, image: Array, drawn: Mapping[str, Array]) -> Array:
        image = image * jnp.exp(_in_range(drawn['color'], jnp.log(jnp.array(color)))).astype(image.dtype)
        image = blend(image, mean_gray(image), 1 + _in_range(drawn['contrast'][0], jnp.array(contrast)))
        image = jnp.clip(image + (brightness * drawn['brightness']).astype(image.dtype), 0, 1)
        image = image ** jnp.exp(_in_range(drawn['gamma'], jnp.log(jnp.array(gamma)))).astype(image.dtype)
        sigma = noise * (drawn['noise'] + 1) / 2
        return jnp.clip(image + sigma.astype(image.dtype) * jax.random.normal(key, image.shape, image.dtype), 0, 1)

    def change(key: PRNGKeyArray, example: Example) -> Example:
        channels = example[names[0]].shape[-1]
        shapes = {'color': channels, 'contrast': 1, 'gamma': 1, 'noise': 1}
        draws_key, normal_key, *keys = jax.random.split(key, 4)
        draws = jax.random.uniform(draws_key, (3, channels + 3), minval=-1, maxval=1)  # of the pair, of each image
        normal = jax.random.normal(normal_key, (3,))
        changed = dict(example)
        for place, (own, name) in enumerate(zip(keys, names, strict=True), 1):
            numbers = jnp.clip(draws[0] + relative * draws[place], -1, 1)
            drawn = dict(zip(shapes, jnp.split(numbers, [channels, channels + 1, channels + 2]), strict=True))
            drawn |= {'brightness': normal[0] + relative * normal[place], 'noise': draws[0, -1]}
            changed[name] = recolored(own, example[name], drawn)
        return changed

    return for_each(change, key, batch)


@checked
def random_pair_eraser(
    key: Keys,
    batch: Batch,
    *,
    probability: Share = 0.5,
    sides: tuple[AtLeast1, AtLeast1] = (50, 100),
    most: AtLeast1 = 2,
) -> Batch:
    """Cover rectangles of the second image by its mean colour: places that the first image shows and the second not.

    The truth stays: there the network has to infer where the pixels have gone.

    Args:
        key: a random key, or one for each example.
        batch: a pair `[n, h, w, c]`, floats in [0, 1] or uint8.
        probability: of any rectangle.
        sides: least and largest side, in pixels, uniform.
        most: 1 to this many rectangles; their centres are uniform over all pixels.

    Returns:
        The batch, shapes and types as they were.

    Raises:
        ValueError: there is no pair, or the sides are no range.

    Example:
        >>> half = jnp.tile(jnp.array([0.0, 1.0]), 4).reshape(1, 1, 8, 1)
        >>> pair = random_pair_eraser(jax.random.key(0), {'left': half, 'right': half}, probability=1.0, sides=(99, 99))
        >>> print(pair['left'][0, 0, :2, 0], pair['right'][0, 0, :2, 0])
        [0. 1.] [0.5 0.5]

    Teed and Deng, "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow", 2020, supplement.
    """
    if sides[0] > sides[1]:
        raise ValueError(f'sides must be least <= largest, got {sides}')
    _, second = _pair(batch, 'random_pair_eraser')
    check_images(batch)
    fill_value(0, batch[second].dtype)

    def erase(key: PRNGKeyArray, example: Example) -> Example:
        image = example[second]
        height, width = image.shape[:2]
        whether, count, *draws = jax.random.uniform(key, (2 + 4 * most,))
        count = jnp.where(whether < probability, 1 + jnp.floor(count * most), 0)
        y, x = jnp.arange(height)[:, None], jnp.arange(width)
        covered = jnp.zeros((height, width), bool)
        for place in range(most):
            down, across, high, wide = draws[4 * place : 4 * place + 4]
            high, wide = (jnp.floor(sides[0] + side * (sides[1] - sides[0] + 1)) for side in (high, wide))
            top, left = jnp.floor(down * height) - high // 2, jnp.floor(across * width) - wide // 2
            box = (top <= y) & (y < top + high) & (left <= x) & (x < left + wide)
            covered |= box & (place < count)
        mean = image.astype(jnp.float32).mean((0, 1))
        mean = jnp.round(mean).astype(image.dtype) if image.dtype == jnp.uint8 else mean.astype(image.dtype)
        return {**example, second: jnp.where(covered[..., None], mean, image)}

    return for_each(erase, key, batch)


def _pair(batch: Batch, name: str) -> tuple[str, str]:
    for pair in (('left', 'right'), _FRAMES):
        if all(one in batch for one in pair):
            return pair
    raise ValueError(f'{name} needs left and right, or image and next_image; there are: {", ".join(sorted(batch))}')


def _in_range(draw: Array, bounds: Array) -> Array:
    """From [-1, 1] to the bounds."""
    return bounds[0] + (draw + 1) / 2 * (bounds[1] - bounds[0])


def _affine(
    draws: Float[Array, 'k 4'], size: tuple[int, int], translation: float, rotation: float, scale: tuple[float, float]
) -> Float[Array, 'k 2 3']:
    """Maps (x, y) -> (x, y) from the result to the image, around the origin: they zoom in by the scale."""
    angle = jnp.radians(rotation) * draws[:, 0]
    zoom = jnp.exp(_in_range(draws[:, 1], jnp.log(jnp.array(scale))))
    cos, sin = jnp.cos(angle) / zoom, jnp.sin(angle) / zoom
    linear = jnp.stack([jnp.stack([cos, -sin], -1), jnp.stack([sin, cos], -1)], axis=-2)
    shift = translation * draws[:, 2:] * jnp.array([size[1], size[0]])
    return jnp.concatenate([linear, shift[..., None]], axis=-1)


def _centred(maps: Float[Array, 'k 2 3'], new: tuple[int, int], old: tuple[int, int]) -> Float[Array, 'k 2 3']:
    """The maps around the middle of the result and of the image, in pixels whose centres are whole numbers."""
    before, after = (jnp.array([(size[1] - 1) / 2, (size[0] - 1) / 2]) for size in (new, old))
    shift = maps[..., 2] + after - maps[..., :2] @ before
    return jnp.concatenate([maps[..., :2], shift[..., None]], axis=-1)


def _chained(first: Float[Array, '*k 2 3'], second: Float[Array, '*k 2 3']) -> Float[Array, '*k 2 3']:
    """The map x -> first(second(x))."""
    linear = jnp.matmul(first[..., :2], second, precision='highest')
    return linear.at[..., 2].add(first[..., 2])


def _inverse(one: Float[Array, '2 3']) -> Float[Array, '2 3']:
    (a, b), (c, d) = one[:, :2]
    linear = jnp.array([[d, -b], [-c, a]]) / (a * d - b * c)
    return jnp.concatenate([linear, -jnp.matmul(linear, one[:, 2:], precision='highest')], axis=1)


def _apply(one: Float[Array, '*k 2 3'], points: Float[Array, '*n 2']) -> Float[Array, '*n 2']:
    # Two products each, not a matrix product, which may be of low precision on a GPU.
    return points[..., :1] * one[..., 0] + points[..., 1:] * one[..., 1] + one[..., 2]


def _inside(maps: Float[Array, 'k 2 3'], new: tuple[int, int], old: tuple[int, int]) -> Bool[Array, ' k']:
    """Whether each map takes all corners of the result from inside of the image."""
    corners = jnp.array([[x, y] for x in (0, new[1] - 1) for y in (0, new[0] - 1)], jnp.float32)
    return jax.vmap(lambda one: _is_inside(_apply(one, corners), old).all())(maps)


def _is_inside(points: Float[Array, '*n 2'], size: tuple[int, int]) -> Bool[Array, '*n']:
    far = jnp.array([size[1] - 1, size[0] - 1])
    return ((points >= -1e-3) & (points <= far + 1e-3)).all(-1)


def _bilinear(image: Array, at: Float[Array, 'h w 2']) -> Float[Array, 'h w c']:
    """The image at (x, y); that of its border's pixel outside."""
    places = [at[..., 1], at[..., 0]]
    channels = jnp.moveaxis(ops.to_float(image), -1, 0)
    out = jax.vmap(lambda plane: map_coordinates(plane, places, order=1, mode='nearest'))(channels)
    return jnp.clip(jnp.moveaxis(out, 0, -1), 0, 1)
