"""The locally connected layer against NumPy's loops and the convolution; PReLU."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import nn, ops

RNG = np.random.default_rng(0)


@pytest.mark.parametrize('strides', [1, 2])
def test_each_place_has_its_own_filters(strides):
    x = RNG.normal(size=(2, 7, 8, 3))
    layer = nn.LocallyConnected(features=4, kernel_size=3, strides=strides)
    shapes = jax.eval_shape(layer.init, jax.random.key(0), jnp.asarray(x, jnp.float32))['params']
    params = {name: RNG.normal(size=leaf.shape).astype(np.float32) for name, leaf in shapes.items()}
    _, _, rows, columns, *_ = params['kernel'].shape
    assert (rows, columns) == ((5, 6) if strides == 1 else (3, 3))
    expected = np.array(np.broadcast_to(params['bias'], (2, rows, columns, 4)), np.float64)
    for i, j in np.ndindex(rows, columns):
        window = x[:, i * strides : i * strides + 3, j * strides : j * strides + 3]
        expected[:, i, j] += np.einsum('nabc,abcf->nf', window, params['kernel'][:, :, i, j])

    @jax.jit
    def value_and_gradient(params, x):
        return jax.value_and_grad(lambda p, x: jnp.sum(jnp.square(layer.apply({'params': p}, x))), argnums=(0, 1))(
            params, x
        )

    found = layer.apply({'params': params}, jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    value, (of_params, of_x) = value_and_gradient(params, jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(value, np.square(expected).sum(), rtol=1e-4)
    np.testing.assert_allclose(of_params['bias'], 2 * expected.sum(axis=0), rtol=1e-3, atol=1e-3)
    # Of one weight and of one pixel, by differences: the loss is a quadratic, for which central ones are exact.
    for leaf, place in (('kernel', (1, 2, 1, 2, 0, 3)), ('x', (1, 4, 4, 2))):
        ends = []
        for step in (-1.0, 1.0):
            moved, image = {**params, 'kernel': params['kernel'].copy()}, x.copy()
            (moved['kernel'] if leaf == 'kernel' else image)[place] += step
            ends.append(float(value_and_gradient(moved, jnp.asarray(image, jnp.float32))[0]))
        gradient = of_params['kernel'] if leaf == 'kernel' else of_x
        np.testing.assert_allclose(gradient[place], (ends[1] - ends[0]) / 2, rtol=2e-3, atol=2e-3)


def test_equal_filters_are_a_convolution_and_others_do_not_follow_a_shift():
    x = jnp.asarray(RNG.normal(size=(1, 6, 6, 2)), jnp.float32)
    filters = jnp.asarray(RNG.normal(size=(3, 3, 2, 4)), jnp.float32)
    layer = nn.LocallyConnected(features=4)
    everywhere = jnp.broadcast_to(filters[:, :, None, None], (3, 3, 4, 4, 2, 4))
    variables = {'params': {'kernel': everywhere, 'bias': jnp.zeros((4, 4, 4))}}
    np.testing.assert_allclose(layer.apply(variables, x), ops.conv2d(x, filters), rtol=1e-4, atol=1e-5)
    own = layer.init(jax.random.key(0), x)
    shifted = jnp.roll(x, 1, axis=2)
    for these, follows in ((variables, True), (own, False)):
        before, after = layer.apply(these, x)[:, :, :3], layer.apply(these, shifted)[:, :, 1:]
        assert np.allclose(before, after, atol=1e-4) == follows


def test_another_size_is_refused():
    layer = nn.LocallyConnected(features=2, kernel_size=5, strides=2)
    shapes = jax.eval_shape(layer.init, jax.random.key(0), jnp.zeros((1, 11, 13, 3)))
    for size in ((13, 13, 3), (11, 13, 4)):
        with pytest.raises(ValueError, match=r'made for features of 11 x 13 pixels and 3 channels, got'):
            jax.eval_shape(layer.apply, shapes, jnp.zeros((1, *size)))
    with pytest.raises(ValueError, match='a window of 5 x 5 does not fit features of 4 x 9'):
        jax.eval_shape(layer.init, jax.random.key(0), jnp.zeros((1, 4, 9, 3)))


def test_prelu_has_a_slope_for_each_channel():
    x = jnp.asarray(RNG.normal(size=(5, 3)), jnp.float32)
    slope = jnp.array([0.25, 0.0, 2.0])
    found = nn.PReLU().apply({'params': {'slope': slope}}, x)
    np.testing.assert_allclose(found, np.where(x > 0, x, slope * x), rtol=1e-6)
    assert nn.PReLU(initial=0.1).init(jax.random.key(0), x)['params']['slope'].tolist() == pytest.approx([0.1] * 3)
