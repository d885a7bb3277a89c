"""Transforms of names, numbers and counts of objects."""

import inspect
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxcv.data import transforms


def test_relabel_and_rename():
    old = np.array([[0, 1], [2, 255]], np.uint8)
    chain = transforms.compose(
        [transforms.rename(names={'mask': 'annotation'}), transforms.relabel(values=[255, 0, 1])]
    )
    result = chain({'annotation': old, 'mask': 'dropped', 'seed': 4})
    assert result.keys() == {'mask', 'seed'}
    assert np.array_equal(result['mask'], [[255, 0], [1, 255]])
    assert old[0, 0] == 0
    assert transforms.relabel(values=[5, 4], feature='label')({'label': 1})['label'] == 4
    exchanged = transforms.rename(names={'mask': 'depth', 'depth': 'mask'})({'mask': 1, 'depth': 2})
    assert exchanged == {'mask': 2, 'depth': 1}
    with pytest.raises(ValueError, match="'mask' has the number 2, there are 2 values"):
        transforms.relabel(values=[0, 1])({'mask': old})
    with pytest.raises(ValueError, match="no feature 'segmentation', but mask"):
        transforms.rename(names={'mask': 'segmentation'})({'mask': old})
    with pytest.raises(ValueError, match="'box_labels' has the number"):
        transforms.relabel(values=[0, 1], feature='box_labels')({'box_labels': np.array([0, -1])})
    with pytest.raises(ValueError, match="'mask' is still encoded"):
        transforms.relabel(values=[0, 1])({'mask': b'png'})
    with pytest.raises(ValueError, match="'mask' is float64, not integers"):
        transforms.relabel(values=[0, 1])({'mask': np.zeros((1, 2))})
    assert transforms.relabel(values=[7, 3])({'mask': np.array([[True, False]])})['mask'].tolist() == [[3, 7]]
    for values in ([], [0, 256], [-1], [0] * 65537):
        with pytest.raises(ValueError, match=r'1 to 65536 numbers of 0 to 255|must be in \[0, 255\]'):
            transforms.relabel(values=values)


def objects(valid):
    """As many objects as there are in `valid`, each of its own number."""
    numbers = np.arange(1, len(valid) + 1)
    return {
        'boxes': np.repeat(numbers[:, None], 4, 1).astype(np.float32),
        'box_labels': numbers,
        'box_crowd': numbers % 2 == 0,
        'instance_masks': np.broadcast_to(numbers[:, None, None], (len(valid), 2, 3)).astype(np.uint8),
        'box_valid': np.array(valid, bool),
        'image': np.zeros((2, 3, 3), np.uint8),
        'label': 8,
    }


@pytest.mark.parametrize(
    ('valid', 'kept', 'dropped'),
    [
        ([], [], 0),
        ([1, 1], [1, 2], 0),
        ([1, 1, 1], [1, 2, 3], 0),
        ([1, 1, 1, 1, 1], [1, 2, 3], 2),
        ([0, 1, 0, 0, 1], [2, 5], 0),  # the invalid are dropped first
        ([0, 1, 1, 1, 1], [2, 3, 4], 1),
        ([0, 0, 0, 0], [], 0),
    ],
)
def test_pad_boxes(valid, kept, dropped):
    before = objects(valid)
    padded = transforms.pad_boxes(max_boxes=3)(before)
    expected = np.array(kept + [0] * (3 - len(kept)))
    assert np.array_equal(padded['boxes'], np.repeat(expected[:, None], 4, 1))
    assert np.array_equal(padded['box_labels'], expected)
    assert np.array_equal(padded['box_crowd'], (expected > 0) & (expected % 2 == 0))
    assert np.array_equal(padded['instance_masks'], np.broadcast_to(expected[:, None, None], (3, 2, 3)))
    assert np.array_equal(padded['box_valid'], expected > 0)
    assert padded['boxes_dropped'] == dropped
    assert padded['boxes_dropped'].dtype == np.int32
    for name in ('boxes', 'box_labels', 'box_crowd', 'instance_masks', 'box_valid'):
        assert padded[name].dtype == before[name].dtype
    assert padded['image'] is before['image']
    assert padded['label'] == 8


def test_pad_boxes_without_box_valid():
    boxes = np.ones((2, 4), np.float32)
    padded = transforms.pad_boxes(max_boxes=3)({'boxes': boxes})
    assert padded['box_valid'].tolist() == [True, True, False]
    assert padded.keys() == {'boxes', 'box_valid', 'boxes_dropped'}
    none = transforms.pad_boxes(max_boxes=3)({'boxes': boxes[:0]})
    assert none['boxes'].shape == (3, 4)
    assert none['box_valid'].tolist() == [False] * 3
    with pytest.raises(ValueError, match="no feature 'boxes', but label"):
        transforms.pad_boxes(max_boxes=3)({'label': 1})
    with pytest.raises(ValueError, match=r"different numbers of them: .*'boxes': 2, 'box_labels': 3"):
        transforms.pad_boxes(max_boxes=3)({'boxes': boxes, 'box_labels': np.zeros(3, int)})


def test_boxes_that_do_not_fit_are_reported_with_totals(caplog):
    pad = transforms.pad_boxes(max_boxes=3)
    with caplog.at_level(logging.WARNING):
        pad(objects([1] * 3))
        assert not caplog.messages
        for number in range(11):
            assert pad(objects([1] * (600 if number == 4 else 5)))['boxes_dropped'] == (597 if number == 4 else 2)
    first, second = caplog.messages
    assert '1 image with more boxes than max_boxes, 3; 2 boxes dropped. The fullest had 5 boxes' in first
    assert '10 images with more boxes than max_boxes, 3; 615 boxes dropped. The fullest had 600 boxes' in second


def test_the_lists_of_transforms_for_the_launchers_are_of_transforms():
    lists = transforms.OF_OTHER_FEATURES, transforms.RESIZING, transforms.NUMBERING
    for name in {name for names in lists for name in names}:
        assert name in transforms.__all__
        assert inspect.isfunction(getattr(transforms, name))


def test_transforms_import_no_jax():
    """Processes that only read data need neither its memory nor its start."""
    command = "import sys, jaxcv.data.transforms; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, '-c', command], check=True, cwd=Path(__file__).parents[3])
