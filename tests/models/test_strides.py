"""Networks that dilate instead of striding: at the strided network's places they give what it gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import models
from jaxcv.models.strides import steps
from tests.models.tracing import shapes_of

# Of each stage that a smaller output stride changes: the first place that the strided network has, too, and from there
# every so many. A pooling of 3 is centred on the middle one of its places, so that the strided ones are 1, 3, 5, ...
THREES = {16: {'stage3': (1, 2)}, 8: {'stage2': (1, 2), 'stage3': (3, 4)}}
CASES = {
    'alexnet': ((127, 95), THREES),
    'zfnet': ((70, 83), THREES),
    'vgg11': ((64, 96), {16: {'stage5': (0, 2)}, 8: {'stage4': (0, 2), 'stage5': (1, 4)}}),
    'googlenet': ((64, 99), {16: {'stage4': (0, 2)}, 8: {'stage3': (1, 2), 'stage4': (2, 4)}}),
    'inception_v3': ((107, 75), {16: {'stage4': (1, 2)}, 8: {'stage3': (1, 2), 'stage4': (3, 4)}}),
}
SLOW = ('googlenet', 'inception_v3')


def variables_of(model, images):
    """Random; of kernels with mean 0, so that not all that follows is positive, and no larger than what comes in."""
    shapes = jax.eval_shape(lambda key: model.init(key, images, method='features'), jax.random.key(0))
    rng = np.random.default_rng(0)

    def draw(leaf):
        values = rng.random(leaf.shape, np.float32)
        return (values - values.mean()) * np.sqrt(12 / np.prod(leaf.shape[:3])) if leaf.ndim == 4 else 0.1 + values

    return jax.tree.map(lambda leaf: jnp.float32(draw(leaf)), shapes)


@pytest.mark.parametrize('output_stride', [16, 8])
@pytest.mark.parametrize('name', [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in CASES])
def test_the_strided_networks_places_are_among_the_dilated_ones(name, output_stride):
    size, changed = CASES[name]
    make = getattr(models, name)
    strided, dilated = make(), make(output_stride=output_stride)
    images = jnp.asarray(np.random.default_rng(1).normal(size=(1, *size, 3)), jnp.float32)
    variables = variables_of(strided, images)
    expected, found = (
        jax.jit(lambda variables, model=model: model.apply(variables, images, method='features'))(variables)
        for model in (strided, dilated)
    )
    for stage, value in expected.items():
        first, every = changed[output_stride].get(stage, (0, 1))
        rows, columns = value.shape[1:3]
        same = found[stage][:, first::every, first::every][:, :rows, :columns]
        np.testing.assert_allclose(same, value, rtol=1e-4, atol=1e-4 * float(value.std()), err_msg=stage)
    # From the first stage that would stride further on, all have one size.
    sizes = {found[stage].shape[1:3] for stage in changed[output_stride]}
    assert len(sizes) == 1
    assert min(sizes.pop()) >= min(size) // output_stride - 3


@pytest.mark.parametrize('name', CASES)
def test_the_parameters_are_the_same(name):
    make = getattr(models, name)
    assert shapes_of(make(output_stride=32)) == shapes_of(make(output_stride=8))


def test_steps():
    assert steps((2, 2, 2, 2), 32) == [(2, 1, 1)] * 4
    assert steps((2, 2, 2, 2, 2), 8) == [(2, 1, 1)] * 3 + [(1, 1, 2), (1, 2, 4)]


def test_other_output_strides_are_refused():
    from jaxcv.models.backbones.alexnet import AlexNet
    from jaxcv.models.backbones.googlenet import GoogLeNet
    from jaxcv.models.backbones.inception import InceptionV3
    from jaxcv.models.backbones.vgg import VGG

    for make in (AlexNet, GoogLeNet, InceptionV3, lambda **options: VGG((1,) * 5, batch_norm=False, **options)):
        with pytest.raises(ValueError, match=r'output_stride is one of \(8, 16, 32\), got 4'):
            make(num_classes=2, output_stride=4)
