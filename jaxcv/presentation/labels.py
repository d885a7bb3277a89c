"""Presentation of labels: one class for each image."""

from __future__ import annotations  # figures need matplotlib only where one is drawn

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from jaxcv import viz
from jaxcv.features import Example, Names
from jaxcv.presentation.classes import by_class, class_line, counted
from jaxcv.presentation.photos import whole_photos
from jaxcv.task import Answer, Gallery, Judged, Predictions, Presentation, Report, Written

FEATURE = 'label'
TOP = 3
"""Classes that are written of each picture."""


def labels() -> Presentation:
    """Presentation of one label for each image: of a classifier, of k nearest neighbours, of a forest.

    Predictions have `label` int [n] and, where there are any, `probabilities` [n classes]. Examples have an `image`
    and, where the truth is known, a `label`. Class names are those of the feature 'label'; without them, classes are
    written as numbers.

    Returns:
        A Presentation. Its answers are `label` and `probabilities`. The worst mistakes are those of the highest
        probability; after them come the right answers, the least probable first. A picture is predicted after the
        transforms of the evaluation; where these leave it of another size than the evaluation's images, it is resized
        to that size, and a warning is logged once. Without `PhotoOptions.evaluated` they must leave all pictures of
        one size.

    Example:
        >>> answer = {'label': np.int32(1), 'probabilities': np.array([0.25, 0.75])}
        >>> show = labels()
        >>> show.write(np.zeros((4, 4, 3), np.uint8), answer, {'label': ('cat', 'dog')}).line
        'dog 75.0 %  cat 25.0 %'
        >>> show.judge({'label': 0}, answer).badness
        1.75
    """
    return Presentation(
        _answer,
        lambda examples, names: (),
        _judge,
        _draw,
        _report,
        whole_photos(_answer),
        _write,
        most=40,
        hub_task='image-classification',
        truth=_truth,
        statistics=_statistics,
    )


def _truth(example: Example) -> Answer:
    label = np.asarray(example[FEATURE])
    return {'label': label} if label.ndim == 0 else {'label': label.argmax(), 'probabilities': label}  # of a mixture


def _statistics(examples: Iterable[Example], names: Names) -> Mapping[str, str]:
    found, counts = np.unique([int(example[FEATURE]) for example in examples], return_counts=True)
    return {FEATURE: counted(found, counts, names.get(FEATURE, ()))}


def _answer(predictions: Predictions) -> Mapping[str, Any]:
    return {name: predictions[name] for name in ('label', 'probabilities') if name in predictions}


def _judge(example: Example, answer: Answer) -> Judged:
    mistake = int(example[FEATURE]) != int(answer['label'])
    if 'probabilities' not in answer:
        return Judged(float(mistake), int(mistake), 1)
    confidence = float(answer['probabilities'].max())
    return Judged(1 + confidence if mistake else 1 - confidence, int(mistake), 1)


def _draw(gallery: Gallery, names: Names) -> viz.Figure:
    rows, title = gallery.rows, None
    known = all(FEATURE in row.example for row in rows)
    sure = all('probabilities' in row.answer for row in rows)
    if known and gallery.seen:
        title = (
            f'{gallery.mistakes:,} mistake{"s" * (gallery.mistakes != 1)} in {gallery.seen:,} images; '
            f'{len(rows)} shown, the worst first, true → predicted'
        )
    return viz.prediction_grid(
        [row.example['image'] for row in rows],
        [int(row.example[FEATURE]) for row in rows] if known else None,
        [int(row.answer['label']) for row in rows],
        names.get(FEATURE, ()),
        confidences=[float(row.answer['probabilities'].max()) for row in rows] if sure else None,
        title=title,
    )


def _report(values: Mapping[str, Any], names: Names) -> Report:
    class_names = names.get(FEATURE, ())
    figures, lines, arrays = {}, {}, {}
    if 'confusion' in values:
        of_rows = [viz.class_name(class_names, index) for index in range(len(values['confusion']))]
        figures['confusion_matrix'] = viz.confusion_matrix(values['confusion'], of_rows)
    for score in ('class_recall', 'class_precision', 'class_f1'):
        if score in values:
            arrays[score] = by_class(values[score], class_names)
    if 'class_recall' in arrays:
        lines = class_line('class_recall', arrays['class_recall'])
    return Report(lines, arrays, figures)


def _write(picture: np.ndarray, answer: Answer, names: Names) -> Written:
    class_names = names.get(FEATURE, ())
    if 'probabilities' not in answer:
        name = viz.class_name(class_names, int(answer['label']))
        return Written({'predictions': [{'class': name}]}, name)
    best = np.argsort(-answer['probabilities'])[:TOP].tolist()
    guesses = [(viz.class_name(class_names, i), round(float(answer['probabilities'][i]), 4)) for i in best]
    rows = [{'class': name, 'probability': probability} for name, probability in guesses]
    line = '  '.join(f'{name} {100 * probability:.1f} %' for name, probability in guesses)
    return Written({'predictions': rows}, line)
