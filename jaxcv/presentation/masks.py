"""Presentation of masks: a class for each pixel."""

from __future__ import annotations  # figures need matplotlib only where one is drawn

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from jaxcv import viz
from jaxcv.features import Example, Names
from jaxcv.ops.windows import sliding_windows
from jaxcv.presentation.classes import by_class, class_line, counted
from jaxcv.task import (
    Answer,
    Gallery,
    Judged,
    PhotoOptions,
    Predictions,
    Presentation,
    Report,
    Written,
)
from jaxcv.types import IGNORED, Array, Batch

FEATURE = 'mask'
WINDOWS = 4
"""Windows in one call of `predict`, at most: the logits of each have a number for each class and pixel."""


def masks() -> Presentation:
    """Presentation of a class for each pixel: of a segmentation network, of a pixel forest.

    Predictions have `mask` int [n h w]; for pictures of any size (`photos`) also `logits` [n h w classes], which are
    averaged over sliding windows. Examples have an `image` and, where the truth is known, a `mask`. Class names are
    those of the feature 'mask'; without them, classes are written as numbers.

    Returns:
        A Presentation. Its answers are `mask`. The worst images are those with the largest share of wrong pixels among
        those that are not `IGNORED`. A picture is resized, predicted by windows of the size that the model was trained
        on, with half a window of overlap, and its mask resized back, by the nearest pixel, to the picture's own size.

    Example:
        >>> show, names = masks(), {'mask': ('sky', 'sea')}
        >>> mask = np.array([[0, 0], [0, 1]], np.uint8)
        >>> show.write(np.zeros((2, 2, 3), np.uint8), {'mask': mask}, names).line
        'sky 75.0 %  sea 25.0 %'
        >>> show.judge({'mask': np.array([[0, 255], [1, 1]])}, {'mask': mask})
        Judged(badness=0.333..., mistakes=1, of=3)
    """
    return Presentation(
        _answer,
        _inspect,
        _judge,
        _draw,
        _report,
        _photos,
        _write,
        most=8,
        hub_task='image-segmentation',
        truth=lambda example: {'mask': np.asarray(example[FEATURE])},
        statistics=_statistics,
    )


def _statistics(examples: Iterable[Example], names: Names) -> Mapping[str, str]:
    counts: dict[int, int] = {}
    for example in examples:
        for number, count in zip(*np.unique(example[FEATURE], return_counts=True), strict=True):
            counts[int(number)] = counts.get(int(number), 0) + int(count)
    numbers = np.array([number for number in sorted(counts) if number != IGNORED], int)
    pixels = np.array([counts[int(number)] for number in numbers], int)
    ignored = {'ignored pixels': f'{counts[IGNORED]:,}'} if IGNORED in counts else {}
    return {f'pixels by {FEATURE}': counted(numbers, pixels, names.get(FEATURE, ())), **ignored}


def _answer(predictions: Predictions) -> Mapping[str, Any]:
    return {'mask': predictions['mask']}


def _inspect(examples: Iterable[Example], names: Names) -> Sequence[str]:
    """Warn of masks in black and white, and of one class only: with one class left any network is perfect."""
    found = [example for example in examples if isinstance(example.get(FEATURE), np.ndarray)]
    numbers = sorted({number for example in found for number in np.unique(example[FEATURE]).tolist()})
    if not found or len(numbers) > 2 or (len(numbers) == 2 and IGNORED not in numbers):
        return ()
    first = f'the first {len(found)} masks'
    where = f' The first is of {found[0]["where"]}.' if 'where' in found[0] else ''
    if IGNORED not in numbers:
        return (f'{first} hold the class {numbers[0]} only: any network that answers it is perfect on them.{where}',)
    return (
        f'{first} hold {" and ".join(map(str, numbers))} only, and {IGNORED} is of no class: its '
        "pixels are excluded from losses and metrics. If it is a class, put {'name': 'relabel', 'values': [0] + 254 * "
        "[255] + [1]}, which makes it 1, after decode_mask in the config's data.train_transforms and "
        f'data.eval_transforms, each where its masks are such.{where}',
    )


def _judge(example: Example, answer: Answer) -> Judged:
    labelled = example[FEATURE] != IGNORED
    wrong, of = int(np.sum(labelled & (example[FEATURE] != answer['mask']))), int(labelled.sum())
    return Judged(wrong / max(of, 1), wrong, of)


def _draw(gallery: Gallery, names: Names) -> viz.Figure:
    rows, title = gallery.rows, None
    known = all(FEATURE in row.example for row in rows)
    if known and gallery.seen:
        title = (
            f'{100 * gallery.mistakes / max(gallery.of, 1):.2f} % of the pixels are wrong in {gallery.seen:,} images; '
            f'the worst {len(rows)}'
        )
    return viz.mask_grid(
        [row.example['image'] for row in rows],
        [row.example[FEATURE] for row in rows] if known else None,
        [row.answer['mask'] for row in rows],
        names.get(FEATURE, ()),
        title=title,
    )


def _report(values: Mapping[str, Any], names: Names) -> Report:
    class_names = names.get(FEATURE, ())
    figures = {}
    if 'confusion' in values:
        of_rows = [viz.class_name(class_names, index) for index in range(len(values['confusion']))]
        figures['confusion_matrix'] = viz.confusion_matrix(values['confusion'], of_rows)
    if 'class_iou' not in values:
        return Report(figures=figures)
    shares = by_class(values['class_iou'], class_names)
    return Report(class_line('class_iou', shares), {'class_iou': shares}, figures)


def _photos(
    predict: Callable[[Batch], Predictions], examples: Iterable[Example], options: PhotoOptions
) -> Iterator[Answer]:
    height, width = options.shape[:2]

    def logits_of(images: Any) -> Array:
        predictions = predict({'image': images, 'valid': np.ones(len(images), bool)})
        if 'logits' not in predictions:
            raise ValueError("masks of pictures of any size need predictions with 'logits', to average over windows")
        return predictions['logits']

    for example in examples:
        mask = sliding_windows(
            options.resize(example)['image'],
            logits_of=logits_of,
            window=(height, width),
            overlap=(height // 2, width // 2),
            batch_size=min(options.batch_size, WINDOWS),
        )
        size = example['image'].shape[1::-1]
        yield {'mask': cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT)}


def _write(picture: np.ndarray, answer: Answer, names: Names) -> Written:
    mask = answer['mask']
    classes, pixels = np.unique(mask, return_counts=True)
    class_names = [viz.class_name(names.get(FEATURE, ()), index) for index in classes.tolist()]
    shares = [float(count / mask.size) for count in pixels]
    rows = [{'class': name, 'share': round(share, 4)} for name, share in zip(class_names, shares, strict=True)]
    line = '  '.join(f'{name} {100 * share:.1f} %' for name, share in zip(class_names, shares, strict=True))
    return Written({'shares': rows}, line, {'mask': mask, 'overlay': viz.overlay(picture, mask)})
