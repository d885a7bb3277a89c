"""Folders with objects in COCO's JSON."""

import functools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from jaxcv.data.folders import data_folder, first_ten, parts_of
from jaxcv.data.listing import images
from jaxcv.data.objects import Table, far_corner, objects_source, photos
from jaxcv.data.outlines import outline_area, outline_box
from jaxcv.data.parts import Opened, select
from jaxcv.data.sources import Source
from jaxcv.names import normalized

__all__ = ['folder_coco']

_HOLDS = 'annotations/instances_<split>.json and <split>/*.jpg'
_PLACES = (
    ('annotations/instances_', '.json'),
    ('', '/_annotations.coco.json'),
    ('annotations/', '.json'),
    ('', '.json'),
)
"""Where the file of a split is: what stands before and after the split's name."""
_CORNERS = 20
"""Boxes from which on a file can be said to have corners in place of widths and heights."""


class _Categories(NamedTuple):
    ids: tuple[int | str, ...]
    names: tuple[str, ...]


def folder_coco(split: str, data_dir: str | os.PathLike | None) -> Source:
    """Open images with objects in COCO's JSON: `data_dir/annotations/instances_<split>.json` and `data_dir/<split>/`.

    The JSON may also be `<split>/_annotations.coco.json` (Roboflow), `annotations/<split>.json` or `<split>.json`, and
    the images in `images/<split>/` or `images/`. A `file_name` may have folders, with either slash.

    Classes are the categories in the order of their ids, numbered from 0 without gaps; `Source.class_ids` has the ids
    and `Source.id_of` those of the images, with which results are written. Images without objects are examples. Regions
    of a crowd (`iscrowd`, or `ignore` of files of your own) are `box_crowd`: neither found nor missed. An area that is
    missing is that of the outline, or else of the box; a box that is missing is that around the outline. Boxes are
    tidied as `jaxcv.data.objects` says, and counted in `Source.files`.

    Args:
        split: The split; or parts of splits, as in `folder`.
        data_dir: The folder of all splits.

    Returns:
        The source, with the features `boxes`, `box_labels`, `box_crowd` and `box_areas`, and `outlines`, of which the
        transform `outline_masks` makes masks; None of an object without.

    Raises:
        FileNotFoundError: The JSON or an image is missing.
        ValueError: The file is no JSON of objects, an object is of a category that is not listed or has neither box nor
            outline, a box is not finite, or the splits have different categories.

    Example:
        >>> import cv2, tempfile
        >>> from jaxcv.files import to_json
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ('train', 'annotations'):
        ...     (root / name).mkdir()
        >>> _ = cv2.imwrite(str(root / 'train/1.png'), np.zeros((6, 8, 3), np.uint8))
        >>> content = {'images': [{'id': 5, 'file_name': '1.png'}], 'categories': [{'id': 3, 'name': 'cat'}],
        ...            'annotations': [{'image_id': 5, 'category_id': 3, 'bbox': [2, 1, 4, 3]}]}
        >>> _ = (root / 'annotations/instances_train.json').write_text(to_json(content))
        >>> source = folder_coco('train', root)
        >>> source.read(0)['boxes'].tolist(), source.names, source.class_ids, source.id_of(0)
        ([[2.0, 1.0, 6.0, 4.0]], {'box_labels': ('cat',)}, {'box_labels': (3,)}, 5)
    """
    root = data_folder('folder_coco', split, data_dir, _HOLDS)
    missing = f'{root} has no annotations/instances_<split>.json nor <split>/_annotations.coco.json of the split'
    parts = parts_of(split, lambda name: _file(root, name) is not None, functools.partial(_splits, root), missing)
    categories: dict[str, _Categories] = {}

    def open_split(name: str) -> Opened:
        opened, categories[name] = _open(root, name)
        return opened

    rows, files = select(parts, open_split)
    (first, found), *others = categories.items()
    for name, other in others:
        if other != found:
            differ = sorted(set(zip(*other, strict=True)) ^ set(zip(*found, strict=True)), key=str)
            raise ValueError(
                f'{name!r} has other categories than {first!r}; ids and names that are in one of them only: {differ}'
            )
    ids = found.ids
    dense = ids == tuple(range(len(ids)))
    if not dense:
        files += f'; category ids {_shown(ids)} are the labels 0..{len(ids) - 1}'
    return objects_source(rows, files, found.names, class_ids=() if dense else ids)


def _file(root: Path, split: str) -> Path | None:
    """The JSON of a split."""
    places = (root / f'{before}{split}{after}' for before, after in _PLACES)
    return next((path for path in places if split and path.is_file()), None)


def _splits(root: Path) -> list[str]:
    """The splits that have a JSON."""
    found = {path.stem.removeprefix('instances_') for path in root.glob('annotations/instances_*.json')}
    return sorted(found | {path.parent.name for path in root.glob('*/_annotations.coco.json')})


def _open(root: Path, split: str) -> tuple[Opened, _Categories]:
    path = _file(root, split)
    assert path is not None
    content = _content(path)
    categories = _categories(content['categories'], path)
    records = content['images']
    for number, record in enumerate(records):
        if not isinstance(record, Mapping) or not {'id', 'file_name'} <= record.keys():
            raise ValueError(f'{path}: images[{number}] has no id or no file_name: {record!r:.100}')
    if not records:
        raise ValueError(f'{path} lists no images')
    place = {str(record['id']): number for number, record in enumerate(records)}
    if len(place) < len(records):
        twice = next(r['id'] for number, r in enumerate(records) if place[str(r['id'])] != number)
        raise ValueError(f'{path}: two images have the id {twice!r}')
    names = [str(record['file_name']).replace('\\', '/') for record in records]
    paths = _paths(names, [root / split, root / 'images' / split, root / 'images', root], path)
    kept, unlisted = [], 0
    for number, row in enumerate(content['annotations']):
        if not isinstance(row, Mapping):
            raise ValueError(f'{path}: annotations[{number}] is no object: {row!r:.100}')
        if str(row.get('image_id')) in place:
            kept.append(row)
        else:
            unlisted += 1
    if unlisted and not kept:
        raise ValueError(f'{path}: none of the {unlisted:,} objects has the image_id of an image that is listed')
    sizes = [_given_size(record) for record in records]
    far = np.array([far_corner(size, file) for size, file in zip(sizes, paths, strict=True)])
    table = _table(kept, place, {str(id): number for number, id in enumerate(categories.ids)}, path)
    ids = [record['id'] for record in records]
    rows, notes = photos(paths, ids, [str(path)] * len(paths), sizes, table, far=far, keep_twice=True)
    _check_widths(table, far, path)
    if unlisted:
        notes.append(f'objects of images that are not listed, left out: {unlisted:,}')
    if unused := [name for label, name in enumerate(categories.names) if not (table.labels == label).any()]:
        notes.append(f'classes without an object: {first_ten(unused)}')
    return Opened(rows, names, [0] * len(rows), '; '.join(notes)), categories


def _content(path: Path) -> dict[str, list]:
    """The three lists of a JSON of objects."""
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path} is no JSON, or truncated: {error}') from None
    wanted = ('images', 'annotations', 'categories')
    if isinstance(content, list):
        raise ValueError(f'{path} is a list, as results are; it should be an object with {", ".join(wanted)}')
    if not isinstance(content, dict) or not all(isinstance(content.get(name), list) for name in wanted):
        there = ', '.join(content) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f'{path} should have the lists {", ".join(wanted)}; there are: {there}')
    return content


def _categories(rows: Sequence[Any], path: Path) -> _Categories:
    """The categories in the order of their ids; a name that several have is followed by the id."""
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping) or not isinstance(row.get('id'), int | str):
            raise ValueError(f'{path}: categories[{number}] has no id, a number or a text: {row!r:.100}')
    rows = sorted(rows, key=lambda row: _in_order(row['id']))
    ids = tuple(row['id'] for row in rows)
    if twice := [id for id in ids if list(map(str, ids)).count(str(id)) > 1]:
        raise ValueError(f'{path}: two categories have the id {twice[0]!r}')
    names = [normalized(str(row.get('name') or row['id'])) for row in rows]
    unique = [f'{name} ({id})' if names.count(name) > 1 else name for name, id in zip(names, ids, strict=True)]
    if not ids:
        raise ValueError(f'{path} lists no categories')
    return _Categories(ids, tuple(unique))


def _in_order(id: int | str) -> tuple[int, int, str]:
    """A key that puts numbers, also those written as text, in their order, and before other texts."""
    return (0, int(id), '') if str(id).lstrip('-').isdecimal() else (1, 0, str(id))


def _given_size(record: Mapping[str, Any]) -> tuple[int, int] | None:
    height, width = (record.get(side) for side in ('height', 'width'))
    if isinstance(height, int | float) and isinstance(width, int | float) and height > 0 and width > 0:
        return int(height), int(width)
    return None


def _paths(names: Sequence[str], folders: Sequence[Path], path: Path) -> list[str]:
    """The file of each image, by its name in one of the folders, or by the last part of that name."""
    found, missing = [], []
    there = [folder for folder in folders if folder.is_dir()]
    listing = functools.cache(lambda folder: images(folder).paths)  # names in Unicode's composed form
    for name in names:
        alike = (name, PurePosixPath(name).name)
        places = (os.path.join(folder, one) for folder in there for one in alike)
        file = next((place for place in places if os.path.isfile(place)), '')
        if not file and not name.isascii():
            listed = (listing(folder).get(normalized(one)) for folder in there for one in alike)
            file = next((place for place in listed if place), '')
        found.append(file)
        if not file:
            missing.append(name)
    if missing:
        raise FileNotFoundError(
            f'{path} lists {len(missing):,} images of {len(names):,} that are not in '
            f'{" nor ".join(map(str, there[:-1] or there))}: {first_ten(missing)}'
        )
    if len(set(found)) < len(set(names)):
        first = {file: name for name, file in zip(reversed(names), reversed(found), strict=True)}
        one, two = next((first[file], name) for name, file in zip(names, found, strict=True) if first[file] != name)
        raise ValueError(f'{path}: the images {one!r} and {two!r} would be one file: keep the folders of their names')
    return found


def _table(rows: Sequence[Mapping[str, Any]], place: Mapping[str, int], labels: Mapping[str, int], path: Path) -> Table:
    """The objects of a split."""
    boxes, areas, outlines = np.zeros((len(rows), 4)), np.zeros(len(rows), np.float32), np.empty(len(rows), object)
    classes, crowd = np.zeros(len(rows), np.int32), np.zeros(len(rows), bool)
    for number, row in enumerate(rows):
        try:
            classes[number] = labels[str(row.get('category_id'))]
            outlines[number] = outline = row.get('segmentation') or None
            box = row.get('bbox')
            if box and len(box) != 4:
                raise ValueError(f'its bbox has {len(box)} numbers: x, y, width and height are wanted')
            x, y, width, height = box or (0, 0, 0, 0)
            # A negative width or height is no area: the box is dropped with those without.
            boxes[number] = (x, y, max(x + width, x), max(y + height, y))
            if not box and outline is None:
                raise ValueError('it has neither a bbox nor a segmentation')
            if not box and outline is not None:
                boxes[number] = outline_box(outline)
            area = row.get('area')
            if area is None:
                area = outline_area(outline) if outline else max(width, 0) * max(height, 0)
            areas[number] = area
        except KeyError:
            known = ', '.join(list(labels)[:30])
            raise ValueError(
                f'{path}: {_one(row, number)} is of the category {row.get("category_id")!r}; there are: {known}'
            ) from None
        except (ValueError, TypeError) as error:
            raise ValueError(f'{path}: {_one(row, number)}: {error}') from None
        crowd[number] = bool(row.get('iscrowd')) or bool(row.get('ignore'))
    image = np.array([place[str(row['image_id'])] for row in rows], np.int64)
    return Table(image, boxes, classes, {'box_crowd': crowd, 'box_areas': areas, 'outlines': outlines})


def _check_widths(table: Table, far: np.ndarray, path: Path) -> None:
    """Raises ValueError where the boxes are corners: many would leave their images, and as corners none does."""
    limit = far[table.image] + 1.0
    beyond = (table.boxes[:, 2:] > limit).any(axis=-1)
    second = table.boxes[:, 2:] - table.boxes[:, :2]
    corners = ((second > table.boxes[:, :2]) & (second <= limit)).all()
    if len(beyond) >= _CORNERS and beyond.mean() > 0.25 and corners:
        raise ValueError(
            f'{path}: {int(beyond.sum()):,} of {len(beyond):,} boxes reach beyond their images, and none would if they '
            'were corners (x1, y1, x2, y2): a bbox is x, y, width, height'
        )


def _one(row: Mapping[str, Any], number: int) -> str:
    return f'annotation {row["id"]!r}' if 'id' in row else f'annotations[{number}]'


def _shown(ids: Iterable[int | str]) -> str:
    words = list(map(str, ids))
    return ', '.join(words) if len(words) <= 10 else f'{words[0]}, {words[1]}, ..., {words[-1]}'
