"""Pairs of images of moving layers, drawn by a seed: their flow, disparity and occlusion are known exactly.

A layer is a photo, a smooth blob that it is cut out by (the rearmost layer has none), and a smooth displacement
`f(x)` of each point x of the first image, which has an inverse. Both images are read from the photo itself, so neither
is resampled from the other: the first at `M x`, the second at `M x` of the x with `x + f(x) = y`, which is found by
iterating `x <- y - f(x)`. The flow of a pixel x of a layer is `f(x)`. It is visible if `x + f(x)` lies inside of the
second image and no nearer layer covers that place.

Pure functions of NumPy arrays; points are (x, y), in pixels whose centres are whole numbers.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

__all__ = ['FlowDifficulty', 'MovingPair', 'StereoDifficulty', 'StereoPair', 'moving_pair', 'stereo_pair']

_ITERATIONS, _TOLERANCE = 60, 1e-6
_BLUR = 1.0
"""Standard deviation of the photos' low-pass filter, in pixels: what is between pixels is then known."""
_TRIES, _DETAILED, _VISIBLE_CHANGE = 8, 0.8, 10
_STEP = 1024
"""Truths are rounded to this part of a pixel, by which they become half as long in a compressed file."""


class FlowDifficulty(NamedTuple):
    """The options of `moving_pair` that make it hard."""

    layers: tuple[int, int] = (1, 3)
    """Least and largest number of layers in front of the rearmost one."""
    shift: float = 12.0
    """Largest shift of a layer, in pixels; that of the rearmost one is half."""
    turn: float = 6.0
    """Largest rotation to either side, in degrees."""
    zoom: float = 0.06
    """Largest change of the size, as a share."""
    bend: float = 1.0
    """Largest amplitude of the waves that bend a layer, in pixels."""
    light: float = 0.05
    """Largest change of the brightness between the images, as a share."""
    noise: float = 2.0
    """Largest standard deviation of the Gaussian noise, of 255."""


class StereoDifficulty(NamedTuple):
    """The options of `stereo_pair` that make it hard."""

    layers: tuple[int, int] = (2, 4)
    """Least and largest number of layers in front of the rearmost one."""
    disparity: tuple[float, float] = (2.0, 24.0)
    """Least and largest disparity in the middle of a layer, in pixels; the rearmost one has at most a third of it."""
    slant: float = 0.05
    """Largest change of the disparity of a layer from one pixel to the next."""
    bend: float = 0.5
    """Largest amplitude of the waves that bend a layer, in pixels."""
    light: float = 0.05
    """Largest change of the brightness between the images, as a share."""
    noise: float = 2.0
    """Largest standard deviation of the Gaussian noise, of 255."""


class MovingPair(NamedTuple):
    """Two frames and the flow from the first to the second."""

    image: np.ndarray
    """uint8 `[h w 3]`, RGB."""
    next_image: np.ndarray
    flow: np.ndarray
    """float32 `[h w 2]`: (dx, dy) in pixels; known everywhere."""
    flow_visible: np.ndarray
    """bool `[h w]`: whether the second frame shows the pixel too."""


class StereoPair(NamedTuple):
    """A stereo pair and the disparity of both views."""

    left: np.ndarray
    """uint8 `[h w 3]`, RGB."""
    right: np.ndarray
    disparity: np.ndarray
    """float32 `[h w]`, in pixels, positive; known everywhere."""
    disparity_visible: np.ndarray
    """bool `[h w]`: whether the right view shows the pixel too."""
    right_disparity: np.ndarray
    right_disparity_visible: np.ndarray


class _Waves(NamedTuple):
    """A smooth displacement: `linear (x - centre) + shift + sum of amplitude sin(frequency x + phase)`."""

    centre: np.ndarray  # [2]
    linear: np.ndarray  # [2 2]
    shift: np.ndarray  # [2]
    amplitude: np.ndarray  # [k 2]
    frequency: np.ndarray  # [k 2]
    phase: np.ndarray  # [k]

    def at(self, points: np.ndarray) -> np.ndarray:
        """The displacement of each point [... 2]."""
        x, y = points[..., 0], points[..., 1]
        moved = np.empty(points.shape)
        waves = [np.sin(x * a + (y * b + p)) for (a, b), p in zip(self.frequency, self.phase, strict=True)]
        still = self.shift - self.linear @ self.centre
        for axis in range(2):  # one after another: products of small matrices are slow
            moved[..., axis] = x * self.linear[axis, 0] + (y * self.linear[axis, 1] + still[axis])
            for wave, amplitude in zip(waves, self.amplitude[:, axis], strict=True):
                moved[..., axis] += amplitude * wave
        return moved

    def source(self, points: np.ndarray) -> np.ndarray:
        """The x with `x + f(x) = y` of each y [... 2]."""
        found = points - self.shift
        for _ in range(_ITERATIONS):
            better = points - self.at(found)
            change = abs(better - found).max(initial=0.0)
            found = better
            if change < _TOLERANCE:
                break
        return found


class _Layer(NamedTuple):
    texture: np.ndarray
    """float32 `[h w 3]`, low-passed."""
    placed: np.ndarray
    """The affine map from the first image to the texture, `[2 3]`."""
    inside: Callable[[np.ndarray], np.ndarray]
    """Points of the first image -> distance from the blob's border, positive inside, in pixels."""
    moved: _Waves
    nearness: Callable[[np.ndarray], np.ndarray]
    """Points of the first image -> the order of the layers: the largest is in front."""


class _View(NamedTuple):
    """One image of the pair."""

    image: np.ndarray
    field: np.ndarray
    """The displacement of each pixel to the other image, `[h w 2]`."""
    visible: np.ndarray


def moving_pair(
    seed: int | Sequence[int],
    pictures: Sequence[np.ndarray],
    *,
    size: tuple[int, int] = (128, 192),
    difficulty: FlowDifficulty = FlowDifficulty(),  # noqa: B008 (it cannot be changed)
) -> MovingPair:
    """Draw two frames in which layers of photos shift, turn, grow and bend.

    Args:
        seed: Of all that is random; a sequence of integers counts as one.
        pictures: Photos, uint8 `[h w 3]`.
        size: Height and width of the frames, in pixels.
        difficulty: Numbers and ranges of what moves.

    Returns:
        The pair.

    Raises:
        ValueError: The displacement would have no inverse, or a range is none.

    Example:
        >>> from jaxcv.data.photos import photos
        >>> pair = moving_pair(7, photos('validation'), size=(32, 48))
        >>> pair.flow.shape, pair.flow_visible.dtype
        ((32, 48, 2), dtype('bool'))
    """
    _check_layers(difficulty.layers)
    if not 0 <= difficulty.zoom <= 0.3 or not 0 <= difficulty.turn <= 20:
        raise ValueError(
            f'zoom must be in [0, 0.3] and turn in [0, 20], got {difficulty.zoom} and {difficulty.turn}: larger ones '
            'have no inverse that is found'
        )
    rng = np.random.Generator(np.random.PCG64(seed))
    layers = []
    for place in range(1 + int(rng.integers(difficulty.layers[0], difficulty.layers[1] + 1))):
        centre, inside = _blob(rng, size, rearmost=place == 0)
        angle = np.radians(rng.uniform(-difficulty.turn, difficulty.turn))
        zoom = 1 + rng.uniform(-difficulty.zoom, difficulty.zoom)
        linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) - np.eye(2)
        length, direction = difficulty.shift * np.sqrt(rng.random()) / (1 + (place == 0)), rng.uniform(0, 2 * np.pi)
        shift = length * np.array([np.cos(direction), np.sin(direction)])
        waves = _waves(rng, centre, linear, shift, difficulty.bend, np.ones(2))
        layers.append(_Layer(*_texture(rng, pictures, size), inside, waves, _constant(place)))
    first, second = _views(rng, layers, size, difficulty.light, difficulty.noise)
    return MovingPair(first.image, second.image, _rounded(first.field), first.visible)


def stereo_pair(
    seed: int | Sequence[int],
    pictures: Sequence[np.ndarray],
    *,
    size: tuple[int, int] = (128, 192),
    difficulty: StereoDifficulty = StereoDifficulty(),  # noqa: B008 (it cannot be changed)
) -> StereoPair:
    """Draw a rectified stereo pair of slanted and bent layers of photos: `x_right = x_left - d(x_left)`, rows stay.

    The layer of the largest disparity is in front, at each pixel.

    Args:
        seed: Of all that is random; a sequence of integers counts as one.
        pictures: Photos, uint8 `[h w 3]`.
        size: Height and width of the views, in pixels.
        difficulty: Numbers and ranges of what is drawn.

    Returns:
        The pair.

    Raises:
        ValueError: The displacement would have no inverse, or a range is none.

    Example:
        >>> from jaxcv.data.photos import photos
        >>> pair = stereo_pair(7, photos('validation'), size=(32, 48))
        >>> pair.disparity.shape, bool((pair.disparity > 0).all())
        ((32, 48), True)
    """
    _check_layers(difficulty.layers)
    least, largest = difficulty.disparity
    if not 0 <= difficulty.slant <= 0.4 or not 0 < least <= largest:
        raise ValueError(
            f'slant must be in [0, 0.4] and disparity 0 < least <= largest, got {difficulty.slant} and '
            f'{difficulty.disparity}'
        )
    rng = np.random.Generator(np.random.PCG64(seed))
    layers = []
    for place in range(1 + int(rng.integers(difficulty.layers[0], difficulty.layers[1] + 1))):
        centre, inside = _blob(rng, size, rearmost=place == 0)
        slant = rng.uniform(-difficulty.slant, difficulty.slant, 2)
        middle = rng.uniform(least, largest if place else least + (largest - least) / 3)
        if not place:  # disparities stay positive in the corners
            slant *= min(1.0, 0.8 * middle / max(abs(slant) @ np.array(size[::-1]) / 2, 1e-9))
        linear = np.stack([-slant, np.zeros(2)])
        waves = _waves(rng, centre, linear, np.array([-middle, 0]), min(difficulty.bend, 0.1 * middle), np.eye(2)[0])
        layers.append(_Layer(*_texture(rng, pictures, size), inside, waves, _disparity_of(waves)))
    left, right = _views(rng, layers, size, difficulty.light, difficulty.noise)
    disparity, other = _rounded(-left.field[..., 0]), _rounded(right.field[..., 0])
    return StereoPair(left.image, right.image, disparity, left.visible, other, right.visible)


def _views(
    rng: np.random.Generator, layers: Sequence[_Layer], size: tuple[int, int], light: float, noise: float
) -> tuple[_View, _View]:
    """Both images, and the displacement and visibility of their pixels."""
    pixels = np.stack(np.meshgrid(*map(np.arange, size[::-1])), axis=-1).astype(np.float64)
    places = [[pixels] * len(layers), [layer.moved.source(pixels) for layer in layers]]  # in the first image
    views = []
    for number, of_layers in enumerate(places):
        image, owner = _composed(layers, of_layers)
        image *= 1 + number * rng.uniform(-light, light)
        image += rng.uniform(0, noise) * rng.standard_normal(image.shape)
        field, visible = np.zeros((*size, 2)), np.zeros(size, bool)
        for k, layer in enumerate(layers):
            own = owner == k
            before = of_layers[k][own]  # the places of its pixels in the first image
            there = before if number else before + layer.moved.at(before)
            field[own] = there - pixels[own]
            inside = ((there >= 0) & (there <= np.array(size[::-1]) - 1)).all(-1)
            visible[own] = inside & ~_covered(layers, k, before, there, in_second=not number)
        views.append(_View(np.clip(np.rint(image), 0, 255).astype(np.uint8), field, visible))
    return views[0], views[1]


def _composed(layers: Sequence[_Layer], places: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The image of layers from back to front, float32 `[h w 3]`, and the layer that each pixel shows, `[h w]`."""
    colours = np.stack([_looked_up(layer, at) for layer, at in zip(layers, places, strict=True)])
    shares = np.stack([np.clip(0.5 + layer.inside(at), 0, 1) for layer, at in zip(layers, places, strict=True)])
    order = np.argsort([layer.nearness(at) for layer, at in zip(layers, places, strict=True)], axis=0, kind='stable')
    image, owner = np.zeros(colours.shape[1:], np.float32), np.zeros(order.shape[1:], int)
    for at in order:  # the rearmost of each pixel first
        share = np.take_along_axis(shares, at[None], axis=0)[0]
        colour = np.take_along_axis(colours, at[None, ..., None], axis=0)[0]
        image += share[..., None].astype(np.float32) * (colour - image)
        owner = np.where(share > 0.5, at, owner)
    return image, owner


def _covered(
    layers: Sequence[_Layer], own: int, before: np.ndarray, there: np.ndarray, *, in_second: bool
) -> np.ndarray:
    """Whether another layer is in front of points of a layer: points `before` in the first image, `there` in one."""
    covered = np.zeros(len(before), bool)
    nearness = layers[own].nearness(before)
    for k, layer in enumerate(layers):
        if k == own:
            continue
        at = layer.moved.source(there) if in_second else there
        covered |= (layer.inside(at) > 0) & (layer.nearness(at) > nearness)
    return covered


def _looked_up(layer: _Layer, at: np.ndarray) -> np.ndarray:
    """The colours of a layer at points of the first image."""
    x, y = np.moveaxis(at @ layer.placed[:, :2].T + layer.placed[:, 2], -1, 0).astype(np.float32)
    return cv2.remap(layer.texture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


def _texture(
    rng: np.random.Generator, pictures: Sequence[np.ndarray], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """A photo, tinted and low-passed, and a random similarity from the first image to it.

    Of several places the first is taken that has some detail in most pixels, or else the one with the most: the motion
    of a clear sky cannot be seen.
    """
    best, most = None, -1.0
    for _ in range(_TRIES):
        picture, tint = pictures[int(rng.integers(len(pictures)))], rng.uniform(0.7, 1.2, 3)
        height, width = picture.shape[:2]
        scale = rng.uniform(0.7, max(0.8, min(1.6, min(height, width) / max(size))))
        angle, mirror = rng.uniform(0, 2 * np.pi), rng.choice([-1.0, 1.0])
        linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * [mirror, 1]
        target = rng.uniform(0.3, 0.7, 2) * [width, height]
        middle = (np.array(size[::-1]) - 1) / 2
        placed = np.concatenate([linear, (target - linear @ middle)[:, None]], axis=1)
        detail = _detail(picture, placed, size)
        if detail > most:
            best, most = (picture, tint, placed), detail
        if detail > _DETAILED:
            break
    assert best is not None
    picture, tint, placed = best
    tinted = np.clip(picture * tint.astype(np.float32), 0, 255)
    return cv2.GaussianBlur(tinted, (0, 0), _BLUR), placed


def _detail(picture: np.ndarray, placed: np.ndarray, size: tuple[int, int]) -> float:
    """The share of pixels of the first image near which a photo's brightness changes by more than the noise."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(picture, placed, size[::-1], flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    gray, kernel = cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY), np.ones((5, 5), np.uint8)
    return float((cv2.dilate(gray, kernel) - cv2.erode(gray, kernel) > _VISIBLE_CHANGE).mean())


def _blob(
    rng: np.random.Generator, size: tuple[int, int], *, rearmost: bool
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """The centre of a layer, and the distance from its border: a circle whose radius changes with the angle."""
    extent = np.array(size[::-1])
    if rearmost:
        return (extent - 1) / 2, lambda points: np.full(points.shape[:-1], np.inf)
    centre = rng.uniform(0.1, 0.9, 2) * extent
    radius, stretch = min(size) * rng.uniform(0.15, 0.4), rng.uniform(0.7, 1.4)
    amplitude = radius * rng.uniform(0, 0.25, 3) / np.arange(1, 4)
    phase = rng.uniform(0, 2 * np.pi, 3)

    def inside(points: np.ndarray) -> np.ndarray:
        across, down = np.moveaxis(points - centre, -1, 0)
        angle = np.arctan2(down * stretch, across)
        border = radius + sum(
            a * np.sin((k + 2) * angle + p) for k, (a, p) in enumerate(zip(amplitude, phase, strict=True))
        )
        return border - np.hypot(across, down * stretch)

    return centre, inside


def _waves(
    rng: np.random.Generator,
    centre: np.ndarray,
    linear: np.ndarray,
    shift: np.ndarray,
    bend: float,
    axes: np.ndarray,
) -> _Waves:
    """A displacement with two waves of 40 to 120 pixels, along the axes that are 1."""
    direction, length = rng.uniform(0, 2 * np.pi, 2), rng.uniform(40, 120, 2)
    frequency = 2 * np.pi / length[:, None] * np.stack([np.cos(direction), np.sin(direction)], axis=-1)
    amplitude = 0.5 * bend * rng.uniform(-1, 1, (2, 2)) * axes
    slope = np.linalg.norm(linear, 2) + (np.linalg.norm(amplitude, axis=1) * np.linalg.norm(frequency, axis=1)).sum()
    if slope > 0.8:
        raise ValueError(f'a displacement that changes by {slope:.2f} pixels a pixel has no inverse: bend, turn less')
    return _Waves(centre, linear, shift, amplitude, frequency, rng.uniform(0, 2 * np.pi, 2))


def _constant(place: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda points: np.full(points.shape[:-1], float(place))


def _disparity_of(waves: _Waves) -> Callable[[np.ndarray], np.ndarray]:
    return lambda points: -waves.at(points)[..., 0]


def _rounded(values: np.ndarray) -> np.ndarray:
    return (np.rint(_STEP * values) / _STEP).astype(np.float32)


def _check_layers(layers: tuple[int, int]) -> None:
    if not 0 <= layers[0] <= layers[1]:
        raise ValueError(f'layers {layers} must be 0 <= least <= most')
