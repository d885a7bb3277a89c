"""Folders with objects in Pascal VOC's XML."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np

from jaxcv.data.folders import data_folder, first_ten, lines_of, listed_classes, parts_of
from jaxcv.data.listing import images, left_out
from jaxcv.data.objects import Table, far_corner, objects_source, photos, unknown_classes
from jaxcv.data.parts import Opened, select
from jaxcv.data.sources import Source
from jaxcv.names import normalized

__all__ = ['folder_voc']

_HOLDS = 'JPEGImages/*.jpg, Annotations/*.xml and ImageSets/Main/<split>.txt'
_SIDES = ('xmin', 'ymin', 'xmax', 'ymax')


class _Annotation(NamedTuple):
    """One file."""

    path: str
    size: tuple[int, int] | None
    """(height, width); None where it is missing or 0."""
    names: list[str]
    boxes: np.ndarray
    """As they stand there, [k 4]."""
    difficult: list[bool]


def folder_voc(split: str, data_dir: str | os.PathLike | None) -> Source:
    """Open images with objects in Pascal VOC's XML, in the folders of VOC's development kit.

    `data_dir` holds `JPEGImages/`, `Annotations/` and `ImageSets/Main/<split>.txt`, a name of an image in each line.

    Corners are pixels counted from 1, the last included: a box becomes `(xmin - 1, ymin - 1, xmax, ymax)`. Where any
    minimum in `Annotations/` is 0 they are counted from 0, as files of other tools are, and taken as they are;
    `Source.files` says so. Of an `object` only its own box is read, not those of its parts. Boxes are tidied as
    `jaxcv.data.objects` says. The XML is parsed without entities, and one that declares any is refused.

    Args:
        split: The split; or parts of splits, as in `folder`.
        data_dir: The folder of all splits, and of `classes.txt`, the names of the classes in order (optional).

    Returns:
        The source, with the features `boxes`, `box_labels` and `box_difficult`. Without `classes.txt`, classes are all
        that occur in `Annotations/`, in order of names, so that all splits number them alike.

    Raises:
        FileNotFoundError: A folder, the split's list, an image or its XML is missing.
        ValueError: A file is no annotation, has a class that `classes.txt` lacks, or a box that is turned inside out.

    Example:
        >>> import cv2, tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ('JPEGImages', 'Annotations', 'ImageSets/Main'):
        ...     (root / name).mkdir(parents=True)
        >>> _ = cv2.imwrite(str(root / 'JPEGImages/1.png'), np.zeros((6, 8, 3), np.uint8))
        >>> _ = (root / 'ImageSets/Main/train.txt').write_text('1')
        >>> corners = '<xmin>3</xmin><ymin>1</ymin><xmax>8</xmax><ymax>2</ymax>'
        >>> one = f'<annotation><object><name>cat</name><bndbox>{corners}</bndbox></object></annotation>'
        >>> _ = (root / 'Annotations/1.xml').write_text(one)
        >>> source = folder_voc('train', root)
        >>> source.read(0)['boxes'].tolist(), source.names
        ([[2.0, 0.0, 8.0, 2.0]], {'box_labels': ('cat',)})
    """
    root = data_folder('folder_voc', split, data_dir, _HOLDS)
    for name in ('JPEGImages', 'Annotations'):
        if not (root / name).is_dir():
            inner = next((path.parent for path in sorted(root.glob(f'**/{name}'))), None)
            raise FileNotFoundError(
                f'{root} has no folder {name}' + (f', but {inner} has: is it meant?' if inner else '')
            )

    lists = root / 'ImageSets' / 'Main'

    def there() -> list[str]:
        return sorted(path.stem for path in lists.glob('*.txt'))

    parts = parts_of(split, lambda name: (lists / f'{name}.txt').is_file(), there, f'{lists} has no list of the split')
    files = sorted((root / 'Annotations').glob('*.xml'))
    every = {normalized(path.stem): _annotation(path) for path in files if not path.name.startswith('.')}
    found = {name: one.path for one in reversed(every.values()) for name in one.names}
    names = listed_classes(root / 'classes.txt')
    if names:
        unknown_classes(found, names, str(root / 'classes.txt'))
    names = names or tuple(sorted(found))
    listing = images(root / 'JPEGImages')
    photo = {os.path.splitext(name)[0]: path for name, path in listing.paths.items()}
    zero = next((one.path for one in every.values() if (one.boxes[:, :2] == 0).any()), '')

    def open_split(name: str) -> Opened:
        opened = _open(lists / f'{name}.txt', photo, every, names, shift=0 if zero else 1)
        return opened._replace(files='; '.join(filter(None, [opened.files, left_out(len(photo), [listing.left_out])])))

    rows, line = select(parts, open_split)
    if zero:
        line += f'; a minimum is 0 ({zero}): corners are taken as counted from 0, and not shifted'
    return objects_source(rows, line, names)


def _open(
    path: Path, photo: Mapping[str, str], every: Mapping[str, _Annotation], names: Sequence[str], *, shift: int
) -> Opened:
    """The examples of a split's list."""
    # The lists of one class have a second column, of 1, 0 and -1.
    stems = [normalized(re.sub(r'\s+-?[01]$', '', line)) for line in lines_of(path)]
    stems = [stem for stem in dict.fromkeys(stems) if stem]
    if not stems:
        raise ValueError(f'{path} lists no images')
    for what, known in (('images in JPEGImages', photo), ('files in Annotations', every)):
        if missing := [stem for stem in stems if stem not in known]:
            raise FileNotFoundError(f'{path} lists {len(missing):,} names without {what}: {first_ten(missing)}')
    chosen = [every[stem] for stem in stems]
    paths = [photo[stem] for stem in stems]
    far = np.array([far_corner(one.size, file) for one, file in zip(chosen, paths, strict=True)])
    counts = [len(one.names) for one in chosen]
    number = {name: label for label, name in enumerate(names)}
    boxes = np.concatenate([one.boxes for one in chosen]) - [shift, shift, 0, 0]
    table = Table(
        np.repeat(np.arange(len(stems)), counts),
        boxes,
        np.array([number[name] for one in chosen for name in one.names], np.int32),
        {'box_difficult': np.array([difficult for one in chosen for difficult in one.difficult], bool)},
    )
    truths, sizes = [one.path for one in chosen], [one.size for one in chosen]
    rows, notes = photos(paths, stems, truths, sizes, table, far=far, keep_twice=True)
    return Opened(rows, stems, [0] * len(stems), '; '.join(notes))


def _annotation(path: Path) -> _Annotation:
    try:
        root = _tree(path.read_bytes())
        objects = root.findall('object')
        names = [normalized((row.findtext('name') or '').strip()) for row in objects]
        if root.tag != 'annotation' or not all(names):
            raise ValueError('it is no annotation' if root.tag != 'annotation' else 'an object has no name')
        boxes = [_corners(row) for row in objects]
        difficult = [(row.findtext('difficult') or '0').strip().lower() in ('1', 'true') for row in objects]
        height, width = (int(float(root.findtext(f'size/{side}') or 0)) for side in ('height', 'width'))
    except (ValueError, OverflowError, expat.ExpatError) as error:
        raise ValueError(f'{path} cannot be read: {error}') from None
    size = (height, width) if height > 0 and width > 0 else None
    return _Annotation(str(path), size, names, np.array(boxes, np.float64).reshape(-1, 4), difficult)


def _corners(row: Any) -> list[float]:
    """The numbers of an object's own box."""
    box = row.find('bndbox')
    sides = {} if box is None else {side.tag: side.text for side in box}
    if not sides.keys() >= set(_SIDES):
        raise ValueError(f'an object has no bndbox with {", ".join(_SIDES)}')
    return [float(sides[side] or '') for side in _SIDES]


def _tree(data: bytes) -> Any:
    """The elements of an XML without a document type: none that expands entities or names other files."""
    parser, builder = expat.ParserCreate(), ElementTree.TreeBuilder()

    def refuse(*_: Any) -> None:
        raise ValueError('it declares a document type or entities (<!DOCTYPE>, <!ENTITY>), which are not read')

    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler = builder.data
    parser.Parse(data, True)
    return builder.close()
