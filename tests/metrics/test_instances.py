"""COCO's evaluation of masks against pycocotools, whose masks are pasted by `ops.paste_mask`."""

import contextlib
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pycocotools import mask as run_lengths
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from jaxcv import metrics, ops
from jaxcv.data import transforms
from jaxcv.data.digit_scenes.scenes import backgrounds, digits, scene
from jaxcv.metrics import instances

SIZE, CLASSES, FOUND, TRUE = (40, 56), 2, 6, 4
REACHED = {1: {False: 67.5, True: 91.2}, 4: {False: 87.9, True: 89.6}}


def made(seed, images=6):
    """Predictions and a batch of ellipses, near the truth or not; crowds, padding, ties of scores."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    low = rng.uniform(0, 20, (images, TRUE, 2))
    boxes = np.concatenate([low, low + rng.uniform(6, 20, (images, TRUE, 2))], -1)
    half, centres = (boxes[..., 2:] - boxes[..., :2]) / 2, (boxes[..., 2:] + boxes[..., :2]) / 2
    parts = [(grid - centres[..., i, None, None]) / half[..., i, None, None] for i, grid in enumerate((x, y))]
    masks = (parts[0] ** 2 + parts[1] ** 2 <= 1).astype(np.uint8)
    near = rng.integers(0, TRUE, (images, FOUND))
    found = np.take_along_axis(boxes, near[..., None], 1) + rng.normal(0, 1.5, (images, FOUND, 4))
    cells = (np.arange(14) + 0.5) / 7 - 1
    disc = (cells**2 + cells[:, None] ** 2 <= 1) * 0.9 + rng.uniform(0, 0.05, (images, FOUND, 14, 14))
    labels = rng.integers(0, CLASSES, (images, TRUE))
    batch = {
        'instance_masks': masks,
        'boxes': boxes.astype(np.float32),
        'box_labels': labels,
        'box_valid': rng.uniform(size=(images, TRUE)) < 0.8,
        'box_crowd': rng.uniform(size=(images, TRUE)) < 0.15,
    }
    predictions = {
        'boxes': found.astype(np.float32),
        'masks': disc.astype(np.float32),
        'scores': rng.uniform(size=(images, FOUND)).round(1).astype(np.float32),
        'box_labels': np.take_along_axis(labels, near, 1),
        'box_valid': rng.uniform(size=(images, FOUND)) < 0.9,
    }
    return predictions, batch


def encoded(mask):
    return run_lengths.encode(np.asfortranarray(mask))


def theirs(predictions, batch, sizes=None):
    """Of images of SIZE, or of sizes of their own, whose masks lie in the corner at the top left."""
    sizes = sizes or [SIZE] * len(batch['boxes'])
    truths, found = [], []
    for i in range(len(batch['boxes'])):
        for j in np.flatnonzero(batch['box_valid'][i]):
            mask = batch['instance_masks'][i, j, : sizes[i][0], : sizes[i][1]]
            row = {'id': len(truths) + 1, 'image_id': i, 'category_id': int(batch['box_labels'][i, j])}
            crowd = int(batch['box_crowd'][i, j])
            truths.append({**row, 'segmentation': encoded(mask), 'area': float(mask.sum()), 'iscrowd': crowd})
        for j in np.flatnonzero(predictions['box_valid'][i]):
            mask = ops.paste_mask(predictions['masks'][i, j], predictions['boxes'][i, j], size=sizes[i])
            row = {'image_id': i, 'category_id': int(predictions['box_labels'][i, j]), 'segmentation': encoded(mask)}
            found.append({**row, 'score': float(predictions['scores'][i, j])})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        images = [{'id': i, 'height': size[0], 'width': size[1]} for i, size in enumerate(sizes)]
        coco.dataset = {
            'images': images,
            'annotations': truths,
            'categories': [{'id': k} for k in range(CLASSES)],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), 'segm')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def test_twelve_numbers_equal_pycocotools():
    metric = metrics.coco_masks(num_classes=CLASSES)
    measure = jax.jit(metric.measure)
    for seed in range(3):
        predictions, batch = made(seed)
        rows = {name: np.asarray(x) for name, x in measure(predictions, batch).items()}
        pairs = zip(predictions['masks'][0], predictions['boxes'][0], strict=True)
        pasted = [ops.paste_mask(*pair, size=SIZE).sum() for pair in pairs]
        np.testing.assert_array_equal(rows['areas'][0], pasted)
        values = metric.compute(rows)
        ours = [value for name, value in values.items() if name.startswith('mask_')]
        np.testing.assert_allclose(np.nan_to_num(ours, nan=-1), theirs(predictions, batch), atol=1e-12)


def test_masks_are_compared_at_the_images_own_pixels():
    """Images of several sizes are resized and padded, every second one mirrored; pycocotools gets the original ones."""
    predictions, batch = made(7)
    sizes = [(SIZE[0] - 2 * i, SIZE[1] - 3 * i) for i in range(len(batch['boxes']))]
    pack, resize = transforms.pack_masks(size=(44, 57)), transforms.resize_sides(short=61, long=90, canvas=8)
    flips = [transforms.random_flip(probability=p) for p in (0.0, 1.0)]
    rows, found = [], {name: np.array(x) for name, x in predictions.items()}
    for i, (h, w) in enumerate(sizes):
        own = {name: x[i] for name, x in batch.items()}
        own |= {'image': np.zeros((h, w, 3), np.uint8), 'instance_masks': own['instance_masks'][:, :h, :w], 'seed': 0}
        valid, predictions['boxes'][i] = own['box_valid'], np.clip(predictions['boxes'][i], 0, [w, h, w, h])
        own |= {'boxes': np.zeros((TRUE, 4), np.float32), 'box_valid': np.zeros(TRUE, bool)}  # of no account
        rows.append({**resize(flips[i % 2](pack(own))), 'box_valid': valid})
        scale, shift = rows[-1]['original_frame'][:, ::-1]
        corners = np.sort(predictions['boxes'][i].reshape(-1, 2, 2) * scale + shift, axis=1)
        found['boxes'][i] = corners.reshape(-1, 4)
        found['masks'][i] = found['masks'][i][..., ::-1] if i % 2 else found['masks'][i]
    names = [*instances.ORIGINAL, 'box_labels', 'box_valid', 'box_crowd', 'pixel_area']
    given = {name: np.stack([row[name] for row in rows]) for name in names}
    assert given['original_masks'].shape[2:] == (44, 8)
    metric = metrics.coco_masks(num_classes=CLASSES)
    values = metric.compute({name: np.asarray(x) for name, x in jax.jit(metric.measure)(found, given).items()})
    ours = [value for name, value in values.items() if name.startswith('mask_')]
    expected = theirs(predictions, batch, sizes)
    np.testing.assert_allclose(np.nan_to_num(ours, nan=-1), expected, atol=1e-12)
    assert 0.1 < expected[0] < 0.9
    with pytest.raises(ValueError, match='there is no original_size'):
        metric.measure(found, {name: given[name] for name in names if name != 'original_size'})
    with pytest.raises(ValueError, match=r'pack_masks: the image has \(40, 56\) pixels, more than \(40, 40\)'):
        transforms.pack_masks(size=40)({'instance_masks': batch['instance_masks'][0]})


@pytest.mark.slow
@pytest.mark.parametrize('enlarged', [1, 4])
def test_the_most_that_masks_of_28_cells_can_reach(enlarged):
    """Perfect targets in the true boxes, of the first test scenes of digits; the docstring of mask_targets has it."""
    images, objects, size = 24, 8, 96 * enlarged
    drawn = [scene([2, i], backgrounds('test'), *digits('test')) for i in range(images)]
    batch = {
        'box_labels': np.zeros((images, objects), int),
        'box_valid': np.zeros((images, objects), bool),
        'instance_masks': np.zeros((images, objects, size, size), np.uint8),
        'original_masks': np.zeros((images, objects, 96, 12), np.uint8),
        'original_size': np.full((images, 2), 96, np.int32),
        'original_frame': np.tile(np.float32([[enlarged] * 2, [0, 0]]), (images, 1, 1)),
    }
    boxes = np.zeros((images, objects, 4), np.float32)
    for i, one in enumerate(drawn):
        count = len(one.boxes)
        batch['box_labels'][i, :count], batch['box_valid'][i, :count] = one.box_labels, True
        batch['original_masks'][i, :count] = np.packbits(one.instance_masks, axis=-1)
        batch['instance_masks'][i, :count] = one.instance_masks.repeat(enlarged, 1).repeat(enlarged, 2)
        boxes[i, :count] = enlarged * one.boxes
    metric, places = metrics.coco_masks(num_classes=10), jnp.tile(jnp.arange(objects), (images, 1))
    found = {'boxes': boxes, 'scores': np.ones(boxes.shape[:2]), **{k: batch[k] for k in ('box_labels', 'box_valid')}}
    reached = {}
    for aligned in (False, True):
        masks = ops.mask_targets(jnp.asarray(batch['instance_masks']), jnp.asarray(boxes), places, aligned=aligned)
        rows = metric.measure({**found, 'masks': masks}, batch)
        reached[aligned] = metric.compute({name: np.asarray(x) for name, x in rows.items()})['mask_ap']
    assert {name: 100 * value for name, value in reached.items()} == pytest.approx(REACHED[enlarged], abs=0.1)
