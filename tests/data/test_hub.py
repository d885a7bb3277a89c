"""Data sets as the package `datasets` saves them; without the package these tests are skipped."""

import builtins

import numpy as np
import pytest

from jaxcv.data import source, train_batches, transforms

NAMES = ['red', 'green', 'blue']


def opened(folder, split, **options):
    return source('hf:', split=split, data_dir=folder, options=options)


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    datasets = pytest.importorskip('datasets')
    root = tmp_path_factory.mktemp('hub')
    images = [np.full((4, 5, 3), i, np.uint8) for i in range(12)]
    of_class = datasets.ClassLabel(names=NAMES)
    one = datasets.Dataset.from_dict(
        {'image': images, 'label': [i % 3 for i in range(12)], 'age': [float(i) for i in range(12)]},
        features=datasets.Features({'image': datasets.Image(), 'label': of_class, 'age': datasets.Value('float32')}),
    )
    datasets.DatasetDict({'train': one, 'test': one.select(range(3))}).save_to_disk(str(root / 'one'))
    datasets.Dataset.from_dict(
        {'img': images, 'tags': [[i % 3, 2] if i % 4 else [] for i in range(12)]},
        features=datasets.Features({'img': datasets.Image(), 'tags': datasets.List(of_class)}),
    ).save_to_disk(str(root / 'several'))
    datasets.Dataset.from_dict(
        {'img': images, 'label': [NAMES[i % 3] if i != 5 else '' for i in range(12)]},
        features=datasets.Features({'img': datasets.Image(), 'label': datasets.Value('string')}),
    ).save_to_disk(str(root / 'texts'))
    return root


def test_one_label_an_image(folders):
    data = opened(folders / 'one', 'train[:50%]')
    assert (data.size, data.names, data.counts) == (6, {'label': tuple(NAMES)}, {'label': [2, 2, 2]})
    rest = opened(folders / 'one', 'train[50%:]')
    assert {data.where(i) for i in range(6)} & {rest.where(i) for i in range(6)} == set()
    steps = [transforms.decode()]
    batch = next(train_batches(opened(folders / 'one', 'test'), batch_size=3, transforms=steps, seed=0))
    assert sorted(batch['label'].tolist()) == [0, 1, 2]
    assert np.array_equal(batch['image'][:, 0, 0, 0], batch['label'])
    assert np.array_equal(batch['age'], batch['label'])


def test_several_labels_an_image(folders):
    data = opened(folders / 'several', 'train')
    assert data.counts == {'labels': [3, 3, 9]}
    assert [data.read(i)['labels'].tolist() for i in (0, 1, 2)] == [[0, 0, 0], [0, 1, 1], [0, 0, 1]]


def test_what_is_amiss(folders):
    for folder, split, options, text in (
        ('one', 'val', {}, "has no split 'val'; there are: train, test"),
        ('one', 'train', {'label': 'age'}, "no column of labels 'age'; there are: label"),
        ('one', 'train', {'image': 'age'}, "no column of images 'age'"),
        ('texts', 'train', {}, "1 of 12 rows are without a class of the training in 'label': [5] ''"),
    ):
        with pytest.raises((ValueError, FileNotFoundError)) as error:
            opened(folders / folder, split, **options)
        assert text in str(error.value)


def test_without_the_package(tmp_path, monkeypatch):
    (tmp_path / 'state.json').write_text('{}')
    imported = builtins.__import__

    def missing(name, *arguments, **options):
        if name == 'datasets':
            raise ImportError('no datasets')
        return imported(name, *arguments, **options)

    monkeypatch.setattr(builtins, '__import__', missing)
    with pytest.raises(ValueError, match=r"need the package 'datasets' .*: pip install 'datasets>=4'"):
        opened(tmp_path, 'train')
    for folder in (tmp_path / 'nowhere', tmp_path.parent):
        with pytest.raises(FileNotFoundError, match=r'no folder|was not written by save_to_disk'):
            opened(folder, 'train')
