"""Scenes of handwritten digits on photos and textures, drawn by a seed: the digits' exact masks are known.

Pure functions of NumPy arrays. The digits are scikit-learn's, the backgrounds the pictures that scikit-image's package
holds (others would be downloaded by its loader). The splits share neither a handwritten digit nor a background pixel.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from jaxcv.data.photos import photo
from jaxcv.features import IGNORED

__all__ = ['CLASS_NAMES', 'Difficulty', 'Scene', 'backgrounds', 'digits', 'scene']

CLASS_NAMES = ('background', *'0123456789')
"""The classes of `Scene.mask`."""

# No picture with writing on it: its digits and letters would be unlabelled objects.
_PICTURES = (
    'astronaut.png', 'brick.png', 'camera.png', 'cell.png', 'chelsea.png', 'coffee.png', 'coins.png', 'grass.png',
    'gravel.png', 'hubble_deep_field.jpg', 'ihc.png', 'moon.png', 'motorcycle_left.png', 'retina.jpg', 'rocket.jpg',
)  # fmt: skip
_PARTS = {'train': (0.0, 0.5), 'validation': (0.5, 0.75), 'test': (0.75, 1.0)}
_TRIES = 20


class Difficulty(NamedTuple):
    """The options of `scene` that make it hard to read."""

    digits: tuple[int, int] = (2, 7)
    """Least and largest number of digits; one without a free place in 20 tries is left out."""
    sizes: tuple[float, float] = (14.0, 48.0)
    """Least and largest side of a digit's square, in pixels; log-uniform."""
    tilt: float = 20.0
    """Largest rotation to either side, in degrees."""
    hidden: float = 0.25
    """Largest share of a digit that later digits may cover, and largest share of it that may cover earlier ones."""
    contrast: float = 70.0
    """Least difference of a digit's luma from the mean luma beneath it, of 255."""
    strokes: int = 3
    """Largest number of coloured curves that are no digits."""
    noise: float = 6.0
    """Largest standard deviation of the Gaussian noise, of 255."""
    border: bool = False
    """Whether pixels that a digit covers partly (by 1/4 to 3/4) are `IGNORED` in the mask, as in PASCAL VOC."""


class Scene(NamedTuple):
    """An image with the exact masks, boxes and labels of its k digits, from the lowest to the topmost."""

    image: np.ndarray
    """uint8 `[h w 3]`, RGB."""
    mask: np.ndarray
    """uint8 `[h w]`: 0 background, d + 1 the digit d, and with `border` 255 at edges."""
    instance_masks: np.ndarray
    """uint8 `[k h w]`: 1 where the digit is on top."""
    boxes: np.ndarray
    """float32 `[k 4]`: the bounds of `instance_masks`, xyxy in pixels, x2 and y2 exclusive."""
    box_labels: np.ndarray
    """int32 `[k]`: the digit, 0 to 9; its class in `mask` is one more."""


def digits(split: str) -> tuple[np.ndarray, np.ndarray]:
    """The handwritten digits of a split: those of the bundled set `digits`, the last 200 of `train` for validation.

    Args:
        split: 'train' (1,000 digits), 'validation' (200) or 'test' (597).

    Returns:
        Ink in [0, 1], float32 `[n 8 8]`, and labels int32 `[n]`.

    Raises:
        ValueError: There is no such split.

    Example:
        >>> ink, labels = digits('test')
        >>> ink.shape, labels[:3].tolist()
        ((597, 8, 8), [4, 4, 8])
    """
    from sklearn.datasets import load_digits

    first, last = {'train': (0, 1000), 'validation': (1000, 1200), 'test': (1200, 1797)}[_checked(split)]
    order = np.random.Generator(np.random.PCG64(0)).permutation(1797)[first:last]  # as the builder `digits` has it
    data = load_digits()
    return (data.images[order] / 16).astype(np.float32), data.target[order].astype(np.int32)


def backgrounds(split: str) -> tuple[np.ndarray, ...]:
    """The part of each photo and texture that belongs to a split.

    Args:
        split: 'train' has the left half of each picture, 'validation' the third quarter, 'test' the fourth.

    Returns:
        15 pictures, uint8 `[h w 3]`, of many sizes.

    Raises:
        FileNotFoundError: The installed scikit-image does not hold a picture.
        ValueError: There is no such split.

    Example:
        >>> backgrounds('train')[0].shape, backgrounds('test')[0].shape  # the astronaut
        ((512, 256, 3), (512, 128, 3))
    """
    start, end = _PARTS[_checked(split)]
    pictures = (photo(name) for name in _PICTURES)
    return tuple(p[:, round(start * p.shape[1]) : round(end * p.shape[1])] for p in pictures)


def scene(
    seed: int | Sequence[int],
    pictures: Sequence[np.ndarray],
    ink: np.ndarray,
    labels: np.ndarray,
    *,
    size: int = 96,
    difficulty: Difficulty = Difficulty(),  # noqa: B008 (it cannot be changed)
) -> Scene:
    """Draw a scene: a crop of a background, coloured curves, overlapping digits, and noise.

    A digit covers the share `α = clip(1/2 + s (a - 0.4), 0, 1)` of a pixel, where `a` is its 8x8 ink resized (cubic)
    and rotated, and the slope `s` makes edges about a pixel wide; the image becomes `α colour + (1 - α) image`. The
    pixel is the digit's where `α > 1/2`, and the topmost such digit's where there are several.

    Args:
        seed: Of all that is random; a sequence of integers counts as one.
        pictures: Backgrounds, uint8 `[h w 3]`.
        ink: Digits to draw from, float32 `[n 8 8]` in [0, 1].
        labels: The digits that they show, 0 to 9, `[n]`.
        size: Side of the image, in pixels.
        difficulty: Numbers and ranges of what is drawn.

    Returns:
        The scene. It has at least one digit.

    Raises:
        ValueError: The difficulty allows no digit, one that does not fit into the image, or one that is all hidden.

    Example:
        >>> example = scene(7, backgrounds('train'), *digits('train'))
        >>> example.image.shape, example.box_labels.tolist(), np.unique(example.mask).tolist()
        ((96, 96, 3), [6, 1], [0, 2, 7])
    """
    if not 8 <= difficulty.sizes[0] <= difficulty.sizes[1] <= size / 1.5:
        raise ValueError(
            f'sizes {difficulty.sizes} must be 8 <= least <= largest <= size / 1.5 = {size / 1.5:g} pixels'
        )
    if not 1 <= difficulty.digits[0] <= difficulty.digits[1]:
        raise ValueError(f'digits {difficulty.digits} must be 1 <= least <= most')
    if not 0 <= difficulty.hidden < 1:
        raise ValueError(f'hidden must be in [0, 1), got {difficulty.hidden}')
    rng = np.random.Generator(np.random.PCG64(seed))
    image = _background(rng, pictures, size)
    for _ in range(rng.integers(difficulty.strokes + 1)):
        image = _blend(image, _stroke(rng, size), rng.uniform(0, 255, 3))

    owner = np.full((size, size), -1)
    partly = np.zeros((size, size), bool)
    areas: list[int] = []
    drawn: list[int] = []
    for _ in range(rng.integers(difficulty.digits[0], difficulty.digits[1] + 1)):
        chosen = int(rng.integers(len(labels)))
        cover = _placed(rng, ink[chosen], owner, areas, size, difficulty)
        if cover is None:
            continue
        image = _blend(image, cover, _colour(rng, image, cover, difficulty.contrast))
        owner[cover > 0.5] = len(drawn)
        partly = np.where(cover > 0.25, cover < 0.75, partly)
        areas.append(int((cover > 0.5).sum()))
        drawn.append(int(labels[chosen]))

    image += np.float32(rng.uniform(0, difficulty.noise)) * rng.standard_normal(image.shape, np.float32)
    found = np.array(drawn, np.int32)
    mask = np.append(found + 1, 0).astype(np.uint8)[owner]  # -1, no digit, is the last
    if difficulty.border:
        mask[partly] = IGNORED
    instance_masks = (owner == np.arange(len(found))[:, None, None]).astype(np.uint8)
    boxes = np.array([_bounds(m) for m in instance_masks], np.float32)
    return Scene(np.clip(np.round(image), 0, 255).astype(np.uint8), mask, instance_masks, boxes, found)


def _checked(split: str) -> str:
    if split not in _PARTS:
        raise ValueError(f'no split {split!r}; there are: {", ".join(_PARTS)}')
    return split


def _background(rng: np.random.Generator, pictures: Sequence[np.ndarray], size: int) -> np.ndarray:
    """A random square of a random picture, float32, mirrored and tinted at random."""
    picture = pictures[int(rng.integers(len(pictures)))]
    largest = min(*picture.shape[:2], 3 * size)
    side = int(rng.uniform(min(2 * size / 3, largest), largest))
    top, left = (int(rng.integers(extent - side + 1)) for extent in picture.shape[:2])
    square = picture[top : top + side, left : left + side]
    square = square[:, ::-1] if rng.random() < 0.5 else square
    interpolation = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    image = cv2.resize(np.ascontiguousarray(square), (size, size), interpolation=interpolation).astype(np.float32)
    return np.clip(image * rng.uniform(0.75, 1.25, 3).astype(np.float32), 0, 255)


def _stroke(rng: np.random.Generator, size: int) -> np.ndarray:
    """The share of each pixel that a curve (an arc of an ellipse, as thick as a digit's line) covers."""
    canvas = np.zeros((size, size), np.uint8)
    centre = tuple(int(x) for x in rng.integers(0, size, 2))
    axes = tuple(int(x) for x in rng.uniform(size / 16, size / 3, 2))
    start, angle = rng.uniform(0, 360, 2)
    end = start + rng.uniform(60, 180)
    thickness = int(rng.integers(1, 1 + max(2, size // 16)))
    cv2.ellipse(canvas, centre, axes, angle, start, end, 255, thickness, cv2.LINE_AA)
    return canvas.astype(np.float32) / 255


def _placed(
    rng: np.random.Generator,
    ink: np.ndarray,
    owner: np.ndarray,
    areas: Sequence[int],
    size: int,
    difficulty: Difficulty,
) -> np.ndarray | None:
    """A digit's share of each pixel, at a random place that leaves the others visible; None if none is found."""
    side = float(np.exp(rng.uniform(*np.log(difficulty.sizes))))
    # A border of empty pixels, so that a digit fades out at the edge of its 8x8 square.
    padded, centre = np.pad(ink, 1), 4.5
    visible, whole = np.bincount(owner[owner >= 0], minlength=len(areas)), np.array(areas, int)
    for _ in range(_TRIES):
        matrix = cv2.getRotationMatrix2D((centre, centre), rng.uniform(-difficulty.tilt, difficulty.tilt), side / 8)
        place = rng.uniform(0.6 * side, size - 0.6 * side, 2) - 0.5
        matrix[:, 2] = matrix[:, 2] + place - centre
        raw = cv2.warpAffine(padded, matrix, (size, size), flags=cv2.INTER_CUBIC)
        cover = np.clip(0.5 + max(1.0, side / 8) * (raw - 0.4), 0, 1)
        covered = owner[cover > 0.5]
        taken = np.bincount(covered[covered >= 0], minlength=len(areas))
        left = visible - taken
        if taken.sum() <= difficulty.hidden * covered.size and np.all(left >= (1 - difficulty.hidden) * whole):
            return cover
    return None


def _colour(rng: np.random.Generator, image: np.ndarray, cover: np.ndarray, contrast: float) -> np.ndarray:
    """A random colour whose luma differs enough from the mean luma of the pixels that it covers."""
    luma = np.array([0.299, 0.587, 0.114])
    beneath = float((image[cover > 0.5] @ luma).mean())
    for _ in range(_TRIES):
        colour = rng.uniform(0, 255, 3)
        if abs(colour @ luma - beneath) >= contrast:
            return colour
    return np.full(3, 0.0 if beneath > 127.5 else 255.0)


def _blend(image: np.ndarray, cover: np.ndarray, colour: np.ndarray) -> np.ndarray:
    return image + cover[..., None] * (colour.astype(np.float32) - image)


def _bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    """The box (x1, y1, x2, y2) of the pixels that are not 0."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
