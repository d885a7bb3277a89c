import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import losses

RNG = np.random.default_rng(0)
KERNEL, DENSE = RNG.normal(size=(3, 3, 2, 4)).astype(np.float32), RNG.normal(size=(4, 5)).astype(np.float32)
DENSE[0, 0] = 0  # where |w| has a corner
PARAMS = {
    'conv': {'kernel': jnp.asarray(KERNEL)},
    'bn': {'scale': jnp.full(4, 100.0), 'bias': jnp.full(4, -100.0)},
    'head': {'kernel': jnp.asarray(DENSE), 'bias': jnp.full(5, 100.0)},
}


@pytest.mark.parametrize(('l1', 'l2'), [(0.3, 0.0), (0.0, 0.2), (0.3, 0.2)])
def test_value_and_gradient(l1, l2):
    value, gradient = jax.jit(jax.value_and_grad(lambda params: losses.weight_penalty(params, l1=l1, l2=l2)))(PARAMS)
    weights = np.concatenate([KERNEL.ravel(), DENSE.ravel()]).astype(np.float64)
    np.testing.assert_allclose(value, l1 * np.abs(weights).sum() + l2 / 2 * (weights**2).sum(), rtol=1e-6)
    for name, array in (('conv', KERNEL), ('head', DENSE)):
        np.testing.assert_allclose(gradient[name]['kernel'], l1 * np.sign(array) + l2 * array, rtol=1e-5, atol=1e-7)
    assert not any(leaf.any() for leaf in jax.tree.leaves((gradient['bn'], gradient['head']['bias'])))


def test_scalar_float32_whatever_there_is():
    half = {'kernel': jnp.full((300, 300), 0.1, jnp.bfloat16)}
    for params, expected in (
        (PARAMS, 0),
        ({}, 0),
        ({'bias': jnp.ones(3)}, 0),
        (half, 90_000 * float(half['kernel'][0, 0])),
    ):
        penalty = losses.weight_penalty(params, l1=1.0 if params is not PARAMS else 0.0)
        assert (penalty.shape, penalty.dtype) == ((), jnp.float32)
        np.testing.assert_allclose(penalty, expected, rtol=1e-5)


def test_it_is_no_loss_that_a_config_may_name():
    assert 'weight_penalty' not in losses.__all__


@pytest.mark.parametrize('options', [{'l1': -1.0}, {'l2': -0.1}])
def test_negative_weights(options):
    with pytest.raises(ValueError, match=r'must be in \[0, inf\)'):
        losses.weight_penalty(PARAMS, **options)
