"""Prepare a tfds data set as array_record, the format with random access that `source` reads.

python -m jaxcv.data.prepare cifar10 [--data_dir=/data/tfds]
"""

import argparse
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxcv.data.opening import source
from jaxcv.data.sources import describe
from jaxcv.data.tfds_source import new_builder, register_bundled
from jaxcv.files import read_json, write_json

__all__ = ['main', 'prepare']


def prepare(name: str, *, data_dir: str | os.PathLike | None = None) -> str:
    """Download a tfds data set and write it as array_record.

    A data set that is stored as TFRecord is converted without TensorFlow: array_record files are added to the old ones.
    A data set that is ready already is left as it is.

    Args:
        name: The data set, with its config and version if need be.
        data_dir: The folder of prepared data sets, by default tfds' own.

    Returns:
        A line for each split.

    Raises:
        ImportError: A package is missing, mostly TensorFlow, which encodes the images of some data sets.
        ValueError: The data set is unknown to tfds.

    Example:
        >>> import contextlib, io, tempfile
        >>> with contextlib.redirect_stdout(io.StringIO()):  # tfds prints its progress
        ...     splits = prepare('digits', data_dir=tempfile.mkdtemp())
        >>> print(splits)
        train: 1,200 examples from digits/train[0] on, 10 classes: 0, 1, 2, 3, 4, ...
        test: 597 examples from digits/test[0] on, 10 classes: 0, 1, 2, 3, 4, ...
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import read_only_builder

    register_bundled(name)
    data_dir = None if data_dir is None else os.path.expanduser(data_dir)
    try:
        builder = read_only_builder.builder_from_files(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        builder = new_builder(name, data_dir)
        builder.download_and_prepare(file_format='array_record')
    if builder.info.file_format is tfds.core.FileFormat.TFRECORD and not builder.info.alternative_file_formats:
        _convert(builder)
    return '\n'.join(
        f'{split}: {describe(source(name, split=split, data_dir=data_dir))}' for split in builder.info.splits
    )


def _convert(builder: Any) -> None:
    """Copy the records of TFRecord files to array_record files, then list that format in `dataset_info.json`.

    All files are written under temporary names and renamed at the end, so that a run that stops early leaves the data
    set as it was.
    """
    from array_record.python.array_record_module import ArrayRecordWriter

    unfinished: list[tuple[Path, Path]] = []
    for split in builder.info.splits.values():
        for path in map(Path, split.filepaths):
            target = path.with_name(path.name.replace('.tfrecord', '.array_record'))
            unfinished.append((target.with_name(target.name + '.incomplete'), target))
            writer = ArrayRecordWriter(os.fspath(unfinished[-1][0]), 'group_size:1')
            for record in _tfrecords(path):
                writer.write(record)
            writer.close()
    for temporary, target in unfinished:
        temporary.replace(target)

    description = Path(builder.data_path) / 'dataset_info.json'
    changed = {**read_json(description), 'alternativeFileFormats': ['array_record']}
    write_json(description, changed)


def _tfrecords(path: Path) -> Iterator[bytes]:
    """The records of a TFRecord file: each an 8-byte length, its 4-byte checksum, the data, and its checksum."""
    size = path.stat().st_size
    with path.open('rb') as file:
        while header := file.read(12):
            (length,) = struct.unpack('<Q', header[:8]) if len(header) == 12 else (0,)
            record = file.read(min(length, size))  # a damaged length may be any number
            if len(header) < 12 or len(record) < length or len(file.read(4)) < 4:
                raise ValueError(f'{path} is truncated; prepare the data set anew')
            yield record


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The words after the command; those of the process if None.

    Returns:
        The exit code: 0, or 1 after a message that names the missing package or the error.
    """
    parser = argparse.ArgumentParser(prog='python -m jaxcv.data.prepare', description='Prepares a tfds data set.')
    parser.add_argument('name', help="the data set, with its config and version if need be: 'cifar10'")
    parser.add_argument('--data_dir', help="the folder of prepared data sets, by default tfds' own")
    options = parser.parse_args(arguments)
    try:
        print(prepare(options.name, data_dir=options.data_dir))
    except ImportError as error:
        return _fail(
            f'preparing {options.name} needs one more package ({error}); for TensorFlow: pip install tensorflow'
        )
    except Exception as error:  # of the download, the disk or the data set's own code: a message is enough
        return _fail(f'{options.name} could not be prepared: {error}')
    return 0


def _fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


if __name__ == '__main__':
    sys.exit(main())
