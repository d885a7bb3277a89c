"""YOLO's text files: shares of the image, polygons, backgrounds, and the errors where something is amiss."""

from pathlib import Path

import numpy as np
import pytest

from jaxcv.data import source, train_batches, transforms
from tests.data.objects import SIZE, picture, yolo

NAMES = 'names: [cat, dog]\n'


def opened(root, split='train'):
    return source('folder_yolo', split=split, data_dir=root)


def fails(root, kind=ValueError, split='train'):
    with pytest.raises(kind) as error:
        opened(root, split)
    return str(error.value)


@pytest.mark.parametrize('layout', [('images/{}', 'labels/{}'), ('{}/images', '{}/labels')])
def test_lines_become_boxes_in_pixels(tmp_path, layout):
    labels = {
        'a': '1 0.5 0.5 0.2 0.5\r\n0.0 0.25 0.25 0.5 0.5\n',
        'deep/b': '0 0.1 0.2 0.4 0.2 0.3 0.8',  # a polygon
        'c': '',
        'd': None,
    }
    yolo(tmp_path, labels, images=layout[0], texts=layout[1])
    (tmp_path / 'data.yaml').write_text(NAMES)
    data = opened(tmp_path)
    height, width = SIZE
    assert data.names == {'box_labels': ('cat', 'dog')}
    assert [data.id_of(i) for i in range(4)] == ['a', 'c', 'd', 'deep/b']
    examples = [data.read(i) for i in range(4)]
    expected = [
        np.array([[0.4, 0.25, 0.6, 0.75], [0, 0, 0.5, 0.5]]), np.zeros((0, 4)), np.zeros((0, 4)),
        np.array([[0.1, 0.2, 0.4, 0.8]])]  # fmt: skip
    for example, shares in zip(examples, expected, strict=True):
        np.testing.assert_allclose(example['boxes'], shares * [width, height, width, height], rtol=1e-6)
        assert example['boxes'].dtype == np.float32
    assert [example['box_labels'].tolist() for example in examples] == [[1, 0], [], [], [0]]
    assert '3 boxes, at most 2 in an image; 2 images have none' in data.files
    assert 'images without a file of labels, taken as background: 1 (' in data.files
    assert Path(data.file_of(0, 'boxes')).name == 'a.txt'
    assert Path(data.file_of(2, 'boxes')).name == 'd.png'
    steps = [transforms.decode(), transforms.pad_boxes(max_boxes=2)]
    batch = next(train_batches(data, batch_size=4, transforms=steps, seed=0))
    assert sorted(batch['box_valid'].sum(axis=1).tolist()) == [0, 0, 1, 2]


def test_boxes_are_clipped_dropped_and_counted(tmp_path):
    lines = ['0 0.05 0.5 0.2 0.5', '0 1.2 0.5 0.1 0.1', '0 0.5 0.5 0 0.1', *['1 0.5 0.5 0.2 0.2'] * 2]
    yolo(tmp_path, {'a': '\n'.join(lines), 'b': '0 0.5 0.5 1.0000001 1'})
    data = opened(tmp_path)
    np.testing.assert_allclose(data.read(0)['boxes'], [[0, 5, 4.5, 15], [12, 8, 18, 12]], rtol=1e-6)
    for note in (
        'boxes clipped at the border of their image: 1 (',
        'boxes dropped, without area in their image: 2 (',
        'boxes given twice, dropped once: 1 (',
    ):
        assert note in data.files


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('2 0.5 0.5 0.1 0.1', r'the class is 2, but .*data.yaml names 2, 0..1'),
        ('-1 0.5 0.5 0.1 0.1', 'the class is -1; classes are numbered from 0'),
        ('0.5 0.5 0.5 0.1 0.1', 'the class is 0.5'),
        ('cat 0.5 0.5 0.1 0.1', "could not convert string to float: 'cat'"),
        ('0 0.5 0.5 0.1', 'it has 4 numbers; wanted are class cx cy w h'),
        ('0 0.5 0.5 0.1 0.1 0.9', r'it has 6 numbers \(a prediction with its score\?\)'),
        ('0 0.5 0.5 nan 0.1', 'it has numbers that are not finite'),
        ('0 15 10 4 6', r'numbers far outside of \[0, 1\].*they are shares of the image, no pixels'),
    ],
)
def test_lines_that_are_wrong_are_named(tmp_path, line, message):
    yolo(tmp_path, {'a': f'0 0.5 0.5 0.1 0.1\n\n{line}\n'})
    (tmp_path / 'data.yaml').write_text(NAMES)
    with pytest.raises(ValueError, match=rf'labels/train/a.txt, line 3: .*{message}'):
        opened(tmp_path)


def test_names_of_classes(tmp_path):
    yolo(tmp_path, {'a': '1 0.5 0.5 0.1 0.1'})
    assert opened(tmp_path).names == {}
    (tmp_path / 'classes.txt').write_text('cat\ndog\n')
    assert opened(tmp_path).names == {'box_labels': ('cat', 'dog')}
    path = tmp_path / 'data.yaml'
    path.write_text('path: ../elsewhere\ntrain: images/train\nnc: 2\nnames:\n  1: dog\n  0: cat\n')
    assert opened(tmp_path).names == {'box_labels': ('cat', 'dog')}
    path.write_text('names: [7, 8.5]')
    assert opened(tmp_path).names == {'box_labels': ('7', '8.5')}
    for content, message in (
        ('names: {0: cat, 2: dog}', r'names has the numbers \[0, 2\], not 0..1'),
        ('names: []', 'has no names of classes'),
        ('- cat', 'has no names of classes'),
        ('names: [cat, cat]', 'names a class twice: cat, cat'),
        ('nc: 3\nnames: [cat, dog]', 'says nc: 3, but has 2 names: cat, dog'),
        ('names: [cat', 'is no YAML of plain values'),
    ):
        path.write_text(content)
        with pytest.raises(ValueError, match=message):
            opened(tmp_path)


def test_tags_of_yaml_run_nothing(tmp_path):
    yolo(tmp_path, {'a': ''})
    marker = tmp_path / 'ran'
    (tmp_path / 'data.yaml').write_text(f'names: !!python/object/apply:os.system ["touch {marker}"]')
    assert 'is no YAML of plain values' in fails(tmp_path)
    assert not marker.exists()


def test_folders_that_are_not_as_they_should_be(tmp_path):
    yolo(tmp_path, {'a': ''})
    (tmp_path / 'images/val').mkdir()
    assert 'there is no folder' in fails(tmp_path, FileNotFoundError, 'val')
    assert "of the split 'test'; there are: train, val" in fails(tmp_path, FileNotFoundError, 'test')
    (tmp_path / 'labels/val').mkdir()
    assert 'has no images' in fails(tmp_path, split='val')
    picture(tmp_path / 'images/val/x.png')
    (tmp_path / 'labels/val/y.txt').write_text('')
    assert 'none of the 1 images' in fails(tmp_path, split='val')
    (tmp_path / 'labels/val/x.txt').write_text('')
    (tmp_path / 'labels/val/classes.txt').write_text('cat')  # as labelImg leaves it
    assert 'files of labels without an image: 1 (y)' in opened(tmp_path, 'val').files


def test_labels_that_are_edited_are_read_anew(tmp_path):
    yolo(tmp_path, {'a': '0 0.5 0.5 0.2 0.2'})
    before = opened(tmp_path).read(0)['boxes']
    (tmp_path / 'labels/train.cache').write_bytes(b'stale')
    yolo(tmp_path, {'a': '0 0.5 0.5 1 1'})
    assert opened(tmp_path).read(0)['boxes'].tolist() == [[0, 0, 30, 20]]
    assert before.tolist() != [[0, 0, 30, 20]]


def test_parts_of_a_split(tmp_path):
    yolo(tmp_path, {str(i): '' for i in range(10)})
    parts = [opened(tmp_path, split) for split in ('train[:70%]', 'train[70%:]')]
    assert [part.size for part in parts] == [7, 3]
    assert len({part.id_of(i) for part in parts for i in range(part.size)}) == 10
