"""COCO's JSON: what it may hold, what is tidied and counted, and the errors where something is amiss."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from jaxcv.data import describe, only_classes, source, subset, train_batches, transforms
from tests.data.objects import CATS, SIZE, box, coco, picture

SQUARE = [[2, 3, 12, 3, 12, 13, 2, 13]]


def opened(root, split='train'):
    return source('folder_coco', split=split, data_dir=root)


def fails(root, kind=ValueError, split='train'):
    with pytest.raises(kind) as error:
        opened(root, split)
    return str(error.value)


def boxes_of(data):
    return [data.read(i)['boxes'].tolist() for i in range(data.size)]


def test_categories_are_dense_in_the_order_of_their_ids_and_keep_them(tmp_path):
    categories = [{'id': 90, 'name': 'brush'}, {'id': 3, 'name': 'car'}, {'id': 18, 'name': 'dog'}]
    coco(tmp_path, {7: 'a.png', 9: 'b.png'}, [box(9, [1, 2, 3, 4], 90), box(9, [0, 0, 5, 5], 3)], categories)
    data = opened(tmp_path)
    assert data.names == {'box_labels': ('car', 'dog', 'brush')}
    assert data.class_ids == {'box_labels': (3, 18, 90)}
    assert [data.id_of(i) for i in range(2)] == [7, 9]
    assert subset(data, [1]).id_of(0) == 9
    example = data.read(1)
    assert example['box_labels'].tolist() == [2, 0]
    assert example['boxes'].tolist() == [[1, 2, 4, 6], [0, 0, 5, 5]]
    assert example['boxes'].dtype == np.float32
    assert boxes_of(data)[0] == []  # an image without objects is an example
    text = describe(data)
    assert 'category ids 3, 18, 90 are the labels 0..2' in text
    assert '2 boxes, at most 2 in an image; 1 images have none' in text
    assert 'classes without an object: dog' in text


def test_classes_are_chosen_by_name_in_any_order_and_the_images_stay(tmp_path):
    categories = [{'id': 5, 'name': 'cat'}, {'id': 6, 'name': 'dog'}, {'id': 7, 'name': 'fox'}]
    rows = [box(1, [0, 0, 2, 2], 5), box(1, [0, 0, 3, 3], 7), box(2, [0, 0, 4, 4], 6)]
    coco(tmp_path, {1: 'a.png', 2: 'b.png'}, rows, categories)
    data = only_classes(opened(tmp_path), ['fox', 'cat'])
    assert data.names == {'box_labels': ('fox', 'cat')}
    assert data.class_ids == {'box_labels': [7, 5]}
    first, second = data.read(0), data.read(1)
    assert first['box_labels'].tolist() == [1, 0]
    assert first['box_areas'].tolist() == [4, 9]
    assert second['boxes'].shape == (0, 4)
    one = only_classes(opened(tmp_path), ['dog'])
    assert [one.read(i)['box_labels'].tolist() for i in range(one.size)] == [[], [0]]
    with pytest.raises(ValueError, match="no class 'wolf'; there are: cat, dog, fox"):
        only_classes(opened(tmp_path), ['wolf'])
    with pytest.raises(ValueError, match='name one or more'):
        only_classes(opened(tmp_path), [])


def test_ids_may_be_texts_names_may_repeat_and_files_stand_in_folders(tmp_path):
    categories = [{'id': '10', 'name': 'cat'}, {'id': '9', 'name': 'cat'}, {'id': 11, 'name': ''}]
    images = {'first': 'a\\1.png', 'second': 'b/1.png', 3: '\u00e9.png'}
    rows = [box('first', [0, 0, 2, 2], '10', id=0), box('second', [0, 0, 3, 3], 9, id=0), box('3', [0, 0, 4, 4], 11)]
    coco(tmp_path, images, rows, categories)
    (tmp_path / 'train/\u00e9.png').rename(tmp_path / 'train/e\u0301.png')  # as macOS writes it
    data = opened(tmp_path)
    assert data.names['box_labels'] == ('cat (9)', 'cat (10)', '11')
    assert [data.read(i)['box_labels'].tolist() for i in range(3)] == [[1], [0], [2]]
    assert [Path(data.where(i)).relative_to(tmp_path / 'train').as_posix() for i in range(2)] == ['a/1.png', 'b/1.png']
    assert data.id_of(0) == 'first'


@pytest.mark.parametrize('place', ['{}/_annotations.coco.json', 'annotations/{}.json', '{}.json'])
def test_the_json_may_stand_elsewhere(tmp_path, place):
    coco(tmp_path, {1: 'deep/a.png'}, [box(1, [0, 0, 2, 2])], CATS, place=place)
    assert opened(tmp_path).size == 1
    (tmp_path / 'train/deep/a.png').rename(tmp_path / 'train/a.png')  # only the last part of the name is there
    assert opened(tmp_path).where(0).endswith('train/a.png')


def test_boxes_are_clipped_dropped_and_counted(tmp_path):
    rows = [
        box(1, [-5, 2, 10, 4]),  # beyond the left border
        box(1, [25, 15, 10, 10]),  # and the lower right one
        box(1, [40, 2, 5, 5]),  # outside
        box(1, [3, 3, 0, 5]),
        box(1, [3, 3, 5, -2]),
        box(1, [1, 1, 2, 2]),
        box(1, [1, 1, 2, 2]),  # again
        box(8, [1, 1, 2, 2]),  # of no image
    ]
    coco(tmp_path, {1: 'a.png'}, rows, CATS)
    data = opened(tmp_path)
    assert boxes_of(data) == [[[0, 2, 5, 6], [25, 15, 30, 20], [1, 1, 3, 3], [1, 1, 3, 3]]]
    for note in (
        'boxes clipped at the border of their image: 2 (',
        'boxes dropped, without area in their image: 3 (',
        'boxes given twice, kept: 1 (',
        'objects of images that are not listed, left out: 1',
    ):
        assert note in data.files
    assert f'({tmp_path}/train/a.png)' in data.files


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_boxes_that_are_not_finite_are_refused(tmp_path, value):
    path = coco(tmp_path, {1: 'a.png', 2: 'b.png'}, [box(1, [0, 0, 2, 2]), box(2, [0, value, 2, 2])], CATS)
    message = fails(tmp_path)
    assert message.startswith(f'{path}: a box that is not finite')
    assert 'train/b.png; 1 of 2 boxes are so' in message


def test_corners_in_place_of_widths_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    first = rng.uniform(0, (14, 9), (40, 2))
    corners = np.concatenate([first, first + rng.uniform(1, (14, 9), (40, 2))], axis=1)
    coco(tmp_path, {1: 'a.png'}, [box(1, row) for row in corners.tolist()], CATS)
    assert 'none would if they were corners (x1, y1, x2, y2): a bbox is x, y, width, height' in fails(tmp_path)
    widths = np.concatenate([first, corners[:, 2:] - first], axis=1)
    coco(tmp_path, {1: 'a.png'}, [box(1, row) for row in widths.tolist()], CATS)
    assert len(boxes_of(opened(tmp_path))[0]) == 40


def test_crowds_are_marked_and_a_set_of_crowds_only_is_told(tmp_path):
    runs = {'size': list(SIZE), 'counts': [0, 40, 560]}
    rows = [
        box(1, [0, 0, 2, 20], iscrowd=1, segmentation=runs),
        box(1, [1, 1, 2, 2], ignore=1),
        box(1, [1, 1, 3, 3], iscrowd=0),
        box(1, [1, 1, 4, 4]),
    ]
    coco(tmp_path, {1: 'a.png'}, rows, CATS)
    data = opened(tmp_path)
    assert data.read(0)['box_crowd'].tolist() == [True, True, False, False]
    assert 'none will be trained' not in data.files
    coco(tmp_path, {1: 'a.png'}, [{**row, 'iscrowd': 1} for row in rows], CATS)
    assert 'all 4 boxes are regions of a crowd: none will be trained' in opened(tmp_path).files


def test_areas_and_boxes_that_are_missing_are_those_of_the_outline(tmp_path):
    text = {'size': list(SIZE), 'counts': [40, 10, 550]}
    rows = [
        box(1, [2, 3, 10, 10], area=77.5, segmentation=SQUARE),
        box(1, [2, 3, 10, 10], segmentation=SQUARE),
        box(1, [2, 3, 4, 5]),
        {'image_id': 1, 'category_id': 1, 'segmentation': SQUARE},
        {'image_id': 1, 'category_id': 1, 'segmentation': text, 'iscrowd': 1},
    ]
    coco(tmp_path, {1: 'a.png'}, rows, CATS)
    example = opened(tmp_path).read(0)
    assert example['box_areas'].tolist() == [77.5, 100, 20, 100, 10]
    assert example['boxes'][3:].tolist() == [[2, 3, 12, 13], [2, 0, 3, 10]]


def test_masks_of_polygons_and_both_kinds_of_run_lengths(tmp_path):
    mask = np.zeros(SIZE, np.uint8)
    mask[3:13, 2:12] = 1
    runs = np.diff([0, *np.flatnonzero(np.diff(mask.T.ravel())) + 1, mask.size]).tolist()
    rows = [
        box(1, [2, 3, 10, 10], segmentation=SQUARE),
        box(1, [2, 3, 10, 10], segmentation={'size': list(SIZE), 'counts': runs}),
    ]
    coco(tmp_path, {1: 'a.png', 2: 'b.png'}, [*rows, box(2, [0, 0, 2, 2], segmentation=[])], CATS)
    data = opened(tmp_path)
    decode = transforms.compose([transforms.decode(), transforms.outline_masks()])
    masks = decode(data.read(0))['instance_masks']
    assert (masks == mask).all()
    assert masks.dtype == np.uint8
    # An object without an outline is an error for masks, not for boxes.
    with pytest.raises(ValueError, match='1 of 1 objects have no outline'):
        decode(data.read(1))
    steps = [transforms.decode(), transforms.pad_boxes(max_boxes=3)]
    batch = next(train_batches(data, batch_size=2, transforms=steps, seed=0))
    assert sorted(batch['box_valid'].sum(axis=1).tolist()) == [1, 2]
    assert 'outlines' not in batch
    # All of an example's features of objects move and are chosen together.
    steps = [transforms.decode(), transforms.outline_masks(), transforms.random_flip(probability=1.0)]
    moved = transforms.compose(steps)({**data.read(0), 'seed': 0})
    rows, columns = np.nonzero(moved['instance_masks'][1])
    assert [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] == moved['boxes'][1].tolist()


def test_an_image_of_another_size_than_the_json_says(tmp_path):
    """The boxes would not fit: resized after it was labelled, or turned by its EXIF."""
    coco(tmp_path, {1: 'a.png', 2: 'b.png'}, [box(1, [0, 0, 2, 2])], CATS)
    picture(tmp_path / 'train/a.png', (40, 60))
    picture(tmp_path / 'train/b.png', SIZE[::-1])
    data = opened(tmp_path)
    with pytest.raises(
        ValueError, match='it has 30 x 20 pixels by the boxes, the image 60 x 40, so its boxes would not'
    ):
        data.read(0)
    with pytest.raises(ValueError, match='an image turned by its EXIF'):
        data.read(1)
    with pytest.raises(ValueError, match=r'instances_train.json: it has 30 x 20 pixels by the boxes'):
        next(train_batches(subset(data, [0]), batch_size=1, transforms=[transforms.decode()], seed=0))
    coco(tmp_path, {1: 'a.png'}, [box(1, [50, 0, 20, 2])], CATS, sizes=False)
    picture(tmp_path / 'train/a.png', (40, 60))
    assert boxes_of(opened(tmp_path)) == [[[50, 0, 60, 2]]]


def test_files_that_are_no_json_of_objects(tmp_path):
    rows = [box(1, [0, 0, 2, 2])]
    path = coco(tmp_path, {1: 'a.png'}, rows, CATS)
    whole = json.loads(path.read_text())

    def message(content, kind=ValueError):
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return fails(tmp_path, kind)

    assert 'is no JSON, or truncated' in message(path.read_text()[:-9])
    assert 'is a list, as results are' in message([{'image_id': 1, 'score': 0.5}])
    assert 'should have the lists images, annotations, categories; there are: images, categories' in message(
        {name: whole[name] for name in ('images', 'categories')}
    )
    assert "images[0] has no id or no file_name: {'id': 1}" in message({**whole, 'images': [{'id': 1}]})
    assert 'two images have the id 1' in message({**whole, 'images': whole['images'] * 2})
    assert 'lists no images' in message({**whole, 'images': []})
    assert 'lists no categories' in message({**whole, 'categories': []})
    assert 'categories[0] has no id' in message({**whole, 'categories': [{'name': 'cat'}]})
    assert 'two categories have the id 1' in message({**whole, 'categories': [*CATS, {'id': '1', 'name': 'dog'}]})
    assert 'annotations[0] is of the category 4; there are: 1' in message({**whole, 'annotations': [box(1, [], 4)]})
    assert "annotation 'x': it has neither a bbox nor a segmentation" in message(
        {**whole, 'annotations': [box(1, None, id='x')]}
    )
    assert 'its bbox has 3 numbers' in message({**whole, 'annotations': [box(1, [1, 2, 3])]})
    assert 'none of the 1 objects has the image_id of an image' in message({**whole, 'annotations': [box(5, [0] * 4)]})
    assert 'a polygon is 6 numbers or more' in message(
        {**whole, 'annotations': [{'image_id': 1, 'category_id': 1, 'segmentation': [[1, 2, 3, 4]]}]}
    )
    path.write_text(json.dumps(whole))
    (tmp_path / 'train/a.png').unlink()
    assert 'lists 1 images of 1 that are not in' in fails(tmp_path, FileNotFoundError)
    assert fails(tmp_path, FileNotFoundError, 'val').endswith("of the split 'val'; there are: train")


def test_parts_of_a_split_share_no_image_and_splits_have_one_list_of_categories(tmp_path):
    images = {i: f'{i}.png' for i in range(10)}
    coco(tmp_path, images, [box(i, [0, 0, 1 + i, 2]) for i in range(10)], CATS)
    first, rest = (opened(tmp_path, split) for split in ('train[:80%]', 'train[80%:]'))
    assert (first.size, rest.size) == (8, 2)
    assert sorted(data.id_of(i) for data in (first, rest) for i in range(data.size)) == list(range(10))
    coco(tmp_path, {1: 'a.png'}, [], CATS, split='val')
    assert opened(tmp_path, 'train+val').size == 11
    coco(tmp_path, {1: 'a.png'}, [], [{'id': 2, 'name': 'dog'}], split='val')
    message = fails(tmp_path, split='train+val')
    assert "'val' has other categories than 'train'" in message
    assert "[(1, 'cat'), (2, 'dog')]" in message


def test_labels_that_are_edited_are_read_anew(tmp_path):
    coco(tmp_path, {1: 'a.png'}, [box(1, [0, 0, 2, 2])], CATS)
    assert boxes_of(opened(tmp_path)) == [[[0, 0, 2, 2]]]
    coco(tmp_path, {1: 'a.png'}, [box(1, [0, 0, 9, 9])], CATS)
    assert boxes_of(opened(tmp_path)) == [[[0, 0, 9, 9]]]


def test_a_broken_image_is_reported_when_it_is_read(tmp_path):
    coco(tmp_path, {1: 'a.png'}, [box(1, [0, 0, 2, 2])], CATS, sizes=False)
    (tmp_path / 'train/a.png').write_bytes(b'')
    data = opened(tmp_path)
    with pytest.raises(ValueError, match=r'a\.png: the image cannot be decoded: it is an empty file'):
        next(train_batches(data, batch_size=1, transforms=[transforms.decode()], seed=0))


def test_a_photo_turned_by_its_exif_has_the_size_that_it_is_decoded_to(tmp_path):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    coco(tmp_path, {1: 'a.jpg'}, [box(1, [0, 0, 2, 2])], CATS)
    Image.new('RGB', SIZE).save(tmp_path / 'train/a.jpg', exif=exif)  # stored on its side
    example = transforms.decode()(opened(tmp_path).read(0))
    assert example['image'].shape[:2] == SIZE
    assert cv2.imread(str(tmp_path / 'train/a.jpg')).shape[:2] == SIZE
