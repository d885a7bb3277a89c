"""Files of face recognition: insightface's RecordIO and `.bin`, and LFW's lists; without MXNet, no code is run.

A record is `uint32 0xCED7230A`, `uint32` whose upper 3 bits say whether it is a part of one (0 whole; 1 first, 2
middle, 3 last part) and whose lower 29 are its length, the payload, and zeros up to a multiple of 4 bytes. The payload
of an image is `uint32 flag, float32 label, uint64 id, uint64 id2` and, with a flag n > 0, n float32 labels in the
place of the one, then the encoded image; all little-endian.
"""

import operator
import os
import pickle
import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, SupportsIndex

import numpy as np

from jaxcv.data.sources import Source

__all__ = [
    'EncodedPairs',
    'ListedPairs',
    'lfw_pairs',
    'lfw_people',
    'pair_source',
    'read_pairs_bin',
    'recordio',
    'write_recordio',
]

_MAGIC = struct.pack('<I', 0xCED7230A)
_HEADER = struct.Struct('<IfQQ')
_MOST_LABEL = 2**24
"""Labels are float32, exact up to here."""
_FOLDS = 10
"""Of the pairs of a `.bin`, which names none: contiguous tenths, as insightface evaluates them."""


class EncodedPairs(NamedTuple):
    """Pairs of encoded images: pair i is images 2 i and 2 i + 1."""

    images: Sequence[bytes]
    """`[2 p]`."""
    same: np.ndarray
    """Whether the two are of one person, bool `[p]`."""


class ListedPairs(NamedTuple):
    """Pairs of files, in folds."""

    files: Sequence[tuple[Path, Path]]
    """`[p]`."""
    same: np.ndarray
    """bool `[p]`."""
    folds: np.ndarray
    """The fold of each pair, int `[p]`, ascending."""


def recordio(split: str, data_dir: str | os.PathLike | None) -> Source:
    """Open `data_dir/<split>.rec` and `.idx`: images with a `label`, the identity, as insightface packs them.

    Where there are none but `data_dir/<split>.bin`, such as `lfw.bin` beside them, its pairs: `pair_source`.

    Args:
        split: The files' name without suffix: 'train', 'lfw', 'cfp_fp'.
        data_dir: Their folder.

    Returns:
        The source. The identities have no names.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: The index is no list of keys and offsets, there are no images, or (when read) a record is damaged.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> write_recordio(root / 'train', [b'one', b'two'], [7, 9])
        >>> faces = recordio('train', root)
        >>> faces.size, faces.read(1)
        (2, {'image': b'two', 'label': 9})
    """
    if data_dir is None:
        raise ValueError("recordio: data_dir is the folder of <split>.rec and <split>.idx, as '/data/faces_webface'")
    records, index, pairs = (Path(data_dir).expanduser() / f'{split}{suffix}' for suffix in ('.rec', '.idx', '.bin'))
    if pairs.is_file() and not records.is_file():
        images, same = read_pairs_bin(pairs)
        folds = np.arange(len(same)) * _FOLDS // max(1, len(same))
        return pair_source(lambda place: images[place], lambda place: f'{pairs}[{place}]', same, folds)
    if missing := [str(path) for path in (records, index) if not path.is_file()]:
        raise FileNotFoundError(f'recordio: there is no {" and no ".join(missing)}')
    offsets = _offsets(index)
    with records.open('rb') as file:
        labels, content = _unpacked(_record(file, offsets[min(offsets)], records), records)
    # Record 0 may be a header: its first label is the key after the last image; beyond, records list the identities.
    keys = sorted(offsets)
    if not content and len(labels) >= 2:
        keys = [key for key in keys if 0 < key < int(labels[0])]
    if not keys:
        raise ValueError(f'recordio: {records} has no images')

    def read(place: int) -> dict[str, Any]:
        with records.open('rb') as file:
            labels, image = _unpacked(_record(file, offsets[keys[place]], records), records)
        return {'image': image, 'label': int(labels[0])}

    return Source(len(keys), read, lambda place: f'{records}[{keys[place]}]', {})


def pair_source(
    read: Callable[[int], bytes], where: Callable[[int], str], same: np.ndarray, folds: np.ndarray
) -> Source:
    """Make a source of the images of listed pairs, as `metrics.verification` takes them: images 2 i and 2 i + 1 of i.

    Args:
        read: Place of an image -> the encoded image.
        where: Its name in messages.
        same: Whether the two are of one person, bool `[p]`.
        folds: The fold of each pair, int `[p]`.

    Returns:
        The source: `image`, and of its pair the number `pair`, `same` and `fold`. An image that is in several pairs
        comes several times.

    Example:
        >>> pairs = pair_source(lambda place: b'jpeg', lambda place: f'{place}.jpg', np.array([True]), np.array([0]))
        >>> pairs.size, pairs.read(1)
        (2, {'image': b'jpeg', 'pair': np.int32(0), 'same': np.True_, 'fold': np.int32(0)})
    """

    def example(index: SupportsIndex) -> dict[str, Any]:
        pair = operator.index(index) // 2
        return {
            'image': read(operator.index(index)),
            'pair': np.int32(pair),
            'same': np.bool_(same[pair]),
            'fold': np.int32(folds[pair]),
        }

    if not len(same):
        raise ValueError('there are no pairs')
    return Source(2 * len(same), example, where, {})


def write_recordio(path: str | os.PathLike, images: Iterable[bytes], labels: Iterable[int]) -> None:
    """Write encoded images and their identities as `path.rec` and `path.idx`, which insightface and `recordio` read.

    Args:
        path: Without suffix.
        images: Encoded, as JPEG.
        labels: The identity of each, from 0 to 2^24.

    Raises:
        ValueError: A label cannot be written exactly, or there is not one for each image.

    Example:
        >>> import tempfile
        >>> write_recordio(f'{tempfile.mkdtemp()}/val', [b'jpeg'], [0])
    """
    rows = [
        (_HEADER.pack(0, float(_label(label)), key, 0) + image)
        for key, (image, label) in enumerate(zip(images, labels, strict=True), 1)
    ]
    end = float(len(rows) + 1)
    head = _HEADER.pack(2, 0.0, 0, 0) + struct.pack('<ff', end, end)
    records, index = (Path(f'{os.fspath(path)}{suffix}') for suffix in ('.rec', '.idx'))
    with records.open('wb') as file, index.open('w') as lines:
        for key, payload in enumerate([head, *rows]):
            lines.write(f'{key}\t{file.tell()}\n')
            _write_record(file, payload)


def read_pairs_bin(path: str | os.PathLike) -> EncodedPairs:
    """Read pairs of insightface's evaluation files, `lfw.bin`, `cfp_fp.bin`, `agedb_30.bin`, ...

    They are pickles, which may run any code as they are read. Here a pickle may hold lists, bytes and booleans only.

    Args:
        path: The file.

    Returns:
        EncodedPairs.

    Raises:
        ValueError: The file is no such pickle, or names anything to be run.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / 'lfw.bin'
        >>> _ = path.write_bytes(pickle.dumps(([b'jpeg 1', b'jpeg 2'], [True])))
        >>> read_pairs_bin(path).same.tolist()
        [True]
    """
    try:
        with Path(path).open('rb') as file:
            content = _Plain(file, encoding='bytes').load()
    except (pickle.UnpicklingError, EOFError, IndexError, KeyError, UnicodeDecodeError) as error:
        raise ValueError(f'{path} is no file of pairs: {error}') from None
    images, same = content if isinstance(content, tuple | list) and len(content) == 2 else (None, None)
    if not isinstance(images, list) or not isinstance(same, list) or len(images) != 2 * len(same):
        raise ValueError(f'{path} is no file of pairs: it should hold a list of 2 n images and one of n booleans')
    if wrong := {type(image).__name__ for image in images if not isinstance(image, bytes)}:
        raise ValueError(f'{path}: the images should be encoded, bytes, got {", ".join(sorted(wrong))}')
    return EncodedPairs(images, np.array(same, bool))


def lfw_pairs(path: str | os.PathLike, images: str | os.PathLike) -> ListedPairs:
    r"""Read the pairs of Labeled Faces in the Wild, with their folds.

    Args:
        path: `pairs.txt`: its first line is the number of folds and of pairs of each kind, then for each fold the lines
            `name i j` of one person and `name i other j` of two. In the place of a number may stand a file's name in
            the folder of the person, as `jaxcv.data.face_pairs.write_pairs` writes it.
        images: The folder of `name/name_0001.jpg`.

    Returns:
        ListedPairs, in the order of the file.

    Raises:
        FileNotFoundError: Files are missing: they are counted, and nothing is left out, as that would shift the folds.
        ValueError: A line or the number of lines is not as it should be.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ('Ann/Ann_0001.jpg', 'Ann/Ann_0002.jpg', 'Bob/Bob_0001.jpg'):
        ...     (root / name).parent.mkdir(exist_ok=True)
        ...     (root / name).touch()
        >>> _ = (root / 'pairs.txt').write_text('1\t1\nAnn\t1\t2\nAnn\t1\tBob\t1\n')
        >>> lfw_pairs(root / 'pairs.txt', root).same.tolist()
        [True, False]
    """
    first, *lines = Path(path).read_text(encoding='utf-8').split('\n')
    numbers = first.split()
    if not numbers or not all(number.isdigit() for number in numbers) or len(numbers) > 2:
        raise ValueError(f"{path}: the first line should be the folds and the pairs of each, '10 300', got {first!r}")
    folds, pairs = (1, int(numbers[0])) if len(numbers) == 1 else (int(numbers[0]), int(numbers[1]))
    rows = [line.split('\t') for line in lines if line.strip()]
    if len(rows) != 2 * folds * pairs:
        raise ValueError(
            f'{path}: {folds} folds of {pairs} pairs of each kind are {2 * folds * pairs} lines, got {len(rows)}'
        )
    files = []
    for number, row in enumerate(rows, 2):
        people = (row[0], row[0]) if len(row) == 3 else (row[0], row[2]) if len(row) == 4 else ()
        if not people or not all(part.strip() for part in row) or (len(row) == 4 and row[0] == row[2]):
            raise ValueError(
                f"{path}, line {number}: it should be 'name i j' or 'name i other j' with tabs between, got {row}"
            )
        files.append(tuple(_lfw_file(images, name, i) for name, i in zip(people, (row[1], row[-1]), strict=True)))
    _check_there([file for pair in files for file in pair], path)
    same = np.array([len(row) == 3 for row in rows])
    return ListedPairs([(a, b) for a, b in files], same, np.repeat(np.arange(folds), 2 * pairs))


class _Plain(pickle.Unpickler):
    """An unpickler of plain values."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse: anything that is named may be run."""
        raise pickle.UnpicklingError(f'it names {module}.{name}, which could run code as it is read')


def lfw_people(path: str | os.PathLike, images: str | os.PathLike) -> Source:
    r"""Open the people of a list of Labeled Faces in the Wild, such as `peopleDevTrain.txt`: images with a `label`.

    Args:
        path: The list: `name count` on each line; lines of one number, of folds or of people, are left out.
        images: The folder of `name/name_0001.jpg`.

    Returns:
        The source, the people numbered by name.

    Raises:
        FileNotFoundError: Files are missing, counted.
        ValueError: A line is not as it should be, or there are none.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> (root / 'Ann').mkdir()
        >>> (root / 'Ann' / 'Ann_0001.jpg').touch()
        >>> _ = (root / 'people.txt').write_text('1\nAnn\t1\n')
        >>> lfw_people(root / 'people.txt', root).names
        {'label': ('Ann',)}
    """
    counts: dict[str, int] = {}
    for number, line in enumerate(Path(path).read_text(encoding='utf-8').splitlines(), 1):
        name, *count = line.strip().split('\t')
        if not name or (not count and name.isdigit()):
            continue
        if len(count) != 1 or not count[0].isdigit() or name in counts:
            raise ValueError(f"{path}, line {number}: it should be 'name count', each name once, got {line!r}")
        counts[name] = int(count[0])
    names = tuple(sorted(counts))
    rows = [
        (_lfw_file(images, name, str(i)), label) for label, name in enumerate(names) for i in range(1, counts[name] + 1)
    ]
    if not rows:
        raise ValueError(f'{path} names no images')
    _check_there([file for file, _ in rows], path)

    def read(index: SupportsIndex) -> dict[str, Any]:
        file, label = rows[operator.index(index)]
        return {'image': file.read_bytes(), 'label': label}

    return Source(len(rows), read, lambda index: str(rows[index][0]), {'label': names})


def _lfw_file(images: str | os.PathLike, name: str, number: str) -> Path:
    own = f'{name}_{int(number):04d}.jpg' if number.strip().isdigit() else number
    return Path(images) / name / own


def _check_there(files: Iterable[Path], path: str | os.PathLike) -> None:
    wanted = dict.fromkeys(files)
    if missing := [file for file in wanted if not file.is_file()]:
        raise FileNotFoundError(
            f'{len(missing):,} of {len(wanted):,} images that {path} names are missing, such as {missing[0]}'
        )


def _label(label: int) -> int:
    if not 0 <= label <= _MOST_LABEL:
        raise ValueError(f'labels are written as float32, whole from 0 to {_MOST_LABEL:,}: got {label}')
    return label


def _offsets(index: Path) -> dict[int, int]:
    """Key -> the place of its record."""
    rows = [line.split('\t') for line in index.read_text().splitlines() if line.strip()]
    if not rows or any(len(row) != 2 or not all(part.strip().isdigit() for part in row) for row in rows):
        raise ValueError(f"{index} is no index: its lines should be 'key<tab>offset'")
    return {int(key): int(offset) for key, offset in rows}


def _record(file: BinaryIO, offset: int, path: Path) -> bytes:
    """The payload of a record, its parts joined."""
    file.seek(offset)
    parts = []
    while True:
        head = file.read(8)
        if len(head) < 8 or head[:4] != _MAGIC:
            raise ValueError(f'{path}: there is no record at byte {offset}')
        flag, length = divmod(struct.unpack('<I', head[4:])[0], 2**29)
        part = file.read(length)
        if len(part) < length:
            raise ValueError(f'{path}: the record at byte {offset} is cut off')
        parts.append(part)
        if flag in (0, 3):
            # A payload is parted where it has the magic number itself, which is left out.
            return _MAGIC.join(parts)
        file.seek(-length % 4, os.SEEK_CUR)


def _write_record(file: BinaryIO, payload: bytes) -> None:
    cuts = [i for i in range(0, len(payload) - 3, 4) if payload[i : i + 4] == _MAGIC]
    starts, ends = [0, *(cut + 4 for cut in cuts)], [*cuts, len(payload)]
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        flag = 0 if not cuts else 1 if number == 0 else 3 if number == len(cuts) else 2
        file.write(
            _MAGIC + struct.pack('<I', flag << 29 | end - start) + payload[start:end] + bytes(-(end - start) % 4)
        )


def _unpacked(payload: bytes, path: Path) -> tuple[np.ndarray, bytes]:
    """The labels, and the encoded image."""
    if len(payload) < _HEADER.size:
        raise ValueError(f'{path}: a record of {len(payload)} bytes has no header of an image')
    flag, label, _, _ = _HEADER.unpack_from(payload)
    content = payload[_HEADER.size :]
    if not flag:
        return np.array([label]), content
    return np.frombuffer(content, '<f4', flag), content[4 * flag :]
