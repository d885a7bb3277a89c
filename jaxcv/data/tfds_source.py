"""Data sets of tfds, and the bundled ones, which are builders of tfds in folders of their own names here."""

import contextlib
import importlib
import io
import os
import shlex
from collections.abc import Mapping
from typing import Any, SupportsIndex

import numpy as np
from absl import logging

from jaxcv.data.pair_layouts import LAYOUTS
from jaxcv.data.sources import Source, joined
from jaxcv.features import FEATURES, Names
from jaxcv.names import close

__all__ = ['BUNDLED', 'FOLDERS', 'class_names', 'new_builder', 'register_bundled', 'tfds_source', 'unknown_name']

_LISTED = 20
"""Configs of a data set in a message."""

# A builder stands in a folder of its name, because tfds searches a builder's folder for its resource files.
BUNDLED: Mapping[str, str] = {
    'digits': '1.0.0',
    'faces': '1.0.0',
    'digit_scenes': '2.0.0',
    'moving_photos': '1.0.0',
    'shifted_photos': '1.0.0',
}
"""The bundled data sets and their versions: one that an older jaxcv prepared is not read by a newer."""


FOLDERS = ('folder', 'folder_csv', 'folder_masks', 'folder_coco', 'folder_voc', 'folder_yolo', 'folder_pairs', *LAYOUTS)
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
        OSError: The data set is not prepared, its files are missing or damaged, or `data_dir` is no folder. Reading a
            damaged record raises it too.
        ValueError: The data set, version, config or split is unknown (the message has those that there are), empty,
            without images, or in a format without random access.

    Example:
        >>> import tempfile
        >>> tfds_source('faces', 'test', tempfile.mkdtemp()).names
        {'label': ('face', 'other')}
    """
    import tensorflow_datasets as tfds

    builder = _builder(name, data_dir)
    try:
        data = builder.as_data_source(split)
        size = len(data)
        features = dict(builder.info.features.items())
    except Exception as error:
        raise _explain(error, builder, name, split, data_dir) from None
    if not size:
        raise ValueError(f'{name}/{split} is empty')

    images = {key: kind for key, kind in features.items() if isinstance(kind, tfds.features.Image)}
    if not images:
        raise ValueError(f'{name} has no images; there are: {joined(features)}')
    if hasattr(data, 'decoders'):
        # Our `decode` gets the bytes. Set here and not in `as_data_source`, because tfds.testing.mock_data would then
        # encode its made-up images, for which it needs TensorFlow.
        data.decoders = {key: tfds.decode.SkipDecoding() for key, kind in images.items() if kind.np_dtype == np.uint8}

    def read(index: SupportsIndex) -> dict[str, Any]:
        try:
            return data[index]
        except Exception as error:  # array_record and protobuf have errors of their own kinds
            raise OSError(_damaged(builder.data_path, error, name, data_dir)) from error

    # `class_names` gives a LabeledImage the name `mask`; under its own name a `rename` finds it.
    masks = {key: kind for key, kind in features.items() if isinstance(kind, tfds.features.LabeledImage)}
    names = class_names(features)
    own = {key: tuple(kind.names) for key, kind in masks.items() if key not in names and kind.num_classes}
    return Source(size, read, lambda index: f'{name}/{split}[{index}]', {**names, **own})


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

    _check_folder(data_dir)
    wanted = f'{name}:{BUNDLED[_base(name)]}' if _base(name) in BUNDLED and ':' not in name else name
    try:
        return read_only_builder.builder_from_files(wanted, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        pass
    except Exception as error:
        if _is_no_name(error):
            raise unknown_name(name) from None
        raise OSError(_damaged(os.path.join(_folder(data_dir), _base(name)), error, name, data_dir)) from error
    if register_bundled(name):
        _prepare_bundled(wanted, data_dir)
    try:
        return new_builder(wanted, data_dir)
    except ImportError:  # the code of a few data sets needs TensorFlow
        raise FileNotFoundError(_how_to_prepare(name, data_dir)) from None


def new_builder(name: str, data_dir: str | None) -> Any:
    """Open a data set's builder by the code of tfds, whether it is prepared or not.

    Args:
        name: The data set, with its config and version if need be.
        data_dir: The folder of prepared data sets, None for tfds' own.

    Returns:
        The builder.

    Raises:
        ImportError: The code needs another package.
        ValueError: There is no such data set, config or version, with those that there are.

    Example:
        >>> new_builder('cifar10/foo', None)
        Traceback (most recent call last):
        ValueError: tfds has no 'cifar10/foo'; of cifar10 there are: versions 3.0.2
    """
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        raise unknown_name(name) from None
    except (AssertionError, ValueError) as error:  # of a version or a config
        if isinstance(error, ValueError) and not _is_no_name(error) and 'Config' not in str(error):
            raise
        raise unknown_name(name) from None


def _is_no_name(error: Exception) -> bool:
    """Whether tfds could not parse a name."""
    return isinstance(error, ValueError) and 'Parsing builder name' in str(error)


def _check_folder(data_dir: str | None) -> None:
    """Raises OSError where the folder of prepared data sets is none, or cannot be read; it may be missing."""
    if data_dir is None or not os.path.lexists(data_dir):
        return
    if not os.path.isdir(data_dir):
        raise NotADirectoryError(f'data_dir {data_dir} is a file: it has to be the folder of prepared data sets')
    if not os.access(data_dir, os.R_OK | os.X_OK):
        raise PermissionError(f'data_dir {data_dir} may not be read')


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

    builder = new_builder(name, data_dir)
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
    parts = [part.partition('[')[0] for part in split.split('+')]
    if splits and not set(parts) <= set(splits):
        return ValueError(f'{name} has no split {split!r}; there are: {joined(splits)}')
    if 'split' in str(error) or not splits:
        return ValueError(
            f"{split!r} is no part of a split of {name}: there are {joined(splits)}, and parts such as 'train[:90%]', "
            f"'train[100:]' or 'train+test' ({str(error).splitlines()[-1]})"
        )
    if isinstance(error, ValueError) and '0 length' in str(error):
        return ValueError(f'{name}/{split} is empty, or cannot be opened')
    return OSError(_damaged(folder, error, name, data_dir))


def _damaged(folder: Any, error: Exception, name: str, data_dir: str | None) -> str:
    """The message for files that cannot be read."""
    reason = f'{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ""}'
    return (
        f'the files in {folder} are missing, cut or damaged ({reason}); remove that folder and prepare it again:\n'
        f'  {_prepare_command(name, data_dir)}'
    )


def unknown_name(name: str) -> ValueError:
    """The error for a name that tfds does not have: with the configs and versions of its data set, or near names.

    Args:
        name: A data set, with its config and version if need be.

    Returns:
        The error, to be raised.

    Example:
        >>> print(unknown_name('cifra10'))
        tfds has no data set 'cifra10'; the nearest names are cifar10, cifar100, cifar10_n
        >>> print(unknown_name('digits:2.0.0'))
        tfds has no 'digits:2.0.0'; of digits there are: versions 1.0.0
    """
    import tensorflow_datasets as tfds

    base = _base(name)
    known = [*FOLDERS, *BUNDLED, *tfds.list_builders(with_community_datasets=False)]
    if base in known:
        return ValueError(f'tfds has no {name!r}; of {base} there are: {_variants(base)}')
    near = close(base, set(known))
    hint = f'the nearest names are {joined(near)}' if near else "images of your own are name='folder'"
    return ValueError(f'tfds has no data set {base!r}; {hint}')


def _variants(base: str) -> str:
    """The configs and versions of a data set, as its code has them."""
    import tensorflow_datasets as tfds

    register_bundled(base)
    try:
        kind = tfds.builder_cls(base)
    except ImportError as error:
        return f'those of its code, which needs a package ({error})'
    configs = [config.name for config in kind.BUILDER_CONFIGS]
    versions = [str(version) for version in (kind.VERSION, *(kind.SUPPORTED_VERSIONS or ())) if version is not None]
    shown = f'configs {joined(configs[:_LISTED])}{", ..." if len(configs) > _LISTED else ""}; ' * bool(configs)
    return f'{shown}versions {joined(dict.fromkeys(versions))}'


def _folder(data_dir: str | None) -> str:
    import tensorflow_datasets as tfds

    return data_dir or str(tfds.core.constants.DATA_DIR)


def _how_to_prepare(name: str, data_dir: str | None) -> str:
    return (
        f'{name} is not prepared in {_folder(data_dir)}. Prepare it once:\n'
        f'  pip install tensorflow\n  {_prepare_command(name, data_dir)}'
    )


def _prepare_command(name: str, data_dir: str | None) -> str:
    return f'python -m jaxcv.data.prepare {name}' + (f' --data_dir={shlex.quote(data_dir)}' if data_dir else '')


def _base(name: str) -> str:
    """The data set's name, without config and version."""
    return name.partition(':')[0].partition('/')[0]
