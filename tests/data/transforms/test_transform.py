"""Transforms in an order that cannot work are errors of the config, whichever they are."""

import cv2
import numpy as np
import pytest

from jaxcv.data import Source, train_batches, transforms
from jaxcv.features import MisuseError

PNG = cv2.imencode('.png', np.zeros((4, 6, 3), np.uint8))[1].tobytes()
MASK = cv2.imencode('.png', np.zeros((4, 6), np.uint8))[1].tobytes()
DECODE, RESIZE = transforms.decode(), transforms.resize(size=2)


@pytest.mark.parametrize(
    'early',
    [
        transforms.resize(size=2),
        transforms.resize_short_side(size=2),
        transforms.center_crop(size=2),
        transforms.pad_to(size=9),
        transforms.random_flip(),
        transforms.random_resized_crop(size=2),
        transforms.random_scale_crop(size=2, scales=(4, 4)),
        lambda example: {**example, 'image': example['image'][::2]},  # of the user's own
        lambda example: {**example, 'image': example['image'].astype('float32')},
        lambda example: {**example, 'image': example['image'] / 2},
    ],
)
def test_pixels_cannot_be_moved_before_they_are_decoded(early):
    steps = [early, lambda example: {**example, 'shape': example['image'].shape}, DECODE]
    with pytest.raises(MisuseError, match=r"transform \d of 3.*the image is still encoded: put 'decode' first$"):
        transforms.compose(steps)({'image': PNG, 'seed': 1})


@pytest.mark.parametrize(
    ('steps', 'message'),
    [
        ([DECODE, RESIZE], "^resize, transform 2 of 2: the mask is still encoded: put 'decode_mask' first$"),
        ([transforms.relabel(values=[0])], "relabel: 'mask' is still encoded: put 'decode_mask' first"),
        ([transforms.keep(names=['label']), DECODE], "^decode, transform 2 of 2: there is no feature 'image', but "
         'label;.*; an earlier transform dropped it$'),
        ([transforms.keep(names=['image']), transforms.decode_mask()], "'mask'.*an earlier transform dropped it"),
        ([transforms.pad_boxes(max_boxes=3)], "^pad_boxes, transform 1 of 1: there is no feature 'boxes'"),
        ([transforms.rename(names={'image': 'photo'})], "^rename, transform 1 of 1: there is no feature 'photo'"),
    ],
)  # fmt: skip
def test_a_transform_that_lacks_something_names_itself_and_the_remedy(steps, message):
    with pytest.raises(MisuseError, match=message):
        transforms.compose(steps)({'image': PNG, 'mask': MASK, 'label': 1, 'seed': 1})


def test_an_error_of_the_order_is_not_a_broken_file():
    """No advice to remove a file, and nothing to skip."""
    data = Source(3, lambda index: {'image': PNG, 'label': 0}, lambda index: f'photos/{index}.png', {})
    for on_broken in ('error', 'skip'):
        batches = train_batches(data, batch_size=1, transforms=[RESIZE, DECODE], seed=0, on_broken=on_broken)
        with pytest.raises(ValueError, match=r"^photos/\d.png: resize, transform 1 of 2: .* put 'decode' first"):
            next(batches)


def test_an_error_of_a_transform_of_the_users_stays_as_it_is():
    def wrong(example):
        return {**example, 'image': example['image'].no_such_method()}

    with pytest.raises(AttributeError, match='no_such_method'):
        transforms.compose([DECODE, wrong])({'image': PNG})
