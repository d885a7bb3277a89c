"""Overlaps of boxes against torchvision's (tools/detection_ops) and the formulas in NumPy."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import ops
from tests.ops.box_sets import pairs

FIXTURE = Path(__file__).parents[1] / 'fixtures' / 'detection' / 'ops.npz'
KINDS = ('iou', 'giou', 'diou', 'ciou')


def fixture():
    with np.load(FIXTURE) as file:
        return dict(file)


@pytest.mark.parametrize('kind', KINDS)
def test_overlaps_of_all_pairs(kind):
    boxes, others = map(jnp.asarray, pairs())
    expected = fixture()[f'overlap/{kind}']
    np.testing.assert_allclose(ops.box_iou(boxes, others, kind=kind), expected, atol=2e-6)
    np.testing.assert_allclose(ops.paired_box_iou(boxes, others, kind=kind), np.diag(expected), atol=2e-6)


@pytest.mark.parametrize('kind', KINDS[1:])
def test_gradients_as_losses(kind):
    boxes, others = map(jnp.asarray, pairs())
    loss = lambda boxes: (1 - ops.paired_box_iou(boxes, others, kind=kind)).sum()  # noqa: E731
    gradient = jax.grad(loss)(boxes)
    np.testing.assert_allclose(gradient, fixture()[f'gradient/{kind}'], atol=2e-6)


@pytest.mark.parametrize('kind', KINDS)
def test_degenerate_pairs_have_finite_overlaps_and_gradients(kind):
    """Without area, at one point, the same box, turned inside out, far apart."""
    boxes = jnp.array([[0.0, 0, 0, 0], [3, 3, 3, 9], [1, 1, 5, 5], [5, 5, 1, 1], [0, 0, 1e6, 1e6]])
    for others in (boxes, boxes[::-1], jnp.zeros_like(boxes)):
        value, gradient = jax.value_and_grad(lambda b, o=others: ops.paired_box_iou(b, o, kind=kind).sum())(boxes)
        assert jnp.isfinite(value)
        assert jnp.isfinite(gradient).all()
    assert ops.box_iou(boxes[:1], boxes[:1])[0, 0] == 0
    assert ops.box_iou(boxes[2:3], boxes[2:3], kind=kind)[0, 0] == 1


def test_formats_come_back():
    boxes = jnp.asarray(pairs()[0])
    for target in ('xywh', 'cxcywh', 'yxyx', 'xyxy'):
        there = ops.convert_boxes(boxes, source='xyxy', target=target)
        np.testing.assert_allclose(ops.convert_boxes(there, source=target, target='xyxy'), boxes, rtol=1e-5)
    one = jnp.array([[10.0, 20, 40, 80]])
    for target, numbers in {'xywh': [10, 20, 30, 60], 'cxcywh': [25, 50, 30, 60], 'yxyx': [20, 10, 80, 40]}.items():
        np.testing.assert_array_equal(ops.convert_boxes(one, source='xyxy', target=target), [numbers])


def test_crowds_and_clipping():
    boxes = jnp.array([[0.0, 0, 4, 4], [2, 2, 2, 8]])
    crowds = jnp.array([[2.0, 0, 100, 100], [50, 50, 60, 60]])
    np.testing.assert_array_equal(ops.crowd_iou(boxes, crowds), [[0.5, 0], [0, 0]])
    outside = jnp.array([[-9.0, -9, -1, 4], [3, 3, 99, 99]])
    np.testing.assert_array_equal(ops.clip_boxes(outside, size=(10, 20)), [[0, 0, 0, 4], [3, 3, 20, 10]])
    sizes = (jnp.array([10, 5]), jnp.array([20, 5]))  # one size for each box
    np.testing.assert_array_equal(ops.clip_boxes(outside, size=sizes), [[0, 0, 0, 4], [3, 3, 5, 5]])
    np.testing.assert_array_equal(ops.boxes_of_side(boxes, least=0.01), [True, False])
