"""Scenes of digits: that their masks are exact, their splits disjoint, and the data set what was drawn."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_digits

from jaxcv import types
from jaxcv.data import eval_batches, source, train_batches, transforms
from jaxcv.data.digit_scenes import digit_scenes_dataset_builder as builder
from jaxcv.data.digit_scenes.scenes import CLASS_NAMES, Difficulty, backgrounds, digits, scene

CONFIGS = {config.name: config.difficulty for config in builder.Builder.BUILDER_CONFIGS}


@pytest.fixture(scope='module')
def material():
    return backgrounds('train'), *digits('train')


@pytest.mark.parametrize('name', CONFIGS)
def test_the_mask_and_the_boxes_follow_from_the_instances(material, name):
    for seed in range(12):
        drawn = scene(seed, *material, difficulty=CONFIGS[name])
        assert (drawn.image.shape, drawn.image.dtype) == ((96, 96, 3), np.uint8)
        assert len(drawn.instance_masks) == len(drawn.boxes) == len(drawn.box_labels) >= 1
        assert drawn.instance_masks.sum(0).max() <= 1  # a pixel has one topmost digit
        expected = np.einsum('khw,k->hw', drawn.instance_masks.astype(int), drawn.box_labels + 1)
        known = drawn.mask != types.IGNORED
        assert np.array_equal(drawn.mask[known], expected[known])
        assert known.all() != (name == 'border')
        for mask, box in zip(drawn.instance_masks, drawn.boxes, strict=True):
            x, y, width, height = cv2.boundingRect(mask)
            assert box.tolist() == [x, y, x + width, y + height]


def test_a_lone_digit_is_the_handwritten_one(material):
    """Upright on black: its mask is where SciPy's cubic spline of the ink is above 0.4, but for a few edges."""
    from scipy import ndimage

    ink, labels = digits('test')
    plain = Difficulty(digits=(1, 1), sizes=(40, 40), tilt=0, strokes=0, noise=0)
    for seed in range(5):
        drawn = scene(seed, [np.zeros((96, 96, 3), np.uint8)], ink[seed : seed + 1], labels[seed : seed + 1],
                      difficulty=plain)  # fmt: skip
        assert drawn.box_labels.tolist() == [labels[seed]]
        steps = (np.arange(40) + 0.5) / 5 + 0.5  # the pixel centres in the ink with an empty pixel around it
        grown = ndimage.map_coordinates(np.pad(ink[seed], 1), np.meshgrid(steps, steps, indexing='ij'), order=3)
        x, y, right, bottom = drawn.boxes[0].astype(int)
        mine, theirs = drawn.instance_masks[0][y:bottom, x:right] == 1, cut_out(grown > 0.4)
        height, width = (min(a, b) for a, b in zip(mine.shape, theirs.shape, strict=True))
        assert np.abs(np.subtract(mine.shape, theirs.shape)).max() <= 2
        assert (mine[:height, :width] == theirs[:height, :width]).mean() > 0.9
        assert (drawn.image[drawn.instance_masks[0] == 1] > 0).any(-1).all()  # coloured
        far = cv2.dilate(drawn.instance_masks[0], np.ones((3, 3))) == 0
        assert not drawn.image[far].any()


def cut_out(mask):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def test_no_digit_is_hidden_more_than_allowed(material):
    """With solid squares of one size, what is visible tells what is hidden."""
    solid, labels = np.ones((1, 8, 8), np.float32), np.array([3], np.int32)
    for hidden, least in ((0.0, 0.0), (0.4, 0.15)):
        squares = Difficulty(digits=(9, 9), sizes=(24, 24), tilt=0, hidden=hidden)
        drawn = [scene(seed, material[0], solid, labels, difficulty=squares) for seed in range(12)]
        whole = max(m.sum() for s in drawn for m in s.instance_masks)
        shares = [1 - m.sum() / whole for s in drawn for m in s.instance_masks]
        # The squares' places between the pixels change their areas by up to a row and a column.
        assert least <= max(shares) <= hidden + 0.1
        assert min(len(s.box_labels) for s in drawn) >= 2


def test_a_seed_is_a_scene(material):
    one, two, other = (scene(seed, *material) for seed in ([1, 5], [1, 5], [1, 6]))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(one, two, strict=True))
    assert one.image.tobytes() != other.image.tobytes()


def test_the_splits_share_no_digit_and_no_background():
    splits = ('train', 'validation', 'test')
    parts = [backgrounds(split) for split in splits]
    for halves in zip(*parts, strict=True):
        # Side by side they are the whole picture: no column is in two.
        whole = np.concatenate(halves, axis=1)
        assert halves[0].base is halves[1].base is halves[2].base
        assert np.array_equal(whole, halves[0].base)
    ink = np.concatenate([digits(split)[0] for split in splits])
    data = load_digits()
    assert [len(digits(split)[1]) for split in splits] == [1000, 200, 597]
    order = np.random.Generator(np.random.PCG64(0)).permutation(1797)  # each once, the test part that of `digits`
    assert np.array_equal(ink * 16, data.images[order])
    assert np.array_equal(np.concatenate([digits(split)[1] for split in splits]), data.target[order])


def test_hard_is_harder_than_easy(material):
    """More digits, smaller, and closer in brightness to what surrounds them."""
    number, area, contrast = {}, {}, {}
    for name in ('easy', 'default', 'hard'):
        drawn = [scene(seed, *material, difficulty=CONFIGS[name]) for seed in range(40)]
        number[name] = np.mean([len(s.box_labels) for s in drawn])
        area[name] = np.mean([m.sum() for s in drawn for m in s.instance_masks])
        gaps = []
        for s in drawn:
            luma = s.image @ np.array([0.299, 0.587, 0.114])
            for mask in s.instance_masks:
                around = (cv2.dilate(mask, np.ones((7, 7))) > 0) & (s.mask == 0)
                gaps += [abs(luma[mask == 1].mean() - luma[around].mean())] if around.any() else []
        contrast[name] = np.mean(gaps)
    assert number['easy'] < number['default'] < number['hard']
    assert area['easy'] > area['default'] > area['hard']
    assert contrast['easy'] > contrast['default'] > contrast['hard']


def test_impossible_scenes_are_refused(material):
    for options in ({'sizes': (4.0, 20.0)}, {'sizes': (20.0, 90.0)}, {'digits': (0, 3)}, {'hidden': 1.0}):
        with pytest.raises(ValueError, match=f'{next(iter(options))}.* must be'):
            scene(0, *material, difficulty=Difficulty(**options))
    with pytest.raises(ValueError, match="no split 'val'; there are: train, validation, test"):
        backgrounds('val')


def test_the_data_set_is_what_was_drawn(material, tmp_path, monkeypatch):
    monkeypatch.setattr(builder, '_EXAMPLES', {'train': 7, 'validation': 3, 'test': 3})
    data = source('digit_scenes/hard', split='train', data_dir=tmp_path)
    assert (data.size, data.names) == (7, {'mask': CLASS_NAMES, 'box_labels': tuple('0123456789')})
    for place in range(7):
        raw, drawn = data.read(place), scene([0, place], *material, difficulty=CONFIGS['hard'])
        assert isinstance(raw['image'], bytes)
        assert isinstance(raw['mask'], bytes)
        example = transforms.decode_mask()(transforms.decode()(raw))
        for name, value in drawn._asdict().items():
            assert np.array_equal(example[name], value), name
    assert source('digit_scenes/hard', split='test', data_dir=tmp_path).read(0)['image'] != data.read(0)['image']

    steps = [transforms.decode(), transforms.decode_mask(), transforms.keep(names=['image', 'mask'])]
    batch = next(train_batches(data, batch_size=4, transforms=steps, seed=0))
    assert (batch['mask'].shape, batch['mask'].dtype) == ((4, 96, 96), np.int32)
    assert batch.keys() == {'image', 'mask', 'valid', 'index'}
    assert np.array_equal(
        batch['mask'][0], scene([0, int(batch['index'][0])], *material, difficulty=CONFIGS['hard']).mask
    )
    (_, last) = eval_batches(data, batch_size=4, transforms=steps)
    assert last['valid'].tolist() == [True, True, True, False]
    with pytest.raises(ValueError, match=r"is .* in digit_scenes.*, but .* by 'keep'"):
        next(train_batches(data, batch_size=7, transforms=steps[:2], seed=0))


def test_a_second_start_needs_neither_the_generator_nor_tensorflow(tmp_path):
    code = (
        'import sys; from jaxcv.data.digit_scenes import digit_scenes_dataset_builder as b; '
        'b._EXAMPLES = {"train": 2, "validation": 1, "test": 1}; from jaxcv.data import source; '
        'print(source("digit_scenes", split="train", data_dir=sys.argv[1]).size, "tensorflow" in sys.modules)'
    )
    again = (
        'import sys; from jaxcv.data import source; s = source("digit_scenes", split="train", data_dir=sys.argv[1]); '
        'print(s.names["mask"][:2], "jaxcv.data.digit_scenes.scenes" in sys.modules)'
    )
    outputs = [
        subprocess.run([sys.executable, '-W', 'error', '-c', c, str(tmp_path)], capture_output=True, text=True)
        for c in (code, again)
    ]
    assert [o.stdout for o in outputs] == ['2 False\n', "('background', '0') False\n"], [o.stderr for o in outputs]
