"""Objects with masks: what is drawn and written, and COCO's run lengths against pycocotools."""

import numpy as np
from pycocotools import mask as run_lengths

from jaxcv import presentation
from jaxcv.data.outlines import outline_mask
from jaxcv.presentation.instances import coco_run_lengths
from jaxcv.task import Gallery, Shown

ANSWER = {
    'boxes': np.float32([[2, 2, 12, 12], [8, 4, 20, 16], [0, 0, 5, 5]]),
    'scores': np.float32([0.9, 0.8, 0.1]),
    'box_labels': np.array([0, 1, 0]),
    'box_valid': np.array([True, True, True]),
    'masks': np.ones((3, 4, 4), np.float32),
}
NAMES = {'box_labels': ('cat', 'dog')}


def test_run_lengths_equal_pycocotools():
    rng = np.random.default_rng(0)
    for share in (0, 0.001, 0.3, 0.999, 1):
        for size in ((1, 1), (7, 5), (90, 301)):
            mask = (rng.uniform(size=size) < share).astype(np.uint8)
            expected = run_lengths.encode(np.asfortranarray(mask))
            assert coco_run_lengths(mask)['counts'] == expected['counts'].decode()


def test_masks_are_written_with_their_objects():
    written = presentation.boxes().write(np.zeros((24, 30, 3), np.uint8), ANSWER, NAMES)
    rows, numbers = written.row['objects'], written.pictures['instances']
    assert len(rows) == 2
    assert numbers.shape == (24, 30)
    assert set(np.unique(numbers)) == {0, 1, 2}
    assert numbers[10, 10] == 1  # the better one is on top
    for number, row in enumerate(rows, start=1):
        mask = outline_mask(row['segmentation'], (24, 30))
        assert (mask[numbers == number] == 1).all()
    assert written.pictures['boxes'].any()


def test_boundaries_are_drawn():
    show = presentation.boxes()
    truth = np.zeros((1, 24, 30), np.uint8)
    truth[0, 3:11, 3:11] = 1
    example = {
        'image': np.zeros((24, 30, 3), np.uint8),
        'boxes': np.float32([[3, 3, 11, 11]]),
        'box_labels': np.array([0]),
        'instance_masks': truth,
    }
    figure = show.draw(Gallery((Shown(example, ANSWER),)), NAMES)
    assert all(axes.collections for axes in figure.axes)
    assert show.answer({**ANSWER, 'losses': 1}).keys() == ANSWER.keys()
