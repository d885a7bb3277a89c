"""Pascal VOC's XML: where pixels are counted from, what is read of it, and the errors where something is amiss."""

from pathlib import Path

import pytest

from jaxcv.data import source, train_batches, transforms
from tests.data.objects import picture, voc

DIFFICULT = '<difficult>1</difficult>'


def opened(root, split='train'):
    return source('folder_voc', split=split, data_dir=root)


def fails(root, kind=ValueError, split='train'):
    with pytest.raises(kind) as error:
        opened(root, split)
    return str(error.value)


def test_boxes_are_counted_from_one_with_the_last_pixel(tmp_path):
    part = '<part><name>head</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part>'
    voc(
        tmp_path,
        {
            'b': [('dog', 1, 1, 30, 20), ('cat', 5, 6, 5, 6, DIFFICULT, part)],
            'a': [('cat', '2.0', 3, 4, 5)],
            'c': [],
        },
    )
    data = opened(tmp_path)
    assert data.names == {'box_labels': ('cat', 'dog')}
    assert [data.id_of(i) for i in range(3)] == ['b', 'a', 'c']
    examples = [data.read(i) for i in range(3)]
    assert [example['boxes'].tolist() for example in examples] == [
        [[0, 0, 30, 20], [4, 5, 5, 6]], [[1, 2, 4, 5]], []]  # fmt: skip
    assert [example['box_labels'].tolist() for example in examples] == [[1, 0], [0], []]
    assert [example['box_difficult'].tolist() for example in examples] == [[False, True], [False], []]
    assert Path(data.file_of(0, 'boxes')).name == 'b.xml'
    assert Path(data.where(0)).name == 'b.png'
    steps = [transforms.decode(), transforms.pad_boxes(max_boxes=4)]
    batch = next(train_batches(data, batch_size=3, transforms=steps, seed=0))
    assert batch['box_difficult'].dtype == bool
    assert batch['box_difficult'].sum() == 1


def test_a_minimum_of_zero_says_that_pixels_are_counted_from_zero(tmp_path):
    """For all splits alike, whichever has the zero."""
    voc(tmp_path, {'a': [('cat', 2, 3, 6, 8)], 'b': [('cat', 0, 3, 6, 8)]}, split='all', train=['a'], val=['b'])
    for split, box in (('train', [2, 3, 6, 8]), ('val', [0, 3, 6, 8])):
        data = opened(tmp_path, split)
        assert data.read(0)['boxes'].tolist() == [box]
        assert f'a minimum is 0 ({tmp_path}/Annotations/b.xml): corners are taken as counted from 0' in data.files


def test_classes_are_those_of_all_files_or_listed(tmp_path):
    voc(tmp_path, {'a': [('dog', 1, 1, 2, 2)], 'b': [('cat', 1, 1, 2, 2)]}, split='all', train=['a'])
    assert opened(tmp_path).names == {'box_labels': ('cat', 'dog')}
    assert opened(tmp_path).read(0)['box_labels'].tolist() == [1]
    (tmp_path / 'classes.txt').write_text('dog\nfox\ncat\n')
    assert opened(tmp_path).read(0)['box_labels'].tolist() == [0]
    (tmp_path / 'classes.txt').write_text('dgo\ncat\n')
    message = fails(tmp_path)
    assert f"classes of objects that {tmp_path}/classes.txt lacks: 'dog' ({tmp_path}/Annotations/a.xml)" in message
    assert message.endswith('it names: dgo, cat')


def test_boxes_turned_inside_out_are_refused_with_their_file(tmp_path):
    """As x, y, width and height are, in place of corners."""
    voc(tmp_path, {'a': [('cat', 1, 1, 5, 5)], 'b': [('cat', 2, 2, 9, 9), ('cat', 20, 12, 5, 5)]})
    message = fails(tmp_path)
    assert message.startswith(f'{tmp_path}/Annotations/b.xml: a box turned inside out')
    assert '= (19, 11, 5, 5) of the image' in message
    assert '1 of 3 boxes' in message


@pytest.mark.parametrize(
    'head',
    [
        '<!DOCTYPE annotation SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE a [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;">]>',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "http://127.0.0.1:9/x">]>',
    ],
)
def test_entities_are_refused(tmp_path, head):
    voc(tmp_path, {'a': [('cat', 1, 1, 5, 5)]})
    path = tmp_path / 'Annotations/a.xml'
    path.write_text(f'<?xml version="1.0"?>{head}{path.read_text()}')
    assert 'a.xml cannot be read: it declares a document type or entities' in fails(tmp_path)
    path.write_text('<annotation>&lol;</annotation>')
    assert 'a.xml cannot be read: undefined entity' in fails(tmp_path)


def test_files_that_are_no_annotations(tmp_path):
    voc(tmp_path, {'a': [('cat', 1, 1, 5, 5)]})
    path = tmp_path / 'Annotations/a.xml'
    whole = path.read_text()
    for content, message in (
        (whole[:-20], 'a.xml cannot be read: '),
        ('', 'a.xml cannot be read: no element found'),
        ('<html></html>', 'it is no annotation'),
        (whole.replace('<name>cat</name>', ''), 'an object has no name'),
        (whole.replace('<xmax>5</xmax>', ''), 'an object has no bndbox with xmin, ymin, xmax, ymax'),
        (whole.replace('>5<', '>five<'), "could not convert string to float: 'five'"),
        (whole.replace('<xmax>5<', '<xmax>nan<'), 'a box that is not finite'),
    ):
        path.write_text(content)
        assert message in fails(tmp_path)


def test_what_the_lists_name_must_be_there(tmp_path):
    voc(tmp_path, {'a': [('cat', 1, 1, 5, 5)]})
    main = tmp_path / 'ImageSets/Main'
    (main / 'cat_train.txt').write_text('a  1\r\n')  # a list of one class has a second column
    assert opened(tmp_path, 'cat_train').id_of(0) == 'a'
    (main / 'more.txt').write_text('a\nb\n')
    assert 'more.txt lists 1 names without images in JPEGImages: b' in fails(tmp_path, FileNotFoundError, 'more')
    picture(tmp_path / 'JPEGImages/b.png')
    assert 'lists 1 names without files in Annotations: b' in fails(tmp_path, FileNotFoundError, 'more')
    (main / 'none.txt').write_text('\n')
    assert 'none.txt lists no images' in fails(tmp_path, split='none')
    message = fails(tmp_path, FileNotFoundError, 'test')
    assert "has no list of the split 'test'; there are: cat_train, more, none, train" in message
    assert 'VOCdevkit/VOC2007 has: is it meant?' in fails_in_kit(tmp_path)


def fails_in_kit(root):
    """The message for the folder above the one that is meant."""
    inner = root / 'kit/VOCdevkit/VOC2007'
    voc(inner, {'a': []})
    return fails(root / 'kit', FileNotFoundError)


def test_a_size_of_zero_is_read_from_the_image(tmp_path):
    voc(tmp_path, {'a': [('cat', 1, 1, 90, 5)]}, size=(0, 0))
    data = opened(tmp_path)
    assert data.read(0)['boxes'].tolist() == [[0, 0, 30, 5]]
    assert 'boxes clipped at the border of their image: 1' in data.files
    voc(tmp_path, {'a': [('cat', 1, 1, 9, 5)]}, size=(20, 31))
    with pytest.raises(ValueError, match='it has 31 x 20 pixels by the boxes, the image 30 x 20'):
        opened(tmp_path).read(0)


def test_parts_of_a_split(tmp_path):
    voc(tmp_path, {str(i): [('cat', 1, 1, 2 + i, 5)] for i in range(10)})
    parts = [opened(tmp_path, split) for split in ('train[:70%]', 'train[70%:]')]
    assert [part.size for part in parts] == [7, 3]
    assert len({part.id_of(i) for part in parts for i in range(part.size)}) == 10
