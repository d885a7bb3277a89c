"""Presentation of embeddings: distances between images, and names by the nearest of known ones."""

from __future__ import annotations  # figures need matplotlib only where one is drawn

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from jaxcv import viz
from jaxcv.arguments import AtLeast1, Positive, checked
from jaxcv.classical import recognition
from jaxcv.features import Example, Names
from jaxcv.presentation.classes import counted
from jaxcv.presentation.compared import compared
from jaxcv.presentation.photos import whole_photos
from jaxcv.task import Answer, Gallery, Judged, Predictions, Presentation, Report, Written

FEATURE = 'label'
THUMBNAIL = 40
"""Rows and columns of an image beside the table of distances, in points."""
PAIRS_IN_A_ROW, MOST_NAMED = 3, 18
"""Pictures in a row, each beside the nearest known one, and in all."""
NO_THRESHOLD = 'none'
UNKNOWN = 'unknown'
"""The name of somebody who is nobody of the gallery."""
THRESHOLD = 'verification_threshold'
"""The value of an evaluation that the threshold is by default."""


class _Known(NamedTuple):
    """The people of a gallery."""

    gallery: recognition.Gallery
    people: tuple[str, ...]
    """The name of each identity."""
    picture: Callable[[int], np.ndarray]
    """Row -> its picture."""
    threshold: float | None


@checked
def pairs(*, threshold: Positive | Literal['none'] | None = None, k: AtLeast1 = 1) -> Presentation:
    """Presentation of one vector for each image, which is compared with those of other images.

    Predictions have `embedding` [n d]. Distances are Euclidean. Of some images the figure is a table of the distances
    between them; of a whole evaluation it is the worst pairs and the nearest neighbours of the worst queries
    (`jaxcv.presentation.compared`). With known pictures (`enrolled`) each picture gets the name of the nearest of them,
    or 'unknown'.

    Args:
        threshold: the distance from which on somebody is unknown; 'none': everybody is somebody of the gallery. None:
            the `verification_threshold` of the evaluation. It belongs to two images: in a large gallery somebody
            unknown is near one of many, and a smaller threshold is right (`metrics.identification`).
        k: known pictures that vote, of those nearer than the threshold.

    Returns:
        A Presentation. Its answer is `embedding`, which is written for each picture and exported: image -> vector. A
        picture is brought to the size of the evaluation's images, as for `labels`.

    Raises:
        ValueError: (in `options`) there is no such option; (in `enrolled`) there is no threshold.

    Example:
        >>> show = pairs(threshold=0.5)
        >>> ann, ben = ({'embedding': np.array(x, np.float32)} for x in ([0.6, 0.8], [1.0, 0.0]))
        >>> picture = np.zeros((4, 4, 3), np.uint8)
        >>> show.write(picture, ann, {}).line
        'a vector of 2 numbers, length 1.000'
        >>> show.enrolled([ann], ['Ann'], lambda row: picture, {}).write(picture, ben, {}).line
        'unknown, the nearest is Ann at 0.894'
    """

    def options(given: Mapping[str, Any], names: Names) -> Presentation:
        return pairs(**_options(given, threshold, k))

    def enrolled(
        answers: Sequence[Answer],
        people: Sequence[str],
        picture: Callable[[int], np.ndarray],
        values: Mapping[str, Any],
    ) -> Presentation:
        limit: Any = values.get(THRESHOLD) if threshold is None else None if threshold == NO_THRESHOLD else threshold
        if threshold != NO_THRESHOLD and (limit is None or not limit > 0):  # NaN: it had no pairs of both kinds
            raise ValueError(
                f'there is no threshold for {UNKNOWN!r}: evaluate first, for its {THRESHOLD}, or give '
                'threshold=DISTANCE (threshold=none: everybody is somebody of the gallery)'
            )
        known = tuple(sorted(set(people)))
        vectors = np.stack([answer['embedding'] for answer in answers])
        gallery = recognition.enroll(vectors, np.array([known.index(name) for name in people]))
        return _naming(shown, _Known(gallery, known, picture, limit), k)

    shown = Presentation(
        _answer,
        lambda examples, names: (),
        _judge,
        _draw,
        _report,
        whole_photos(_answer),
        _write,
        hub_task='image-feature-extraction',
        options=options,
        truth=_truth,
        statistics=_statistics,
        compared=compared(),
        enrolled=enrolled,
        reserved=(UNKNOWN,),
    )
    return shown


def _naming(shown: Presentation, known: _Known, k: int) -> Presentation:
    """The presentation that gives names."""

    def named(answers: Sequence[Answer]) -> list[tuple[str, float, int]]:
        """(name, distance, the nearest row of that name, or of all) of each."""
        vectors = np.stack([answer['embedding'] for answer in answers]).astype(np.float32)
        found = recognition.identify(known.gallery, vectors, threshold=known.threshold, k=k)
        rows, identities = np.asarray(known.gallery.vectors), np.asarray(known.gallery.identities)
        result = []
        for vector, identity, distance in zip(vectors, *map(np.asarray, found), strict=True):
            allowed = (identities == identity) | (identity == recognition.UNKNOWN)
            nearest = int(np.where(allowed, ((rows - vector) ** 2).sum(axis=1), np.inf).argmin())
            name = UNKNOWN if identity == recognition.UNKNOWN else known.people[identity]
            result.append((name, float(distance), nearest))
        return result

    def write(picture: np.ndarray, answer: Answer, names: Names) -> Written:
        ((name, distance, nearest),) = named([answer])
        of_nearest = known.people[int(known.gallery.identities[nearest])]
        at = f'distance {distance:.3f}' if name != UNKNOWN else f'the nearest is {of_nearest} at {distance:.3f}'
        row = {'name': name, 'distance': round(distance, 6), 'nearest': of_nearest, **_row(answer)}
        return Written(row, f'{name}, {at}')

    def draw(gallery: Gallery, names: Names) -> viz.Figure:
        images, captions = [], []
        found = named([row.answer for row in gallery.rows])
        for one, (name, distance, nearest) in zip(gallery.rows, found, strict=True):
            of_nearest = known.people[int(known.gallery.identities[nearest])]
            images += [one.example['image'], known.picture(nearest)]
            captions += [name, f'{distance:.2f} {of_nearest}']
        columns = 2 * min(PAIRS_IN_A_ROW, len(found))
        return viz.image_grid(images, captions=captions, columns=columns, title='Beside each: the nearest known')

    return shown._replace(write=write, draw=draw, most=MOST_NAMED)


def _answer(predictions: Predictions) -> Mapping[str, Any]:
    return {'embedding': predictions['embedding']}


def _judge(example: Example, answer: Answer) -> Judged:
    return Judged(0.0, 0, 0)


def _truth(example: Example) -> Answer:
    return {FEATURE: np.asarray(example[FEATURE])} if FEATURE in example else {}


def _statistics(examples: Iterable[Example], names: Names) -> Mapping[str, str]:
    found, counts = np.unique([int(example[FEATURE]) for example in examples if FEATURE in example], return_counts=True)
    if not len(found):
        return {}
    alone = f'{(counts == 1).sum():,} with one'
    return {
        'identities': f'{len(found):,}, with {counts.min():,} to {counts.max():,} images; {alone}',
        FEATURE: counted(found, counts, names.get(FEATURE, ())),
    }


def _draw_truths(gallery: Gallery, names: Names) -> viz.Figure:
    """The images by their identities."""
    known = [row for row in gallery.rows if FEATURE in row.answer]
    rows = sorted(known, key=lambda row: int(row.answer[FEATURE])) if len(known) == len(gallery.rows) else gallery.rows
    captions = [
        viz.class_name(names.get(FEATURE, ()), int(row.answer[FEATURE])) if FEATURE in row.answer else ''
        for row in rows
    ]
    return viz.image_grid([row.example['image'] for row in rows], captions=captions)


def _draw(gallery: Gallery, names: Names) -> viz.Figure:
    rows = gallery.rows
    if any('embedding' not in row.answer for row in rows):
        return _draw_truths(gallery, names)
    vectors = np.array([row.answer['embedding'] for row in rows], np.float64)
    distances = np.linalg.norm(vectors[:, None] - vectors, axis=-1)
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    figure = viz.Figure(figsize=(2 + 0.8 * len(rows), 1.5 + 0.8 * len(rows)), layout='constrained')
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
    return Written(_row(answer), f'a vector of {len(vector)} numbers, length {np.linalg.norm(vector):.3f}')


def _row(answer: Answer) -> dict[str, Any]:
    return {'embedding': [round(float(x), 6) for x in answer['embedding']]}


def _options(given: Mapping[str, Any], threshold: float | str | None, k: int) -> dict[str, Any]:
    if unknown := given.keys() - {'threshold', 'k'}:
        raise ValueError(f'no option {sorted(unknown)[0]!r}; there are: threshold=DISTANCE and k=NUMBER')
    found: dict[str, Any] = {'threshold': threshold, 'k': k}
    try:
        if 'threshold' in given and given['threshold'] != NO_THRESHOLD:
            found['threshold'] = float(given['threshold'])
        elif 'threshold' in given:
            found['threshold'] = NO_THRESHOLD
        found['k'] = int(given.get('k', k))
    except (TypeError, ValueError):
        raise ValueError(f'threshold=DISTANCE and k=NUMBER are numbers, got {dict(given)}') from None
    return found
