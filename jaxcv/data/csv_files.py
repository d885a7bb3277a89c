"""Tables of files and labels: a CSV with one label an image, or several."""

import collections
import csv
import io
import operator
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex

import numpy as np

from jaxcv.data.folders import SPLITS, first_ten, listed_classes, parts_of, text_of
from jaxcv.data.parts import Opened, select
from jaxcv.data.pixels import file_fault
from jaxcv.data.sources import Source, joined
from jaxcv.names import close, normalized

__all__ = ['folder_csv']

_TRAIN = 'train'
_EVERY = '*'
_ANSWERS = {'1': 1, '1.0': 1, 'true': 1, 'yes': 1, '0': 0, '0.0': 0, 'false': 0, 'no': 0}
_SUFFIXES = ('.jpg', '.jpeg', '.png', '.JPG')


class _Options(NamedTuple):
    """The options of `folder_csv` about the contents of a table."""

    images: str
    suffix: str
    file: str
    label: str
    separator: str | None
    columns: Sequence[str]
    split_column: str | None
    delimiter: str

    @property
    def is_multiple(self) -> bool:
        """Whether an image has several labels."""
        return self.separator is not None or bool(self.columns)


class _Row(NamedTuple):
    """A row of the table."""

    line: int
    """Of the file, from 1."""
    name: str
    """As it is written."""
    path: str
    labels: tuple[str, ...]
    split: str


class _Table(NamedTuple):
    """A table whose rows are sound."""

    path: Path
    rows: Sequence[_Row]
    columns: tuple[str, ...]
    """Those of 0 and 1."""
    note: str
    """On what is left out."""


def folder_csv(
    split: str,
    data_dir: str | os.PathLike | None,
    *,
    table: str | None = None,
    images: str = '',
    suffix: str = '',
    file: str = 'file',
    label: str = 'label',
    separator: str | None = None,
    columns: Sequence[str] = (),
    split_column: str | None = None,
    delimiter: str = ',',
    seed: int = 0,
) -> Source:
    r"""Open a CSV of files and labels: images with a `label`, or with `labels`, several an image.

    The first line of the table has the names of its columns. An image has

    * one label, the text in the column `label`;
    * several labels in that column with a `separator` between, none where it is empty: 'cat|dog';
    * or several labels as `columns` of 0 and 1, of which each is a class.

    A table for each split is `data_dir/<split>.csv`. One table for all is given by its name, or is the only one in
    `data_dir`: its splits are the values of `split_column`, or all of it is 'train', of which parts are taken.

    Args:
        split: The split, or parts of splits, 'train[:80%]', as in `folder`. They are stratified by the label; of
            several labels by the rarest of an image.
        data_dir: The folder of the tables, or the path of one table, which is then that of all splits.
        table: The table of all splits, relative to `data_dir`.
        images: The folder of the files, relative to that of the table.
        suffix: Written after each name of a file, '.jpg' where the table has numbers.
        file: Name of the column of files.
        label: Name of the column of labels.
        separator: Between several labels in it.
        columns: Names of columns of 0 and 1; ['*'] is all but those of files and splits.
        split_column: Name of the column with the split of each row.
        delimiter: Between the cells, ',', ';' or a tab.
        seed: Of the parts.

    Returns:
        The source. Classes are numbered as in `classes.txt` beside the table, a line each, where there is one; as the
        `columns` are; else by name, as in the split 'train' where there is one. A row that is repeated counts once.

    Raises:
        FileNotFoundError: There is no such folder, table or split.
        ValueError: The table lacks a column or is no CSV; rows have too few or too many cells, no file, a file that is
            not there, no label, a number other than 0 and 1, or other labels than an earlier row of the same file; the
            split has classes that 'train' lacks. All of them at once, with their lines.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> _ = (root / 'labels.csv').write_text('file,tags\n1.jpg,cat|dog\n2.jpg,\n')
        >>> for name in ('1.jpg', '2.jpg'):
        ...     (root / name).touch()
        >>> pets = folder_csv('train', root, label='tags', separator='|')
        >>> pets.names, pets.counts, pets.read(0)['labels']
        ({'labels': ('cat', 'dog')}, {'labels': [1, 1]}, array([1., 1.], dtype=float32))
    """
    options = _Options(images, suffix, file, label, separator, columns, split_column, delimiter)
    root, whole = _place(split, data_dir, table)
    opened: dict[Path, _Table] = {}

    def table_of(name: str) -> _Table:
        path = whole or root / f'{name}.csv'
        if path not in opened:
            opened[path] = _opened(path, root, options)
        found = opened[path]
        if not (whole and split_column):
            return found
        return found._replace(rows=[row for row in found.rows if row.split == name])

    def exists(name: str) -> bool:
        if whole and split_column:
            return bool(table_of(name).rows)
        return name == _TRAIN if whole else (root / f'{name}.csv').is_file()

    def there() -> list[str]:
        if whole:
            return sorted({row.split for row in opened[whole].rows}) if split_column else [_TRAIN]
        return sorted(path.stem for path in root.glob('*.csv'))

    if whole and not split_column:
        missing = (
            f"{whole} has no column of splits (split_column): all of it is '{_TRAIN}', so train on '{_TRAIN}[:80%]' "
            f"and evaluate on '{_TRAIN}[80%:]'. There is no split"
        )
    else:
        missing = f'{whole} has no rows of the split' if whole else f'{root} has no table of the split'
    parts = parts_of(split, exists, there, missing)
    classes = _classes(root, table_of, exists, [part.split for part in parts], options)
    rows, files = select(parts, lambda name: _of_split(table_of(name), classes, options), seed=seed)
    feature = 'labels' if options.is_multiple else 'label'

    def read(index: SupportsIndex) -> dict[str, Any]:
        row, labels = rows[operator.index(index)]
        if not options.is_multiple:
            return {'image': Path(row.path).read_bytes(), feature: labels[0]}
        present = np.zeros(len(classes), np.float32)
        present[labels] = 1
        return {'image': Path(row.path).read_bytes(), feature: present}

    counts = np.bincount([i for _, labels in rows for i in labels], minlength=len(classes)).tolist()
    return Source(
        len(rows),
        read,
        lambda index: rows[index][0].path,
        {feature: classes},
        files=files,
        counts={feature: counts},
        fault=lambda index: file_fault(rows[index][0].path),
    )


def _place(split: str, data_dir: str | os.PathLike | None, table: str | None) -> tuple[Path, Path | None]:
    """The folder, and the table of all splits where there is one for all."""
    if data_dir is None:
        raise ValueError("the data set 'folder_csv' needs data_dir: a table, or the folder of <split>.csv")
    root = Path(data_dir).expanduser()
    if root.is_file():
        return root.parent, root
    if not root.is_dir():
        raise FileNotFoundError(f'there is no folder or table {root}')
    tables = sorted(root.glob('*.csv'))
    if table:
        if not (root / table).is_file():
            found = joined(path.name for path in tables)
            raise FileNotFoundError(f'there is no table {root / table}; the tables in {root} are: {found}')
        return root, root / table
    if not tables:
        raise FileNotFoundError(
            f'{root} has no table: it should hold {split.partition("[")[0]}.csv, or give table=NAME'
        )
    return root, tables[0] if len(tables) == 1 and tables[0].stem.casefold() not in SPLITS else None


def _opened(path: Path, root: Path, options: _Options) -> _Table:
    """A whole table, checked."""
    try:
        lines = list(csv.reader(io.StringIO(text_of(path), newline=''), delimiter=options.delimiter, strict=True))
    except csv.Error as error:
        raise ValueError(f'{path} is no CSV: {error}') from None
    except TypeError as error:
        raise ValueError(f'delimiter {options.delimiter!r}: {error}') from None
    header = [normalized(name.strip()) for name in lines[0]] if lines else []
    columns = _columns(path, header, options)
    problems: dict[str, list[str]] = collections.defaultdict(list)
    rows = [row for row in _rows(lines, header, root, options, columns, problems) if row]
    kept, repeated = _without_repeats(rows, problems)
    if absent := [row for row in kept if not os.path.isfile(row.path)]:
        problems[f'files that are not there{_hint(absent, options)}'] = [
            f'{row.path} (line {row.line})' for row in absent
        ]
    if problems:
        found = [f'{len(places):,} {what}: {first_ten(places)}' for what, places in problems.items()]
        raise ValueError(f'{path}, of {max(len(lines) - 1, 0):,} rows, has\n  ' + '\n  '.join(found))
    if not kept:
        raise ValueError(f'{path} has no rows')
    note = f'{repeated:,} repeated rows of {path.name} left out' if repeated else ''
    return _Table(path, kept, tuple(columns), note)


def _columns(path: Path, header: Sequence[str], options: _Options) -> list[str]:
    """The columns of 0 and 1; raises ValueError for all columns that are not there."""
    twice = [name for name, count in collections.Counter(header).items() if count > 1]
    every = list(options.columns) == [_EVERY]
    apart = [options.file, *([options.split_column] if options.split_column else [])]
    wanted = {'file': options.file}
    if options.columns and options.separator is not None:
        raise ValueError('folder_csv: give a separator or columns of 0 and 1, not both')
    if not options.columns:
        wanted['label'] = options.label
    if options.split_column:
        wanted['split_column'] = options.split_column
    listed = [] if every else [normalized(name) for name in options.columns]
    missing = [f'{name} ({option}={name})' for option, name in wanted.items() if normalized(name) not in header]
    missing += [name for name in listed if name not in header]
    if twice or missing:
        near = {other for name in [*wanted.values(), *listed] if name not in header for other in close(name, header)}
        hint = f'; near ones: {joined(sorted(near))}' if near else ''
        other = next((mark for mark in ';\t|' if len(header) == 1 and mark in header[0]), '')
        hint += f'; its cells are separated by {other!r}: give delimiter={other!r}' if other else ''
        lacks = f'lacks {len(missing)} column{"s" * (len(missing) > 1)}: {joined(missing)}' if missing else ''
        repeats = f'has columns twice: {joined(twice)}' if twice else ''
        found = ' and '.join(filter(None, (lacks, repeats)))
        give = [option for option, name in wanted.items() if normalized(name) not in header]
        free = set(header) - {normalized(name) for name in wanted.values()}
        column = free.pop() if len(free) == len(give) == 1 else 'COLUMN'
        hint += f'; name those that hold them: data.options={dict.fromkeys(give, column)}' if give and not other else ''
        raise ValueError(f'{path} {found}. Its columns are: {joined(header)}{hint}')
    return [name for name in header if name not in apart] if every else listed


def _rows(
    lines: Sequence[Sequence[str]],
    header: Sequence[str],
    root: Path,
    options: _Options,
    columns: Sequence[str],
    problems: dict[str, list[str]],
) -> Iterator[_Row]:
    """The rows that are sound; `problems` gets the others."""
    place = {name: number for number, name in enumerate(header)}
    for line, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            problems[f'rows with other than {len(header)} cells'].append(f'line {line} has {len(cells)}')
            continue
        name = cells[place[normalized(options.file)]].strip()
        if not name:
            problems['rows without a file'].append(f'line {line}')
            continue
        if options.columns:
            answers = [_ANSWERS.get(cells[place[column]].strip().lower()) for column in columns]
            if None in answers:
                column = columns[answers.index(None)]
                value = cells[place[column]].strip()
                problems['rows with other values than 0 and 1'].append(f'{value!r} of {column} in line {line}')
                continue
            labels = [column for column, answer in zip(columns, answers, strict=True) if answer]
        else:
            text = cells[place[normalized(options.label)]]
            labels = [text] if options.separator is None else text.split(options.separator)
            labels = [normalized(one.strip()) for one in labels if one.strip()]
            if not labels and options.separator is None:
                problems['rows without a label'].append(f'line {line}')
                continue
        split = cells[place[normalized(options.split_column)]].strip() if options.split_column else ''
        path = root / options.images / f'{name}{options.suffix}'.replace('\\', '/')
        yield _Row(line, name, str(path), tuple(dict.fromkeys(labels)), split)


def _without_repeats(rows: Sequence[_Row], problems: dict[str, list[str]]) -> tuple[list[_Row], int]:
    """Each file once, and how many rows were left out; `problems` gets the files with two different rows."""
    first: dict[str, _Row] = {}
    repeated = 0
    for row in rows:
        other = first.setdefault(row.path, row)
        if other is row:
            continue
        if ({*other.labels}, other.split) == ({*row.labels}, row.split):
            repeated += 1
        else:
            what = 'rows of a file that an earlier row has with other labels or in another split'
            problems[what].append(f'{row.name} in lines {other.line} and {row.line}')
    return list(first.values()), repeated


def _hint(absent: Sequence[_Row], options: _Options) -> str:
    """The suffix that the names of the files lack, where one is found."""
    for suffix in _SUFFIXES:
        if not options.suffix and os.path.isfile(absent[0].path + suffix):
            return f" (they are there with suffix='{suffix}')"
    return '' if options.images else " (if they are in a folder of their own, give its name by 'images')"


def _classes(
    root: Path,
    table_of: Callable[[str], _Table],
    exists: Callable[[str], bool],
    splits: Sequence[str],
    options: _Options,
) -> tuple[str, ...]:
    """The classes: listed, or those of 'train', or of the splits; raises ValueError for labels that are no class."""
    listed = listed_classes(root / 'classes.txt')
    known = listed
    if not known:
        names = [_TRAIN] if exists(_TRAIN) else splits
        tables = [table_of(name) for name in names]
        found = {name: None for table in tables for row in table.rows for name in row.labels}
        known = tables[0].columns if options.columns else tuple(sorted(found))
    if not known:
        raise ValueError(f'{table_of(splits[0]).path} has no labels at all: is it the right column?')
    for split in splits:
        table = table_of(split)
        unknown = collections.Counter(name for row in table.rows for name in row.labels if name not in known)
        if unknown:
            lacking = root / 'classes.txt' if listed else f'the split {_TRAIN!r}'
            shown = [f'{name!r} in {count:,}' for name, count in unknown.most_common()]
            raise ValueError(f'{table.path} has {len(unknown)} labels that {lacking} lacks: {first_ten(shown)} rows')
    return known


def _of_split(table: _Table, classes: Sequence[str], options: _Options) -> Opened:
    """The examples of a split, each stratified by its rarest label."""
    number = {name: place for place, name in enumerate(classes)}
    labels = [[number[name] for name in row.labels] for row in table.rows]
    counts = collections.Counter(i for own in labels for i in own)
    rarest = [min(own, key=lambda i: (counts[i], i), default=-1) for own in labels]
    return Opened(
        list(zip(table.rows, labels, strict=True)),
        [row.name for row in table.rows],
        rarest,
        table.note,
    )
