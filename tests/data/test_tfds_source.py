"""Data sets of tfds: what they hold, and the errors where something is amiss."""

import re
import shutil
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.datasets import load_digits

from jaxcv.data import source, transforms
from jaxcv.data.tfds_source import BUNDLED, class_names, register_bundled


def run_python(code, *arguments):
    return subprocess.run(
        [sys.executable, '-W', 'error', '-c', code, *arguments], capture_output=True, text=True, timeout=100
    )


def test_digits_are_those_of_scikit_learn(prepared):
    digits = load_digits()
    order = np.random.Generator(np.random.PCG64(0)).permutation(1797)
    for split, places in (('train', order[:1200]), ('test', order[1200:])):
        data = source('digits', split=split, data_dir=prepared)
        examples = [transforms.decode(channels=1)(data.read(i)) for i in range(data.size)]
        expected = np.round(digits.images[places] * 255 / 16)
        assert np.array_equal([e['image'][..., 0] for e in examples], expected)
        assert np.array_equal([e['label'] for e in examples], digits.target[places])
        assert isinstance(data.read(0)['image'], bytes)
        assert data.names == {'label': tuple('0123456789')}
        assert data.where(17) == f'digits/{split}[17]'


def test_splits(prepared):
    assert source('digits', split='train[:90%]', data_dir=prepared).size == 1080
    tail = source('digits', split='train[-20:]', data_dir=prepared)
    assert tail.read(19) == source('digits:1.0.0', split='train', data_dir=prepared).read(1199)
    for split, message in {
        'val': "digits has no split 'val'; there are: train, test",
        'val[:3]': "digits has no split 'val[:3]'; there are: train, test",
        'train[': 'Unrecognized split format',
        'train[:0]': 'digits/train[:0] is empty, or cannot be opened',
    }.items():
        with pytest.raises(ValueError, match=re.escape(message)):
            source('digits', split=split, data_dir=prepared)


def test_parts_of_a_split_are_those_of_the_whole(prepared):
    whole = source('digits', split='train', data_dir=prepared)
    first = source('digits', split='train[:200]', data_dir=prepared)
    last = source('digits', split='train[1000:]', data_dir=prepared)
    assert (first.size, last.size) == (200, 200)
    assert [first.read(i) for i in range(200)] == [whole.read(i) for i in range(200)]
    assert [last.read(i) for i in range(200)] == [whole.read(1000 + i) for i in range(200)]
    assert last.where(3) == 'digits/train[1000:][3]'


def test_a_missing_data_set_says_how_to_prepare_it(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        source('cifar10', split='train', data_dir=tmp_path)
    assert 'pip install tensorflow' in str(error.value)
    assert f'python -m jaxcv.data.prepare cifar10 --data_dir={tmp_path}' in str(error.value)
    with pytest.raises(ValueError, match=r"no data set 'cifra10'; the nearest names are cifar10, cifar100"):
        source('cifra10', split='train', data_dir=tmp_path)
    with pytest.raises(ValueError, match='nearest names are digits'):
        source('digit', split='train', data_dir=tmp_path)


MOCKED = """
import sys
import types
import tensorflow_datasets as tfds
from jaxcv import data
cases = ('cifar10', (32, 32, 3), 10), ('imagenet2012', (16, 16, 3), 1000), ('digits', (8, 8, 1), 10)
for name, shape, classes in cases:
    with tfds.testing.mock_data(num_examples=7):
        mocked = data.source(name, split='train', data_dir=sys.argv[1])
    assert mocked.size == 7 and len(mocked.names['label']) == classes
    steps = [data.transforms.decode(channels=shape[-1]), data.transforms.resize(size=shape[:2])]
    batch = next(data.train_batches(mocked, batch_size=4, transforms=steps, seed=0))
    assert batch['image'].shape == (4, *shape), batch['image'].shape
    (first, second) = data.eval_batches(mocked, batch_size=4, transforms=steps)
    assert second['valid'].tolist() == [True, True, True, False]
real = data.source('digits', split='test', data_dir=sys.argv[1])
steps = [data.transforms.decode(channels=1)]
assert sum(batch['valid'].sum() for batch in data.eval_batches(real, batch_size=64, transforms=steps)) == 597
assert not any(name == 'tensorflow' or name.startswith('tensorflow.') for name in sys.modules)
"""


def test_mocked_and_real_data_without_tensorflow(prepared):
    result = run_python(MOCKED, str(prepared))
    assert result.returncode == 0, result.stderr


def test_importing_jaxcv_needs_no_data_library():
    code = (
        'import sys, jaxcv, jaxcv.data; from jaxcv.data import transforms; '
        "assert not {'tensorflow', 'tensorflow_datasets', 'grain', 'jax'} & set(sys.modules), sys.modules.keys()"
    )
    result = run_python(code)
    assert result.returncode == 0, result.stderr


def test_digits_prepared_by_several_processes_at_once(tmp_path):
    code = (
        "import sys; from jaxcv.data import source; print(source('digits', split='train', data_dir=sys.argv[1]).size)"
    )
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda _: run_python(code, str(tmp_path)), range(2)))
    assert [r.stdout for r in results] == ['1200\n'] * 2, results[0].stderr
    assert [p.name for p in (tmp_path / 'digits').iterdir()] == ['1.0.0']


MOCKED_MASKS = """
import sys
import types
import cv2
import tensorflow_datasets as tfds
from jaxcv import data
from jaxcv.data import transforms
cases = {
    'oxford_iiit_pet': ({'mask': 'segmentation_mask'}, [255, 0, 1, 2], {'label': 37, 'species': 2}),
    'cityscapes': ({'image': 'image_left', 'mask': 'segmentation_label'}, [255, *range(19)], {}),
    'digit_scenes': ({}, [0] + [1] * 10, {'mask': 11, 'box_labels': 10}),
}
for name, (names, values, classes) in cases.items():
    with tfds.testing.mock_data(num_examples=5):
        mocked = data.source(name, split='train', data_dir=sys.argv[1])
    assert mocked.size == 5, name
    assert {feature: len(of) for feature, of in mocked.names.items()} == classes, (name, mocked.names)

    def fit(example):  # mocks draw the size of a mask apart from its image's, and any number for a pixel
        size = example['image'].shape[1::-1]
        mask = cv2.resize(example['mask'] % len(values), size, interpolation=cv2.INTER_NEAREST)
        return {**example, 'mask': mask[..., None]}

    steps = [transforms.rename(names=names), fit, transforms.decode(), transforms.decode_mask(),
             transforms.relabel(values=values), transforms.keep(names=['image', 'mask']),
             transforms.random_resized_crop(size=(24, 32))]
    batch = next(data.train_batches(mocked, batch_size=4, transforms=steps, seed=0))
    assert batch.keys() == {'image', 'mask', 'valid', 'index'}, batch.keys()
    assert batch['image'].shape == (4, 24, 32, 3) and batch['mask'].shape == (4, 24, 32)
    assert batch['mask'].dtype == 'int32' and set(batch['mask'].ravel().tolist()) == set(values)
assert not any(name == 'tensorflow' or name.startswith('tensorflow.') for name in sys.modules)
"""


def test_mocked_masks_of_tfds_without_tensorflow(prepared):
    result = run_python(MOCKED_MASKS, str(prepared))
    assert result.returncode == 0, result.stderr


def test_names_of_classes_by_feature():
    from tensorflow_datasets import features

    label, mask = features.ClassLabel(names=['cat', 'dog']), features.LabeledImage(labels=['sky', 'sea'])
    box = features.BBoxFeature()
    cases = {
        'COCO': (
            {'image': features.Image(), 'objects': features.Sequence({'bbox': box, 'label': label, 'area': np.int64})},
            {'box_labels': ('cat', 'dog')},
        ),
        'one of several in an object': (
            {'objects': features.Sequence({'pose': features.ClassLabel(num_classes=3), 'label': label})},
            {'box_labels': ('cat', 'dog')},
        ),
        'none is named label': (
            {'objects': features.Sequence({'type': label, 'bbox': box})},
            {'box_labels': ('cat', 'dog')},
        ),
        'in the order of the table': (
            {'kind': label, 'box_labels': features.Sequence(label), 'segments': mask, 'label': label},
            {'label': ('cat', 'dog'), 'mask': ('sky', 'sea'), 'box_labels': ('cat', 'dog'), 'kind': ('cat', 'dog')},
        ),
        'numbers where there are no names': ({'label': features.ClassLabel(num_classes=2)}, {'label': ('0', '1')}),
        'classes of an unknown number': (
            {'label': features.ClassLabel(), 'mask': features.LabeledImage(labels=None)},
            {},
        ),
    }
    for name, (kinds, expected) in cases.items():
        found = class_names(dict(features.FeaturesDict(kinds).items()))
        assert list(found.items()) == list(expected.items()), name


def test_versions_of_the_bundled_data_sets():
    import tensorflow_datasets as tfds

    for name, version in BUNDLED.items():
        assert register_bundled(name)
        assert str(tfds.builder_cls(name).VERSION) == version


def test_data_that_an_older_version_prepared_are_prepared_anew(prepared, tmp_path):
    """The newest prepared version is not the one that is read, but the one that the code was written for."""
    source('digits', split='train', data_dir=tmp_path)
    (tmp_path / 'digits/1.0.0').rename(tmp_path / 'digits/0.9.0')
    info = tmp_path / 'digits/0.9.0/dataset_info.json'
    info.write_text(info.read_text().replace('1.0.0', '0.9.0'))
    assert source('digits', split='train', data_dir=tmp_path).size == 1200
    assert {folder.name for folder in (tmp_path / 'digits').iterdir()} == {'0.9.0', '1.0.0'}


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('digits:2.0.0', "tfds has no 'digits:2.0.0'; of digits there are: versions 1.0.0"),
        ('cifar10/foo', "tfds has no 'cifar10/foo'; of cifar10 there are: versions 3.0.2"),
        ('cifar10_corrupted/foo', 'of cifar10_corrupted there are: configs brightness_1, brightness_2,'),
        ('cifar10:abc', "tfds has no 'cifar10:abc'; of cifar10 there are: versions"),
        ('', 'tfds has no data set'),
        ('a b', "tfds has no data set 'a b'"),
    ],
)
def test_a_name_that_is_not_there_is_told_with_those_that_are(name, message, tmp_path):
    with pytest.raises(ValueError, match=re.escape(message)):
        source(name, split='train', data_dir=tmp_path)
    assert not any(tmp_path.iterdir())


def test_files_that_are_missing_cut_or_damaged_are_one_message(prepared, tmp_path):
    def garbled(data):
        return bytes(x ^ 0x5A if 100_000 < i < 103_000 else x for i, x in enumerate(data))

    damages = {'cut': lambda data: data[:20_000], 'empty': lambda data: b'', 'garbled': garbled}
    for damage, change in damages.items():
        folder = tmp_path / f'{damage} folder'
        shutil.copytree(prepared / 'digits', folder / 'digits')
        (path,) = folder.glob('digits/1.0.0/*test.array_record*')
        path.write_bytes(change(path.read_bytes()))
        command = re.escape(f"digits --data_dir='{folder}")

        def read_all(folder=folder):
            data = source('digits', split='test', data_dir=folder)
            return [data.read(i) for i in range(data.size)]

        with pytest.raises(
            OSError, match=rf'digits/1\.0\.0 are missing, cut or damaged .*prepare it again:\n.* {command}'
        ):
            read_all()
    info = tmp_path / 'cut folder/digits/1.0.0/dataset_info.json'
    info.write_text('{')
    with pytest.raises(OSError, match='missing, cut or damaged'):
        source('digits', split='test', data_dir=tmp_path / 'cut folder')
    info.write_text('a file')
    with pytest.raises(OSError, match=r'dataset_info\.json is a file: it has to be the folder'):
        source('digits', split='test', data_dir=info)


def test_a_labeled_image_of_another_name_has_its_names_where_a_rename_finds_them(monkeypatch):
    import tensorflow_datasets as tfds

    kinds = tfds.features
    shapes = kinds.FeaturesDict(
        {
            'image': kinds.Image(shape=(None, None, 3)),
            'segmentation': kinds.LabeledImage(labels=['sky', 'sea'], shape=(None, None, 1)),
        }
    )
    builder = types.SimpleNamespace(as_data_source=lambda split: [{}], info=types.SimpleNamespace(features=shapes))
    monkeypatch.setattr('jaxcv.data.tfds_source._builder', lambda name, data_dir: builder)
    names = source('shapes', split='train').names
    renamed = transforms.names_after(names, [transforms.rename(names={'mask': 'segmentation'})])
    assert names['mask'] == renamed['mask'] == ('sky', 'sea')
