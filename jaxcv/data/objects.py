"""Images with objects: the boxes of a split, tidied with a count of all that was wrong, and the source of them.

The readers of COCO, Pascal VOC and YOLO make one `Table` of a split: so the rules for boxes stand here once.

* Numbers that are not finite, and boxes whose second corner lies before the first, are errors that name the image.
* A box that reaches beyond its image is clipped to it.
* A box without area, or without any in its image, is dropped.
* The same box of one class, given twice in an image, is kept or dropped as the format's own tools do.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxcv.data.pixels import image_shape
from jaxcv.data.sources import Source
from jaxcv.features import FEATURES, FeatureError

__all__ = ['Photo', 'Table', 'far_corner', 'objects_source', 'photos', 'unknown_classes']

_BORDER = 1e-4
"""The share of an image's side that a box may reach beyond it by rounding, without being counted."""


class Table(NamedTuple):
    """The objects of a split, one row each, in any order of images."""

    image: np.ndarray
    """Place of the object's image, [n]."""
    boxes: np.ndarray
    """xyxy, float64 [n 4]: pixels, or shares of the image's sides."""
    labels: np.ndarray
    """[n]."""
    others: Mapping[str, np.ndarray] = {}
    """Further features of the objects, [n ...]."""


class Photo(NamedTuple):
    """One image and its objects."""

    path: str
    id: int | str
    """The image's number or name in the data set's own files."""
    truth: str
    """The file that has its objects, for messages."""
    size: tuple[int, int] | None
    """(height, width) by that file; None where it gives none."""
    objects: Mapping[str, np.ndarray]
    """Features of its objects."""


def photos(
    paths: Sequence[str],
    ids: Sequence[int | str],
    truths: Sequence[str],
    sizes: Sequence[tuple[int, int] | None],
    table: Table,
    *,
    far: np.ndarray,
    keep_twice: bool,
) -> tuple[list[Photo], list[str]]:
    """Tidy the objects of a split, and give each image its own.

    Args:
        paths: The file of each image.
        ids: The number or name of each.
        truths: The file that has its objects.
        sizes: (height, width) by that file, or None.
        table: The objects.
        far: (width, height) of each image in the unit of the boxes, [images 2].
        keep_twice: Whether an object that is given twice stays.

    Returns:
        The images, and lines for the log that say which boxes were changed, and how many of what there are.

    Raises:
        ValueError: A box is not finite or turned inside out.

    Example:
        >>> table = Table(np.array([0, 0]), np.array([[2.0, 2, 9, 5], [4, 4, 4, 6]]), np.array([1, 0]))
        >>> found, notes = photos(['a.jpg', 'b.jpg'], [7, 8], ['a.txt', ''], [None, None], table,
        ...                       far=np.array([[8, 6], [8, 6]]), keep_twice=False)
        >>> found[0].objects['boxes'], len(found[1].objects['boxes'])
        (array([[2., 2., 8., 5.]]), 0)
        >>> notes[1]
        'boxes clipped at the border of their image: 1 (a.jpg)'
    """
    _refuse(table, paths, truths)
    order = np.argsort(table.image, kind='stable')
    table = _rows(table, order)
    limit = np.tile(far[table.image].astype(np.float64), (1, 2))
    clipped = np.clip(table.boxes, 0, limit)
    beyond = (np.abs(clipped - table.boxes) > _BORDER * limit).any(axis=-1)
    # What is left has an area in float32 too, which the boxes become.
    empty = (np.diff(clipped.astype(np.float32).reshape(-1, 2, 2), axis=1) <= 0).any(axis=(1, 2))
    twice = _twice(table) & ~empty
    notes = [_counted(table, ~empty, len(paths))]
    for which, what in (
        (beyond & ~empty, 'clipped at the border of their image'),
        (empty, 'dropped, without area in their image'),
        (twice, 'given twice, kept' if keep_twice else 'given twice, dropped once'),
    ):
        if which.any():
            notes.append(f'boxes {what}: {int(which.sum()):,} ({paths[table.image[int(which.argmax())]]})')
    kept = np.flatnonzero(~empty if keep_twice else ~empty & ~twice)
    table = _rows(table._replace(boxes=clipped), kept)
    crowd = table.others.get('box_crowd', np.zeros(1, bool))
    if crowd.size and crowd.all():
        notes.append(f'all {len(crowd):,} boxes are regions of a crowd: none will be trained')
    bounds = np.searchsorted(table.image, np.arange(len(paths) + 1))
    features = {'boxes': table.boxes, 'box_labels': table.labels.astype(np.int32), **table.others}
    found = []
    for i, path in enumerate(paths):
        of_image = slice(bounds[i], bounds[i + 1])
        found.append(
            Photo(path, ids[i], truths[i], sizes[i], {name: value[of_image] for name, value in features.items()})
        )
    return found, notes


def objects_source(
    rows: Sequence[Photo],
    files: str,
    names: Sequence[str],
    *,
    class_ids: Sequence[int | str] = (),
    normalized: bool = False,
) -> Source:
    """The source of images with objects.

    Args:
        rows: The images.
        files: A line about the files.
        names: Names of the classes; none where nothing names them.
        class_ids: The number of each class in the data set's own files, where it is not its place.
        normalized: Whether boxes are shares of the image's sides.

    Returns:
        The source. Its examples have `image`, encoded, `boxes` in pixels, `box_labels` and further features of the
        objects. Reading raises FeatureError where an image has another size than the file of its objects gives.

    Example:
        >>> source = objects_source([Photo('a.jpg', 7, 'a.txt', None, {})], '', ['cat'])
        >>> source.size, source.where(0), source.file_of(0, 'boxes'), source.id_of(0), source.names
        (1, 'a.jpg', 'a.txt', 7, {'box_labels': ('cat',)})
    """

    def read(index: int) -> dict[str, Any]:
        photo = rows[index]
        data = Path(photo.path).read_bytes()
        objects = dict(photo.objects)
        if normalized or photo.size is not None:
            height, width = _size(data, photo.size)
            if normalized:
                objects['boxes'] = objects['boxes'] * np.array([width, height, width, height])
        objects['boxes'] = objects['boxes'].astype(np.float32)
        return {'image': data, **objects}

    def file_of(index: int, feature: str) -> str:
        of_objects = feature in FEATURES and FEATURES[feature].axes.startswith('k')
        return (rows[index].truth if of_objects else '') or rows[index].path

    return Source(
        len(rows),
        read,
        lambda index: rows[index].path,
        {'box_labels': tuple(names)} if names else {},
        file_of,
        files,
        lambda index: rows[index].id,
        {'box_labels': tuple(class_ids)} if class_ids else {},
    )


def far_corner(size: tuple[int, int] | None, path: str) -> tuple[float, float]:
    """The (width, height) of an image, to which its boxes are clipped.

    Args:
        size: (height, width), None where it has to be read from the file.
        path: The file.

    Returns:
        Pixels; no limit for a file that is broken, which is reported when it is read.

    Example:
        >>> far_corner((6, 8), 'a.jpg')
        (8, 6)
    """
    try:
        height, width = size or image_shape(Path(path).read_bytes())
    except ValueError:
        return np.inf, np.inf
    return width, height


def unknown_classes(found: Mapping[str, str], names: Sequence[str], listed: str) -> None:
    """Raises ValueError for classes of objects that a list of names lacks.

    Args:
        found: The name of each class of objects -> a file that has it.
        names: The names that there are.
        listed: The file or place that lists them, for the message.

    Example:
        >>> unknown_classes({'cat': 'a.xml', 'dgo': 'b.xml'}, ['cat', 'dog'], 'classes.txt')
        Traceback (most recent call last):
        ValueError: classes of objects that classes.txt lacks: 'dgo' (b.xml); it names: cat, dog
    """
    if unknown := [f'{name!r} ({file})' for name, file in found.items() if name not in names]:
        raise ValueError(
            f'classes of objects that {listed} lacks: {", ".join(unknown[:10])}; it names: {", ".join(names[:30])}'
        )


def _refuse(table: Table, paths: Sequence[str], truths: Sequence[str]) -> None:
    """Raises ValueError for the first box that is not finite or turned inside out."""
    finite = np.isfinite(table.boxes).all(axis=-1)
    turned = np.asarray((table.boxes[:, 2:] < table.boxes[:, :2]).any(axis=-1))
    faults = ((np.asarray(~finite), 'that is not finite'), (turned, 'turned inside out, x2 < x1 or y2 < y1'))
    for wrong, why in faults:
        if wrong.any():
            first = int(wrong.argmax())
            image = table.image[first]
            shown = ', '.join(f'{number:g}' for number in table.boxes[first].tolist())
            raise ValueError(
                f'{truths[image] or paths[image]}: a box {why}: (x1, y1, x2, y2) = ({shown}) of the image '
                f'{paths[image]}; {int(wrong.sum()):,} of {len(wrong):,} boxes are so'
            )


def _rows(table: Table, places: np.ndarray) -> Table:
    others = {name: value[places] for name, value in table.others.items()}
    return Table(table.image[places], table.boxes[places], table.labels[places], others)


def _twice(table: Table) -> np.ndarray:
    """Whether an object stands earlier in its image with the same class, box and kind."""
    keys = np.column_stack([table.image, table.labels, table.boxes, table.others.get('box_crowd', table.image)])
    twice = np.ones(len(keys), bool)
    twice[np.unique(keys, axis=0, return_index=True)[1]] = False
    return twice


def _counted(table: Table, kept: np.ndarray, images: int) -> str:
    of_image = np.bincount(table.image[kept], minlength=images)
    without = f'; {without:,} images have none' if (without := int((of_image == 0).sum())) else ''
    return f'{int(kept.sum()):,} boxes, at most {int(of_image.max(initial=0)):,} in an image{without}'


def _size(data: bytes, given: tuple[int, int] | None) -> tuple[int, int]:
    """(height, width) of an encoded image, which must be the given one."""
    try:
        size = image_shape(data)
    except ValueError as error:
        raise FeatureError('image', f'the image cannot be decoded: {error}') from None
    if given is not None and size != given:
        turned = ' (an image turned by its EXIF?)' if size == given[::-1] else ', so its boxes would not fit'
        raise FeatureError(
            'boxes', f'it has {given[1]} x {given[0]} pixels by the boxes, the image {size[1]} x {size[0]}{turned}'
        )
    return size
