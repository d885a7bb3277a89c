"""Networks of flow and stereo: parameters of the papers' tables, sizes, levels, and GC-Net without its volume.

`tests.weights.test_stereo` has the outputs of PyTorch's.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import models
from jaxcv.models import stereo

# From the reference tables, and from PyTorch's re-implementations.
PARAMETERS = [
    ('flownet_s', {}, 38_676_514),
    ('flownet_s', {'biases': 'encoder'}, 38_675_536),
    ('flownet_s', {'biases': 'encoder', 'batch_norm': True}, 38_680_336),
    ('flownet_s', {'biases': 'not_upsampling'}, 38_676_506),
    ('flownet_s', {'last_conv': False}, 29_238_306),
    ('flownet_c', {}, 39_175_298),
    ('flownet_c', {'biases': 'encoder'}, 39_174_320),
    ('dispnet', {}, 42_322_459),
    ('dispnet', {'learned_upsampling': False}, 42_322_374),
    ('dispnet_c', {}, 42_174_107),
    ('dispnet_c', {'two_sided': True}, 42_430_107),
    ('gcnet', {}, 2_847_201),
    ('gcnet', {'form': 'public'}, 3_179_553),
]
SMALL = {
    'flownet_s': {'width': 0.05},
    'flownet_c': {'width': 0.05, 'max_displacement': 4},
    'dispnet': {'width': 0.05},
    'dispnet_c': {'width': 0.05, 'max_displacement': 4},
    'gcnet': {'disparities': 32, 'width': 2, 'blocks': 1},
}
KEY = jax.random.key(0)


def pairs(height, width, channels=6):
    return jax.ShapeDtypeStruct((2, height, width, channels), jnp.float32)


@pytest.mark.parametrize(('name', 'options', 'expected'), PARAMETERS)
def test_parameters(name, options, expected):
    variables = jax.eval_shape(getattr(stereo, name)(**options).init, KEY, pairs(64, 64))
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables['params'])) == expected


@pytest.mark.parametrize('name', SMALL)
def test_any_size_comes_back_at_full_size(name):
    """Levels are of the padded images, the answer of their own size; gray pairs have 2 channels."""
    model = getattr(stereo, name)(**SMALL[name])
    answer, variables = jax.eval_shape(model.init_with_output, KEY, pairs(70, 41, 2))
    assert answer.shape == ((2, 70, 41, 2) if name.startswith('flownet') else (2, 70, 41))
    assert answer.dtype == jnp.float32
    levels = jax.eval_shape(lambda v, x: model.apply(v, x, method='levels'), variables, pairs(70, 41, 2))
    padded = (96, 64) if name == 'gcnet' else (128, 64)
    strides = {'flownet': (64, 32, 16, 8, 4), 'dispnet': (64, 32, 16, 8, 4, 2), 'gcnet': (1,)}
    assert set(levels) == set(strides[name.partition('_')[0]])
    for stride, level in levels.items():
        assert level.shape[1:3] == (padded[0] // stride, padded[1] // stride)


@pytest.mark.parametrize('name', SMALL)
def test_declared_stages(name):
    model = getattr(stereo, name)(**SMALL[name])

    def features(key):
        return model.init_with_output(key, jnp.zeros((1, 128, 64, 6)), method='features')[0]

    found = jax.eval_shape(features, KEY)
    assert {stage: (128 // x.shape[-3], x.shape[-1]) for stage, x in found.items()} == models.stages(model)


@pytest.mark.parametrize(('name', 'kernels'), [('flownet_s', 5), ('dispnet', 11)])
def test_first_predictions_have_the_scale_of_the_features(name, kernels):
    """Kernels of one or two outputs are drawn by their inputs: by their outputs, flows would begin at 100 pixels."""
    model = getattr(stereo, name)(width=0.25)
    drawn = {layer: kernel for layer, kernel in first_kernels(model).items() if layer.startswith(('pr', 'iconv'))}
    assert len(drawn) == kernels
    for layer, kernel in drawn.items():
        gain = 2.0 if layer.startswith('iconv') else 1.0  # a leaky ReLU comes after it
        variance = kernel[..., 0].size * np.square(kernel).mean()  # of the output, for inputs of mean square 1
        assert variance == pytest.approx(gain, rel=0.25), layer


def first_kernels(model):
    @jax.jit
    def drawn(key):  # nothing but the draws is computed
        return {name: leaves['kernel'] for name, leaves in model.init(key, jnp.ones((1, 64, 64, 6)))['params'].items()
                if 'kernel' in leaves}  # fmt: skip

    return jax.tree.map(np.asarray, drawn(KEY))


def test_levels_are_in_pixels_of_the_images():
    """A prediction of one unit is 20 pixels at every level of FlowNet, and in the answer."""
    model = stereo.flownet_s(width=0.02)
    images = jnp.zeros((1, 64, 64, 6))

    def with_biases(path, leaf):
        predicts = any('predict_flow' in str(part) for part in path) and path[-1].key == 'bias'
        return jnp.ones(leaf.shape) if predicts else jnp.zeros(leaf.shape)

    variables = jax.tree_util.tree_map_with_path(with_biases, jax.eval_shape(model.init, KEY, images))
    levels, answer = jax.jit(lambda v: (model.apply(v, images, method='levels'), model.apply(v, images)))(variables)
    for level in (*levels.values(), answer):
        np.testing.assert_allclose(level, 20)


@pytest.mark.slow
@pytest.mark.parametrize('form', ['paper', 'public'])
def test_gcnet_needs_no_volume_and_no_memory_for_its_blocks(form):
    """Without the volume, and with rematerialized blocks, values and gradients are the same."""
    options = {'disparities': 32, 'width': 4, 'blocks': 1, 'form': form}
    # The coarsest volume has eight values a channel: batch norms of fewer magnify rounding.
    images = jax.random.normal(KEY, (2, 64, 64, 6))
    frugal, plain = stereo.gcnet(**options), stereo.gcnet(**options, volume='explicit', remat=False)
    variables = jax.jit(frugal.init)(KEY, images)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, jax.eval_shape(plain.init, KEY, images))

    def total(params, model):
        found, state = model.apply(
            {**variables, 'params': params}, images, train=True, mutable=['batch_stats'], method='levels'
        )
        return jnp.sin(found[1]).sum(), (found[1], state)

    @jax.jit
    def both(params):
        return [jax.value_and_grad(total, has_aux=True)(params, model) for model in (frugal, plain)]

    def check(x, y):
        np.testing.assert_allclose(x, y, rtol=0, atol=2e-3 * max(1, np.abs(y).max()))

    jax.tree.map(check, *both(variables['params']))


def test_gcnet_answers_the_middle_of_constant_costs():
    model = stereo.gcnet(disparities=32, width=2, blocks=1)
    images = jnp.ones((1, 32, 32, 6))
    shapes = jax.eval_shape(model.init, KEY, images)
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), shapes)
    costs, answer = jax.jit(lambda v: (model.apply(v, images, method='costs'), model.apply(v, images)))(nothing)
    assert costs.shape == (1, 32, 32, 32)
    np.testing.assert_allclose(answer, 15.5)


def test_wrong_inputs():
    with pytest.raises(ValueError, match='gcnet: disparities must be a multiple of 32, got 48'):
        stereo.gcnet(disparities=48)
    with pytest.raises(ValueError, match=r'FlowNet takes pairs of images, stacked along their channels: .* got'):
        jax.eval_shape(stereo.flownet_s(width=0.02).init, KEY, pairs(64, 64, 3))
