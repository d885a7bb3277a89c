"""Presentation of embeddings: the distances between images."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from jaxcv import viz
from jaxcv.features import Example, Names
from jaxcv.presentation.photos import whole_photos
from jaxcv.task import Answer, Gallery, Judged, Predictions, Presentation, Report, Written

FEATURE = 'label'
THUMBNAIL = 40
"""Rows and columns of an image beside the table of distances, in points."""


def pairs() -> Presentation:
    """Presentation of one vector for each image, which is compared with those of other images.

    Predictions have `embedding` [n d]. The figure is a table of the Euclidean distances between some of the images. No
    single answer is right or wrong, so that none is among the worst.

    Returns:
        A Presentation. Its answer is `embedding`, which is written for each picture and exported: image -> vector. A
        picture is brought to the size of the evaluation's images, as for `labels`.

    Example:
        >>> answer = {'embedding': np.array([0.6, 0.8], np.float32)}
        >>> pairs().write(np.zeros((4, 4, 3), np.uint8), answer, {}).line
        'a vector of 2 numbers, length 1.000'
    """
    return Presentation(_answer, lambda examples, names: (), _judge, _draw, _report, whole_photos(_answer), _write)


def _answer(predictions: Predictions) -> Mapping[str, Any]:
    return {'embedding': predictions['embedding']}


def _judge(example: Example, answer: Answer) -> Judged:
    return Judged(0.0, 0, 0)


def _draw(gallery: Gallery, names: Names) -> Figure:
    rows = gallery.rows
    vectors = np.array([row.answer['embedding'] for row in rows], np.float64)
    distances = np.linalg.norm(vectors[:, None] - vectors, axis=-1)
    figure = Figure(figsize=(2 + 0.8 * len(rows), 1.5 + 0.8 * len(rows)), layout='constrained')
    axes = figure.subplots()
    axes.imshow(distances, cmap='Greys', vmin=0, vmax=2 * max(float(distances.max()), 1e-6))
    for i, j in np.ndindex(distances.shape):
        axes.text(j, i, f'{distances[i, j]:.2f}', ha='center', va='center', fontsize=8)
    for i, row in enumerate(rows):
        image = np.asarray(row.example['image'])
        is_gray = image.shape[-1] == 1
        pixels = image[..., 0] if is_gray else image
        picture = OffsetImage(pixels, zoom=THUMBNAIL / len(image), cmap='gray' if is_gray else None)
        axes.add_artist(AnnotationBbox(picture, (-1, i), frameon=False, annotation_clip=False))
    known = all(FEATURE in row.example for row in rows)
    labels = [viz.class_name(names.get(FEATURE, ()), int(row.example[FEATURE])) if known else '' for row in rows]
    axes.set_xticks(range(len(rows)), labels)
    axes.set_yticks(range(len(rows)), [''] * len(rows))
    axes.set_xlim(-1.6, len(rows) - 0.5)
    axes.set_title('distances between the embeddings', loc='left')
    return figure


def _report(values: Mapping[str, Any], names: Names) -> Report:
    return Report()


def _write(picture: np.ndarray, answer: Answer, names: Names) -> Written:
    vector = np.asarray(answer['embedding'], np.float64)
    line = f'a vector of {len(vector)} numbers, length {np.linalg.norm(vector):.3f}'
    return Written({'embedding': [round(float(x), 6) for x in vector]}, line)
