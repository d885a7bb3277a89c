"""Parameters as the model alone would make them, a module that draws dropout as it is made, and normalized images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxcv import models, tasks
from jaxcv.tasks.network import log_probabilities, network


class Dropped(nn.Module):
    """A classifier that draws from 'dropout' when it is initialized."""

    @nn.compact
    def __call__(self, images, *, train=False):
        kernel = self.param('kernel', lambda key: jax.random.normal(key, (images[0].size, 3)))
        self.make_rng('dropout')
        return images.reshape(len(images), -1) @ kernel


@pytest.mark.parametrize(
    'model',
    [models.cifar_resnet(depth=8, width=4, num_classes=3, dropout=0.5), models.linear_classifier(num_classes=3)],
)
def test_initial_parameters_are_the_models_own(model):
    batch = {'image': jnp.zeros((1, 8, 8, 3))}
    task = tasks.classification(model, num_classes=3)
    for seed in (0, 7):
        own = jax.jit(model.init)(jax.random.key(seed), batch['image'])
        jax.tree.map(np.testing.assert_array_equal, jax.jit(task.init)(jax.random.key(seed), batch), own)


def test_a_module_that_draws_dropout_at_its_start():
    task = tasks.classification(Dropped(), num_classes=3)
    variables = task.init(jax.random.key(0), {'image': jnp.zeros((1, 2, 2, 1))})
    assert variables['params']['kernel'].shape == (4, 3)


class Same(nn.Module):
    """The images as the network gets them."""

    def __call__(self, images, *, train=False):
        return images


@pytest.mark.parametrize(
    ('mean', 'std', 'expected'),
    [(None, None, 0.5), ((0.2,), None, 0.3), (None, (0.25,), 2.0), ((0.2,), (0.25,), 1.2)],
)
def test_a_mean_or_a_divisor_alone_normalizes_too(mean, std, expected):
    batch = {'left': jnp.full((1, 2, 2, 1), 0.5), 'right': jnp.full((1, 2, 2, 1), 0.5)}
    net = network(Same(), checked=lambda x: x, mean=mean, std=std, inputs=('left', 'right'))
    found = (net.predict({}, batch), net.train({}, {}, batch, jax.random.key(0))[0])
    for images in found:
        np.testing.assert_allclose(images, np.full((1, 2, 2, 2), expected), rtol=1e-6)


def test_log_probabilities_of_nothing_are_finite():
    found = log_probabilities(jnp.array([0.0, 0.25, 0.75]))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(jax.nn.softmax(found), [0, 0.25, 0.75], atol=1e-7)
