"""Shares of boxes that anchors match, and proposed anchors."""

import json

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.studies import anchors
from jaxcv import ops

CONFIG = 'experiments/detection/digit_scenes.py:retinanet'


def tall(count, *, seed=0):
    """Boxes of 8 to 40 pixels, about twice as high as wide."""
    rng = np.random.default_rng(seed)
    widths = rng.uniform(5, 30, count)
    sides = np.stack([widths, widths * rng.uniform(1.8, 2.2, count)], axis=-1)
    corners = rng.uniform(0, 60, (count, 2))
    return np.concatenate([corners, corners + sides], axis=-1).astype(np.float32)


def test_the_best_iou_of_each_box():
    boxes, some = tall(300), tall(20, seed=1)
    expected = np.asarray(ops.box_iou(jnp.asarray(boxes), jnp.asarray(some))).max(axis=1)
    np.testing.assert_allclose(anchors.best_iou(boxes, some), expected, rtol=1e-5)


def test_proposed_anchors_match_more_than_cocos():
    boxes = tall(400)
    proposed = anchors.propose(boxes, maps=3, octaves=2, ratios=2, seed=0)
    assert len(proposed.sizes) == 3
    assert all(1.7 < ratio < 2.3 for ratio in proposed.ratios)
    maps = anchors.Maps([(24, 24), (12, 12), (6, 6)], (96, 96), boxes)
    coco = anchors.Proposal((32, 64, 128), 3, (0.5, 1.0, 2.0))
    shares = [np.mean(anchors.best_iou(boxes, anchors.placed(one, maps)) >= 0.5) for one in (coco, proposed)]
    assert shares[0] < 0.7
    assert shares[1] > 0.95
    few = anchors.propose(boxes[:1], maps=3, octaves=1, ratios=2, seed=0)  # fewer boxes than maps
    assert len(few.sizes) == 3
    assert len(few.ratios) == 1


def test_the_table_counts_boxes_by_size():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 12, 12], [0, 0, 40, 40]], np.float32)
    text = anchors.table(boxes, {'config': np.array([0.5, 0.4, 0.9])})
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines()]
    assert rows[2:] == [
        ['8 to 16', '2', '50.0', '0.0'],
        ['32 to 64', '1', '100.0', '100.0'],
        ['all', '3', '66.7', '33.3'],
    ]


@pytest.mark.slow
def test_the_command_writes_a_table_and_a_figure(command, data_dir, tmp_path):
    folder = tmp_path / 'anchors'
    given = f'--config={CONFIG}', f'--config.data.data_dir={data_dir}', f'--workdir={folder}'
    ended = command(anchors, *given, '--most_images=50')
    assert ended.code == 0, ended.err
    assert 'proposed for detection.retinanet: sizes=(' in ended.out
    assert '| all ' in (folder / 'table.md').read_text()
    assert cv2.imread(str(folder / 'anchors.png')).shape[1] > 400

    points = json.dumps({'name': 'detection.centernet_resnet18'}).replace('"', "'")
    ended = command(anchors, *given, f'--config.model={points}')
    assert ended.code == 2
    assert 'detection.centernet_resnet18 has no anchors' in ended.err
