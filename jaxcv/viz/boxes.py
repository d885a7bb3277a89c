"""Boxes: drawn into a picture's own pixels, and grids of the truth beside the predictions."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from jaxcv.viz.figures import INK, class_name, headline, shorten, style
from jaxcv.viz.grids import as_picture, show
from jaxcv.viz.masks import mask_colors

_FONT = cv2.FONT_HERSHEY_SIMPLEX


class Objects(NamedTuple):
    """The objects of an image."""

    boxes: np.ndarray
    """`[d, 4]`, xyxy in pixels."""
    labels: np.ndarray
    """`[d]`."""
    scores: np.ndarray | None = None
    """`[d]` in [0, 1]; None for the truth."""
    wrong: np.ndarray | None = None
    """Those that are drawn as mistakes, `[d]`."""
    masks: np.ndarray | None = None
    """Their pixels, 0 or 1, `[d, h, w]`, of which the boundary is drawn; None: there are none."""


def box_colors(num_classes: int) -> np.ndarray:
    """Colours of classes, as different as possible: those of masks without the dark one of the background.

    Example:
        >>> box_colors(3).shape
        (3, 3)
    """
    return mask_colors(min(num_classes + 1, 255))[1:]


def draw_boxes(image: ArrayLike, objects: Objects, class_names: Sequence[str] = ()) -> np.ndarray:
    """Draw boxes with their classes and scores into a picture, in its own pixels.

    Args:
        image: `[h, w, 3]`, `[h, w, 1]` or `[h, w]`: uint8, or floats in [0, 1].
        objects: what is drawn, the last at the top.
        class_names: one for each class; their numbers if left out. With '' and without scores a box has no text.

    Returns:
        uint8 `[h, w, 3]`. Lines and letters grow with the picture.

    Example:
        >>> objects = Objects(np.array([[2.0, 2.0, 20.0, 20.0]]), np.array([0]), np.array([0.9]))
        >>> draw_boxes(np.zeros((32, 32, 3), np.uint8), objects, ['cat']).any()
        np.True_
    """
    pixels = as_picture(image)
    pixels = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)
    canvas = np.ascontiguousarray(np.rint(255 * pixels).astype(np.uint8))
    side = max(canvas.shape[:2])
    thick, size = max(1, round(side / 400)), max(0.35, side / 1400)
    colors = box_colors(254)
    for i, label in enumerate(objects.labels.tolist()):
        color = tuple(int(c) for c in colors[label % len(colors)])
        x1, y1, x2, y2 = (round(float(x)) for x in objects.boxes[i])
        if objects.masks is not None:
            lines, _ = cv2.findContours(objects.masks[i], cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(canvas, lines, -1, color, thick, cv2.LINE_AA)
        cv2.rectangle(canvas, (x1, y1), (x2 - 1, y2 - 1), color, thick, cv2.LINE_AA)
        if not (text := _text(objects, i, class_names)):
            continue
        (width, height), below = cv2.getTextSize(text, _FONT, size, thick)
        top = y1 - below if y1 > height + 2 * below else y1 + height + below
        cv2.rectangle(canvas, (x1, top - height - below), (x1 + width + 2, top + below), color, -1)
        cv2.putText(canvas, text, (x1 + 1, top), _FONT, size, _ink(color), thick, cv2.LINE_AA)
    return canvas


def box_grid(
    images: Sequence[ArrayLike],
    truth: Sequence[Objects] | None,
    predicted: Sequence[Objects] | None,
    class_names: Sequence[str] = (),
    *,
    columns: int = 2,
    captions: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw images with their true boxes beside the predicted ones; mistakes are dashed.

    Args:
        images: `[h, w, 3]`, `[h, w, 1]` or `[h, w]` each, of any sizes: uint8, or floats in [0, 1].
        truth: the true objects of each image; None if they are not known.
        predicted: the detected ones, with scores; None to draw the truth alone.
        class_names: one for each class; their numbers if left out.
        columns: images in a row.
        captions: a line above each image; None: 'truth' and 'predicted' above the first row.
        title: the headline.

    Returns:
        The figure.

    Raises:
        ValueError: there are no images, or neither list, or a list is not as long as the images.

    Example:
        >>> objects = Objects(np.array([[1.0, 1.0, 6.0, 6.0]]), np.array([0]), np.array([0.9]))
        >>> figure = box_grid([np.zeros((8, 8))], [objects], [objects], ['cat'])
        >>> [axes.get_title() for axes in figure.axes]
        ['truth', 'predicted']
    """
    if not len(images):
        raise ValueError('there are no images to draw')
    shown = {name: one for name, one in (('truth', truth), ('predicted', predicted)) if one is not None}
    if not shown:
        raise ValueError('give true objects, predicted ones, or both')
    for name, objects in shown.items():
        if len(objects) != len(images):
            raise ValueError(f'{len(images)} images need as many sets of {name} boxes, got {len(objects)}')
    if captions is not None and len(captions) != len(images):
        raise ValueError(f'{len(images)} images need as many captions, got {len(captions)}')
    pictures = [as_picture(image) for image in images]
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    aspect = float(np.clip(np.median([x.shape[0] / x.shape[1] for x in pictures]), 0.4, 2))
    side = 2.7
    size = (max(4.0, columns * len(shown) * side), rows * (side * aspect + 0.15) + 0.7)
    figure = Figure(figsize=size, layout='constrained')
    cells = figure.subplots(rows, columns * len(shown), squeeze=False)
    for i, picture in enumerate(pictures):
        for j, (name, objects) in enumerate(shown.items()):
            cell = cells[i // columns, (i % columns) * len(shown) + j]
            show(cell, picture)
            _rectangles(cell, objects[i], class_names)
            if captions is not None or i < columns:
                cell.set_title(name if captions is None else captions[i], fontsize=10, color=INK)
    for cell in cells.ravel()[len(pictures) * len(shown) :]:
        cell.remove()
    if title:
        headline(figure, title)
    return figure


def precision_recall(
    precision: ArrayLike, class_names: Sequence[str] = (), *, marks: Mapping[str, float] | None = None
) -> Figure:
    """Draw the precision of each class over the recall, and that of all classes.

    Args:
        precision: at recalls from 0 to 1, `[recalls, classes]`; NaN for a class without objects.
        class_names: one for each class; their numbers if left out.
        marks: class name -> a recall that gets a dot, such as that of the best F1.

    Returns:
        The figure. Of more than ten classes only the mean has a name.

    Example:
        >>> figure = precision_recall(np.linspace(1, 0, 101)[:, None], ['cat'], marks={'cat': 0.5})
        >>> figure.axes[0].get_xlabel()
        'recall'
    """
    values = np.where(np.asarray(precision, float) < 0, np.nan, precision)
    recall = np.linspace(0, 1, len(values))
    figure = Figure(figsize=(6.4, 4.6), layout='constrained')
    axes = figure.subplots()
    known = [k for k in range(values.shape[1]) if not np.isnan(values[:, k]).all()]
    colors = box_colors(max(values.shape[1], 1)) / 255
    for k in known:
        name, color = class_name(class_names, k), colors[k % len(colors)]
        axes.plot(recall, values[:, k], color=color, linewidth=1, label=shorten(name, 16) if len(known) <= 10 else None)
        if marks and name in marks:
            at = round(marks[name] * (len(values) - 1))
            axes.plot(recall[at], values[at, k], 'o', color=color, markersize=4)
    if known:
        mean = values[:, known].mean(axis=1)
        axes.plot(recall, mean, color=INK, linewidth=2, label=f'mean of {len(known)}')
        axes.legend(frameon=False, fontsize=8)
    axes.set(xlabel='recall', ylabel='precision', xlim=(0, 1), ylim=(0, 1.02))
    style(axes)
    headline(figure, 'Precision and recall at an IoU of 0.5' + ('; dots: the best F1' if marks else ''))
    return figure


def _rectangles(cell: Axes, objects: Objects, class_names: Sequence[str]) -> None:
    colors = box_colors(254) / 255
    room = 0.07 * float(np.ptp(cell.get_ylim()))  # of a label above a box
    for i, label in enumerate(objects.labels.tolist()):
        x1, y1, x2, y2 = (float(x) for x in objects.boxes[i])
        wrong = objects.wrong is not None and bool(objects.wrong[i])
        color = colors[label % len(colors)]
        if objects.masks is not None and 0 < objects.masks[i].mean() < 1:
            cell.contour(objects.masks[i], levels=[0.5], colors=[color], linewidths=1)
        cell.add_patch(
            # Pixels are squares around whole coordinates.
            Rectangle(
                (x1 - 0.5, y1 - 0.5),
                x2 - x1,
                y2 - y1,
                fill=False,
                edgecolor=color,
                linewidth=1.6,
                linestyle='--' if wrong else '-',
            )
        )
        cell.text(
            x1 - 0.5,
            y1 - 0.5,
            _text(objects, i, class_names),
            fontsize=8,
            va='top' if y1 < room else 'bottom',
            color=[x / 255 for x in _ink(255 * color)],
            bbox={'facecolor': color, 'edgecolor': 'none', 'pad': 0.6, 'alpha': 0.85},
            parse_math=False,
            clip_on=True,
        )


def _text(objects: Objects, i: int, class_names: Sequence[str]) -> str:
    name = shorten(class_name(class_names, int(objects.labels[i])), 16)
    return name if objects.scores is None else f'{name} {100 * float(objects.scores[i]):.0f}'


def _ink(color: Sequence[float] | np.ndarray) -> tuple[int, int, int]:
    """Return black or white, whichever can be read on the colour."""
    luma = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
    return (0, 0, 0) if luma > 128 else (255, 255, 255)
