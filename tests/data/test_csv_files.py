"""Tables of files and labels: what they may hold, and all that is amiss with them, at once."""

import shutil

import cv2
import numpy as np
import pytest

from jaxcv.data import only_classes, source, subset

PNG = cv2.imencode('.png', np.zeros((2, 3, 3), np.uint8))[1].tobytes()


@pytest.fixture
def root(tmp_path):
    for i in range(12):
        (tmp_path / f'{i}.png').write_bytes(PNG)
    return tmp_path


def table(root, *rows, name='labels.csv'):
    (root / name).write_text('\n'.join(rows) + '\n', encoding='utf-8')


def opened(root, split='train', **options):
    return source('folder_csv', split=split, data_dir=root, options=options)


def message(root, split='train', kind=ValueError, **options):
    with pytest.raises(kind) as error:
        opened(root, split, **options)
    return str(error.value)


def test_one_label_an_image(root):
    table(root, 'file;label', *(f'{i}.png;{"cat" if i % 3 else "dog"}' for i in range(12)))
    assert "its cells are separated by ';': give delimiter=';'" in message(root)
    data = opened(root, delimiter=';')
    assert (data.size, data.names, data.counts) == (12, {'label': ('cat', 'dog')}, {'label': [8, 4]})
    assert data.read(3) == {'image': PNG, 'label': 1}
    assert opened(root / 'labels.csv', delimiter=';').where(3) == str(root / '3.png')  # the path of the table itself
    parts = [opened(root, split, delimiter=';') for split in ('train[:75%]', 'train[75%:]')]
    assert [part.counts['label'] for part in parts] == [[6, 3], [2, 1]]
    places = [{part.where(i) for i in range(part.size)} for part in parts]
    assert len(places[0] | places[1]) == 12
    other = opened(root, 'train[:75%]', delimiter=';', seed=1)
    assert {other.where(i) for i in range(9)} != places[0]
    assert "train on 'train[:80%]' and evaluate on 'train[80%:]'" in message(
        root, 'val', FileNotFoundError, delimiter=';'
    )
    (root / 'classes.txt').write_text('dog\ncat\nfox')
    assert opened(root, delimiter=';').counts == {'label': [4, 8, 0]}


def test_several_labels_an_image(root):
    table(root, 'file,tags,cat,dog', '0,cat| dog|cat,1,1', '1,,0,0.0', '2,dog,false,True')
    separated = opened(root, label='tags', separator='|', suffix='.png')
    columns = opened(root, columns=['dog', 'cat'], suffix='.png')
    assert (separated.names, columns.names) == ({'labels': ('cat', 'dog')}, {'labels': ('dog', 'cat')})
    assert [separated.read(i)['labels'].tolist() for i in range(3)] == [[1, 1], [0, 0], [0, 1]]
    assert [columns.read(i)['labels'].tolist() for i in range(3)] == [[1, 1], [0, 0], [1, 0]]
    assert (separated.counts, subset(separated, [0]).counts) == ({'labels': [1, 2]}, {})
    kept = only_classes(separated, ['dog'])
    assert (kept.names, kept.counts, kept.read(0)['labels'].tolist()) == ({'labels': ('dog',)}, {'labels': [2]}, [1])
    shutil.copy(root / 'labels.csv', root / 'train.csv')
    (root / 'labels.csv').unlink()
    table(root, 'file,tags', '3,cat', '4,fox', '5,fox|ox', name='val.csv')
    given = {'label': 'tags', 'separator': '|', 'suffix': '.png'}
    assert "has 2 labels that the split 'train' lacks: 'fox' in 2, 'ox' in 1 rows" in message(root, 'val', **given)
    assert message(root, 'test', FileNotFoundError, **given).endswith(
        "no table of the split 'test'; there are: train, val"
    )
    every = opened(root, 'dog', columns=['*'], suffix='.png', split_column='tags', table='train.csv')
    assert (every.size, every.names) == (1, {'labels': ('cat', 'dog')})


def test_a_column_of_splits(root):
    table(root, 'file,label,part', '0.png,cat,train', '1.png,dog,train', '2.png,cat,test', '3.png,cat,test')
    assert opened(root, 'test', split_column='part').counts == {'label': [2, 0]}
    assert message(root, 'val', FileNotFoundError, split_column='part').endswith("'val'; there are: test, train")


def test_all_that_is_amiss_is_said_at_once(root):
    table(
        root,
        'file,label',
        *('0.png,cat', '0.png,cat', '1.png,cat', '1.png,dog', '2.png,', ',cat', '3.png', '20.png,dog', '21.png,dog'),
    )
    found = message(root)
    assert 'of 9 rows, has' in found
    for line in (
        '1 rows with other than 2 cells: line 8 has 1',
        '1 rows without a file: line 7',
        '1 rows without a label: line 6',
        '1 rows of a file that an earlier row has with other labels or in another split: 1.png in lines 4 and 5',
        f"2 files that are not there (if they are in a folder of their own, give its name by 'images'): {root}/20.png "
        f'(line 9), {root}/21.png (line 10)',
    ):
        assert line in found
    assert 'lacks 2 columns: name (file=name), lable (label=lable)' in message(root, file='name', label='lable')
    assert "folder_csv has no argument 'labl', did you mean label?" in message(root, labl='x')
    table(root, 'file,cat', '0.png,1', '1.png,maybe', '2.png,')
    assert 'lacks 1 column: label (label=label). Its columns are: file, cat; name those that hold them' in message(root)
    assert "data.options={'label': 'cat'}" in message(root)
    assert "2 rows with other values than 0 and 1: 'maybe' of cat in line 3, '' of cat in line 4" in message(
        root, columns=['cat']
    )
    table(root, 'file,label', '0.png,cat', '0.png,cat', '1.png,dog')
    assert opened(root).files == '1 repeated rows of labels.csv left out'
    table(root, 'file,label', '0,cat')
    assert "they are there with suffix='.png'" in message(root)
    table(root, 'file,label')
    assert 'has no rows' in message(root)
    assert 'the tables in' in message(root, table='other.csv', kind=FileNotFoundError)
