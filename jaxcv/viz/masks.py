"""Class masks: their colours, overlays on images, and grids with a legend."""

import functools
from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from jaxcv.arguments import Range, Share, checked
from jaxcv.types import IGNORED, Array
from jaxcv.viz.figures import GRID, INK, class_name, headline, shorten
from jaxcv.viz.grids import as_picture, show

IGNORED_COLOR = (160, 160, 160)


@checked
def mask_colors(num_classes: Annotated[int, Range(1, 255)]) -> np.ndarray:
    """Colours of classes, each as different as possible from those before it; class 0, often the background, is dark.

    The colour of a class does not depend on the number of classes.

    Args:
        num_classes: the number of classes, at most 255.

    Returns:
        uint8 `[num_classes, 3]`.

    Raises:
        ValueError: there are more than 255 classes, or less than one.

    Example:
        >>> mask_colors(2).tolist()[0]
        [48, 48, 56]
    """
    return _colors()[:num_classes].copy()


@checked
def overlay(image: ArrayLike, mask: ArrayLike, *, alpha: Share = 0.6) -> np.ndarray:
    """Lay the colours of the classes over an image: `(1 - alpha) image + alpha color[mask]`.

    Args:
        image: `[h, w, 3]`, `[h, w, 1]` or `[h, w]`: uint8, or floats in [0, 1].
        mask: the class of each pixel, `[h, w]`; pixels of 255 or more become gray.
        alpha: 0 leaves the image, 1 shows the colours alone.

    Returns:
        uint8 `[h, w, 3]`.

    Raises:
        ValueError: image and mask are not of one size, or alpha is outside [0, 1].

    Example:
        >>> overlay(np.ones((1, 2)), [[0, 255]], alpha=1.0).tolist()
        [[[48, 48, 56], [160, 160, 160]]]
    """
    pixels, classes = as_picture(image), np.asarray(mask)
    if pixels.shape[:2] != classes.shape:
        raise ValueError(f'an image of {pixels.shape[:2]} pixels needs a mask of that shape, got {classes.shape}')
    pixels = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)
    colors = np.concatenate([_colors(), [IGNORED_COLOR]])[np.clip(classes, 0, IGNORED)]
    return np.rint((1 - alpha) * 255 * pixels + alpha * colors).astype(np.uint8)


@checked
def mask_grid(
    images: Sequence[ArrayLike] | np.ndarray | Array,
    masks: Sequence[ArrayLike] | np.ndarray | Array | None,
    predicted: Sequence[ArrayLike] | np.ndarray | Array | Mapping[str, Sequence[ArrayLike] | np.ndarray],
    class_names: Sequence[str] = (),
    *,
    alpha: Share = 0.75,
    title: str | None = None,
) -> Figure:
    """Draw rows of an image, its true and its predicted mask, and a legend of the classes that occur.

    Args:
        images: `[h, w, 3]`, `[h, w, 1]` or `[h, w]` each, of any sizes: uint8, or floats in [0, 1].
        masks: the true class of each pixel, `[h, w]` each, 255 where it is ignored; None if they are not known.
        predicted: the predicted classes, `[h, w]` each; or {method: its predictions}, each in a column of its own.
        class_names: one for each class; their numbers if left out.
        alpha: the share of colour in the masks' pictures; the rest is the image in gray.
        title: the headline; by default the share of right pixels, if there is one method.

    Returns:
        The figure.

    Raises:
        ValueError: there are no images, or not one mask of its size for each.

    Example:
        >>> images, masks = np.zeros((2, 8, 8)), np.zeros((2, 8, 8), int)
        >>> figure = mask_grid(images, masks, masks, ['background'])
        >>> figure.get_suptitle(), [axes.get_title() for axes in figure.axes[:3]]
        ('100.00 % of the pixels are right in 2 images', ['image', 'truth', 'predicted'])
    """
    columns: dict[str, Sequence[ArrayLike] | np.ndarray | Array] = {} if masks is None else {'truth': masks}
    columns |= predicted if isinstance(predicted, Mapping) else {'predicted': predicted}
    pictures = [as_picture(image) for image in images]
    if not pictures:
        raise ValueError('there are no images to draw')
    shown: dict[str, list[np.ndarray]] = {}
    for name, given in columns.items():
        shown[name] = [np.asarray(mask) for mask in given]
        sizes = [mask.shape for mask in shown[name]]
        if sizes != [image.shape[:2] for image in pictures]:
            raise ValueError(f'{name}: each of {len(pictures)} images needs a mask of its size, got {sizes}')

    aspect = float(np.clip(np.median([image.shape[0] / image.shape[1] for image in pictures]), 0.4, 2))
    side = 2.4 if len(columns) < 4 else 1.8
    size = (max(4.5, side * (1 + len(columns))), side * aspect * len(pictures) + 1.2)
    figure = Figure(figsize=size, layout='constrained')
    cells = figure.subplots(len(pictures), 1 + len(columns), squeeze=False)
    for row, image in zip(range(len(pictures)), pictures, strict=True):
        show(cells[row, 0], image)
        # The image is gray under a mask, so that every colour is that of a class.
        gray = image if image.ndim == 2 else image.mean(axis=-1)
        for cell, name in zip(cells[row, 1:], shown, strict=True):
            show(cell, overlay(gray, shown[name][row], alpha=alpha))
    for cell, name in zip(cells[0], ['image', *shown], strict=True):
        cell.set_title(shorten(name, 22), fontsize=10, color=INK, parse_math=False)

    _legend(
        figure, np.unique(np.concatenate([mask.ravel() for all_of in shown.values() for mask in all_of])), class_names
    )
    if title is None and masks is not None and not isinstance(predicted, Mapping):
        title = _accuracy(shown['truth'], shown['predicted'])
    if title:
        headline(figure, title)
    return figure


@functools.cache
def _colors() -> np.ndarray:
    """Farthest-point selection from a grid of colours, by perceived distance, starting with dark, gray and white."""
    levels = np.linspace(0, 255, 9)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing='ij'), axis=-1).reshape(-1, 3)
    light = _oklab(grid)[:, 0]
    grid = grid[(light > 0.5) & (light < 0.95)]  # neither like class 0 nor like white paper
    lab = _oklab(grid)
    first = np.array([[48, 48, 56]])
    # Gray is that of ignored pixels, and of the image under the mask.
    taken = _oklab(np.concatenate([first, [IGNORED_COLOR, (110, 110, 110), (255, 255, 255)]]))
    distance = np.linalg.norm(lab[:, None] - taken, axis=-1).min(axis=1)
    colors = [*first]
    while len(colors) < IGNORED:
        best = int(np.argmax(distance))
        colors.append(grid[best])
        distance = np.minimum(distance, np.linalg.norm(lab - lab[best], axis=-1))
    return np.rint(colors).astype(np.uint8)


def _oklab(colors: np.ndarray) -> np.ndarray:
    """Oklab coordinates, in which equal distances look equal: Ottosson, "A perceptual color space", 2020."""
    s = colors / 255
    linear = np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)
    cones = np.cbrt(linear @ np.array(_TO_CONES).T)
    return cones @ np.array(_TO_LAB).T


_TO_CONES = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_TO_LAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)


def _legend(figure: Figure, classes: np.ndarray, class_names: Sequence[str]) -> None:
    colors = np.concatenate([_colors(), [IGNORED_COLOR]]) / 255
    names = ['ignored' if c >= IGNORED else shorten(class_name(class_names, c), 20) for c in classes.tolist()]
    patches = [
        Patch(facecolor=colors[min(c, IGNORED)], edgecolor=GRID, label=name)
        for c, name in zip(classes.tolist(), names, strict=True)
    ]
    # As many in a row as the figure is wide, at about 0.09 inches a letter.
    columns = int(figure.get_figwidth() / (0.5 + 0.09 * max(map(len, names))))
    figure.legend(
        handles=patches,
        loc='outside lower center',
        ncols=max(1, min(columns, len(patches))),
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        handlelength=1.2,
        handleheight=1.2,
    )


def _accuracy(truth: list[np.ndarray], predicted: list[np.ndarray]) -> str:
    labelled = sum(int((mask < IGNORED).sum()) for mask in truth)
    right = sum(int(((a == b) & (a < IGNORED)).sum()) for a, b in zip(truth, predicted, strict=True))
    images = f'{len(truth)} image{"s" * (len(truth) != 1)}'
    return f'{100 * right / max(1, labelled):.2f} % of the pixels are right in {images}'
