"""Segmentation of images of any size by sliding windows.

The logits of the whole image are never in memory at once. The windows of one row of windows are added up in a band that
is as high as a window; the pixels that no later row of windows covers become a mask of bytes, and leave the band.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcv.arguments import AtLeast0, AtLeast1, checked
from jaxcv.sizes import PositiveSize, pair
from jaxcv.types import IGNORED, Array, Float, Int, UInt8


@checked
def sliding_windows(
    image: UInt8[np.ndarray, 'h w c'] | Float[np.ndarray, 'h w c'],
    *,
    logits_of: Callable[[UInt8[Array, 'n i j c'] | Float[Array, 'n i j c']], Float[Array, 'n i j classes']],
    window: PositiveSize,
    overlap: AtLeast0 | tuple[AtLeast0, AtLeast0],
    batch_size: AtLeast1 = 1,
) -> UInt8[np.ndarray, 'h w']:
    """Segment an image of any size by overlapping windows, with less weight near a window's border.

    `mask_p = argmax_c Σ_i w_ip softmax(s_i)_pc`, over the windows i that contain pixel p, with Hann's weights
    `w = sin²(π (y + 1/2) / height) sin²(π (x + 1/2) / width)` at the place (y, x) in the window.

    The last windows of a row and of a column are moved inwards, so that all have one shape and `logits_of` is compiled
    once, for images of all sizes. Images smaller than a window are mirrored at their lower and right borders.

    Args:
        image: `[h, w, c]` in the host's memory, of a type that `logits_of` takes.
        logits_of: images [batch_size *window c] -> logits [batch_size *window classes], under `jax.jit`.
        window: height and width of the windows, in pixels; as a rule those of the training images.
        overlap: pixels that neighbouring windows share at least, less than the window. With half a window, each pixel
            is in four windows; with none, the borders of the windows are visible in the mask.
        batch_size: windows in one call. Where a row ends with fewer, the last one is repeated.

    Returns:
        The mask, uint8 `[h, w]`.

    Raises:
        ValueError: the window has no pixels, the overlap is not less than it, the batch is empty, the image is no
            `[h w c]`, or `logits_of` gives an array of another shape, such as logits coarser than the window, or more
            than 255 classes.

    Example:
        >>> image = np.array([[[9], [9], [200], [9], [200]]], np.uint8)
        >>> bright = lambda images: jnp.concatenate([images < 100, images >= 100], axis=-1).astype(jnp.float32)
        >>> print(sliding_windows(image, logits_of=bright, window=(1, 2), overlap=(0, 1)))
        [[0 0 1 0 1]]
    """
    (height, width), (shared_rows, shared_columns) = pair(window), pair(overlap)
    if min(height, width) < 1:
        raise ValueError(f'window must be at least 1 pixel, got {window}')
    if not (0 <= shared_rows < height and 0 <= shared_columns < width):
        raise ValueError(f'overlap must be at least 0 and less than the window of {window} pixels, got {overlap}')
    check_image(image)
    h, w = image.shape[:2]
    if h < height or w < width:
        image = np.pad(image, ((0, max(0, height - h)), (0, max(0, width - w)), (0, 0)), mode='reflect')
    tops, lefts = _starts(image.shape[0], height, shared_rows), _starts(image.shape[1], width, shared_columns)
    mask = np.empty(image.shape[:2], np.uint8)
    band = None
    for top, end in zip(tops, [*tops[1:], image.shape[0]], strict=True):
        # Row y of the image is row y % height of the band, so that the band's contents never move.
        for left, one in _windows(logits_of, image, top, lefts, (height, width), batch_size):
            if band is None:
                band = jnp.zeros((height, image.shape[1], one.shape[-1]), jnp.float32)
            band = _add(band, one, top, left)
        band, rows = _take(band, top, end - top)
        mask[top:end] = np.asarray(rows)[: end - top]
    return mask[:h, :w]


def _windows(
    logits_of: Callable, image: np.ndarray, top: int, lefts: list[int], size: tuple[int, int], batch_size: int
) -> Iterator[tuple[int, Array]]:
    """Yield (left, logits [i j classes]) of the windows of one row."""
    height, width = size
    for start in range(0, len(lefts), batch_size):
        batch = lefts[start : start + batch_size]
        filled = batch + batch[-1:] * (batch_size - len(batch))
        logits = logits_of(np.stack([image[top : top + height, left : left + width] for left in filled]))
        check_logits(logits, (batch_size, height, width))
        yield from zip(batch, logits, strict=False)


def check_image(image: Any) -> None:
    """Raise a ValueError unless an image is [h w c] and has pixels."""
    if np.ndim(image) != 3 or 0 in np.shape(image):
        raise ValueError(f'sliding_windows takes one image [h w c], got an array of shape {np.shape(image)}')


def check_logits(logits: Any, size: tuple[int, int, int]) -> None:
    """Raise a ValueError unless logits are [n h w classes] for n windows of h x w pixels, of 1 to 255 classes.

    Example:
        >>> check_logits(np.zeros((1, 8, 8, 4)), (1, 32, 32))
        Traceback (most recent call last):
        ValueError: logits_of should give [1 32 32 classes], a score of each pixel of the windows, got shape ...
    """
    shape: tuple[int, ...] = tuple(logits.shape) if hasattr(logits, 'shape') else ()
    if len(shape) != 4 or shape[:3] != size:
        coarse = len(shape) == 4 and shape[0] == size[0] and shape[1] < size[1] and shape[2] < size[2]
        remedy = ': resize them to the window, as with jaxcv.ops.resize_bilinear' if coarse else ''
        found = f'shape {shape}' if hasattr(logits, 'shape') else type(logits).__name__
        raise ValueError(
            f'logits_of should give [{" ".join(map(str, size))} classes], a score of each pixel of the windows, got '
            f'{found}{remedy}'
        )
    if not 1 <= shape[-1] <= IGNORED:
        raise ValueError(f'a mask of bytes has 1 class and at most {IGNORED} classes, got {shape[-1]}')


@functools.partial(jax.jit, donate_argnums=0)
def _add(
    band: Float[Array, 'i width classes'],
    logits: Float[Array, 'i j classes'],
    top: Int[Array, ''],
    left: Int[Array, ''],
) -> Float[Array, 'i width classes']:
    """Return the band with one window added. The weights are not divided by their sum: that changes no argmax."""
    height, width = logits.shape[:2]
    rows, columns = (jnp.sin(jnp.pi * (jnp.arange(n) + 0.5) / n) ** 2 for n in (height, width))
    weighted = jax.nn.softmax(logits.astype(jnp.float32)) * rows[:, None, None] * columns[:, None]
    before = jax.lax.dynamic_slice(band, (0, left, 0), logits.shape)
    return jax.lax.dynamic_update_slice(band, before + jnp.roll(weighted, top, axis=0), (0, left, 0))


@functools.partial(jax.jit, donate_argnums=0)
def _take(
    band: Float[Array, 'i width classes'], top: Int[Array, ''], count: Int[Array, '']
) -> tuple[Float[Array, 'i width classes'], UInt8[Array, 'i width']]:
    """Return the band with its `count` oldest rows, from `top` on, set to 0; and all its classes, the oldest first."""
    mask = jnp.argmax(band, axis=-1).astype(jnp.uint8)
    age = jnp.mod(jnp.arange(len(band)) - top, len(band))
    return jnp.where((age < count)[:, None, None], 0, band), jnp.roll(mask, -top, axis=0)


def _starts(length: int, window: int, overlap: int) -> list[int]:
    """Return the first pixel of each window along one axis; the last window ends with the image."""
    return [*range(0, length - window, window - overlap), length - window]
