"""Data sets of tfds, and the bundled ones, which are builders of tfds in folders of their own names here."""

import contextlib
import importlib
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging

from jaxcv.data.sources import Source, joined
from jaxcv.features import FEATURES, Names
from jaxcv.names import close

__all__ = ['BUNDLED', 'FOLDERS', 'class_names', 'register_bundled', 'tfds_source', 'unknown_name']

# A builder stands in a folder of its name, because tfds searches a builder's folder for its resource files.
BUNDLED: Mapping[str, str] = {'digits': '1.0.0', 'faces': '1.0.0', 'digit_scenes': '2.0.0'}
"""The bundled data sets and their versions: one that an older jaxcv prepared is not read by a newer."""


FOLDERS = ('folder', 'folder_masks', 'folder_coco', 'folder_voc', 'folder_yolo')
"""Names of data sets that are folders of the user's own."""


def tfds_source(name: str, split: str, data_dir: str | None) -> Source:
    """Open a split of a tfds data set; a bundled one is prepared first if need be.

    Args:
        name: The data set, with its config and version if need be.
        split: The split, or a part of it: 'train[:90%]'.
        data_dir: The folder of prepared data sets, None for tfds' own.

    Returns:
        The source. Images of 8 bits are left encoded.

    Raises:
        FileNotFoundError: The data set is not prepared.
        ValueError: The data set or split is unknown, empty, without images, or in a format without random access.

    Example:
        >>> import tempfile
        >>> tfds_source('faces', 'test', tempfile.mkdtemp()).names
        {'label': ('face', 'other')}
    """
    import tensorflow_datasets as tfds

    builder = _builder(name, data_dir)
    try:
        data = builder.as_data_source(split)
    except Exception as error:
        raise _explain(error, builder, name, split, data_dir) from None
    if not len(data):
        raise ValueError(f'{name}/{split} is empty')

    features = dict(builder.info.features.items())
    images = {key: kind for key, kind in features.items() if isinstance(kind, tfds.features.Image)}
    if not images:
        raise ValueError(f'{name} has no images; there are: {joined(features)}')
    if hasattr(data, 'decoders'):
        # Our `decode` gets the bytes. Set here and not in `as_data_source`, because tfds.testing.mock_data would then
        # encode its made-up images, for which it needs TensorFlow.
        data.decoders = {key: tfds.decode.SkipDecoding() for key, kind in images.items() if kind.np_dtype == np.uint8}
    return Source(len(data), data.__getitem__, lambda index: f'{name}/{split}[{index}]', class_names(features))


def class_names(features: Mapping[str, Any]) -> Names:
    """The names of the classes in tfds' features, by jaxcv's names of features.

    * A ClassLabel, or a Sequence of them, has the name that it has.
    * A LabeledImage is `mask`, unless it has the name of another feature of `jaxcv.features`.
    * A Sequence of objects with a ClassLabel in each, such as COCO's `objects/label`, is `box_labels`.

    Args:
        features: Name -> tfds' feature.

    Returns:
        Feature -> names, those of `jaxcv.features` first, in the order of that table.

    Example:
        >>> import tensorflow_datasets as tfds
        >>> label = tfds.features.ClassLabel(names=['cat', 'dog'])
        >>> class_names({'objects': tfds.features.Sequence({'label': label}), 'label': label})
        {'label': ('cat', 'dog'), 'box_labels': ('cat', 'dog')}
    """
    import tensorflow_datasets as tfds

    found: dict[str, Any] = {}
    for name, kind in features.items():
        inside = kind.feature if isinstance(kind, tfds.features.Sequence) else kind
        if isinstance(inside, tfds.features.ClassLabel):
            found[name] = inside
        elif isinstance(inside, tfds.features.LabeledImage):
            found.setdefault(name if name in FEATURES else 'mask', inside)
        elif isinstance(inside, tfds.features.FeaturesDict) and inside is not kind:
            labels = {key: of for key, of in inside.items() if isinstance(of, tfds.features.ClassLabel)}
            if labels:
                found.setdefault('box_labels', labels.get('label', next(iter(labels.values()))))
    ordered = [*(name for name in FEATURES if name in found), *(name for name in found if name not in FEATURES)]
    return {name: tuple(found[name].names) for name in ordered if found[name].num_classes}


def _builder(name: str, data_dir: str | None) -> Any:
    """The tfds builder: from the prepared files, which needs no code of the data set's own, else from its code."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import read_only_builder

    not_found = tfds.core.DatasetNotFoundError
    wanted = f'{name}:{BUNDLED[_base(name)]}' if _base(name) in BUNDLED and ':' not in name else name
    with contextlib.suppress(not_found):
        return read_only_builder.builder_from_files(wanted, data_dir=data_dir)
    if register_bundled(name):
        _prepare_bundled(wanted, data_dir)
    try:
        return tfds.builder(wanted, data_dir=data_dir)
    except not_found:
        raise unknown_name(name) from None
    except ImportError:  # the code of a few data sets needs TensorFlow
        raise FileNotFoundError(_how_to_prepare(name, data_dir)) from None


def register_bundled(name: str) -> bool:
    """Import the builder of a bundled data set, so that tfds has it.

    Args:
        name: A data set, with its config and version if need be.

    Returns:
        Whether it is bundled.

    Example:
        >>> register_bundled('digits:1.0.0'), register_bundled('cifar10')
        (True, False)
    """
    base = _base(name)
    if base in BUNDLED:
        importlib.import_module(f'jaxcv.data.{base}.{base}_dataset_builder')
    return base in BUNDLED


def _prepare_bundled(name: str, data_dir: str | None) -> None:
    import tensorflow_datasets as tfds

    builder = tfds.builder(name, data_dir=data_dir)
    logging.info('preparing %s in %s, this once', name, builder.data_path)
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # 'Downloading...', though nothing is downloaded
            builder.download_and_prepare(file_format='array_record')
    except OSError:
        # tfds writes a folder of another name and renames it. If another process finished first, use its copy.
        if not builder.data_path.exists():
            raise
    finally:
        tfds.enable_progress_bar()


def _explain(error: Exception, builder: Any, name: str, split: str, data_dir: str | None) -> Exception:
    """The error for a failed `as_data_source`: the cause, and the remedy."""
    folder, splits = builder.data_path, list(builder.info.splits)
    if not folder.exists():
        return FileNotFoundError(_how_to_prepare(name, data_dir))
    if isinstance(error, NotImplementedError):
        return ValueError(
            f'{folder} is stored as {builder.info.file_format.value}, which cannot be read at random. Convert it once '
            f'(TensorFlow is not needed):\n  {_prepare_command(name, data_dir)}'
        )
    if splits and split.partition('[')[0] not in splits:
        return ValueError(f'{name} has no split {split!r}; there are: {joined(splits)}')
    return ValueError(f'{name}/{split} is empty, or cannot be opened: {error}')


def unknown_name(name: str) -> ValueError:
    """The error for a name that tfds does not have, with the nearest ones.

    Args:
        name: A data set, with its config and version if need be.

    Returns:
        The error, to be raised.

    Example:
        >>> print(unknown_name('cifra10'))
        tfds has no data set 'cifra10'; the nearest names are cifar10, cifar100, cifar10_n
    """
    import tensorflow_datasets as tfds

    base = _base(name)
    known = [*FOLDERS, *BUNDLED, *tfds.list_builders(with_community_datasets=False)]
    near = close(base, set(known))
    hint = f'the nearest names are {joined(near)}' if near else "images of your own are name='folder'"
    return ValueError(f'tfds has no data set {base!r}; {hint}')


def _how_to_prepare(name: str, data_dir: str | None) -> str:
    import tensorflow_datasets as tfds

    return (
        f'{name} is not prepared in {data_dir or tfds.core.constants.DATA_DIR}. Prepare it once:\n'
        f'  pip install tensorflow\n  {_prepare_command(name, data_dir)}'
    )


def _prepare_command(name: str, data_dir: str | None) -> str:
    return f'python -m jaxcv.data.prepare {name}' + (f' --data_dir={data_dir}' if data_dir else '')


def _base(name: str) -> str:
    """The data set's name, without config and version."""
    return name.partition(':')[0].partition('/')[0]
