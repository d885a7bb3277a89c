"""Data sets of the Hugging Face Hub, and of folders that its package `datasets` saved.

The package is imported where it is used: `pip install 'jaxcv[hf]'`. It runs no code that comes with a data set: scripts
are not supported from its version 4 on, and older versions are refused.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex

import numpy as np

from jaxcv.data.folders import first_ten, parts_of
from jaxcv.data.parts import Opened, select
from jaxcv.data.sources import Source, joined
from jaxcv.names import normalized

__all__ = ['HUB', 'hub_source']

HUB = 'hf:'
"""The beginning of these data sets' names."""
_LEAST_VERSION = 4
_SAVED = ('dataset_dict.json', 'state.json')
_TRAIN = 'train'
_NUMBERS = ('int', 'uint', 'float', 'bool')


class _Column(NamedTuple):
    """The column of labels."""

    name: str
    names: tuple[str, ...]
    """Of the classes; () of numbers without names."""
    is_multiple: bool
    is_text: bool


def hub_source(
    name: str, split: str, data_dir: str | os.PathLike | None, *, image: str | None = None, label: str | None = None,
    seed: int = 0,
) -> Source:  # fmt: skip
    """Open a split of a data set of the Hub, or of a folder that `save_to_disk` of `datasets` wrote.

    Args:
        name: 'USER/NAME', or 'USER/NAME:CONFIG'; it is downloaded once. '' or the path of a folder: one that was saved,
            '' being `data_dir`.
        split: The split, or parts of splits, 'train[:80%]', as in `jaxcv.data.folders.folder`: with of each class its
            share, which those of `datasets` do not have.
        data_dir: The folder of downloads, None for that of `datasets`; or the saved folder.
        image: The column of images; None: the only one, or the one of that name.
        label: The column of labels, a class or a list of classes, as numbers or texts; None: the only one of classes,
            or the one named 'label' or 'labels'.
        seed: Of the parts.

    Returns:
        The source: `image`, `label` or, of lists, `labels`, and the numbers of other columns. Classes have the numbers
        of the data set, or are the texts of the split 'train' in their order.

    Raises:
        FileNotFoundError: There is no such folder or split.
        ValueError: `datasets` is not installed, or too old; the data set cannot be opened; a column is not there, or
            is of another kind; rows have no image or no class.

    Example:
        >>> hub_source('nowhere/', 'train', None)
        Traceback (most recent call last):
        FileNotFoundError: hf:nowhere/: there is no folder nowhere/
    """
    whole = _opened(name, data_dir)
    parts = parts_of(split, whole.__contains__, lambda: list(whole), f'{HUB}{name} has no split')
    features = next(iter(whole.values())).features
    picture = _image_column(name, features, image)
    column = _label_column(name, whole, [part.split for part in parts], features, label)
    others = [key for key, kind in features.items() if str(getattr(kind, 'dtype', '')).startswith(_NUMBERS)]
    others = [key for key in others if column is None or key != column.name]
    rows, files = select(parts, lambda part: _of_split(name, part, whole[part], column), seed=seed)

    def where(index: int) -> str:
        of, place, _ = rows[index]
        return f'{HUB}{name}/{of}[{place}]'

    def read(index: SupportsIndex) -> dict[str, Any]:
        of, place, labels = rows[index]
        row = whole[of][place]
        found = {'image': _bytes(row[picture]), **{key: row[key] for key in others if row[key] is not None}}
        if column is None:
            return found
        if not column.is_multiple:
            return {**found, 'label': labels[0]}
        present = np.zeros(len(column.names), np.float32)
        present[list(labels)] = 1
        return {**found, 'labels': present}

    if column is None or not column.names:
        return Source(len(rows), read, where, {}, files=files)
    feature = 'labels' if column.is_multiple else 'label'
    counts = np.bincount([i for *_, labels in rows for i in labels], minlength=len(column.names)).tolist()
    return Source(len(rows), read, where, {feature: column.names}, files=files, counts={feature: counts})


def _opened(name: str, data_dir: str | os.PathLike | None) -> Mapping[str, Any]:
    """The splits of the data set, its images left encoded."""
    saved = _saved_folder(name, data_dir)
    try:
        import datasets
    except ImportError as error:
        raise ValueError(
            f"data sets named {HUB}... need the package 'datasets' ({error}): pip install 'datasets>={_LEAST_VERSION}'"
        ) from None
    if int(datasets.__version__.partition('.')[0]) < _LEAST_VERSION:
        raise ValueError(
            f"datasets {datasets.__version__} may run scripts of data sets: pip install 'datasets>={_LEAST_VERSION}'"
        )
    path, _, config = name.partition(':')
    try:
        if saved is not None:
            found = datasets.load_from_disk(str(saved))
        else:
            cache = None if data_dir is None else os.path.expanduser(data_dir)
            found = datasets.load_dataset(path, config or None, cache_dir=cache)
    except Exception as error:  # of the network, of Arrow, of a data set that is a script
        text = (str(error).strip().splitlines() or [''])[0]
        raise ValueError(f'{HUB}{name} cannot be opened: {type(error).__name__}: {text}') from None
    splits = found if isinstance(found, datasets.DatasetDict) else {_TRAIN: found}
    return {str(key): _encoded(datasets, part) for key, part in splits.items()}


def _saved_folder(name: str, data_dir: str | os.PathLike | None) -> Path | None:
    """The folder that was saved; None where the name is one of the Hub."""
    if not name and data_dir is None:
        raise ValueError(f"the data set '{HUB}' needs data_dir: a folder that save_to_disk wrote, or a name, {HUB}NAME")
    folder = Path(data_dir if not name and data_dir is not None else name).expanduser()
    if not folder.is_dir():
        if not name or name.startswith(('/', '.', '~')) or name.endswith('/'):
            raise FileNotFoundError(f'{HUB}{name}: there is no folder {name or folder}')
        return None
    if not any((folder / file).is_file() for file in _SAVED):
        raise FileNotFoundError(
            f'{HUB}{name}: {folder} was not written by save_to_disk of datasets, it has no {" or ".join(_SAVED)}; a '
            "folder of images is opened as 'folder'"
        )
    return folder


def _encoded(datasets: Any, part: Any) -> Any:
    for key, kind in part.features.items():
        if isinstance(kind, datasets.Image):
            part = part.cast_column(key, datasets.Image(decode=False))
    return part.with_format(None)


def _image_column(name: str, features: Mapping[str, Any], wanted: str | None) -> str:
    images = [key for key, kind in features.items() if type(kind).__name__ == 'Image']
    chosen = wanted or (images[0] if len(images) == 1 else 'image')
    if chosen not in images:
        asked = f'no column of images {wanted!r}' if wanted else 'no one column of images'
        raise ValueError(f"{HUB}{name} has {asked}: give data.options, {{'image': NAME}}, of: {joined(images)}")
    return chosen


def _label_column(
    name: str, whole: Mapping[str, Any], splits: Sequence[str], features: Mapping[str, Any], wanted: str | None
) -> _Column | None:
    """The column of labels; None where there is none, and none is asked for."""
    kinds = {key: _kind(kind) for key, kind in features.items()}
    of_classes = [key for key, kind in kinds.items() if kind and getattr(kind[0], 'names', None)]
    usual = [key for key in ('label', 'labels') if kinds.get(key)]
    chosen = wanted or (of_classes[0] if len(of_classes) == 1 else next(iter(usual), None))
    if chosen is None:
        return None
    if not (kind := kinds.get(chosen)):
        there = joined(key for key, kind in kinds.items() if kind)
        raise ValueError(f'{HUB}{name} has no column of labels {chosen!r}; there are: {there}')
    inner, is_multiple = kind
    if names := getattr(inner, 'names', None):
        return _Column(chosen, tuple(normalized(one) for one in names), is_multiple, False)
    if str(inner.dtype) not in ('string', 'large_string'):
        if is_multiple:
            raise ValueError(f'{HUB}{name}: the lists of numbers in {chosen!r} have no names of classes')
        return _Column(chosen, (), False, False)
    known = [_TRAIN] if _TRAIN in whole else splits
    texts = {one for split in known for row in whole[split][chosen][:] for one in _texts(row)}
    return _Column(chosen, tuple(sorted(texts)), is_multiple, True)


def _kind(kind: Any) -> tuple[Any, bool] | None:
    """(feature of one label, whether there are several); None of what is no label."""
    inner = getattr(kind, 'feature', None)
    one = kind if inner is None else inner
    if type(one).__name__ == 'ClassLabel':
        return one, inner is not None
    if type(one).__name__ == 'Value' and (str(one.dtype).startswith(('int', 'uint')) or 'string' in str(one.dtype)):
        return one, inner is not None
    return None


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [normalized(one.strip()) for one in values if one is not None and one.strip()]


def _of_split(name: str, split: str, part: Any, column: _Column | None) -> Opened:
    """The examples of a split, each stratified by its rarest label."""
    labels: list[tuple[int, ...]] = [()] * len(part)
    if column is not None:
        number = {one: place for place, one in enumerate(column.names)}
        problems: dict[str, list[str]] = {}
        for place, value in enumerate(part[column.name][:]):
            found = _texts(value) if column.is_text else value if column.is_multiple else [value]
            own: list[Any] = [number.get(one, -1) if column.is_text else one for one in found or ()]
            unknown = any(one is None or one < 0 or (column.names and one >= len(column.names)) for one in own)
            if unknown or (not own and not column.is_multiple):
                problems.setdefault('without a class of the training', []).append(f'[{place}] {value!r}')
                own = []
            labels[place] = tuple(dict.fromkeys(own))
        for what, places in problems.items():
            raise ValueError(
                f'{HUB}{name}/{split}: {len(places):,} of {len(part):,} rows are {what} in {column.name!r}: '
                f'{first_ten(places)}; take another split'
            )
    counts: dict[int, int] = {}
    for each in labels:
        for one in each:
            counts[one] = counts.get(one, 0) + 1
    rarest = [min(each, key=lambda one: (counts[one], one), default=-1) for each in labels]
    rows = range(len(part))
    return Opened([(split, row, labels[row]) for row in rows], [str(row) for row in rows], rarest, '')


def _bytes(value: Any) -> bytes:
    """The encoded image of a row."""
    if not isinstance(value, Mapping) or (value.get('bytes') is None and not value.get('path')):
        raise ValueError('there is no image in this row')
    return bytes(value['bytes']) if value.get('bytes') is not None else Path(value['path']).read_bytes()
