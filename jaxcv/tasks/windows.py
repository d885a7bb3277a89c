"""Images of any size, a window at a time.

The whole image's logits are never there at once: the windows of one row of windows are added up in a band as high as
they are, and what no later row reaches becomes a mask of bytes.
"""

import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jaxcv.nn.conv import Size, pair
from jaxcv.task import Task
from jaxcv.types import IGNORED, Array, Float, Int, UInt8, Variables


def sliding_windows(
    logits_of: Callable[[UInt8[Array, 'n i j c'] | Float[Array, 'n i j c']], Float[Array, 'n i j classes']],
    image: UInt8[np.ndarray, 'h w c'] | Float[np.ndarray, 'h w c'],
    *,
    window: Size,
    overlap: Size,
    batch_size: int = 1,
) -> UInt8[np.ndarray, 'h w']:
    """Segment an image of any size by windows that overlap; where they do, the one whose middle is near counts more.

    `mask_p = argmax_c Σ_i w_ip softmax(s_i)_pc`, over the windows i that hold pixel p, with Hann's weights
    `w = sin²(π (y + 1/2) / height) sin²(π (x + 1/2) / width)` at the place (y, x) in the window.

    The last windows of a row and of a column are moved inwards, so that all are of one shape and `logits_of` is
    compiled once, for images of all sizes. Smaller images are mirrored at their lower and right borders.

    Args:
        logits_of: images [batch_size *window c] -> logits [batch_size *window classes], under `jax.jit`.
        image: `[h, w, c]` in the host's memory, of a type that `logits_of` takes.
        window: height and width of the windows, in pixels: as a rule what the model was trained on.
        overlap: how many pixels neighbours share at least, less than the window. With half a window, four windows look
            at each pixel; with none, their borders show.
        batch_size: windows at a time. The last ones of a row may be fewer, and are computed as if they were not.

    Returns:
        The mask, uint8 `[h, w]`.

    Raises:
        ValueError: the overlap is not less than the window, the batch is empty, or there are more than 255 classes.

    Example:
        >>> image = np.array([[[9], [9], [200], [9], [200]]], np.uint8)
        >>> bright = lambda images: jnp.concatenate([images < 100, images >= 100], axis=-1).astype(jnp.float32)
        >>> print(sliding_windows(bright, image, window=(1, 2), overlap=(0, 1)))
        [[0 0 1 0 1]]
    """
    (height, width), (shared_rows, shared_columns) = pair(window), pair(overlap)
    if not (0 <= shared_rows < height and 0 <= shared_columns < width):
        raise ValueError(f'overlap must be at least 0 and less than the window of {window} pixels, got {overlap}')
    if batch_size < 1:
        raise ValueError(f'batch_size must be at least 1, got {batch_size}')
    h, w = image.shape[:2]
    if h < height or w < width:
        image = np.pad(image, ((0, max(0, height - h)), (0, max(0, width - w)), (0, 0)), mode='reflect')
    tops, lefts = _starts(image.shape[0], height, shared_rows), _starts(image.shape[1], width, shared_columns)
    mask = np.empty(image.shape[:2], np.uint8)
    band = None
    for top, end in zip(tops, [*tops[1:], image.shape[0]], strict=True):
        # Row y of the image is row y % height of the band, which so need never be moved.
        for left, one in _windows(logits_of, image, top, lefts, (height, width), batch_size):
            if band is None:
                if one.shape[-1] > IGNORED:
                    raise ValueError(f'a mask of bytes has at most {IGNORED} classes, got {one.shape[-1]}')
                band = jnp.zeros((height, image.shape[1], one.shape[-1]), jnp.float32)
            band = _add(band, one, top, left)
        band, rows = _take(band, top, end - top)
        mask[top:end] = np.asarray(rows)[: end - top]
    return mask[:h, :w]


def windowed(
    task: Task, *, window: Size, overlap: Size, batch_size: int = 1
) -> Callable[[Variables, np.ndarray], UInt8[np.ndarray, 'h w']]:
    """What a segmentation task predicts of images of any size, by `sliding_windows`.

    Args:
        task: whose predictions have `logits` [n h w classes].
        window: height and width of the windows, in pixels.
        overlap: how many pixels neighbours share at least.
        batch_size: windows at a time.

    Returns:
        A function (variables, image [h w c], uint8 or float in [0, 1]) -> mask, uint8 [h w]. The task's `predict` is
        compiled once, for images of all sizes.

    Example:
        >>> from jaxcv import models, tasks
        >>> task = tasks.segmentation(models.segmentation.unet(num_classes=2, width=2, depth=1), num_classes=2)
        >>> mask_of = windowed(task, window=64, overlap=16)
    """

    @jax.jit
    def logits_of(variables: Variables, images: Array) -> Array:
        return task.predict(variables, {'image': images, 'valid': jnp.ones(len(images), bool)})['logits']

    def mask_of(variables: Variables, image: np.ndarray) -> UInt8[np.ndarray, 'h w']:
        see = functools.partial(logits_of, variables)
        return sliding_windows(see, image, window=window, overlap=overlap, batch_size=batch_size)

    return mask_of


def _windows(
    logits_of: Callable, image: np.ndarray, top: int, lefts: list[int], size: tuple[int, int], batch_size: int
) -> Iterator[tuple[int, Array]]:
    """(left, logits [i j classes]) of the windows of one row."""
    height, width = size
    for start in range(0, len(lefts), batch_size):
        batch = lefts[start : start + batch_size]
        filled = batch + batch[-1:] * (batch_size - len(batch))
        logits = logits_of(np.stack([image[top : top + height, left : left + width] for left in filled]))
        yield from zip(batch, logits, strict=False)


@functools.partial(jax.jit, donate_argnums=0)
def _add(
    band: Float[Array, 'i width classes'],
    logits: Float[Array, 'i j classes'],
    top: Int[Array, ''],
    left: Int[Array, ''],
) -> Float[Array, 'i width classes']:
    """The band with one more window. The weights are not divided by their sum: that changes no argmax."""
    height, width = logits.shape[:2]
    rows, columns = (jnp.sin(jnp.pi * (jnp.arange(n) + 0.5) / n) ** 2 for n in (height, width))
    weighted = jax.nn.softmax(logits.astype(jnp.float32)) * rows[:, None, None] * columns[:, None]
    before = jax.lax.dynamic_slice(band, (0, left, 0), logits.shape)
    return jax.lax.dynamic_update_slice(band, before + jnp.roll(weighted, top, axis=0), (0, left, 0))


@functools.partial(jax.jit, donate_argnums=0)
def _take(
    band: Float[Array, 'i width classes'], top: Int[Array, ''], count: Int[Array, '']
) -> tuple[Float[Array, 'i width classes'], UInt8[Array, 'i width']]:
    """The band with its first `count` rows emptied, for as many new ones; and the classes of all, the first at 0."""
    mask = jnp.argmax(band, axis=-1).astype(jnp.uint8)
    age = jnp.mod(jnp.arange(len(band)) - top, len(band))
    return jnp.where((age < count)[:, None, None], 0, band), jnp.roll(mask, -top, axis=0)


def _starts(length: int, window: int, overlap: int) -> list[int]:
    """Where the windows begin; the last one ends where the image does."""
    return [*range(0, length - window, window - overlap), length - window]
