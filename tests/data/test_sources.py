"""Folders and tfds data sets: what they hold, and what is said when something is amiss."""

import json
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_digits

from jaxcv.data import Source, describe, only_classes, source, subset, train_batches, transforms
from jaxcv.data.prepare import main


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
    """A tfds data folder with the digits in it."""
    folder = tmp_path_factory.mktemp('tfds')
    source('digits', split='train', data_dir=folder)
    return folder


@pytest.fixture
def photos(tmp_path):
    """data_dir/<split>/<class>/*: cats and dogs."""
    for number, name in enumerate(
        ['train/dog/2.png', 'train/dog/10.JPG', 'train/cat/b.jpeg', 'train/cat/a.webp', 'train/cat/.hidden.txt',
         'val/cat/c.bmp', 'train/.cache/x.jpg', 'train/readme.txt']
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        suffix = path.suffix.lower()
        image = np.full((3, 4, 3), 10 * number, np.uint8)
        path.write_bytes(b'' if suffix == '.txt' else cv2.imencode(suffix, image)[1].tobytes())
    return tmp_path


def run_python(code, *arguments):
    return subprocess.run(
        [sys.executable, '-W', 'error', '-c', code, *arguments], capture_output=True, text=True, timeout=100
    )


def test_a_folder_is_read_in_order(photos):
    data = source('folder', split='train', data_dir=photos)
    assert data.class_names == ('cat', 'dog')
    assert [Path(data.where(i)).relative_to(photos).as_posix() for i in range(data.size)] == [
        'train/cat/a.webp', 'train/cat/b.jpeg', 'train/dog/10.JPG', 'train/dog/2.png']  # fmt: skip
    assert [data.read(i)['label'] for i in range(4)] == [0, 0, 1, 1]
    assert np.array_equal(transforms.decode()(data.read(3))['image'], np.zeros((3, 4, 3)))
    assert data.read(1)['image'] == (photos / 'train/cat/b.jpeg').read_bytes()
    assert describe(data).startswith('4 examples from')
    # A class that this split lacks keeps its number.
    shutil.rmtree(photos / 'train/cat')
    (photos / 'train/cat').mkdir()
    shutil.copytree(photos / 'train/dog', photos / 'val/dog')
    shutil.rmtree(photos / 'val/cat')
    assert source('folder', split='val', data_dir=photos).read(0)['label'] == 1


def test_a_folder_that_is_not_as_it_should_be(photos):
    def message(kind, split='train', data_dir=photos):
        with pytest.raises(kind) as error:
            source('folder', split=split, data_dir=data_dir)
        return str(error.value)

    assert 'needs data_dir' in message(ValueError, data_dir=None)
    assert 'there is no folder' in message(FileNotFoundError, data_dir=photos / 'nowhere')
    assert message(FileNotFoundError, split='test').endswith("has no folder 'test'; there are: train, val")
    (photos / 'test').mkdir()
    assert 'has no class folders' in message(ValueError, split='test')
    (photos / 'test/fox').mkdir()
    assert 'lacks: fox' in message(ValueError, split='test')
    (photos / 'train/fox').mkdir()
    (photos / 'train/fox/notes.txt').touch()
    assert 'train/fox has no images' in message(ValueError)
    assert 'test/fox has no images' in message(ValueError, split='test')


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
        assert data.class_names == tuple('0123456789')
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


def test_subset(prepared):
    whole = source('digits', split='test', data_dir=prepared)
    some = subset(whole, np.array([596, 0, 0]))
    assert (some.size, some.class_names) == (3, whole.class_names)
    assert [some.read(i) for i in range(3)] == [whole.read(596), whole.read(0), whole.read(0)]
    assert [some.where(i) for i in range(3)] == ['digits/test[596]', 'digits/test[0]', 'digits/test[0]']
    assert subset(some, [0]).where(0) == 'digits/test[596]'
    for indices, message in (([], 'got none'), ([597], '0 to 596: no example 597'), ([3, -1], 'no example -1')):
        with pytest.raises(ValueError, match=message):
            subset(whole, indices)


def test_only_classes(prepared):
    """The digits 5 to 9 in an order of their own, as scikit-learn has them, through to a batch."""
    digits = load_digits()
    order = np.random.Generator(np.random.PCG64(0)).permutation(1797)[:1200]
    whole = source('digits', split='train', data_dir=prepared)
    names = ['9', '5', '6', '7', '8']
    kept = only_classes(whole, names)
    targets = digits.target[order]
    places = np.flatnonzero(targets >= 5)
    assert (kept.size, kept.class_names) == (len(places), tuple(names))
    assert [kept.where(i) for i in range(kept.size)] == [f'digits/train[{place}]' for place in places]
    assert [kept.read(i)['label'] for i in range(kept.size)] == [names.index(str(t)) for t in targets[places]]
    assert all(kept.read(i)['image'] == whole.read(place)['image'] for i, place in enumerate(places))

    batch = next(train_batches(kept, batch_size=32, transforms=[transforms.decode(channels=1)], seed=0))
    assert batch['label'].tolist() == [kept.read(int(i))['label'] for i in batch['index']]
    assert whole.read(int(places[0]))['label'] == targets[places[0]]  # the original is as it was


def test_only_classes_that_are_not_there(photos):
    data = source('folder', split='train', data_dir=photos)
    assert [only_classes(data, ['dog']).read(i)['label'] for i in range(2)] == [0, 0]
    for classes, message in (
        (['dog', 'fox'], "no class 'fox'; there are: cat, dog"),
        (['dog', 'dog'], 'named twice'),
        ([], 'none of the 4 examples'),
    ):
        with pytest.raises(ValueError, match=message):
            only_classes(data, classes)
    with pytest.raises(ValueError, match="no class 'cat'; there are: none"):
        only_classes(Source(1, lambda index: {}, str, ()), ['cat'])


def test_a_missing_data_set_says_how_to_prepare_it(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        source('cifar10', split='train', data_dir=tmp_path)
    assert 'pip install tensorflow' in str(error.value)
    assert f'python -m jaxcv.data.prepare cifar10 --data_dir={tmp_path}' in str(error.value)
    with pytest.raises(ValueError, match=r"no data set 'cifra10'; the nearest names are cifar10, cifar100"):
        source('cifra10', split='train', data_dir=tmp_path)
    with pytest.raises(ValueError, match='nearest names are digits'):
        source('digit', split='train', data_dir=tmp_path)


def as_tfrecord(path, folder):
    """Turns prepared array_record files to TFRecord by hand: length, checksum (tfds reads it, we do not), data."""
    from array_record.python.array_record_data_source import ArrayRecordDataSource

    for file in list(folder.glob('*.array_record*')):
        with ArrayRecordDataSource(str(file)) as records:
            data = [records[i] for i in range(len(records))]
        target = file.with_name(file.name.replace('array_record', 'tfrecord'))
        target.write_bytes(b''.join(len(r).to_bytes(8, 'little') + bytes(4) + r + bytes(4) for r in data))
        file.unlink()
    info = folder / 'dataset_info.json'
    info.write_text(json.dumps({**json.loads(info.read_text()), 'fileFormat': 'tfrecord'}))


def test_tfrecord_files_are_converted(prepared, tmp_path, capsys):
    shutil.copytree(prepared / 'digits', tmp_path / 'digits')
    folder = tmp_path / 'digits/1.0.0'
    as_tfrecord(tmp_path, folder)
    with pytest.raises(ValueError, match='stored as tfrecord') as error:
        source('digits', split='train', data_dir=tmp_path)
    assert f'python -m jaxcv.data.prepare digits --data_dir={tmp_path}' in str(error.value)

    whole = (folder / 'digits-test.tfrecord-00000-of-00001').read_bytes()
    (folder / 'digits-test.tfrecord-00000-of-00001').write_bytes(whole[:-7])
    assert main(['digits', f'--data_dir={tmp_path}']) == 1
    assert 'is truncated' in capsys.readouterr().err
    assert not list(folder.glob('*.array_record-00000-of-00001'))

    (folder / 'digits-test.tfrecord-00000-of-00001').write_bytes(whole)
    for _ in range(2):  # the second time, there is nothing to do
        assert main(['digits', f'--data_dir={tmp_path}']) == 0
        assert capsys.readouterr().out.startswith('train: 1,200 examples')
    for split in ('train', 'test'):
        old, new = (source('digits', split=split, data_dir=d) for d in (prepared, tmp_path))
        assert old.size == new.size
        assert all(old.read(i) == new.read(i) for i in range(old.size))


def test_prepare_tells_what_is_missing(tmp_path, capsys):
    assert main(['cifra10']) == 1
    assert 'nearest names are cifar10' in capsys.readouterr().err
    assert main(['imagenet2012', f'--data_dir={tmp_path}']) == 1  # it must be downloaded by hand
    assert 'ILSVRC2012_img_train.tar' in capsys.readouterr().err


MOCKED = """
import sys
import tensorflow_datasets as tfds
from jaxcv import data
cases = ('cifar10', (32, 32, 3), 10), ('imagenet2012', (16, 16, 3), 1000), ('digits', (8, 8, 1), 10)
for name, shape, classes in cases:
    with tfds.testing.mock_data(num_examples=7):
        mocked = data.source(name, split='train', data_dir=sys.argv[1])
    assert mocked.size == 7 and len(mocked.class_names) == classes
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


@pytest.fixture
def pixels(tmp_path):
    """data_dir/<split>/images and masks: two photos of different sizes, in classes.txt's four classes."""
    classes = np.random.default_rng(0).integers(0, 4, (2, 9, 12), dtype=np.uint8)
    classes[0, :2] = 255
    for number, (stem, suffix) in enumerate((('b', '.jpg'), ('a.1', '.PNG'))):
        for kind, end in (('images', suffix), ('masks', '.png')):
            path = tmp_path / 'train' / kind / (stem + end)
            path.parent.mkdir(parents=True, exist_ok=True)
            array = classes[number] if kind == 'masks' else np.full((9, 12, 3), 50 * number, np.uint8)
            path.write_bytes(cv2.imencode(end.lower(), array)[1].tobytes())
    (tmp_path / 'train/masks/readme.txt').touch()
    (tmp_path / 'classes.txt').write_text('background\ncat \r\ndog\n\nnew bicycle\n')
    return tmp_path, classes


def test_a_folder_of_masks(pixels):
    folder, classes = pixels
    data = source('folder_masks', split='train', data_dir=folder)
    assert data.class_names == ('background', 'cat', 'dog', 'new bicycle')
    assert [Path(data.where(i)).name for i in range(data.size)] == ['a.1.PNG', 'b.jpg']
    steps = [transforms.decode(), transforms.decode_mask()]
    batch = next(train_batches(data, batch_size=2, transforms=steps, seed=0))
    assert batch.keys() == {'image', 'mask', 'valid', 'index'}
    assert batch['mask'].dtype == np.int32
    assert np.array_equal(batch['mask'], classes[::-1][batch['index']])
    with pytest.raises(ValueError, match='has no label, so it is of no class'):
        only_classes(data, ['cat'])
    (folder / 'classes.txt').unlink()
    assert source('folder_masks', split='train', data_dir=folder).class_names == ()


def test_a_folder_of_masks_that_is_not_as_it_should_be(pixels):
    folder, _ = pixels
    steps = [transforms.decode(), transforms.decode_mask(), transforms.resize(size=6)]

    def read(split, data_dir):
        data = source('folder_masks', split=split, data_dir=data_dir)
        return next(train_batches(data, batch_size=2, transforms=steps, seed=0))

    def message(kind, split='train', data_dir=folder):
        with pytest.raises(kind) as error:
            read(split, data_dir)
        return str(error.value)

    assert 'holds <split>/images/*.jpg and masks/*.png' in message(ValueError, data_dir=None)
    assert 'should hold val/images' in message(FileNotFoundError, 'val', folder / 'nowhere')
    assert message(FileNotFoundError, 'val').endswith("has no folder 'val'; there are: train")
    (folder / 'val').mkdir()
    assert 'there is no folder' in message(FileNotFoundError, 'val')

    (folder / 'classes.txt').write_text('background\ncat\n')
    assert 'the mask has class 3, but there are 2' in message(ValueError)
    (folder / 'classes.txt').unlink()
    mask = folder / 'train/masks/b.png'
    mask.write_bytes(cv2.imencode('.png', np.zeros((12, 9), np.uint8))[1].tobytes())
    assert re.search(r'b\.jpg: the image has \(9, 12\) pixels, its mask \(12, 9\)', message(ValueError))
    shutil.copy(mask, folder / 'train/masks/c.png')
    (folder / 'train/masks/a.1.png').rename(folder / 'train/masks/a.2.png')
    found = message(ValueError)
    assert found.startswith('3 files without a mask or an image of the same name: ')
    assert all(name in found for name in ('a.1.PNG', 'a.2.png', 'c.png'))
    shutil.copy(folder / 'train/images/b.jpg', folder / 'train/images/b.jpeg')
    assert 'have one name' in message(ValueError)


MOCKED_MASKS = """
import sys
import cv2
import tensorflow_datasets as tfds
from jaxcv import data
from jaxcv.data import transforms
cases = {
    'oxford_iiit_pet': ({'mask': 'segmentation_mask'}, [255, 0, 1, 2], 37),
    'cityscapes': ({'image': 'image_left', 'mask': 'segmentation_label'}, [255, *range(19)], 0),
    'digit_scenes': ({}, [0] + [1] * 10, 11),
}
for name, (names, values, classes) in cases.items():
    with tfds.testing.mock_data(num_examples=5):
        mocked = data.source(name, split='train', data_dir=sys.argv[1])
    assert mocked.size == 5 and len(mocked.class_names) == classes, (name, mocked.class_names)

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
