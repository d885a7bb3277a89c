"""Test-time augmentation: factories of tuples of views, functions `images -> images`.

Predictions are averaged over the views. A view is deterministic, takes float or uint8 images `[n h w c]` and returns
floats in [0, 1]; views of one tuple may differ in size. A view's `inverse` maps predictions for its pixels back to the
image's; crops, which omit pixels, have none.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxcv.arguments import AtLeast1, checked
from jaxcv.ops import center_crop, resize_short_side, to_float
from jaxcv.sizes import PositiveSize, height_and_width
from jaxcv.types import Array, Float, Images, UInt8

__all__ = ['crops', 'flips', 'multi_scale']


Size = tuple[int, int]
MoveBoxes = Callable[[Float[Array, 'n d 4'], Size, Size], Float[Array, 'n d 4']]


class View(NamedTuple):
    """One version of the images; called as a function of them."""

    look: Callable[[Images | UInt8[Array, 'n h w c']], Float[Array, 'n height width c']]
    inverse: Callable[[Float[Array, 'n height width k'], tuple[int, int]], Float[Array, 'n h w k']] | None
    """(predictions for the view's pixels, size of the images) -> predictions for the images' pixels, or None."""
    boxes: MoveBoxes | None = None
    """(boxes `[n d 4]` in the view's pixels, size of the view, size of the images) -> boxes in the images' pixels."""

    def __call__(self, images: Images | UInt8[Array, 'n h w c']) -> Float[Array, 'n height width c']:
        """Return the view of the images."""
        return self.look(images)


def flips() -> tuple[View, ...]:
    """The images, and the images mirrored left to right.

    Returns:
        Two functions, `[n, h, w, c] -> [n, h, w, c]`, with an inverse.

    Example:
        >>> images = jnp.array([[[[0.0], [1.0]]]])
        >>> [view(images).ravel().tolist() for view in flips()]
        [[0.0, 1.0], [1.0, 0.0]]
    """
    return _with_mirrored((View(to_float, lambda dense, size: dense, _scaled),))


@checked
def multi_scale(
    *, scales: Sequence[AtLeast1] = (224, 256, 384), crop: AtLeast1 | None = None, flip: bool = False
) -> tuple[View, ...]:
    """Multi-scale testing: the images resized so that the short side is each Q of `scales`, proportions kept.

    Args:
        scales: the lengths Q of the short side, in pixels.
        crop: the side of the centre crop that is cut from each, in pixels: the size that was trained on. None
            keeps the whole image.
        flip: adds each view's mirror image, after all the others.

    Returns:
        One function a scale, `[n, h, w, c] -> [n, height, width, c]`, with height and width `crop` where it is given;
        twice as many with `flip`. Those of whole images have an inverse, which resizes.

    Raises:
        ValueError: there are no scales, or one is smaller than the crop (or than a pixel).

    Example:
        >>> images = jnp.zeros((1, 60, 80, 3))
        >>> [view(images).shape for view in multi_scale(scales=[30, 45])]
        [(1, 30, 40, 3), (1, 45, 60, 3)]
        >>> [view(images).shape for view in multi_scale(scales=[30, 45], crop=28)]
        [(1, 28, 28, 3), (1, 28, 28, 3)]

    Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2015, section 3.2.
    """
    if not scales or min(scales) < (crop or 1):
        raise ValueError(f'scales must be one or more sides of at least {crop or 1} pixels, got {tuple(scales)}')

    def at_scale(short_side: int) -> View:
        def view(images: Images | UInt8[Array, 'n h w c']) -> Float[Array, 'n height width c']:
            # The weights of a pixel add up to 1 but for rounding: unclipped, white would be 1.0000001.
            resized = jnp.clip(resize_short_side(to_float(images), size=short_side), 0, 1)
            return resized if crop is None else center_crop(resized, size=crop)

        return View(view, *((_resized, _scaled) if crop is None else (None, None)))

    views = tuple(at_scale(scale) for scale in scales)
    return _with_mirrored(views) if flip else views


@checked
def crops(*, size: PositiveSize, flip: bool = False) -> tuple[View, ...]:
    """The four corners and the centre of the images, the test of AlexNet (with `flip`: ten crops).

    Args:
        size: the crop's side, or (height, width), in pixels.
        flip: adds each crop's mirror image, after the five.

    Returns:
        Five or ten functions, `[n, h, w, c] -> [n, height, width, c]`: top left, top right, bottom left, bottom right,
        centre, and then the same mirrored; none has an inverse. Each raises ValueError where the images are smaller
        than that.

    Raises:
        ValueError: size is less than a pixel.

    Example:
        >>> images = jnp.arange(9.0).reshape(1, 3, 3, 1)
        >>> [int(view(images).item()) for view in crops(size=1)]
        [0, 2, 6, 8, 4]

    Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", 2012, section 4.1.
    """
    height, width = height_and_width(size)

    def corner(bottom: bool, right: bool) -> View:
        def view(images: Images | UInt8[Array, 'n h w c']) -> Float[Array, 'n height width c']:
            h, w = images.shape[1:3]
            if height > h or width > w:
                raise ValueError(f'a crop of {(height, width)} pixels does not fit into images of {(h, w)}')
            top, left = (h - height) * bottom, (w - width) * right
            return to_float(images)[:, top : top + height, left : left + width]

        return View(view, None)

    def centre(images: Images | UInt8[Array, 'n h w c']) -> Float[Array, 'n height width c']:
        return center_crop(to_float(images), size=(height, width))

    views = (*(corner(bottom, right) for bottom in (False, True) for right in (False, True)), View(centre, None))
    return _with_mirrored(views) if flip else views


def _resized(dense: Float[Array, 'n height width k'], size: tuple[int, int]) -> Float[Array, 'n h w k']:
    return jax.image.resize(dense, (dense.shape[0], *size, dense.shape[-1]), 'linear')


def _scaled(boxes: Float[Array, 'n d 4'], view: Size, size: Size) -> Float[Array, 'n d 4']:
    return boxes * jnp.array([size[1] / view[1], size[0] / view[0]] * 2, boxes.dtype)


def _with_mirrored(views: Sequence[View]) -> tuple[View, ...]:
    return (*views, *map(_mirrored, views))


def _mirrored(view: View) -> View:
    inverse, move = view.inverse, view.boxes

    def turned(boxes: Float[Array, 'n d 4'], seen: Size, size: Size) -> Float[Array, 'n d 4']:
        assert move is not None
        x1, y1, x2, y2 = jnp.moveaxis(boxes, -1, 0)
        return move(jnp.stack([seen[1] - x2, y1, seen[1] - x1, y2], axis=-1), seen, size)

    return View(
        lambda images: view(images)[:, :, ::-1],
        None if inverse is None else lambda dense, size: inverse(dense[:, :, ::-1], size),
        None if move is None else turned,
    )
