"""ASPP's two forms, from their definitions. Parity with torchvision's is in tests/weights/test_segmentation.py."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxcv.nn import ASPP, SummedASPP, conv2d

X = jax.random.normal(jax.random.key(1), (2, 7, 9, 4))


def test_aspp_is_its_branches_side_by_side_projected():
    layer = ASPP(features=3, rates=(2, 5))
    variables = jax.jit(layer.init)(jax.random.key(0), X)
    params = variables['params']
    shrunk = 1 / np.sqrt(1 + 1e-5)  # a new batch norm, with running variance 1

    def conv(name, x, dilation=1):
        kernel = params[name]['conv']['kernel']
        padding = dilation * (kernel.shape[0] // 2)
        return jax.nn.relu(conv2d(x, kernel, dilation=dilation, padding=padding) * shrunk)

    mean = jnp.broadcast_to(conv('pool', X.mean((1, 2), keepdims=True)), (2, 7, 9, 3))
    branches = [conv('branch0', X), conv('branch1', X, 2), conv('branch2', X, 5), mean]
    expected = conv('project', jnp.concatenate(branches, -1))
    np.testing.assert_allclose(layer.apply(variables, X), expected, atol=1e-5)


def test_aspp_options():
    def names(**options):
        layer = ASPP(features=3, rates=(2, 5), **options)
        return {name: set(part) for name, part in jax.eval_shape(layer.init, jax.random.key(0), X)['params'].items()}

    assert 'pool' not in names(image_pooling=False)
    assert names(separable=True)['branch1'] == {'depthwise', 'pointwise'}
    assert names(separable=True)['branch0'] == {'conv', 'bn'}


def test_aspp_in_training_drops_and_updates():
    layer = ASPP(features=3, rates=(2,), dropout=0.5, dtype=jnp.bfloat16)
    variables = jax.jit(layer.init)(jax.random.key(0), X)
    train = functools.partial(layer.apply, train=True, mutable=['batch_stats'])
    y, updated = jax.jit(train)(variables, X, rngs={'dropout': jax.random.key(0)})
    assert y.dtype == jnp.bfloat16
    assert float((y == 0).mean()) > 0.5  # of ReLU's values half are left
    mean = updated['batch_stats']['pool']['bn']['mean']
    assert mean.dtype == jnp.float32
    assert mean.any()


def test_summed_aspp_is_a_sum():
    for hidden in (0, 5):
        layer = SummedASPP(features=3, rates=(1, 4), hidden_features=hidden)
        variables = jax.jit(layer.init)(jax.random.key(0), X)
        total = jax.jit(layer.apply)(variables, X)
        parts = []
        for i, rate in enumerate((1, 4), start=1):
            alone = {
                name.replace(f'branch{i}', 'branch1'): part
                for name, part in variables['params'].items()
                if name.startswith(f'branch{i}')
            }
            parts.append(jax.jit(SummedASPP(3, (rate,), hidden).apply)({'params': alone}, X))
        np.testing.assert_allclose(total, sum(parts), atol=1e-5)
        assert len(variables['params']) == (6 if hidden else 2)
