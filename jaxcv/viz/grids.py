"""Images side by side, with captions, or with true and predicted classes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from jaxcv.arguments import AtLeast1, checked
from jaxcv.types import Array
from jaxcv.viz.figures import GRID, INK, WRONG, class_name, headline, shorten

SMALL = 64
"""Pixels; pictures of at most as many keep them as squares, larger ones are smoothed, and fill a page's width."""


@checked
def image_grid(
    images: Sequence[ArrayLike] | np.ndarray | Array,
    *,
    captions: Sequence[str] | None = None,
    columns: AtLeast1 | None = None,
    title: str | None = None,
) -> Figure:
    """Draw images side by side.

    Args:
        images: `[h, w, 3]`, `[h, w, 1]` or `[h, w]` each, of any sizes: uint8, or floats in [0, 1].
        captions: a line or two above each image.
        columns: images in a row; by default a little more than there are rows, the last one full or nearly so.
        title: the headline.

    Returns:
        The figure.

    Raises:
        ValueError: there are no images, an image has another shape, or there is not one caption for each.

    Example:
        >>> figure = image_grid(np.zeros((6, 8, 8, 1)), columns=3)
        >>> len(figure.axes)
        6
    """
    figure, _ = _grid(images, captions, columns)
    if title:
        headline(figure, title)
    return figure


@checked
def prediction_grid(
    images: Sequence[ArrayLike] | np.ndarray | Array,
    labels: ArrayLike | None,
    predicted: ArrayLike,
    class_names: Sequence[str] = (),
    *,
    confidences: ArrayLike | None = None,
    columns: AtLeast1 | None = None,
    title: str | None = None,
) -> Figure:
    r"""Draw images with their true and their predicted class; mistakes are framed in red.

    Args:
        images: `[h, w, 3]`, `[h, w, 1]` or `[h, w]` each, of any sizes: uint8, or floats in [0, 1].
        labels: the true classes, `[n]`; None if they are not known.
        predicted: the predicted classes, `[n]`.
        class_names: one for each class; their numbers if left out.
        confidences: the probability of each prediction, `[n]` in [0, 1].
        columns: images in a row; by default a little more than there are rows, the last one full or nearly so.
        title: the headline; by default the number of mistakes.

    Returns:
        The figure.

    Raises:
        ValueError: there are no images, an image has another shape, or a list is not as long as the images.

    Example:
        >>> figure = prediction_grid(np.zeros((2, 8, 8)), [0, 1], [0, 0], ['cat', 'dog'], confidences=[0.9, 0.6])
        >>> figure.get_suptitle(), figure.axes[1].get_title()
        ('1 mistake in 2 images', 'dog → cat\n60 %')
    """
    predicted = np.asarray(predicted)
    for kind, values in {'labels': labels, 'predicted': predicted, 'confidences': confidences}.items():
        if values is not None and np.shape(values) != (len(images),):
            raise ValueError(f'{len(images)} images need as many {kind}, got an array of shape {np.shape(values)}')
    truth = None if labels is None else np.asarray(labels)
    wrong = np.zeros(len(images), bool) if truth is None else truth != predicted

    def name(index: int) -> str:
        return shorten(class_name(class_names, index), 22)

    captions = []
    for i, guess in enumerate(predicted.tolist()):
        words = name(guess) if truth is None else f'{name(int(truth[i]))} → {name(guess)}'
        if len(words) > 22:
            words = words.replace(' → ', '\n→ ')
        captions.append(words if confidences is None else f'{words}\n{100 * np.asarray(confidences)[i]:.0f} %')

    figure, cells = _grid(images, captions, columns)
    for cell, mistaken in zip(cells, wrong, strict=True):
        if mistaken:
            cell.spines[:].set(color=WRONG, linewidth=3)
            cell.title.set_color(WRONG)
    if title is None and truth is not None:
        mistakes = f'{wrong.sum()} mistake{"" if wrong.sum() == 1 else "s"}' if wrong.any() else 'No mistakes'
        title = f'{mistakes} in {len(images)} image{"" if len(images) == 1 else "s"}'
    if title:
        headline(figure, title)
    return figure


def _grid(
    images: Sequence[ArrayLike] | np.ndarray | Array, captions: Sequence[str] | None, columns: int | None
) -> tuple[Figure, list[Axes]]:
    pictures = [as_picture(image) for image in images]
    if not pictures:
        raise ValueError('there are no images to draw')
    if captions is not None and len(captions) != len(pictures):
        raise ValueError(f'{len(pictures)} images need as many captions, got {len(captions)}')
    columns = min(len(pictures), columns or even_columns(len(pictures)))
    rows = -(-len(pictures) // columns)
    lines = max((caption.count('\n') + 1 for caption in captions), default=0) if captions else 0

    width = 1.5 if all(len(line) <= 12 for caption in captions or () for line in caption.split('\n')) else 2.2
    if np.median([min(picture.shape[:2]) for picture in pictures]) > SMALL:
        width = max(width, min(3.6, 10.8 / columns))
    aspect = np.median([picture.shape[0] / picture.shape[1] for picture in pictures])
    height = width * float(np.clip(aspect, 0.4, 2)) + 0.19 * lines + 0.08
    figure = Figure(figsize=(max(3.4, columns * width), rows * height + 0.5), layout='constrained')
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for cell, picture, caption in zip(cells, pictures, captions or [''] * len(pictures), strict=False):
        show(cell, picture)
        cell.set_title(caption, fontsize=9, color=INK, pad=4, parse_math=False)
    for cell in cells[len(pictures) :]:
        cell.remove()
    return figure, list(cells[: len(pictures)])


def even_columns(count: int) -> int:
    """The images in a row: near sqrt(1.6 count), and of its neighbours the one with the fewest empty cells at the end.

    Example:
        >>> [even_columns(count) for count in (1, 4, 11, 16, 20)]
        [1, 2, 4, 4, 5]
    """
    wanted = np.sqrt(1.6 * count)
    near = range(max(1, round(wanted) - 1), round(wanted) + 2)
    return min(near, key=lambda columns: (-count % columns, abs(columns - wanted)))


def show(cell: Axes, picture: np.ndarray) -> None:
    """Draw a picture of `as_picture` into its cell, without ticks."""
    smooth = 'nearest' if max(picture.shape[:2]) <= SMALL else 'antialiased'
    cell.imshow(picture, cmap='gray', vmin=0, vmax=1, interpolation=smooth)
    cell.set_xticks([])
    cell.set_yticks([])
    cell.spines[:].set_color(GRID)


def as_picture(image: ArrayLike) -> np.ndarray:
    """Convert an image for matplotlib, to floats in [0, 1], `[h, w]` or `[h, w, 3]`."""
    picture = np.asarray(image)
    if picture.ndim == 3 and picture.shape[-1] == 1:
        picture = picture[..., 0]
    if picture.ndim != 2 and picture.shape[2:] != (3,):
        raise ValueError(f'an image is [h, w, 3], [h, w, 1] or [h, w], got {picture.shape}')
    if picture.dtype == np.uint8:
        return picture / 255
    return np.clip(np.nan_to_num(picture.astype(np.float32)), 0, 1)
