import jax
import jax.numpy as jnp
import numpy as np

from jaxcv import models


def test_linear_classifier_is_one_matrix():
    model = models.linear_classifier(num_classes=5)
    images = jax.random.normal(jax.random.key(0), (3, 4, 2, 2))
    variables = model.init(jax.random.key(1), images)
    head = jax.tree.map(np.asarray, variables['params']['head'])
    expected = np.asarray(images).reshape(3, 16) @ head['kernel'] + head['bias']
    np.testing.assert_allclose(jax.jit(model.apply)(variables, images), expected, atol=1e-5)
    logits, state = model.apply(variables, images, train=True, mutable=['batch_stats'])
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert not state


def test_bfloat16_is_the_compute_type_only():
    model = models.linear_classifier(num_classes=5, dtype='bfloat16')
    variables = model.init(jax.random.key(0), jnp.ones((1, 2, 2, 1)))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
    assert model.apply(variables, jnp.ones((1, 2, 2, 1))).dtype == jnp.float32
