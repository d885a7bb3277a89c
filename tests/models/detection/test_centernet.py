"""First values of CenterNet, and that its filters stay different ones in training."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcv import losses, models

CLASSES, CHANNELS, SIDE = 6, 32, 6


@pytest.fixture(scope='module')
def detector():
    """A network, and its parameters without the backbone's."""
    model = models.detection.centernet(backbone=models.resnet18(), num_classes=CLASSES, up_features=(CHANNELS,))

    def parts(net, x):
        return [head(net.neck(x, train=False)) for head in (net.heatmap, net.size, net.offset)]

    init = jax.jit(functools.partial(model.init, method=parts))
    return model, init(jax.random.key(0), jnp.zeros((1, 1, 1, 2 * CHANNELS)))['params']


def test_upsampling_starts_with_kernels_that_an_update_does_not_replace(detector):
    kernel = detector[1]['neck']['deconv1']['kernel']
    assert kernel.std() == pytest.approx((4 * 2 * CHANNELS) ** -0.5, rel=0.05)


def test_heads_start_as_in_the_released_code(detector):
    """PyTorch's default, but for the last layers of sizes and offsets; the heat map's bias is a probability of 0.1."""
    _, params = detector
    default = {(head, 'hidden'): 9 * CHANNELS for head in ('heatmap', 'size', 'offset')} | {('heatmap', 'predict'): 64}
    for (head, layer), fan_in in default.items():
        kernel = params[head][layer]['kernel']
        assert jnp.abs(kernel).max() <= fan_in**-0.5
        assert kernel.std() == pytest.approx((3 * fan_in) ** -0.5, rel=0.1)
    for head in ('size', 'offset'):
        assert params[head]['predict']['kernel'].std() == pytest.approx(0.001, rel=0.2)
        np.testing.assert_array_equal(params[head]['predict']['bias'], 0)
    np.testing.assert_allclose(jax.nn.sigmoid(params['heatmap']['predict']['bias']), 0.1, atol=1e-3)


def test_filters_of_the_heat_map_stay_different(detector):
    """From weights near 0 in both layers they become copies of a few, which cannot tell the classes apart."""
    model, params = detector
    rng = np.random.default_rng(0)
    patterns, x = rng.normal(size=(CLASSES, CHANNELS)), 0.5 * rng.normal(size=(16, SIDE, SIDE, CHANNELS))
    heatmap = np.zeros((16, SIDE, SIDE, CLASSES), np.float32)
    for i, (row, column, label) in enumerate(rng.integers(0, CLASSES, (16, 3))):
        x[i, row, column] += patterns[label]
        heatmap[i, row, column, label] = 1
    x, optimizer = jnp.asarray(np.maximum(x, 0), jnp.float32), optax.adam(1e-3)

    def loss(head):
        logits = model.apply({'params': {'heatmap': head}}, x, method=lambda net, x: net.heatmap(x))
        return jax.vmap(losses.center_heatmap_loss)(logits, jnp.asarray(heatmap)).sum() / 16

    def update(carry, _):
        head, state = carry
        value, gradients = jax.value_and_grad(loss)(head)
        updates, state = optimizer.update(gradients, state)
        return (optax.apply_updates(head, updates), state), value

    train = jax.jit(lambda head: jax.lax.scan(update, (head, optimizer.init(head)), length=60))
    (trained, _), values = train(params['heatmap'])
    singular = np.linalg.svd(trained['hidden']['kernel'].reshape(-1, 64), compute_uv=False)
    assert singular.sum() ** 2 / (singular**2).sum() > 30  # as many directions, if all were equally long
    assert values[-1] < 0.5 * values[0]
