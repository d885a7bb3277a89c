"""GoogLeNet against torchvision's outputs (tools/backbones), the paper's table, and its auxiliary heads."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.models.backbones.googlenet import googlenet
from jaxcv.weights.convert import to_state_dict, to_variables
from jaxcv.weights.layouts import layout
from tests.models.tracing import shapes_of
from tests.weights import parity

TABLE = layout('googlenet', 'torchvision')


def fixture(name):
    """(arrays of the one size, seeded state dict, images) of a variant's fixture."""
    arrays = parity.fixture(name)
    ((height, width),) = parity.sizes(name)
    shapes = json.loads(str(arrays['state_dict']))
    theirs = {key: parity.seeded(key, tuple(shape)) for key, shape in shapes.items()}
    where = f'{height}x{width}/'
    found = {key.removeprefix(where): value for key, value in arrays.items() if key.startswith(where)}
    return found, theirs, jnp.asarray(parity.seeded('images', (1, height, width, 3)))


def test_parameter_counts():
    def count(**options):
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes_of(googlenet(**options))['params']))

    assert count() == 6_624_904
    assert count(aux_heads=True) == 13_004_888
    fives = [(16, 32), (32, 96), (16, 48), (24, 64), (24, 64), (32, 64), (32, 128), (32, 128), (48, 128)]
    assert count(paper_5x5=True) - count() == sum((25 - 9) * before * after for before, after in fives)


def test_equals_torchvision():
    parity.check('googlenet')


@pytest.mark.slow
def test_equals_torchvision_at_the_native_size():
    parity.check('googlenet', size=(224, 224))


def test_round_trip():
    parity.check_round_trip('googlenet')


def test_paper_5x5_equals_torchvision_with_5x5_in_place():
    expected, theirs, images = fixture('googlenet_paper')
    model = googlenet(paper_5x5=True)
    variables = to_variables(theirs, shapes_of(model), TABLE)
    parity.compare('logits', jax.jit(model.apply)(variables, images), expected['logits'])


def test_auxiliary_heads_equal_torchvisions():
    expected, theirs, images = fixture('googlenet_auxiliary')
    model = googlenet(aux_heads=True)
    variables = to_variables(theirs, shapes_of(model), TABLE)
    found = jax.jit(lambda variables: model.apply(variables, images, method='with_auxiliary'))(variables)
    parity.compare('logits', found[0], expected['logits'])
    for name, logits in zip(('aux1', 'aux2'), found[1:], strict=True):
        assert logits.dtype == jnp.float32
        places = np.linspace(0, logits.size - 1, 64).astype(int)
        parity.compare(name, np.asarray(logits).ravel()[places], expected[f'{name}/sample'])

    back = to_state_dict(variables, TABLE)
    assert sorted(back) == sorted(theirs)
    assert all((back[key] == theirs[key]).all() for key in theirs)
    # The published checkpoint holds them: a model without takes the rest of it.
    plain = googlenet()
    without = to_variables(theirs, shapes_of(plain), TABLE)
    assert not {'aux1', 'aux2'} & set(without['params'])
    np.testing.assert_array_equal(without['params']['head']['kernel'], variables['params']['head']['kernel'])


def test_no_auxiliary_heads_to_ask():
    model = googlenet()
    with pytest.raises(ValueError, match='make it with aux_heads=True'):
        jax.eval_shape(
            lambda variables: model.apply(variables, jnp.zeros((1, 64, 64, 3)), method='with_auxiliary'),
            shapes_of(model),
        )


@pytest.mark.slow
def test_trains_with_auxiliary_heads_in_bfloat16_on_one_image():
    model = googlenet(num_classes=3, aux_heads=True, dtype='bfloat16')
    images = jax.random.normal(jax.random.key(1), (1, 47, 33, 3))
    variables = jax.jit(model.init)(jax.random.key(0), images)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
    traces = []

    @jax.jit
    def step(variables, key):
        traces.append(1)

        def loss(params):
            logits, state = model.apply(
                {**variables, 'params': params},
                images,
                train=True,
                method='with_auxiliary',
                mutable=['batch_stats'],
                rngs={'dropout': key},
            )
            main, *auxiliary = (jax.nn.logsumexp(x).sum() for x in logits)
            return main + 0.3 * sum(auxiliary), (logits, state)

        gradients, (logits, state) = jax.grad(loss, has_aux=True)(variables['params'])
        return gradients, logits, {**variables, **state}

    keys = [jax.random.key(seed) for seed in (0, 0, 1)]
    results = [step(variables, key) for key in keys]
    gradients, logits, updated = results[0]
    assert len(traces) == 1
    assert [x.dtype for x in logits] == [jnp.float32] * 3
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((gradients, logits, updated)))
    assert gradients['aux1']['fc1']['kernel'].any()
    assert gradients['aux2']['conv']['conv']['kernel'].any()
    np.testing.assert_array_equal(results[0][1][0], results[1][1][0])
    assert not np.array_equal(results[0][1][0], results[2][1][0])
    assert updated['batch_stats']['aux1']['conv']['bn']['mean'].any()


@pytest.mark.parametrize('option', ['dropout', 'aux_dropout'])
def test_rates_are_probabilities(option):
    with pytest.raises(ValueError, match=rf'{option} .* in \[0, 1\), got 1.0'):
        googlenet(**{option: 1.0})
