"""Folders of images: what they hold, and the errors where something is amiss."""

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from jaxcv.data import describe, only_classes, source, train_batches, transforms
from jaxcv.data.reading import reader


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
    assert re.search(r'masks/b\.png: the image has \(9, 12\) pixels, its mask \(12, 9\)', message(ValueError))
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


def write(path, image=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8) if image is None else image).save(path, **options)


def names_of(data, root):
    return [Path(data.where(i)).relative_to(root).as_posix() for i in range(data.size)]


def test_a_class_is_walked_in_depth_and_what_is_left_out_is_counted(tmp_path):
    for name in (
        'cat/0.jpg',
        'cat/deep/1.png',
        'cat/deep/er/2.jpg',
        'dog/3.jpg',
        '.ipynb_checkpoints/4.jpg',
        '__MACOSX/5.jpg',
    ):
        write(tmp_path / 'train' / name)
    (tmp_path / 'train/cat/0.jpg').rename(tmp_path / 'train/cat/0.jfif')
    (tmp_path / 'train/dog/3.jpg').rename(tmp_path / 'train/dog/no_suffix')
    for name in ('cat/._0.jpg', 'cat/Thumbs.db', 'dog/notes.txt', 'outside.txt'):
        (tmp_path / 'train' / name).write_bytes(b'\0\5\x16\7')
    data = source('folder', split='train', data_dir=tmp_path)
    assert names_of(data, tmp_path / 'train') == ['cat/0.jfif', 'cat/deep/1.png', 'cat/deep/er/2.jpg', 'dog/no_suffix']
    assert [data.read(i)['label'] for i in range(4)] == [0, 0, 0, 1]
    assert describe(data).endswith(
        'on, 2 classes: cat, dog; 4 of 8 files; left out: 2 hidden (._0.jpg, Thumbs.db), 1 not an image (notes.txt), '
        '1 outside the class folders (outside.txt)'
    )


def test_parts_of_a_folder(tmp_path):
    for number in range(20):
        write(tmp_path / 'train' / ('cat' if number < 15 else 'dog') / f'{number}.png')
        write(tmp_path / 'masked/train/images' / f'{number}.jpg')
        write(tmp_path / 'masked/train/masks' / f'{number}.png', np.zeros((4, 4), np.uint8))
    write(tmp_path / 'val/dog/20.png')
    for kind, root in (('folder', tmp_path), ('folder_masks', tmp_path / 'masked')):
        whole = source(kind, split='train', data_dir=root)
        first, rest = (source(kind, split=f'train[{part}]', data_dir=root) for part in (':80%', '80%:'))
        assert (first.size, rest.size, first.names) == (16, 4, whole.names)
        assert sorted(names_of(first, root) + names_of(rest, root)) == sorted(names_of(whole, root))
        assert describe(first).endswith("16 of the 20 examples of 'train'")
        assert source(kind, split='train[:5]', data_dir=root).size == 5
    # A quarter are dogs, in both parts.
    first, rest = (source('folder', split=f'train[{part}]', data_dir=tmp_path) for part in (':80%', '80%:'))
    assert [sum(data.read(i)['label'] for i in range(data.size)) for data in (first, rest)] == [4, 1]
    several = source('folder', split='train[:10%]+val', data_dir=tmp_path)
    assert (several.size, several.read(2)['label'], several.names) == (3, 1, {'label': ('cat', 'dog')})
    for split, error, message in (
        ('train[80]', ValueError, 'is no split or part of one'),
        ('train[:21]', ValueError, 'reaches beyond the 20 examples'),
        ('train[:1%]', ValueError, 'is empty'),
        ('test[:80%]', FileNotFoundError, "has no folder 'test'; there are: masked, train, val"),
        ('test', FileNotFoundError, r"a part of a split is written 'train\[80%:\]'"),
    ):
        with pytest.raises(error, match=message):
            source('folder', split=split, data_dir=tmp_path)
    (tmp_path / 'train').rename(tmp_path / 'train[:80%]')  # a folder of that name is a split
    assert source('folder', split='train[:80%]', data_dir=tmp_path).size == 20


def test_classes_are_compared_in_one_form_and_the_difference_is_named(tmp_path):
    composed, apart = 'caf\u00e9', 'cafe\u0301'
    write(tmp_path / 'train' / composed / '0.jpg')
    write(tmp_path / 'train/Dog/0.jpg')
    write(tmp_path / 'val' / apart / '0.jpg')
    val = source('folder', split='val', data_dir=tmp_path)
    assert (val.names, val.read(0)['label']) == ({'label': ('Dog', composed)}, 1)
    assert only_classes(val, [apart]).size == 1
    write(tmp_path / 'val/dog/0.jpg')
    with pytest.raises(ValueError, match=r"train lacks: dog \('dog' is not 'Dog'\)"):
        source('folder', split='val', data_dir=tmp_path)


def test_masks_are_found_beside_their_images_in_depth_and_in_one_form(tmp_path):
    for image, mask in (('a/1.jpg', 'a/1.png'), ('b/1.jpg', 'b/1.tif'), ('\u00e9.jpg', 'e\u0301.png')):
        write(tmp_path / 'train/images' / image)
        write(tmp_path / 'train/masks' / mask, np.zeros((4, 4), np.uint8))
    (tmp_path / 'train/masks/._1.png').touch()
    data = source('folder_masks', split='train', data_dir=tmp_path)
    assert names_of(data, tmp_path / 'train/images') == ['a/1.jpg', 'b/1.jpg', '\u00e9.jpg']
    assert data.file_of(1, 'mask').endswith('masks/b/1.tif')
    assert data.files == '6 of 7 files; left out: 1 hidden (._1.png)'
    write(tmp_path / 'train/masks/b/2.jpg')
    with pytest.raises(ValueError, match=r'1 masks are JPEGs, whose compression .* save them as PNG.*b/2\.jpg'):
        source('folder_masks', split='train', data_dir=tmp_path)


def test_a_folder_of_the_other_kind_is_named(tmp_path):
    for name in ('masked/train/images/1.png', 'masked/train/masks/1.png', 'classes/train/cat/1.png'):
        write(tmp_path / name)
    with pytest.raises(ValueError, match=r"has images and masks, .* open it as 'folder_masks'"):
        source('folder', split='train', data_dir=tmp_path / 'masked')
    with pytest.raises(
        FileNotFoundError, match=r"no folder .*images, but cat; a folder for each class is opened as 'fold"
    ):
        source('folder_masks', split='train', data_dir=tmp_path / 'classes')


@pytest.mark.parametrize(
    ('text', 'found'),
    [
        (b'\xef\xbb\xbfground\r\nred\r\nblue\r\n\r\n', ('ground', 'red', 'blue')),
        ('ground\ncaf\u00e9'.encode('utf-16'), ('ground', 'caf\u00e9')),
        ('ground\rcafe\u0301'.encode(), ('ground', 'caf\u00e9')),
        (b'ground\n\nred\n', 'line 2 is blank. Line i names class i, from 0: name class 1, or remove the line'),
        (b'\nground', 'line 1 is blank'),
        (b'red\nground\nred \n', 'names a class twice: red'),
        ('ground\ncaf\u00e9'.encode('latin-1'), 'is no text in UTF-8'),
        (b'\xef\xbb\xbf \n', 'is empty'),
    ],
)  # fmt: skip
def test_line_i_of_the_classes_names_class_i(tmp_path, text, found):
    write(tmp_path / 'train/images/1.jpg')
    write(tmp_path / 'train/masks/1.png', np.zeros((4, 4), np.uint8))
    (tmp_path / 'classes.txt').write_bytes(text)
    if isinstance(found, tuple):
        assert source('folder_masks', split='train', data_dir=tmp_path).names == {'mask': found}
        return
    with pytest.raises(ValueError, match=rf'classes\.txt:? {re.escape(found)}'):
        source('folder_masks', split='train', data_dir=tmp_path)


def test_the_faults_of_a_mask_name_its_file(tmp_path, caplog):
    write(tmp_path / 'train/images/1.jpg')
    (tmp_path / 'classes.txt').write_text('ground\nred')
    mask, zeros = tmp_path / 'train/masks/1.png', np.zeros((4, 4), np.uint8)
    mask.parent.mkdir()
    steps = [transforms.decode(), transforms.decode_mask(), transforms.resize(size=2)]
    for fault, message in (
        (zeros + np.uint8(7), 'the mask has class 7, but there are 2'),
        (np.zeros((4, 5), np.uint8), r'the image has \(4, 4\) pixels, its mask \(4, 5\)'),
        (np.dstack([zeros, zeros + 1, zeros + 2]), 'the mask has colours'),
        (zeros.astype(np.uint16) + 300, 'the mask has class 300; classes are 0..254'),
        (b'<html>', r'the mask cannot be decoded: it is a web page'),
        (None, 'No such file'),
    ):
        mask.unlink(missing_ok=True)
        mask.write_bytes(fault) if isinstance(fault, bytes) else write(mask, fault if fault is not None else zeros)
        data = source('folder_masks', split='train', data_dir=tmp_path)
        if fault is None:
            mask.unlink()
        with pytest.raises(ValueError, match=message) as error:
            reader(data, steps)(0, 0)
        assert 'masks/1.png' in str(error.value), message
        assert fault is None or str(error.value).startswith(str(mask))
    write(mask, zeros + np.uint8(255))
    read = reader(source('folder_masks', split='train', data_dir=tmp_path), steps)
    for _ in range(2):
        assert read(0, 0)['mask'].min() == 255
    assert [record.message for record in caplog.records if 'ignored' in record.message] == [
        f'{mask}: all pixels of the mask are 255, which is ignored: nothing is learned from them. If they are a class, '
        "renumber them by 'relabel'. This is logged once."
    ]


def test_a_folder_without_splits(photos):
    for name in ('cat', 'dog'):
        for i in range(10):
            write(photos / 'flat' / name / f'{i}.png')
    write(photos / 'flat' / 'dog' / 'more' / '10.png')
    flat = photos / 'flat'
    whole = source('folder', split='train', data_dir=flat)
    assert (whole.size, whole.names, whole.counts) == (21, {'label': ('cat', 'dog')}, {'label': [10, 11]})
    parts = [source('folder', split=split, data_dir=flat) for split in ('train[:80%]', 'train[80%:]')]
    assert [part.counts['label'] for part in parts] == [[8, 9], [2, 2]]
    places = [{part.where(i) for i in range(part.size)} for part in parts]
    assert not places[0] & places[1]
    assert len(places[0] | places[1]) == 21
    seeded = source('folder', split='train[:80%]', data_dir=flat, options={'seed': 1})
    assert {seeded.where(i) for i in range(17)} != places[0]
    with pytest.raises(
        FileNotFoundError, match=r"2 folders with images, cat, dog, and none for each split.*'train\[80%:"
    ):
        source('folder', split='val', data_dir=flat)
    (flat / 'test').mkdir()  # the name of a split
    with pytest.raises(FileNotFoundError, match="has no folder 'train'; there are: cat, dog, test"):
        source('folder', split='train', data_dir=flat)


def test_files_that_cannot_be_images(photos):
    data = source('folder', split='train', data_dir=photos)
    assert [data.fault(i) for i in range(4)] == [''] * 4
    dogs = only_classes(data, ['dog'])
    for i in range(4):
        path = Path(data.where(i))
        path.write_bytes(path.read_bytes()[:-9])
    assert all('truncated' in data.fault(i) for i in range(4))
    path.unlink()
    assert 'No such file' in data.fault(3)
    assert 'truncated' in dogs.fault(0)
