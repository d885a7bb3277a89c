"""Box coders against torchvision's (tools/detection_ops)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import ops
from tests.ops.box_sets import pairs
from tests.ops.test_boxes import fixture


@pytest.mark.parametrize('weights', [(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)])
def test_equal_torchvisions(weights):
    boxes, anchors = map(jnp.asarray, pairs())
    coder, name = ops.box_coder(weights=weights), f'{weights[0]:.0f}'
    expected = fixture()
    codes = coder.encode(boxes, anchors)
    np.testing.assert_allclose(codes, expected[f'code/{name}'], rtol=1e-5, atol=1e-5)
    decoded = coder.decode(codes * 3, anchors)  # some sides grow beyond the clip
    np.testing.assert_allclose(decoded, expected[f'decoded/{name}'], rtol=2e-5, atol=1e-3)
    assert (np.asarray(codes * 3)[:, 2:] / weights[2] > 4.13).any()


@pytest.mark.parametrize(
    'coder', [ops.box_coder(), ops.ssd_coder(), ops.efficientdet_coder()], ids=['box', 'ssd', 'efficientdet']
)
def test_decoding_inverts_encoding(coder):
    boxes, anchors = map(jnp.asarray, pairs())
    np.testing.assert_allclose(coder.decode(coder.encode(boxes, anchors), anchors), boxes, atol=2e-5)


def test_orders_and_variances():
    box, anchor = jnp.array([5.0, 4, 15, 44]), jnp.array([0.0, 0, 10, 20])
    x, y, w, h = 0.5, 14 / 20, 0.0, np.log(2)
    np.testing.assert_allclose(ops.box_coder().encode(box, anchor), [x, y, w, h], rtol=1e-6)
    np.testing.assert_allclose(ops.ssd_coder().encode(box, anchor), [10 * x, 10 * y, 5 * w, 5 * h], rtol=1e-6)
    np.testing.assert_allclose(ops.efficientdet_coder().encode(box, anchor), [y, x, h, w], rtol=1e-6)


def test_padding_is_finite_and_bfloat16_is_decoded_in_float32():
    coder, anchor = ops.box_coder(), jnp.array([0.0, 0, 10, 20])
    value, gradient = jax.value_and_grad(lambda box: coder.encode(box, anchor).sum())(jnp.zeros(4))
    assert jnp.isfinite(value)
    assert jnp.isfinite(gradient).all()
    far = jnp.array([2000.0, 2000, 2010, 2020])
    assert coder.decode(jnp.zeros(4, jnp.bfloat16), far).dtype == jnp.float32
    np.testing.assert_array_equal(coder.decode(jnp.zeros(4, jnp.bfloat16), far), far)
    assert jnp.isfinite(coder.decode(jnp.full(4, 1e4), anchor)).all()
