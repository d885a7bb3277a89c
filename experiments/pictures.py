"""Which examples an evaluation shows, the worst first, and how they are drawn: by what the task predicts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from jaxcv import viz
from jaxcv.types import IGNORED, Array

Row = dict[str, Any]


class Shown(NamedTuple):
    """The examples to show so far, the worst first."""

    rows: tuple[Row, ...] = ()
    seen: int = 0
    mistakes: int = 0
    """Examples, or pixels."""
    of: int = 0
    """How many there were to be right or wrong."""


class Pictures(NamedTuple):
    """How the examples of a task are shown."""

    row: Callable[[Mapping[str, np.ndarray], Mapping[str, np.ndarray], int], Row]
    """(batch, predictions, place) -> what to draw, and `badness`, `mistakes` and `of`."""
    draw: Callable[[Shown, Sequence[str]], Figure]
    """(examples, class names) -> the figure."""
    most: int
    """Examples in the figure."""


def pictures_of(predictions: Mapping[str, Any]) -> Pictures:
    """How to show what was predicted: masks, or else labels."""
    return MASKS if 'mask' in predictions else LABELS


def needed(predictions: Mapping[str, Array]) -> dict[str, Array]:
    """What `add` looks at; not the logits, which may be a hundred numbers for each pixel."""
    return {name: predictions[name] for name in ('label', 'mask', 'probabilities', 'valid') if name in predictions}


def add(shown: Shown, batch: Mapping[str, np.ndarray], predictions: Mapping[str, np.ndarray]) -> Shown:
    """Looks at one more batch; of equally bad examples the first stay."""
    pictures = pictures_of(predictions)
    rows = [pictures.row(batch, predictions, i) for i in np.flatnonzero(predictions['valid']).tolist()]
    kept = sorted([*shown.rows, *rows], key=lambda row: -row['badness'])[: pictures.most]
    return Shown(
        tuple(kept),
        shown.seen + len(rows),
        shown.mistakes + sum(row['mistakes'] for row in rows),
        shown.of + sum(row['of'] for row in rows),
    )


def _label_row(batch: Mapping[str, np.ndarray], predictions: Mapping[str, np.ndarray], i: int) -> Row:
    label, predicted = int(batch['label'][i]), int(predictions['label'][i])
    confidence, mistake = float(predictions['probabilities'][i].max()), label != predicted
    return {
        'image': batch['image'][i],
        'label': label,
        'predicted': predicted,
        'confidence': confidence,
        'badness': mistake * (1 + confidence),  # the surest mistakes first, then the others as they come
        'mistakes': int(mistake),
        'of': 1,
    }


def _draw_labels(shown: Shown, class_names: Sequence[str]) -> Figure:
    return viz.prediction_grid(
        [row['image'] for row in shown.rows],
        [row['label'] for row in shown.rows],
        [row['predicted'] for row in shown.rows],
        class_names,
        confidences=[row['confidence'] for row in shown.rows],
        title=f'{shown.mistakes:,} mistake{"s" * (shown.mistakes != 1)} in {shown.seen:,} images; '
        f'{len(shown.rows)} shown, true → predicted',
    )


def _mask_row(batch: Mapping[str, np.ndarray], predictions: Mapping[str, np.ndarray], i: int) -> Row:
    mask, predicted = batch['mask'][i], predictions['mask'][i]
    labelled = mask != IGNORED
    wrong, of = int(np.sum(labelled & (mask != predicted))), int(labelled.sum())
    return {
        'image': batch['image'][i],
        'mask': mask,
        'predicted': predicted,
        'badness': wrong / max(of, 1),
        'mistakes': wrong,
        'of': of,
    }


def _draw_masks(shown: Shown, class_names: Sequence[str]) -> Figure:
    return viz.mask_grid(
        [row['image'] for row in shown.rows],
        [row['mask'] for row in shown.rows],
        [row['predicted'] for row in shown.rows],
        class_names=class_names,
        title=f'{100 * shown.mistakes / max(shown.of, 1):.2f} % of the pixels are wrong in {shown.seen:,} images; '
        f'the worst {len(shown.rows)}',
    )


LABELS = Pictures(_label_row, _draw_labels, most=40)
MASKS = Pictures(_mask_row, _draw_masks, most=8)
