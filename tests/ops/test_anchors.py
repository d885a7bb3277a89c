"""Anchors against torchvision's and effdet's (tools/detection_ops)."""

import numpy as np
import pytest

from jaxcv import ops
from tests.ops.test_boxes import fixture


def test_equal_the_sources():
    expected = fixture()
    maps = [(13, 20), (7, 10), (4, 5), (2, 3), (1, 2)]
    sizes = ops.octave_sizes((32, 64, 128, 256, 512))
    np.testing.assert_allclose(ops.anchor_grid(maps, (100, 160), sizes=sizes), expected['anchors/grid'])
    ssd = ops.default_boxes(
        [38, 19, 10, 5, 3, 1],
        300,
        scales=(0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05),
        ratios=[(2,), (2, 3), (2, 3), (2, 3), (2,), (2,)],
        strides=(8, 16, 32, 64, 100, 300),
    )
    assert ssd.shape == (8732, 4)
    np.testing.assert_allclose(ssd[::7], expected['anchors/ssd'], atol=5e-5)
    effdet = ops.efficientdet_anchors([64, 32, 16, 8, 4], 512)
    assert effdet.shape == (49_104, 4)
    np.testing.assert_allclose(effdet[::7], expected['anchors/efficientdet'], atol=1e-4)


def test_options_and_errors():
    half = ops.anchor_grid([(1, 1)], (16, 16), sizes=[(4,)], ratios=[(1.0,)], offset=0.5, rounded=False)
    np.testing.assert_array_equal(half, [[6, 6, 10, 10]])
    wide = ops.default_boxes([1], 100, scales=(1.05, 1.05), ratios=[()], at_most_image=False)
    np.testing.assert_allclose(wide[0], [-2.5, -2.5, 102.5, 102.5], atol=1e-5)
    assert ops.octave_sizes((32,), whole=False)[0][1] == pytest.approx(32 * 2 ** (1 / 3))
    with pytest.raises(ValueError, match='2 maps need as many sequences of sizes, got 1'):
        ops.anchor_grid([1, 1], 16, sizes=[(4,)])
    with pytest.raises(ValueError, match='2 maps need as many sequences of ratios'):
        ops.anchor_grid([1, 1], 16, sizes=[(4,), (8,)], ratios=[(1.0,)])
    with pytest.raises(ValueError, match='1 maps need 2 scales, 1 sequences of ratios'):
        ops.default_boxes([1], 16, scales=(0.1,), ratios=[()])
    with pytest.raises(ValueError, match=r'1 maps need as many sequences of \(scale, ratio\), got 0'):
        ops.cell_anchors([1], 16, cells=[])


def test_a_list_of_a_cell_keeps_its_order_and_the_shorter_side():
    found = ops.cell_anchors([(1, 2)], (40, 80), cells=[[(0.5, 4.0), (0.25, 1.0)]])
    np.testing.assert_allclose(found[:2], [[0, 15, 40, 25], [15, 15, 25, 25]])
    np.testing.assert_allclose(found[2:], found[:2] + np.float32([40, 0, 40, 0]))
