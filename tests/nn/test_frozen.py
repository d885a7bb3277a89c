"""A model with frozen layers, against the model itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import models, nn

LAYERS = {'*': True, 'stage3': False, 'head': False}


@pytest.fixture(scope='module')
def setting():
    model = models.cifar_resnet(depth=8, width=4, dropout=0.5)
    images = jax.random.uniform(jax.random.key(0), (4, 8, 8, 1))
    variables = jax.jit(model.init)(jax.random.key(1), images)
    # Statistics and parameters that are no first values, so that using the wrong ones shows.
    rng = np.random.default_rng(2)
    return model, images, jax.tree.map(lambda x: x + 0.1 * rng.random(x.shape, np.float32), variables)


def gradient(model, variables, images):
    def loss(params):
        logits, state = model.apply(
            {**variables, 'params': params},
            images,
            train=True,
            mutable=['batch_stats'],
            rngs={'dropout': jax.random.key(3)},
        )
        return jnp.square(logits).sum(), state

    return jax.jit(jax.grad(loss, has_aux=True))(variables['params'])


def test_frozen_layers_neither_learn_nor_count(setting):
    model, images, variables = setting
    grads, state = gradient(nn.frozen(model, layers=LAYERS), variables, images)
    for name in variables['params']:
        learns = name in ('stage3', 'head')
        size = sum(float(jnp.abs(g).sum()) for g in jax.tree.leaves(grads[name]))
        assert (size > 0) == learns, name
    for name, before in variables['batch_stats'].items():
        same = jax.tree.map(lambda a, b: bool((a == b).all()), before, state['batch_stats'][name])
        assert all(jax.tree.leaves(same)) == (name != 'stage3'), name


def test_the_rest_trains_on_features_in_evaluation_mode(setting):
    model, images, variables = setting
    frozen = nn.frozen(model, layers={'*': True, 'head': False})
    train = {'train': True, 'mutable': ['batch_stats'], 'rngs': {'dropout': jax.random.key(3)}}

    @jax.jit
    def outputs(variables):
        features = model.apply(variables, images, train=False, method='features')
        trained = frozen.apply(variables, images, method='features', **train)[0]
        at_rest = [network.apply(variables, images, train=False) for network in (frozen, model)]
        return trained['stage3'], features['stage3'], at_rest

    trained, features, at_rest = outputs(variables)
    np.testing.assert_allclose(trained, features, rtol=1e-5)
    np.testing.assert_allclose(*at_rest, rtol=1e-6)


def test_the_dropout_before_the_head_belongs_to_no_layer(setting):
    model, images, variables = setting
    probe = nn.frozen(model, layers={'*': True, 'head': False})

    @jax.jit
    def logits(key):
        return probe.apply(variables, images, train=True, mutable=['batch_stats'], rngs={'dropout': key})[0]

    one, other = (logits(jax.random.key(i)) for i in (3, 4))
    assert float(jnp.abs(one - other).max()) > 1e-3


def test_nothing_frozen_is_the_model_itself(setting):
    model, images, variables = setting
    expected = gradient(model, variables, images)
    found = gradient(nn.frozen(model, layers={'stem': False}), variables, images)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_a_linear_probe_needs_no_gradient_of_the_backbone(setting):
    """The compiler drops it, so a probe's step costs little more than a forward pass."""
    model, images, variables = setting

    def flops(model):
        loss = lambda params: jnp.square(  # noqa: E731
            model.apply(
                {**variables, 'params': params},
                images,
                train=True,
                mutable=['batch_stats'],
                rngs={'dropout': jax.random.key(3)},
            )[0]
        ).sum()
        return jax.jit(jax.grad(loss)).lower(variables['params']).compile().cost_analysis()['flops']

    assert flops(nn.frozen(model, layers={'*': True, 'head': False})) < 0.5 * flops(model)


def test_a_layer_that_is_not_there_is_an_error(setting):
    model, images, variables = setting
    with pytest.raises(ValueError, match="frozen: no layer 'stage4'; the network has head, stage1"):
        nn.frozen(model, layers={'stage4': True}).apply(variables, images)
