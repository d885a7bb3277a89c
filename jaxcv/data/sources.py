"""Where raw examples come from: a folder of images, or any data set of tfds."""

import contextlib
import difflib
import importlib
import io
import operator
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex

import numpy as np
from absl import logging

__all__ = ['Source', 'describe', 'only_classes', 'source', 'subset']

_IMAGE_SUFFIXES = frozenset(['.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.gif', '.pgm', '.ppm'])
_MASK_SUFFIXES = frozenset(['.png', '.bmp', '.tif', '.tiff', '.gif', '.pgm'])  # those that lose nothing
# Their builders stand in folders of their names here, as tfds looks for a builder's resource files in its folder.
_BUNDLED = ('digits', 'faces', 'digit_scenes')


class Source(NamedTuple):
    """A data set as functions of an index: read at random, from several threads at once."""

    size: int
    """Number of examples."""
    read: Callable[[int], dict[str, Any]]
    """index -> the raw example: `image` (encoded bytes, or a uint8 array), `label` (int) or `mask` (as `image`), and
    what else there is."""
    where: Callable[[int], str]
    """index -> what to call the example in a message: 'photos/train/cat/7.jpg', 'cifar10/test[17]'."""
    class_names: tuple[str, ...]
    """The names of the labels, or else of the mask's classes, in order; empty where the data set names none."""


def source(name: str, *, split: str, data_dir: str | os.PathLike | None = None) -> Source:
    """Opens a split of a data set.

    Args:
        name: 'folder' for images of your own, in `data_dir/<split>/<class>/*.jpg` (JPEG, PNG, BMP, WebP, TIFF, GIF or
            PNM); 'folder_masks' for images with a class for each pixel, in `data_dir/<split>/images/*.jpg` and
            `data_dir/<split>/masks/*.png` of the same name, with the classes' names, one a line, in
            `data_dir/classes.txt` if they have any; or a data set of tfds, with its config and version if need be
            ('cifar10', 'imagenet2012:5.1.0'). 'digits', 'faces' and 'digit_scenes' are bundled and prepared on their
            first use. Others are prepared by `python -m jaxcv.data.prepare NAME`.
        split: The split: 'train'. A part of it for tfds: 'train[:90%]'.
        data_dir: The folder's root; or where tfds keeps its data, by default `TFDS_DATA_DIR` or
            `~/tensorflow_datasets`.

    Returns:
        The source. Classes of a folder are numbered by name, as in its `train` split where there is one.

    Raises:
        FileNotFoundError: The folder or the prepared data set is missing.
        ValueError: The data set or split is unknown, empty, or in a format without random access; an image has no
            mask, or a mask no image.

    Example:
        >>> import tempfile
        >>> digits = source('digits', split='test', data_dir=tempfile.mkdtemp())
        >>> digits.size, digits.class_names[:3], digits.where(5)
        (597, ('0', '1', '2'), 'digits/test[5]')
    """
    if name == 'folder':
        return _folder(split, data_dir)
    if name == 'folder_masks':
        return _folder_masks(split, data_dir)
    return _tfds(name, split, None if data_dir is None else os.path.expanduser(data_dir))


def subset(source: Source, indices: Iterable[SupportsIndex]) -> Source:
    """Some of the examples of a data set.

    Args:
        source: The data set.
        indices: Which, in this order; an index may occur more than once.

    Returns:
        A source whose example i is example `indices[i]`; `where` names the original one.

    Raises:
        ValueError: There are no indices, or one is outside `[0, size)`.

    Example:
        >>> pets = Source(9, lambda index: {'label': index % 2}, lambda index: f'pets/train[{index}]', ('cat', 'dog'))
        >>> odd = subset(pets, range(1, 9, 2))
        >>> odd.size, odd.read(3), odd.where(3)
        (4, {'label': 1}, 'pets/train[7]')
    """
    places = [operator.index(index) for index in indices]
    if not places:
        raise ValueError('a subset needs at least one index, got none')
    if outside := [place for place in places if not 0 <= place < source.size]:
        raise ValueError(f'there are {source.size} examples, 0 to {source.size - 1}: no example {outside[0]}')
    return source._replace(
        size=len(places),
        read=lambda index: source.read(places[index]),
        where=lambda index: source.where(places[index]),
    )


def only_classes(source: Source, classes: Sequence[str]) -> Source:
    """The examples of some classes, relabelled 0, 1, ... in the order of `classes`.

    Reads each example once to learn its label; images are not decoded for it.

    Args:
        source: The data set.
        classes: Names of the classes to keep.

    Returns:
        A source of these classes, its examples in the order that they had; `where` names the original example.

    Raises:
        ValueError: The data set has no labels or no class of that name, a name is repeated, or nothing is left.

    Example:
        >>> pets = Source(6, lambda index: {'label': index % 3}, lambda index: f'[{index}]', ('cat', 'dog', 'fox'))
        >>> some = only_classes(pets, ['fox', 'cat'])
        >>> some.class_names, [(some.where(i), some.read(i)['label']) for i in range(some.size)]
        (('fox', 'cat'), [('[0]', 1), ('[2]', 0), ('[3]', 1), ('[5]', 0)])
    """
    if unknown := [name for name in classes if name not in source.class_names]:
        raise ValueError(f'no class {unknown[0]!r}; there are: {_join(source.class_names)}')
    if len(set(classes)) < len(classes):
        raise ValueError(f'a class is named twice: {_join(classes)}')
    if 'label' not in source.read(0):
        raise ValueError(f'{source.where(0)} has no label, so it is of no class')
    relabelled = {source.class_names.index(name): label for label, name in enumerate(classes)}
    indices = [index for index in range(source.size) if int(source.read(index)['label']) in relabelled]
    if not indices:
        raise ValueError(f'none of the {source.size} examples is of the classes {_join(classes)}')
    kept = subset(source, indices)

    def read(index: int) -> dict[str, Any]:
        example = kept.read(index)
        return {**example, 'label': relabelled[int(example['label'])]}

    return kept._replace(read=read, class_names=tuple(classes))


def describe(source: Source) -> str:
    """A line for the log.

    Args:
        source: The data set.

    Returns:
        Its number of examples and its classes.

    Example:
        >>> describe(Source(1200, lambda index: {}, lambda index: f'pets/train[{index}]', ('cat', 'dog')))
        '1,200 examples from pets/train[0] on, 2 classes: cat, dog'
    """
    names = source.class_names
    classes = f', {len(names)} classes: {", ".join(names[:5])}{", ..." if len(names) > 5 else ""}' if names else ''
    return f'{source.size:,} examples from {source.where(0)} on{classes}'


def _folder(split: str, data_dir: str | os.PathLike | None) -> Source:
    root = _root('folder', split, data_dir, '<class>/*.jpg')
    present = _folders(root / split)
    # The training split says which number a class has, or another split without one of its classes would shift them.
    names = _folders(root / 'train') or present
    if not present:
        raise ValueError(f'{root / split} has no class folders; it should hold {root / split}/<class>/*.jpg')
    if unknown := sorted(set(present) - set(names)):
        raise ValueError(f'{root / split} has classes that {root / "train"} lacks: {_join(unknown)}')

    paths: list[str] = []
    labels: list[int] = []
    for name in present:
        images = _images(root / split / name, _IMAGE_SUFFIXES)
        paths += images
        labels += [names.index(name)] * len(images)

    def read(index: int) -> dict[str, Any]:
        return {'image': Path(paths[index]).read_bytes(), 'label': labels[index]}

    return Source(len(paths), read, paths.__getitem__, tuple(names))


def _folder_masks(split: str, data_dir: str | os.PathLike | None) -> Source:
    root = _root('folder_masks', split, data_dir, 'images/*.jpg and masks/*.png')
    images, masks = (
        _by_stem(_images(root / split / kind, suffixes))
        for kind, suffixes in (('images', _IMAGE_SUFFIXES), ('masks', _MASK_SUFFIXES))
    )
    if missing := sorted(images.keys() ^ masks.keys()):
        lone = [images.get(stem) or masks[stem] for stem in missing]
        raise ValueError(f'{len(lone)} files without a mask or an image of the same name: {_join_some(lone)}')
    pairs = [(images[stem], masks[stem]) for stem in images]
    listed = root / 'classes.txt'
    names = listed.read_text().split('\n') if listed.exists() else []

    def read(index: int) -> dict[str, Any]:
        image, mask = pairs[index]
        return {'image': Path(image).read_bytes(), 'mask': Path(mask).read_bytes()}

    return Source(
        len(pairs), read, lambda index: pairs[index][0], tuple(name.strip() for name in names if name.strip())
    )


def _root(name: str, split: str, data_dir: str | os.PathLike | None, holds: str) -> Path:
    """The folder `data_dir`, which has a folder for the split."""
    if data_dir is None:
        raise ValueError(f'the data set {name!r} needs data_dir: the folder that holds <split>/{holds}')
    root = Path(data_dir).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f'there is no folder {root}; it should hold {split}/{holds}')
    if not (root / split).is_dir():
        raise FileNotFoundError(f'{root} has no folder {split!r}; there are: {_join(_folders(root))}')
    return root


def _images(folder: Path, suffixes: Collection[str]) -> list[str]:
    """The image files of a folder, sorted."""
    if not folder.is_dir():
        raise FileNotFoundError(f'there is no folder {folder}; it should hold images')
    with os.scandir(folder) as entries:
        images = sorted(e.path for e in entries if os.path.splitext(e.name)[1].lower() in suffixes)
    if not images:
        raise ValueError(f'{folder} has no images ({_join(sorted(suffixes))})')
    return images


def _by_stem(paths: Iterable[str]) -> dict[str, str]:
    """File name without its suffix -> path."""
    found: dict[str, str] = {}
    for path in paths:
        if (first := found.setdefault(Path(path).stem, path)) != path:
            raise ValueError(f'{first} and {path} have one name: which of them is meant?')
    return found


def _tfds(name: str, split: str, data_dir: str | None) -> Source:
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
        raise ValueError(f'{name} has no images; there are: {_join(features)}')
    if hasattr(data, 'decoders'):
        # Our `decode` gets the bytes. Set here and not in `as_data_source`, because tfds.testing.mock_data would then
        # encode its made-up images, for which it needs TensorFlow.
        data.decoders = {key: tfds.decode.SkipDecoding() for key, kind in images.items() if kind.np_dtype == np.uint8}
    named = [kind for kind in images.values() if isinstance(kind, tfds.features.LabeledImage)]
    if isinstance(features.get('label'), tfds.features.ClassLabel):
        named.insert(0, features['label'])
    names = tuple(named[0].names) if named else ()
    return Source(len(data), data.__getitem__, lambda index: f'{name}/{split}[{index}]', names)


def _builder(name: str, data_dir: str | None) -> Any:
    """The tfds builder: from the prepared files, which needs no code of the data set's own, else from its code."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import read_only_builder

    not_found = tfds.core.DatasetNotFoundError
    with contextlib.suppress(not_found):
        return read_only_builder.builder_from_files(name, data_dir=data_dir)
    if register_bundled(name):
        _prepare_bundled(name, data_dir)
    try:
        return tfds.builder(name, data_dir=data_dir)
    except not_found:
        raise unknown_name(name) from None
    except ImportError:  # the code of a few data sets needs TensorFlow
        raise FileNotFoundError(_how_to_prepare(name, data_dir)) from None


def register_bundled(name: str) -> bool:
    """Makes a bundled data set known to tfds, whichever its config and version; whether it is one."""
    base = _base(name)
    if base in _BUNDLED:
        importlib.import_module(f'jaxcv.data.{base}.{base}_dataset_builder')
    return base in _BUNDLED


def _prepare_bundled(name: str, data_dir: str | None) -> None:
    import tensorflow_datasets as tfds

    builder = tfds.builder(name, data_dir=data_dir)
    logging.info('preparing %s in %s, this once', name, builder.data_path)
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # 'Downloading...', which it does not do
            builder.download_and_prepare(file_format='array_record')
    except OSError:
        # tfds writes beside and renames: another process that prepared it at the same time has won.
        if not builder.data_path.exists():
            raise
    finally:
        tfds.enable_progress_bar()


def _explain(error: Exception, builder: Any, name: str, split: str, data_dir: str | None) -> Exception:
    """Why `as_data_source` failed, and what to do."""
    folder, splits = builder.data_path, list(builder.info.splits)
    if not folder.exists():
        return FileNotFoundError(_how_to_prepare(name, data_dir))
    if isinstance(error, NotImplementedError):
        return ValueError(
            f'{folder} is stored as {builder.info.file_format.value}, which cannot be read at random. Convert it once '
            f'(TensorFlow is not needed):\n  {_prepare_command(name, data_dir)}'
        )
    if splits and split.partition('[')[0] not in splits:
        return ValueError(f'{name} has no split {split!r}; there are: {_join(splits)}')
    return ValueError(f'{name}/{split} is empty, or cannot be opened: {error}')


def unknown_name(name: str) -> ValueError:
    """The error for a name that tfds does not have, with the nearest ones."""
    import tensorflow_datasets as tfds

    base = _base(name)
    near = difflib.get_close_matches(
        base, ['folder', 'folder_masks', *_BUNDLED, *tfds.list_builders(with_community_datasets=False)]
    )
    hint = f'the nearest names are {_join(near)}' if near else "images of your own are name='folder'"
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


def _folders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith('.'))


def _join(names: Iterable[str]) -> str:
    return ', '.join(names) or 'none'


def _join_some(names: Sequence[str]) -> str:
    return _join(names[:10]) + (f' and {len(names) - 10:,} more' if len(names) > 10 else '')
