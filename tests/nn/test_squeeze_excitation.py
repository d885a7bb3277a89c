"""Squeeze-and-excitation against its formula in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcv.nn.squeeze_excitation import SqueezeExcitation


def test_formula():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 5, 3, 8)).astype(np.float32)
    w1, b1, w2, b2 = weights = [rng.normal(size=shape).astype(np.float32) for shape in ((8, 2), (2,), (2, 8), (8,))]
    v1, c1, v2, c2 = map(jnp.asarray, weights)
    params = {'fc1': {'kernel': v1[None, None], 'bias': c1}, 'fc2': {'kernel': v2[None, None], 'bias': c2}}
    relu, silu = lambda v: np.maximum(v, 0), lambda v: v / (1 + np.exp(-v))
    for activation, reference in ((jax.nn.relu, relu), (jax.nn.silu, silu)):
        weights = 1 / (1 + np.exp(-(reference(x.mean(axis=(1, 2)) @ w1 + b1) @ w2 + b2)))
        layer = SqueezeExcitation(squeezed=2, activation=activation)
        np.testing.assert_allclose(
            layer.apply({'params': params}, jnp.asarray(x)), x * weights[:, None, None], atol=1e-5
        )


def test_gate_and_parameters():
    x = jnp.ones((1, 4, 4, 6))
    layer = SqueezeExcitation(squeezed=3, gate=jnp.zeros_like)
    variables = layer.init(jax.random.key(0), x)
    assert not layer.apply(variables, x).any()
    shapes = jax.tree.map(jnp.shape, variables['params'])
    expected = {'fc1': {'kernel': (1, 1, 6, 3), 'bias': (3,)}, 'fc2': {'kernel': (1, 1, 3, 6), 'bias': (6,)}}
    assert shapes == expected


def test_bfloat16_and_gradient():
    """Sums over many equal values are exact, ahead and back: in bfloat16 a running sum would stop growing."""
    x = jnp.ones((1, 64, 64, 2), jnp.bfloat16)
    layer = SqueezeExcitation(squeezed=1, gate=lambda z: z, dtype=jnp.bfloat16)
    params = {'fc1': {'kernel': jnp.ones((1, 1, 2, 1)) / 2, 'bias': jnp.zeros(1)}}
    params['fc2'] = {'kernel': jnp.ones((1, 1, 1, 2)), 'bias': jnp.zeros(2)}
    y = layer.apply({'params': params}, x)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(y.astype(jnp.float32), 1)
    gradient = jax.jit(jax.grad(lambda p: layer.apply({'params': p}, x).sum(dtype=jnp.float32)))(params)
    np.testing.assert_allclose(gradient['fc2']['bias'], 64 * 64, rtol=0.01)
