"""Presentation of several labels an image."""

from __future__ import annotations  # figures need matplotlib only where one is drawn

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxcv import viz
from jaxcv.arguments import Share, checked
from jaxcv.features import Example, Names
from jaxcv.presentation.classes import WORST, by_class, counted
from jaxcv.presentation.photos import whole_photos
from jaxcv.task import Answer, Gallery, Judged, Predictions, Presentation, Report, Written

FEATURE = 'labels'
OF_CLASSES = ('class_average_precision', 'class_f1', 'class_precision', 'class_recall', 'class_images')


@checked
def multi_labels(*, threshold: Share = 0.5) -> Presentation:
    """Presentation of several labels an image: those whose probability is at least a threshold.

    Predictions have `probabilities` [n classes] and `labels` bool [n classes]. Examples have an `image` and, where the
    truth is known, `labels` [n classes]. Class names are those of the feature 'labels'; without them, classes are
    written as numbers.

    Args:
        threshold: the least probability of a class that is shown; `options` takes another one, `threshold=0.3`.

    Returns:
        A Presentation. Its answers are `probabilities` and `labels`. A mistake is a class that is missed or wrong; the
        worst images are those whose mistakes are surest. Pictures are brought to the size of the evaluation's images,
        as for `labels`.

    Raises:
        ValueError: (in `options`) there is no such option, or it is no number in [0, 1].

    Example:
        >>> answer = {'probabilities': np.array([0.9, 0.6, 0.1]), 'labels': np.array([True, True, False])}
        >>> show, names = multi_labels(), {'labels': ('cat', 'dog', 'fox')}
        >>> show.write(np.zeros((4, 4, 3), np.uint8), answer, names).line
        'cat 90.0 %  dog 60.0 %'
        >>> show.judge({'labels': np.array([1, 0, 1])}, answer)
        Judged(badness=1.5, mistakes=2, of=3)
    """

    def judge(example: Example, answer: Answer) -> Judged:
        true, found = _present(example), answer['probabilities'] >= threshold
        wrong = true != found
        gap = np.abs(np.asarray(answer['probabilities'], np.float64) - true)
        return Judged(float(np.round(gap[wrong].sum(), 6)), int(wrong.sum()), len(true))

    def draw(gallery: Gallery, names: Names) -> viz.Figure:
        rows = gallery.rows
        images = [row.example['image'] for row in rows]
        if all('probabilities' not in row.answer for row in rows):  # truths
            found = [np.asarray(row.answer[FEATURE], np.float64) for row in rows]
            return viz.label_grid(images, None, found, names.get(FEATURE, ()), percent=False)
        known = all(FEATURE in row.example for row in rows)
        title = None
        if known and gallery.seen:
            title = (
                f'{gallery.mistakes:,} mistakes about {gallery.of:,} labels in {gallery.seen:,} images, at '
                f'{100 * threshold:g} %; the worst {len(rows)}'
            )
        truth = [_present(row.example) for row in rows] if known else None
        found = [row.answer['probabilities'] for row in rows]
        return viz.label_grid(images, truth, found, names.get(FEATURE, ()), threshold=threshold, title=title)

    def write(picture: np.ndarray, answer: Answer, names: Names) -> Written:
        shares, class_names = np.asarray(answer['probabilities'], np.float64), names.get(FEATURE, ())
        order = np.argsort(-shares, kind='stable').tolist()
        rows: list[dict[str, Any]] = [
            {'class': viz.class_name(class_names, i), 'probability': round(float(shares[i]), 4)}
            for i in order
            if shares[i] >= threshold
        ]
        line = '  '.join(f'{row["class"]} {100 * row["probability"]:.1f} %' for row in rows)
        if not rows:
            likeliest = viz.class_name(class_names, order[0])
            line = f'none from {100 * threshold:g} % on; {likeliest} {100 * shares[order[0]]:.1f} %'
        every = {viz.class_name(class_names, i): round(float(share), 4) for i, share in enumerate(shares)}
        return Written({'predictions': rows, 'probabilities': every}, line)

    def options(given: Mapping[str, Any], names: Names) -> Presentation:
        return multi_labels(threshold=_threshold(given, threshold))

    return Presentation(
        _answer,
        _inspect,
        judge,
        draw,
        _report,
        whole_photos(_answer),
        write,
        most=20,
        options=options,
        truth=lambda example: {FEATURE: example[FEATURE]},
        statistics=_statistics,
    )


def _present(example: Example) -> np.ndarray:
    return np.asarray(example[FEATURE]) > 0.5


def _answer(predictions: Predictions) -> Mapping[str, Any]:
    return {name: predictions[name] for name in ('probabilities', FEATURE)}


def _inspect(examples: Iterable[Example], names: Names) -> Sequence[str]:
    """Warn of examples that are all without a label, or all with every one."""
    found = [_present(example) for example in examples if FEATURE in example]
    if not found or any(labels.any() and not labels.all() for labels in found):
        return ()
    if not any(labels.any() for labels in found):
        return [f'the first {len(found)} examples have no label at all: is it the right column, the right separator?']
    every = [labels for labels in found if labels.any()]
    return [f'{len(every)} of the first {len(found)} examples have all labels, the others none'] if len(names) else ()


def _statistics(examples: Iterable[Example], names: Names) -> Mapping[str, str]:
    found = [_present(example) for example in examples]
    if not found:
        return {}
    numbers = np.stack(found)
    each = numbers.sum(axis=1)
    spread = f'{each.min()} to {each.max()}, mean {each.mean():.2f}; {int((each == 0).sum()):,} with none'
    return {
        FEATURE: counted(np.arange(numbers.shape[1]), numbers.sum(axis=0), names.get(FEATURE, ())),
        'labels an image': spread,
    }


def _report(values: Mapping[str, Any], names: Names) -> Report:
    class_names = names.get(FEATURE, ())
    arrays = {
        name: by_class(np.asarray(values[name], np.float64), class_names) for name in OF_CLASSES if name in values
    }
    if not arrays.keys() >= {*OF_CLASSES}:
        return Report({}, arrays)
    precision = arrays['class_average_precision']
    of_class = {of: {name: arrays[name][of] for name in OF_CLASSES} for of in precision}
    worst = sorted(of_class, key=lambda of: math.inf if precision[of] is None else precision[of] or 0.0)
    lines = {f'class {of}': _line(of_class[of]) for of in (worst[:WORST] if len(worst) > WORST else of_class)}
    if len(worst) > WORST:
        lines['classes'] = f'above, the {WORST} of {len(worst)} with the least average precision'
    return Report(lines, arrays)


def _line(scores: Mapping[str, float | None]) -> str:
    """The scores of a class: 'AP 91.2 %, F1 80.0 %, precision 75.0 %, recall 85.7 %, 14 images'."""
    words = dict(zip(OF_CLASSES, ('AP', 'F1', 'precision', 'recall'), strict=False))
    parts = [
        f'{word} {"-" if scores[name] is None else f"{100 * (scores[name] or 0):.1f} %"}'
        for name, word in words.items()
    ]
    images = int(scores['class_images'] or 0)
    return ', '.join([*parts, f'{images:,} image{"s" * (images != 1)}'])


def _threshold(given: Mapping[str, Any], default: float) -> float:
    if unknown := given.keys() - {'threshold'}:
        raise ValueError(f'no option {sorted(unknown)[0]!r}; there is threshold=PROBABILITY')
    try:
        value = float(given.get('threshold', default))
    except (TypeError, ValueError):
        value = math.nan
    if not 0 <= value <= 1:
        raise ValueError(f'threshold must be a probability in [0, 1], got {given["threshold"]!r}')
    return value
