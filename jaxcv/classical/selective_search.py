"""Selective search: regions that may hold an object, by grouping the segments of an image from the finest on.

Uijlings et al. 2013, Selective search for object recognition. An image is cut into segments (Felzenszwalb and
Huttenlocher 2004); then the two most similar neighbours become one, until one is left, and the box of each segment that
existed is a proposal. Other colours, other first segments and other similarities give other boxes. On the host, in
NumPy; the first segments are scikit-image's.
"""

import functools
import hashlib
import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np

from jaxcv.arguments import AtLeast0, AtLeast1, Positive, checked
from jaxcv.types import Bool, Float, UInt8

__all__ = ['Regions', 'cached_search', 'overlaps', 'recall', 'search']

Mode = Literal['single', 'fast', 'quality']
Similarity = Literal['colour', 'texture', 'size', 'fill']
BINS = 25
"""Of a colour channel."""
ORIENTATIONS = 8
TEXTURE_BINS = 10
"""Of a channel and orientation."""
_ALL: tuple[Similarity, ...] = ('colour', 'texture', 'size', 'fill')


class Strategies(NamedTuple):
    """Groupings of a mode: each colour space, with each scale of the first segments, by each set of similarities."""

    colours: tuple[str, ...]
    scales: tuple[float, ...]
    similarities: tuple[tuple[Similarity, ...], ...]


MODES: dict[str, Strategies] = {
    'single': Strategies(('hsv',), (100,), (_ALL,)),
    'fast': Strategies(('hsv', 'lab'), (50, 100), (_ALL, _ALL[1:])),
    'quality': Strategies(
        ('hsv', 'lab', 'rgi', 'hue', 'intensity'), (50, 100, 150, 300), (_ALL, _ALL[1:], ('fill',), ('size',))
    ),
}
"""The paper's: 1, 8 and 80 groupings."""


class Regions(NamedTuple):
    """Proposals of an image, the most promising first; those after the last are zeros."""

    boxes: Float[np.ndarray, 'p 4']
    """xyxy in pixels."""
    valid: Bool[np.ndarray, ' p']
    """Which are real."""


@checked
def search(
    image: UInt8[np.ndarray, 'h w c'],
    *,
    mode: Mode = 'fast',
    count: AtLeast1 = 2000,
    enlarged: Positive = 1.0,
    sigma: Positive = 0.8,
    least_side: AtLeast0 = 0,
    seed: int = 0,
) -> Regions:
    """Search an image for regions that may hold an object.

    Args:
        image: RGB or gray `[h, w, c]`.
        mode: 'single', one grouping; 'fast', 8; 'quality', 80.
        count: regions returned.
        enlarged: factor by which the image is enlarged first. The first segments are made for photos of 500 pixels; on
            smaller images they are coarse. On scenes of 96 pixels, 'fast' has 180 regions and finds 97 % of the digits
            at an IoU of 0.7; twice as large it has 530, takes four times as long, and finds all.
        sigma: of the Gaussian before the first segments, in pixels.
        least_side: boxes with a shorter side are dropped, in pixels of the image; the paper has 20.
        seed: of the order, in which a region's place in its grouping, from the whole image on, is multiplied by a
            random number.

    Returns:
        Regions, of `count` boxes, no two the same.

    Example:
        >>> image = np.zeros((32, 32, 3), np.uint8)
        >>> image[8:20, 4:24] = (255, 60, 0)
        >>> found = search(image, mode='single', count=16)
        >>> bool((np.abs(found.boxes[found.valid] - [4, 8, 24, 20]).max(axis=1) <= 1).any())
        True

    The trap: an epoch that searches each image again takes minutes; `cached_search` keeps the results.
    """
    pixels = np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else np.ascontiguousarray(image[..., :3])
    height, width = pixels.shape[:2]
    if enlarged != 1:
        size = (max(1, round(width * enlarged)), max(1, round(height * enlarged)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC)
    rng, boxes, ranks = np.random.default_rng(seed), [], []
    strategies = MODES[mode]
    for colour, scale in itertools.product(strategies.colours, strategies.scales):
        channels = _converted(pixels, colour)
        first = _segments(channels, scale, sigma)
        segments = _described(channels, first)
        for similarities in strategies.similarities:
            found = _grouped(segments, first.size, similarities)
            boxes.append(found)
            # The last is the whole image.
            ranks.append(rng.random(len(found)) * np.arange(len(found), 0, -1))
    every, order = np.concatenate(boxes), np.argsort(np.concatenate(ranks), kind='stable')
    ratio = np.array([width / pixels.shape[1], height / pixels.shape[0]] * 2)
    ordered = np.round(every[order] * ratio).astype(np.float32)
    ordered = ordered[(ordered[:, 2:] - ordered[:, :2] >= max(1, least_side)).all(axis=1)]
    _, places = np.unique(ordered, axis=0, return_index=True)
    kept = ordered[np.sort(places)][:count]
    missing = count - len(kept)
    return Regions(np.pad(kept, ((0, missing), (0, 0))), np.arange(count) < len(kept))


@checked
def cached_search(
    image: UInt8[np.ndarray, 'h w c'],
    *,
    folder: str | os.PathLike[str],
    mode: Mode = 'fast',
    count: AtLeast1 = 2000,
    enlarged: Positive = 1.0,
    sigma: Positive = 0.8,
    least_side: AtLeast0 = 0,
    seed: int = 0,
) -> Regions:
    """Search an image, or read the result of the same search of the same image from a folder.

    Args:
        image: as in `search`, as is all that follows the folder.
        folder: of the results, one small file for an image and its options; it is made where it is missing. Several
            threads and processes may share it.
        mode: 'single', 'fast' or 'quality'.
        count: regions returned.
        enlarged: factor by which the image is enlarged first.
        sigma: of the Gaussian before the first segments.
        least_side: boxes with a shorter side are dropped.
        seed: of the order.

    Returns:
        Regions.

    Example:
        >>> import tempfile
        >>> image, folder = np.zeros((16, 16, 3), np.uint8), tempfile.mkdtemp()
        >>> first, second = (cached_search(image, folder=folder, mode='single', count=4) for _ in range(2))
        >>> bool((first.boxes == second.boxes).all()), len(list(Path(folder).iterdir()))
        (True, 1)
    """
    options: dict[str, Any] = {
        'mode': mode,
        'count': count,
        'enlarged': enlarged,
        'sigma': sigma,
        'least_side': least_side,
    }
    name = hashlib.sha256(image.tobytes())
    name.update(repr((image.shape, sorted(options.items()), seed)).encode())
    file = Path(folder) / f'{name.hexdigest()[:32]}.npy'
    if file.exists():
        kept = np.load(file)
    else:
        found = search(image, **options, seed=seed)
        kept = found.boxes[found.valid]
        file.parent.mkdir(parents=True, exist_ok=True)
        # Replaced in one step, so that another thread reads all of it or nothing.
        part = file.with_name(f'{file.stem}.{os.getpid()}.{id(kept)}.part')
        with part.open('wb') as opened:
            np.save(opened, kept)
        part.replace(file)
    return Regions(np.pad(kept, ((0, count - len(kept)), (0, 0))), np.arange(count) < len(kept))


def recall(
    regions: Float[np.ndarray, 'p 4'], boxes: Float[np.ndarray, 'g 4'], *, thresholds: Sequence[float] = (0.5, 0.7)
) -> Float[np.ndarray, ' t']:
    """Share of objects that a region overlaps by an IoU of at least a threshold.

    Args:
        regions: without padding `[p, 4]`.
        boxes: of the objects `[g, 4]`.
        thresholds: of the IoU.

    Returns:
        A share for each threshold; NaN without objects.

    Example:
        >>> recall(np.array([[0.0, 0.0, 10.0, 6.0]]), np.array([[0.0, 0.0, 10.0, 10.0]]))
        array([1., 0.])
    """
    best = np.max(overlaps(regions, boxes), axis=0, initial=0)
    return np.array([(best >= threshold).mean() if len(boxes) else np.nan for threshold in thresholds])


def overlaps(regions: Float[np.ndarray, 'p 4'], boxes: Float[np.ndarray, 'g 4']) -> Float[np.ndarray, 'p g']:
    """IoU of each region with each box, on the host: `ops.box_iou` for numbers of boxes that vary from image to image.

    Args:
        regions: xyxy `[p, 4]`.
        boxes: xyxy `[g, 4]`.

    Returns:
        `[p, g]`, in [0, 1].

    Example:
        >>> overlaps(np.array([[0.0, 0.0, 10.0, 6.0]]), np.array([[0.0, 0.0, 10.0, 10.0]]))
        array([[0.6]])
    """
    low = np.maximum(regions[:, None, :2], boxes[None, :, :2])
    high = np.minimum(regions[:, None, 2:], boxes[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = [np.prod(x[:, 2:] - x[:, :2], axis=-1) for x in (regions, boxes)]
    return shared / np.maximum(areas[0][:, None] + areas[1] - shared, 1e-9)


def _converted(pixels: np.ndarray, colour: str) -> np.ndarray:
    """Return the channels of a colour space, float32 `[h w c]` in [0, 1]."""
    if colour in ('hsv', 'hue'):
        hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV_FULL).astype(np.float32) / 255
        return hsv if colour == 'hsv' else hsv[..., :1]
    if colour == 'lab':
        return cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).astype(np.float32) / 255
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None] / 255
    if colour == 'intensity':
        return gray
    total = np.maximum(pixels.sum(axis=-1, dtype=np.float32, keepdims=True), 1)
    return np.concatenate([pixels[..., :2] / total, gray], axis=-1).astype(np.float32)


def _segments(channels: np.ndarray, scale: float, sigma: float) -> np.ndarray:
    """Return the number of each pixel's segment, from 0 on, `[h w]`."""
    from skimage.segmentation import felzenszwalb

    found = felzenszwalb(channels, scale=scale, sigma=sigma, min_size=int(scale), channel_axis=-1)
    return np.unique(found, return_inverse=True)[1].reshape(found.shape)


class _Segments(NamedTuple):
    """Segments, as the similarities need them."""

    sizes: np.ndarray
    """Pixels `[s]`."""
    boxes: np.ndarray
    """`[s 4]`."""
    colour: np.ndarray
    """Histograms, each of the sum 1, `[s b]`."""
    texture: np.ndarray
    neighbours: np.ndarray
    """bool `[s s]`."""


def _described(channels: np.ndarray, labels: np.ndarray) -> _Segments:
    count = int(labels.max()) + 1
    sizes = np.bincount(labels.ravel(), minlength=count)
    rows, columns = np.indices(labels.shape)
    boxes = np.zeros((count, 4), np.int64)
    boxes[:, :2] = max(labels.shape)
    for axis, places in ((0, columns), (1, rows)):
        np.minimum.at(boxes[:, axis], labels.ravel(), places.ravel())
        np.maximum.at(boxes[:, axis + 2], labels.ravel(), places.ravel() + 1)
    colour = _histograms(channels, labels, count, BINS)
    texture = _histograms(_derivatives(channels), labels, count, TEXTURE_BINS)
    neighbours = np.zeros((count, count), bool)
    for one, other in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        neighbours[one.ravel(), other.ravel()] = True
    neighbours |= neighbours.T
    np.fill_diagonal(neighbours, False)
    return _Segments(sizes, boxes, colour, texture, neighbours)


def _derivatives(channels: np.ndarray) -> np.ndarray:
    """Return the Gaussian derivatives (sigma 1) of each channel in 8 directions, their negative parts 0, in [0, 1]."""
    smooth = cv2.GaussianBlur(channels, (0, 0), 1.0).reshape(channels.shape)
    across, down = (cv2.Sobel(smooth, cv2.CV_32F, *axis, ksize=1).reshape(channels.shape) for axis in ((1, 0), (0, 1)))
    angles = 2 * np.pi * np.arange(ORIENTATIONS) / ORIENTATIONS
    found = [np.maximum(np.cos(a) * across + np.sin(a) * down, 0) for a in angles]
    values = np.concatenate(found, axis=-1)
    return values / np.maximum(values.max(axis=(0, 1)), 1e-6)


def _histograms(values: np.ndarray, labels: np.ndarray, count: int, bins: int) -> np.ndarray:
    """Return the histogram of each channel of each segment, side by side, `[count channels·bins]`, of the sum 1."""
    channels = values.shape[-1]
    places = np.minimum((values * bins).astype(np.int64), bins - 1) + bins * np.arange(channels)
    places += channels * bins * labels[..., None]
    found = np.bincount(places.ravel(), minlength=count * channels * bins).reshape(count, -1).astype(np.float32)
    return found / found.sum(axis=1, keepdims=True)


def _grouped(segments: _Segments, pixels: int, similarities: Sequence[Similarity]) -> np.ndarray:
    """Return the boxes of all segments, from the first to the whole image, `[2 s - 1, 4]`.

    The table of similarities has -1 for pairs that are no neighbours; the best of each row is kept, so that a step
    costs one row of each neighbour.
    """
    sizes, boxes, colour, texture, neighbours = (x.copy() for x in segments)
    count = len(sizes)
    likeness = functools.partial(_likeness, pixels=pixels, similarities=similarities)
    table = np.full((count, count), -1.0, np.float32)
    for i in range(count):
        others = np.flatnonzero(neighbours[i])
        table[i, others] = likeness(i, others, sizes, boxes, colour, texture)
    best = table.max(axis=1)
    found = list(boxes)
    for _ in range(count - 1):
        i = int(best.argmax())
        if best[i] < 0:
            break
        j = int(table[i].argmax())
        share = sizes[j] / (sizes[i] + sizes[j])
        for histogram in (colour, texture):
            histogram[i] += share * (histogram[j] - histogram[i])
        sizes[i] += sizes[j]
        boxes[i] = (*np.minimum(boxes[i, :2], boxes[j, :2]), *np.maximum(boxes[i, 2:], boxes[j, 2:]))
        found.append(boxes[i].copy())
        around = neighbours[i] | neighbours[j]
        around[[i, j]] = False
        for row in (neighbours, neighbours.T):
            row[i], row[j] = around, False
        others = np.flatnonzero(around)
        table[j], table[:, j], table[i], table[:, i] = -1, -1, -1, -1
        table[i, others] = table[others, i] = likeness(i, others, sizes, boxes, colour, texture)
        best[others] = table[others].max(axis=1, initial=-1)
        best[[i, j]] = table[i].max(), -1
    return np.array(found)


def _likeness(
    i: int,
    others: np.ndarray,
    sizes: np.ndarray,
    boxes: np.ndarray,
    colour: np.ndarray,
    texture: np.ndarray,
    *,
    pixels: int,
    similarities: Sequence[Similarity],
) -> np.ndarray:
    """Return the sum of the similarities of a segment with others, each in [0, 1]."""
    together = sizes[i] + sizes[others]

    def filled() -> np.ndarray:
        low, high = np.minimum(boxes[i, :2], boxes[others, :2]), np.maximum(boxes[i, 2:], boxes[others, 2:])
        return 1 - (np.prod(high - low, axis=-1) - together) / pixels

    parts: dict[str, Callable[[], np.ndarray]] = {
        'colour': lambda: np.minimum(colour[i], colour[others]).sum(axis=-1),
        'texture': lambda: np.minimum(texture[i], texture[others]).sum(axis=-1),
        'size': lambda: 1 - together / pixels,
        'fill': filled,
    }
    return np.sum([parts[name]() for name in similarities], axis=0)
