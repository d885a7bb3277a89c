"""Optical flow and disparity in colours, with their keys, and a scene seen from another place.

A flow's direction is its hue, and its length the strength of the colour (Baker et al.); a disparity is a colour from
dark blue (far) to red (near), and an error one from black to yellow. Pixels that are not known are gray.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from jaxcv.arguments import AtLeast1, Finite, Positive, checked
from jaxcv.types import Array
from jaxcv.viz.figures import INK, headline
from jaxcv.viz.grids import as_picture, show

UNKNOWN_COLOR = (128, 128, 128)
# From one hue of the wheel to the next: how many colours, and the channels of both ends.
_WHEEL = (
    (15, (1, 0, 0), (1, 1, 0)),
    (6, (1, 1, 0), (0, 1, 0)),
    (4, (0, 1, 0), (0, 1, 1)),
    (11, (0, 1, 1), (0, 0, 1)),
    (13, (0, 0, 1), (1, 0, 1)),
    (6, (1, 0, 1), (1, 0, 0)),
)
_BEYOND = 0.75
_DISPARITIES, _ERRORS = 'turbo', 'inferno'
_KEY = 61


@checked
def flow_colors(flow: ArrayLike, *, largest: Positive | None = None, valid: ArrayLike | None = None) -> np.ndarray:
    """Colours of optical flow: the hue is the direction, the saturation the length, and no motion is white.

    Right is red, down yellow, left cyan to blue, up violet. A vector longer than `largest` is darker.

    Args:
        flow: `[h, w, 2]`, (dx, dy) in pixels.
        largest: the length of the strongest colour, in pixels; by default that of the longest known vector.
        valid: `[h, w]`, which of it is known; by default what is finite.

    Returns:
        uint8 `[h, w, 3]`; gray where it is not known.

    Raises:
        ValueError: the flow is of another shape.

    Example:
        >>> flow_colors([[[0, 0], [1, 0], [np.nan, 0]]]).tolist()
        [[[255, 255, 255], [255, 0, 0], [128, 128, 128]]]

    Baker et al., "A Database and Evaluation Methodology for Optical Flow", 2011.
    """
    vectors = np.asarray(flow, np.float32)
    if vectors.ndim != 3 or vectors.shape[2] != 2:
        raise ValueError(f'flow is [h, w, 2], got an array of shape {vectors.shape}')
    known = _known(np.asarray(np.isfinite(vectors).all(axis=-1)), valid)
    vectors = np.where(known[..., None], vectors, 0)
    length = np.hypot(vectors[..., 0], vectors[..., 1])
    length = length / (largest or max(float(length.max(initial=0)), 1e-9))
    wheel = _wheel()
    # A whole turn from the first colour back to it; the angle grows from right to down, as images' rows do.
    place = np.arctan2(vectors[..., 1], vectors[..., 0]) / (2 * np.pi) % 1 * len(wheel)
    before = place.astype(int) % len(wheel)
    share = (place - np.floor(place))[..., None]
    color = (1 - share) * wheel[before] + share * wheel[(before + 1) % len(wheel)]
    strength = length[..., None]
    # The longest vector is rounded to either side of 1.
    color = np.where(strength <= 1 + 1e-5, 1 - np.minimum(strength, 1) * (1 - color), _BEYOND * color)
    return np.where(known[..., None], np.rint(255 * color), UNKNOWN_COLOR).astype(np.uint8)


@checked
def flow_key(*, size: AtLeast1 = _KEY) -> np.ndarray:
    """Key of `flow_colors`: a disc in which each place has the colour of the vector from the centre to it.

    Args:
        size: side of the picture, in pixels.

    Returns:
        uint8 `[size, size, 3]`, white outside of the disc.

    Example:
        >>> flow_key(size=3)[1].tolist()
        [[0, 197, 255], [255, 255, 255], [255, 0, 0]]
    """
    along = np.linspace(-1, 1, size) if size > 1 else np.zeros(1)
    vectors = np.stack(np.meshgrid(along, along), axis=-1)
    colors = flow_colors(vectors, largest=1.0)
    colors[np.hypot(vectors[..., 0], vectors[..., 1]) > 1 + 1e-6] = 255
    return colors


@checked
def disparity_colors(
    disparity: ArrayLike, *, least: Finite = 0.0, largest: Finite | None = None, valid: ArrayLike | None = None
) -> np.ndarray:
    """Colours of disparity (or depth): from dark blue, the least, over green to red, the largest.

    Args:
        disparity: `[h, w]`, in pixels.
        least: of the scale.
        largest: of the scale; by default that of the known values.
        valid: `[h, w]`, which of it is known; by default what is finite.

    Returns:
        uint8 `[h, w, 3]`; gray where it is not known.

    Raises:
        ValueError: the disparity is of another shape.

    Example:
        >>> disparity_colors([[0, 64, np.inf]]).tolist()
        [[[48, 18, 59], [122, 4, 2], [128, 128, 128]]]
    """
    return _colored(disparity, least, largest, valid, _DISPARITIES)


@checked
def error_colors(error: ArrayLike, *, largest: Positive | None = None, valid: ArrayLike | None = None) -> np.ndarray:
    """Colours of errors: from black, none, over red to yellow.

    Args:
        error: `[h, w]`, at least 0, in pixels.
        largest: of the scale; by default that of the known values.
        valid: `[h, w]`, where it is known; by default where it is finite.

    Returns:
        uint8 `[h, w, 3]`; gray where it is not known.

    Raises:
        ValueError: the error is of another shape.

    Example:
        >>> error_colors([[0, np.nan]], largest=3.0).tolist()
        [[[0, 0, 3], [128, 128, 128]]]
    """
    return _colored(error, 0.0, largest, valid, _ERRORS)


@checked
def field_grid(
    images: Sequence[ArrayLike] | np.ndarray | Array,
    truths: Sequence[ArrayLike] | np.ndarray | Array | None,
    predicted: Sequence[ArrayLike] | np.ndarray | Array | Mapping[str, Sequence[ArrayLike] | np.ndarray],
    *,
    field: Literal['flow', 'disparity'],
    largest_error: Positive = 5.0,
    title: str | None = None,
) -> Figure:
    """Draw rows of an image, the true field, the predicted ones and their errors, with the key of each scale.

    All fields of a row have one scale: that of the truth, or of the first prediction where there is none.

    Args:
        images: the first image of each pair, `[h, w, 3]`, `[h, w, 1]` or `[h, w]`: uint8, or floats in [0, 1].
        truths: `[h, w, 2]` or `[h, w]` each, not finite where it is not known; None if there are none.
        predicted: likewise, or {method: its predictions}; each has a column of its own, and one of its errors.
        field: 'flow' or 'disparity'.
        largest_error: of the scale of errors, in pixels.
        title: the headline.

    Returns:
        The figure.

    Raises:
        ValueError: there are no images, or not one field of its size for each.

    Example:
        >>> disparity = np.full((2, 8, 12), 3.0)
        >>> figure = field_grid(np.zeros((2, 8, 12)), disparity, {'constant': disparity + 1}, field='disparity')
        >>> [axes.get_title() for axes in figure.axes[:4]]
        ['image', 'truth', 'constant', 'error of constant']
    """
    pictures = [as_picture(image) for image in images]
    if not pictures:
        raise ValueError('there are no images to draw')
    methods: Mapping[str, Any] = predicted if isinstance(predicted, Mapping) else {'predicted': predicted}
    columns = {**({} if truths is None else {'truth': truths}), **methods}
    shown = {name: [np.asarray(one, np.float32) for one in given] for name, given in columns.items()}
    for name, fields in shown.items():
        sizes = [one.shape[:2] for one in fields]
        if sizes != [picture.shape[:2] for picture in pictures]:
            raise ValueError(f'{name}: each of {len(pictures)} images needs a field of its size, got {sizes}')
    errors = [] if truths is None else list(methods)
    error_title = 'error of {}' if isinstance(predicted, Mapping) else 'error'
    titles = ['image', *(['truth'] if errors else [])]
    for name in methods:  # the field of each method, and beside it its error
        titles += [name, *([error_title.format(name)] if errors else [])]

    aspect = float(np.clip(np.median([p.shape[0] / p.shape[1] for p in pictures]), 0.3, 2))
    width = 2.3
    size = (len(titles) * width + 0.9, len(pictures) * (width * aspect + 0.05) + 0.75)
    figure = Figure(figsize=size, layout='constrained')
    cells = figure.subplots(len(pictures), len(titles) + 1, squeeze=False, width_ratios=[1] * len(titles) + [0.28])
    for row, picture in enumerate(pictures):
        scale = _largest(next(iter(shown.values()))[row])
        drawn = [picture]
        for name, fields in shown.items():
            drawn.append(as_picture(_field_colors(fields[row], field, scale)))
            if name in errors:
                error = _error(fields[row], shown['truth'][row])
                drawn.append(as_picture(error_colors(error, largest=largest_error)))
        for cell, one, text in zip(cells[row], drawn, titles, strict=False):
            show(cell, one)
            if row == 0:
                cell.set_title(text, fontsize=9, color=INK, pad=4, parse_math=False)
        _draw_key(cells[row, -1], field, scale)
    if errors:
        bar = figure.colorbar(
            ScalarMappable(Normalize(0, largest_error), _ERRORS),
            ax=list(cells.ravel()),
            location='bottom',
            shrink=0.5,
            aspect=60,
            pad=0.02,
        )
        bar.set_label('error, pixels', fontsize=8, color=INK)
        bar.ax.tick_params(labelsize=8)
    if title:
        headline(figure, title)
    return figure


@checked
def depth_view(
    image: ArrayLike,
    depth: ArrayLike,
    *,
    focal: Positive,
    center: tuple[Finite, Finite] | None = None,
    turn: Finite = -20.0,
    tilt: Finite = -8.0,
    dot: AtLeast1 = 3,
) -> np.ndarray:
    """A scene from another place: each pixel at its depth, seen by a camera that is turned about the scene's middle.

    Args:
        image: `[h, w, 3]`, `[h, w, 1]` or `[h, w]`: uint8, or floats in [0, 1].
        depth: `[h, w]`, in any unit; pixels whose depth is not finite or not above 0 are left out.
        focal: focal length, in pixels.
        center: (x, y) of the principal point; by default the middle of the image.
        turn: angle about the upright axis, in degrees; a negative one shows the scene from its right.
        tilt: angle about the horizontal axis; a negative one shows it from above.
        dot: side of a point of the median depth, in pixels; nearer ones are larger.

    Returns:
        uint8 `[h, w, 3]`, white where no point is seen.

    Raises:
        ValueError: image and depth are not of one size, or no depth is known.

    Example:
        >>> depth_view(np.zeros((8, 12, 3)), np.full((8, 12), 2.0), focal=10.0, turn=0.0, tilt=0.0, dot=1).max()
        np.uint8(0)
    """
    pixels, distance = as_picture(image), np.asarray(depth, np.float64)
    pixels = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)
    if pixels.shape[:2] != distance.shape:
        raise ValueError(f'an image of {pixels.shape[:2]} pixels needs a depth of that shape, got {distance.shape}')
    known = np.isfinite(distance) & (distance > 0)
    if not known.any():
        raise ValueError('no depth is known: there is nothing to see')
    height, width = distance.shape
    middle = center or ((width - 1) / 2, (height - 1) / 2)
    y, x = np.nonzero(known)
    z = distance[known]
    points = np.stack([(x - middle[0]) * z / focal, (y - middle[1]) * z / focal, z], axis=-1)
    pivot = np.array([*np.median(points[:, :2], axis=0), np.median(z)])
    a, b = np.radians(turn), np.radians(tilt)
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    points = (points - pivot) @ (about_x @ about_y).T + pivot
    front = points[:, 2] > 1e-6 * pivot[2]
    points, colors = points[front], np.rint(255 * pixels[known][front]).astype(np.uint8)
    seen = np.full((height, width, 3), 255, np.uint8)
    column, row = (np.rint(focal * points[:, i] / points[:, 2] + middle[i]).astype(int) for i in (0, 1))
    side = np.clip(np.rint(dot * pivot[2] / points[:, 2]), 1, 4 * dot).astype(int)
    order = np.argsort(-points[:, 2], kind='stable')  # the farthest first: nearer ones are written over it
    for one in np.array_split(order, max(1, len(order) // 4096)):
        largest = int(side[one].max())
        for down in range(largest):
            for across in range(largest):
                dots = one[(side[one] > down) & (side[one] > across)]
                r, c = row[dots] + down - side[dots] // 2, column[dots] + across - side[dots] // 2
                inside = (r >= 0) & (r < height) & (c >= 0) & (c < width)
                seen[r[inside], c[inside]] = colors[dots[inside]]
    return seen


def _wheel() -> np.ndarray:
    """The colours of the directions, `[55, 3]`."""
    return np.concatenate(
        [np.linspace(start, end, count, endpoint=False, dtype=np.float32) for count, start, end in _WHEEL]
    )


def _known(finite: np.ndarray, valid: ArrayLike | None) -> np.ndarray:
    return finite if valid is None else finite & np.asarray(valid, bool)


def _colored(values: ArrayLike, least: float, largest: float | None, valid: ArrayLike | None, name: str) -> np.ndarray:
    numbers = np.asarray(values, np.float32)
    if numbers.ndim != 2:
        raise ValueError(f'a number for each pixel is [h, w], got an array of shape {numbers.shape}')
    known = _known(np.isfinite(numbers), valid)
    numbers = np.where(known, numbers, least)
    largest = float(numbers.max(initial=least)) if largest is None else largest
    share = (numbers - least) / max(largest - least, 1e-9)
    colors = colormaps[name](np.clip(share, 0, 1), bytes=True)[..., :3]
    return np.where(known[..., None], colors, np.array(UNKNOWN_COLOR, np.uint8)).astype(np.uint8)


def _field_colors(values: np.ndarray, field: str, largest: float) -> np.ndarray:
    return flow_colors(values, largest=largest) if field == 'flow' else disparity_colors(values, largest=largest)


def _largest(values: np.ndarray) -> float:
    """The end of a scale: nearly all known values are within it."""
    size = np.linalg.norm(values, axis=-1) if values.ndim == 3 else abs(values)
    size = size[np.isfinite(size)]
    return max(float(np.quantile(size, 0.995)), 1.0) if size.size else 1.0


def _error(values: np.ndarray, truth: np.ndarray) -> np.ndarray:
    with np.errstate(invalid='ignore'):
        difference = values - truth
        return np.linalg.norm(difference, axis=-1) if difference.ndim == 3 else abs(difference)


def _draw_key(cell: Axes, field: str, largest: float) -> None:
    """The scale of a row, in the narrow cell at its end."""
    if field == 'flow':
        show(cell, as_picture(flow_key()))
        cell.spines[:].set_visible(False)
        cell.set_xlabel(f'{largest:.3g} pixels', fontsize=7, color=INK, labelpad=2)
        return
    cell.set_axis_off()
    inner = cell.inset_axes((0.05, 0.05, 0.25, 0.9))
    inner.imshow(np.linspace(1, 0, 64)[:, None], cmap=_DISPARITIES, aspect='auto', extent=(0, 1, 0, largest))
    inner.set_xticks([])
    inner.yaxis.tick_right()
    inner.tick_params(labelsize=7, colors=INK, length=2, pad=1)
    inner.set_title('pixels', fontsize=7, color=INK, pad=2, loc='left')
