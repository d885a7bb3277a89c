"""One example as it goes into a batch: every feature of the table is checked by its row."""

import cv2
import numpy as np
import pytest

from jaxcv.data import Source, only_classes, subset, train_batches
from jaxcv.data.reading import BrokenExampleError, checked, reader
from jaxcv.data.sources import place
from jaxcv.features import FEATURES, OF_CLASSES, MisuseError

LENGTHS = {'h': 5, 'w': 4, 'c': 3, 'k': 2, 'p': 6, 'y': 7, 'b': 1, 'classes': 3}
EXAMPLE = {
    name: np.zeros([LENGTHS.get(axis) or int(axis) for axis in row.axes.split()], row.dtype)
    for name, row in FEATURES.items()
}


def test_features_of_the_table_pass_and_have_its_types():
    found = checked(EXAMPLE, {})
    assert found.keys() == FEATURES.keys()
    wide = {'int32': np.int64, 'float32': np.float64, 'uint8': bool, 'bool': np.uint8}
    wider = checked({name: value.astype(wide[str(value.dtype)]) for name, value in EXAMPLE.items()}, {})
    for name, row in FEATURES.items():
        assert found[name].dtype == wider[name].dtype == row.dtype
        assert found[name].shape == wider[name].shape == EXAMPLE[name].shape
    assert found['image'] is EXAMPLE['image']  # no copy


def test_other_features_pass_if_they_are_numbers():
    others = {'weight': 0.5, 'id': 'n7', 'objects': {'bbox': 1}, 'raw': b'bytes', 'count': np.int64(3), 'seed': 5}
    found = checked({**EXAMPLE, **others}, {})
    assert found.keys() == {*FEATURES, 'weight', 'count'}
    assert (found['weight'].dtype, found['count'].dtype) == (np.float64, np.int64)


@pytest.mark.parametrize('name', FEATURES)
def test_a_wrong_type_or_shape_is_an_error_that_names_the_feature(name):
    row, value = FEATURES[name], EXAMPLE[name]
    remedy = f'use {row.decoder!r}' if row.decoder else "'rename' it, or drop it by 'keep'"
    for wrong in (value[None], np.full(value.shape, 'x'), value.astype(complex)):
        with pytest.raises(ValueError, match=f'^the {name} is .* not {row.dtype} ') as error:
            checked({**EXAMPLE, name: wrong}, {})
        assert str(error.value).endswith(f'[{row.axes}]; {remedy}')
    if row.dtype == 'uint8':  # integers beyond 255 and shares in [0, 1] would be wrong silently
        for dtype in (np.int32, np.float32):
            with pytest.raises(ValueError, match=f'the {name} is {np.dtype(dtype)}'):
                checked({**EXAMPLE, name: value.astype(dtype)}, {})
    if row.decoder:
        with pytest.raises(ValueError, match=f'the {name} is still encoded; begin the transforms with {row.decoder!r}'):
            checked({**EXAMPLE, name: b'bytes'}, {})


@pytest.mark.parametrize('name', [name for name, row in FEATURES.items() if {'h', 'k'} & set(row.axes)])
def test_features_have_one_size_in_pixels_and_one_number_of_objects(name):
    for axis, message in (('h', r'pixels, its \w+ \(\d+, 4\)'), ('k', r'has \d objects, its \w+ \d$')):
        if axis in FEATURES[name].axes:
            grown = np.concatenate([EXAMPLE[name]] * 2, FEATURES[name].axes.split().index(axis))
            with pytest.raises(ValueError, match=message) as error:
                checked({**EXAMPLE, name: grown}, {})
            assert name in str(error.value) or name == 'image'
    with pytest.raises(ValueError, match=r'^the boxes is float32 \(2, 5\), not float32 \[k 4\]'):
        checked({**EXAMPLE, 'boxes': np.zeros((2, 5), np.float32)}, {})


@pytest.mark.parametrize('name', [name for name, row in FEATURES.items() if row.names and row.axes != OF_CLASSES])
def test_classes_have_names(name):
    row, zeros, names = FEATURES[name], EXAMPLE[name], {name: ('a', 'b', 'c'), 'other': ('x',)}
    for value in (0, 2):
        checked({**EXAMPLE, name: zeros + value}, names)
    wrong = zeros.copy()
    for value in (3, -1):
        wrong[...] = value
        message = f'the {name} {value} is not one of the 3' if not row.axes else f'the {name} has class {value}, but'
        with pytest.raises(ValueError, match=message):
            checked({**EXAMPLE, name: wrong}, names)
        checked({**EXAMPLE, name: wrong}, {'other': ('x',)})  # names of another feature are not those of this one
    wrong[...] = 255
    if row.moved:  # the value of pixels outside of the image, which are ignored
        checked({**EXAMPLE, name: wrong}, names)
        wrong.flat[1] = 7
        with pytest.raises(
            ValueError, match=r"has class 7, but there are 3, 0\.\.2 and 255 for ignored .* by 'relabel'"
        ):
            checked({**EXAMPLE, name: wrong}, names)
    else:
        with pytest.raises(ValueError, match='255'):
            checked({**EXAMPLE, name: wrong}, names)


def test_several_labels_are_a_value_for_each_class():
    names = {'labels': ('a', 'b', 'c')}
    assert checked({'labels': np.array([True, False, True])}, names)['labels'].tolist() == [1, 0, 1]
    for wrong, message in (([1, 0], 'are 2 values, but there are 3 classes'), ([2, 0, 0], 'are 1 for a class that')):
        with pytest.raises(ValueError, match=message):
            checked({'labels': np.array(wrong)}, names)


def test_a_mask_and_a_label_have_names_of_their_own():
    """As a data set of scenes: 3 classes of pixels, 2 of objects."""
    names = {'mask': ('ground', 'one', 'two'), 'box_labels': ('one', 'two')}
    example = {**EXAMPLE, 'mask': np.full((5, 4), 2), 'box_labels': np.array([0, 1])}
    assert checked(example, names)['mask'].max() == 2
    with pytest.raises(
        ValueError, match=r"the box_labels has class 2, but there are 2, 0\.\.1; put it right by 'relabel'"
    ):
        checked({**example, 'box_labels': np.array([0, 2])}, names)


def test_a_batch_that_does_not_fit_together_is_told_by_the_feature():
    """Objects are padded, pixels resized, anything else dropped."""

    def batch(**features):
        def read(index):
            return {name: value[index] for name, value in features.items()}

        data = Source(2, read, lambda index: f'n[{index}]', {})
        return next(train_batches(data, batch_size=2, transforms=[], seed=0))

    boxes = [np.tile(np.float32([0, 0, 1, 1]), (k, 1)) for k in (1, 3)]
    masks = [np.zeros((k, 5, 4), np.uint8) for k in (1, 3)]
    images = [np.zeros((h, 4, 3), np.uint8) for h in (5, 6)]
    for name, values, remedy in (
        ('boxes', boxes, "pad them by 'pad_boxes', or drop them by 'keep'"),
        ('instance_masks', masks, "pad them by 'pad_boxes', or drop them by 'keep'"),
        ('box_labels', [np.zeros(1, int), np.zeros(2, int)], "pad them by 'pad_boxes', or drop them by 'keep'"),
        ('image', images, "give the images one size by 'resize', 'center_crop' or 'random_resized_crop'"),
        ('disparity', [i[..., 0].astype(float) for i in images], "give the images one size by 'resize'"),
        ('points', [np.zeros(1), np.zeros(2)], "drop features of a changing shape by 'keep'"),
        ('time', [np.float32(1), np.float64(1)], "drop features of a changing shape by 'keep'"),
    ):
        with pytest.raises(ValueError, match=rf"^'{name}' is .* in n\[\d\], but .* in n\[\d\]: ") as error:
            batch(**{name: values})
        assert remedy in str(error.value)


@pytest.mark.parametrize(
    ('feature', 'value', 'message'),
    [
        ('image', np.zeros((3, 32, 40), np.uint8), r'\(3, 32, 40\), channels first: transpose it to \[h w c\]'),
        ('image', np.zeros((5, 4, 3), np.float32), 'uint8 of 0 to 255 on the host: scale them'),
        ('image', np.zeros((5, 4), np.uint8), r"not uint8 \[h w c\]; use 'decode'"),
        ('label', np.eye(10)[3], 'a one-hot vector becomes one number by its argmax'),
        ('label', np.nan, 'the number nan, not int32 .*; convert it to integers; leave out examples where it is NaN'),
        ('label', 3.0, 'the number 3.0, not int32'),
        ('label', 'cat', 'is <U3'),
        ('mask', np.zeros((5, 4), np.float32), 'not int32'),
        ('boxes', np.full((2, 4), np.nan, np.float32), "boxes is NaN or infinite in 2 places; .* False in 'box_valid'"),
        ('flow', np.full((5, 4, 2), np.inf, np.float32), 'flow is NaN or infinite in 20 places'),
    ],
)
def test_units_axes_and_values_of_a_users_arrays_are_checked(feature, value, message):
    with pytest.raises(ValueError, match=message):
        checked({feature: value}, {})


def test_missing_numbers_are_those_that_are_marked():
    disparity = np.array([[1.0, np.nan]], np.float32)
    marked = {'disparity': disparity, 'disparity_valid': np.array([[True, False]])}
    assert np.isnan(checked(marked, {})['disparity']).sum() == 1
    with pytest.raises(ValueError, match='NaN or infinite in 1 places'):
        checked({**marked, 'disparity_valid': np.ones((1, 2), bool)}, {})


def test_any_error_of_a_source_is_a_broken_example():
    """The libraries behind a source raise errors of their own kinds, that of a damaged record among them."""

    class LibraryError(Exception):
        pass

    def read(index):
        if index == 1:
            raise LibraryError('record 1: checksum')
        return {'label': index}

    data = Source(3, read, lambda index: f'n[{index}]', {})
    with pytest.raises(BrokenExampleError, match=r'^n\[1\]: LibraryError: record 1: checksum$'):
        reader(data, [])(1, 0)
    assert sorted(next(train_batches(data, batch_size=3, transforms=[], seed=0, on_broken='skip'))['label']) == [
        0,
        2,
        2,
    ]


def test_errors_are_of_the_example_or_of_the_config():
    def damaged(example):
        return cv2.resize(np.zeros((0, 0)), (2, 2))

    def misuse(example):
        raise MisuseError('put it first')

    def wrong(example):
        return example['label'].no_such_method()

    data = Source(1, lambda index: {'label': index}, lambda index: f'n[{index}]', {})
    with pytest.raises(ValueError, match=r'^n\[0\]: misuse|^n\[0\]: .*put it first') as error:
        reader(data, [misuse])(0, 0)
    assert not isinstance(error.value, BrokenExampleError)
    with pytest.raises(BrokenExampleError, match=r'^n\[0\]: OpenCV'):
        reader(data, [damaged])(0, 0)
    with pytest.raises(AttributeError, match='no_such_method') as bug:
        reader(data, [wrong])(0, 0)
    assert bug.value.__notes__ == ['in a transform of n[0]']


def test_messages_name_the_file_of_the_feature():
    def file_of(index, feature):
        return f'{feature}s/{index}.png'

    data = Source(2, lambda i: {'mask': np.full((2, 2), 9), 'label': 0}, str, {'mask': ('a', 'b')}, file_of)
    for some in (data, subset(data, [1, 0]), only_classes(data._replace(names={**data.names, 'label': ('c',)}), ['c'])):
        with pytest.raises(ValueError, match=r'^masks/\d\.png: the mask has class 9'):
            reader(some, [])(0, 0)
    assert place(subset(data, [1]), 0, 'mask') == 'masks/1.png'
    assert place(subset(data, [1]), 0) == '1'


def test_a_mask_has_at_most_255_classes_whether_they_have_names_or_not():
    for value in (254, 255):
        assert checked({'mask': np.full((2, 2), value)}, {})['mask'].max() == value
    with pytest.raises(
        ValueError, match=r"has class 256; classes are 0\.\.254, and 255 for ignored pixels: .*'relabel'"
    ):
        checked({'mask': np.full((2, 2), 256, np.int32)}, {})
