"""Folders with objects in the text files of YOLO."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxcv.data.folders import data_folder, first_ten, lines_of, listed_classes, parts_of
from jaxcv.data.listing import images, left_out, subfolders
from jaxcv.data.objects import Table, objects_source, photos
from jaxcv.data.parts import Opened, select
from jaxcv.data.sources import Source, joined
from jaxcv.names import normalized

__all__ = ['folder_yolo']

_HOLDS = 'images/<split>/*.jpg and labels/<split>/*.txt'
_LISTS = ('data.yaml', 'data.yml', 'dataset.yaml', 'classes.txt', 'obj.names')
_FAR = 1.5
"""From this value on, numbers are pixels and no shares of the image's sides."""


def folder_yolo(split: str, data_dir: str | os.PathLike | None) -> Source:
    """Open images with objects in YOLO's text files: `data_dir/images/<split>/*.jpg` and `labels/<split>/*.txt`.

    The folders may also be `<split>/images` and `<split>/labels`. A line of a file is `class cx cy w h`, the centre and
    the sides as shares of the image's, or a class and the corners of a polygon, `class x y x y x y ...`, whose box is
    taken. An image whose file is empty or missing is one of the background. Boxes are tidied as `jaxcv.data.objects`
    says; one that is given twice is dropped once. Nothing is cached: files that change are read anew.

    Args:
        split: The split; or parts of splits, as in `folder`.
        data_dir: The folder of all splits, and of `data.yaml`, with the classes' `names`, a list or by number, or of
            `classes.txt`, a name in each line.

    Returns:
        The source, with the features `boxes` and `box_labels`.

    Raises:
        FileNotFoundError: A folder is missing.
        ValueError: A line is not as above or has a class without a name; or no image has a file.

    Example:
        >>> import cv2, tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ('images/train', 'labels/train'):
        ...     (root / name).mkdir(parents=True)
        >>> _ = cv2.imwrite(str(root / 'images/train/1.png'), np.zeros((6, 8, 3), np.uint8))
        >>> _ = (root / 'labels/train/1.txt').write_text('0 0.5 0.5 0.25 1.0')
        >>> _ = (root / 'data.yaml').write_text('names: [cat]')
        >>> source = folder_yolo('train', root)
        >>> source.read(0)['boxes'].tolist(), source.names
        ([[3.0, 0.0, 5.0, 6.0]], {'box_labels': ('cat',)})
    """
    root = data_folder('folder_yolo', split, data_dir, _HOLDS)

    def there() -> list[str]:
        inner = subfolders(root / 'images') if (root / 'images').is_dir() else {}
        return sorted({*inner, *(name for name, path in subfolders(root).items() if (path / 'images').is_dir())})

    missing = f'{root} has no images/<split> nor <split>/images of the split'
    parts = parts_of(split, lambda name: _folders(root, name) is not None, there, missing)
    names, listed = _names(root)
    rows, files = select(parts, lambda name: _open(root, name, names, listed))
    return objects_source(rows, files, names, normalized=True)


def _folders(root: Path, split: str) -> tuple[Path, Path] | None:
    """The images and the labels of a split; None without images."""
    places = [(root / 'images' / split, root / 'labels' / split), (root / split / 'images', root / split / 'labels')]
    return next((pair for pair in places if split and pair[0].is_dir()), None)


def _open(root: Path, split: str, names: Sequence[str], listed: str) -> Opened:
    pair = _folders(root, split)
    assert pair is not None
    of_images, of_labels = pair
    if not of_labels.is_dir():
        raise FileNotFoundError(f'there is no folder {of_labels}, which should hold the labels of {of_images}')
    listing = images(of_images)
    if not listing.paths:
        raise ValueError(f'{of_images} has no images: {left_out(0, [listing.left_out]) or "it is empty"}')
    texts = {normalized(path.relative_to(of_labels).with_suffix('').as_posix()): path for path in _texts(of_labels)}
    stems = [os.path.splitext(name)[0] for name in listing.paths]
    if not set(stems) & set(texts):
        raise ValueError(f'none of the {len(stems):,} images in {of_images} has a file of its name in {of_labels}')
    image, boxes, labels = [], [], []
    for place, stem in enumerate(stems):
        for label, box in _objects(texts[stem], names, listed) if stem in texts else ():
            image.append(place)
            labels.append(label)
            boxes.append(box)
    table = Table(np.array(image, np.int64), np.array(boxes, np.float64).reshape(-1, 4), np.array(labels, np.int64))
    paths, truths = list(listing.paths.values()), [str(texts.get(stem, '')) for stem in stems]
    far = np.ones((len(paths), 2))
    rows, notes = photos(paths, stems, truths, [None] * len(paths), table, far=far, keep_twice=False)
    if background := [path for path, truth in zip(paths, truths, strict=True) if not truth]:
        notes.append(f'images without a file of labels, taken as background: {len(background):,} ({background[0]})')
    if alone := sorted(texts.keys() - set(stems)):
        notes.append(f'files of labels without an image: {len(alone):,} ({alone[0]})')
    notes += [line for line in [left_out(len(paths), [listing.left_out])] if line]
    return Opened(rows, list(listing.paths), [0] * len(rows), '; '.join(notes))


def _texts(folder: Path) -> list[Path]:
    """The files of labels; not the list of classes that labelling tools put among them."""
    return [path for path in sorted(folder.rglob('*.txt')) if path.name != 'classes.txt' and path.name[0] != '.']


def _objects(path: Path, names: Sequence[str], listed: str) -> list[tuple[int, list[float]]]:
    """The class and the box of each line, as shares of the image's sides."""
    found = []
    for number, line in enumerate(lines_of(path)):
        if not line:
            continue
        try:
            label, *numbers = map(float, line.split())
            found.append((_class(label, names, listed), _box(numbers)))
        except (ValueError, OverflowError) as error:
            raise ValueError(f'{path}, line {number + 1}: {error}') from None
    return found


def _class(label: float, names: Sequence[str], listed: str) -> int:
    if label != int(label) or label < 0:
        raise ValueError(f'the class is {label:g}; classes are numbered from 0')
    if names and label >= len(names):
        raise ValueError(f'the class is {label:g}, but {listed} names {len(names)}, 0..{len(names) - 1}')
    return int(label)


def _box(numbers: Sequence[float]) -> list[float]:
    if not np.isfinite(numbers).all():
        raise ValueError(f'it has numbers that are not finite: {list(numbers)}')
    if any(not 1 - _FAR < value < _FAR for value in numbers):
        raise ValueError(
            f'it has numbers far outside of [0, 1]: {list(numbers)}; they are shares of the image, no pixels'
        )
    if len(numbers) == 4:
        x, y, width, height = numbers
        # A negative side is no area: the box is dropped with those without.
        across, down = max(width, 0) / 2, max(height, 0) / 2
        return [x - across, y - down, x + across, y + down]
    if len(numbers) < 6 or len(numbers) % 2:
        known = ' (a prediction with its score?)' if len(numbers) == 5 else ''
        raise ValueError(
            f'it has {len(numbers) + 1} numbers{known}; wanted are class cx cy w h, or a class and a polygon of 6'
        )
    xs, ys = numbers[::2], numbers[1::2]
    return [min(xs), min(ys), max(xs), max(ys)]


def _names(root: Path) -> tuple[tuple[str, ...], str]:
    """The names of the classes and the file that lists them; none of both where there is no such file."""
    path = next((root / name for name in _LISTS if (root / name).is_file()), None)
    if path is None:
        return (), ''
    if path.suffix not in ('.yaml', '.yml'):
        return listed_classes(path), str(path)
    return _names_of_yaml(path), str(path)


def _names_of_yaml(path: Path) -> tuple[str, ...]:
    import yaml

    try:
        content: Any = yaml.safe_load(path.read_bytes())  # plain values only: no tag makes an object
    except yaml.YAMLError as error:
        raise ValueError(f'{path} is no YAML of plain values: {error}') from None
    names = content.get('names') if isinstance(content, Mapping) else None
    if isinstance(names, Mapping):
        wanted = list(range(len(names)))
        if sorted(names, key=str) != sorted(wanted, key=str):
            raise ValueError(f'{path}: names has the numbers {list(names)[:30]}, not 0..{len(names) - 1}')
        names = [names[number] for number in wanted]
    if not isinstance(names, list) or not names or not all(isinstance(name, str | int | float) for name in names):
        raise ValueError(f'{path} has no names of classes, a list or a name for each number from 0 on')
    found = tuple(normalized(str(name)) for name in names)
    if len(set(found)) < len(found):
        raise ValueError(f'{path} names a class twice: {joined(name for name in found if found.count(name) > 1)}')
    if content.get('nc') not in (None, len(found)):
        raise ValueError(f'{path} says nc: {content["nc"]}, but has {len(found)} names: {first_ten(found)}')
    return found
