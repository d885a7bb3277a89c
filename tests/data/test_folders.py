"""Folders of images: what they hold, and the errors where something is amiss."""

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from jaxcv.data import describe, only_classes, source, train_batches, transforms


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


def test_a_folder_is_read_in_order(photos):
    data = source('folder', split='train', data_dir=photos)
    assert data.names == {'label': ('cat', 'dog')}
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
    (tmp_path / 'classes.txt').write_text('background\ncat \r\ndog\nnew bicycle\n\n')
    return tmp_path, classes


def test_a_folder_of_masks(pixels):
    folder, classes = pixels
    data = source('folder_masks', split='train', data_dir=folder)
    assert data.names == {'mask': ('background', 'cat', 'dog', 'new bicycle')}
    assert [Path(data.where(i)).name for i in range(data.size)] == ['a.1.PNG', 'b.jpg']
    steps = [transforms.decode(), transforms.decode_mask()]
    batch = next(train_batches(data, batch_size=2, transforms=steps, seed=0))
    assert batch.keys() == {'image', 'mask', 'valid', 'index'}
    assert batch['mask'].dtype == np.int32
    assert np.array_equal(batch['mask'], classes[::-1][batch['index']])
    with pytest.raises(ValueError, match='has no label, so it is of no class'):
        only_classes(data, ['cat'])
    (folder / 'classes.txt').unlink()
    assert source('folder_masks', split='train', data_dir=folder).names == {}


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
    assert re.search(r'masks/b\.png: the mask has \(12, 9\) pixels, its image \(9, 12\)', message(ValueError))
    shutil.copy(mask, folder / 'train/masks/c.png')
    (folder / 'train/masks/a.1.png').rename(folder / 'train/masks/a.2.png')
    found = message(ValueError)
    assert found.startswith('3 files without a mask or an image of the same name: ')
    assert all(name in found for name in ('a.1.PNG', 'a.2.png', 'c.png'))
    shutil.copy(folder / 'train/images/b.jpg', folder / 'train/images/b.jpeg')
    assert 'have one name' in message(ValueError)


def test_a_folder_without_a_training_split(photos):
    shutil.rmtree(photos / 'train')
    assert source('folder', split='val', data_dir=photos).names == {'label': ('cat',)}
