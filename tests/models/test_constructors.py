"""What holds of every model: its stages, its gradient under jit at two image sizes, one image, bfloat16.

Depth only repeats: the fast tests take each constructor's model with one block at each place, and trace it without
running it. The slow ones run the whole of it.
"""

import inspect
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import models
from jaxcv.models.strides import Stage
from jaxcv.ops import convolution
from tests.models.tracing import shallow, shapes_of

NAMES = [name for name in models.__all__ if inspect.isfunction(inspect.unwrap(getattr(models, name)))]
BACKBONES = [name for name in NAMES if name != 'linear_classifier']
DILATABLE = [name for name in BACKBONES if 'output_stride' in inspect.signature(getattr(models, name)).parameters]
FAST_TO_TRACE = ('alexnet', 'zfnet', 'vgg11', 'googlenet', 'inception_v3', 'resnet18', 'mobilenet_v2')
SMALL_IMAGES = ('cifar_resnet', 'wide_resnet28_10')
# One of each kind of block; a gradient's trace takes seconds.
FAST = (
    'alexnet',
    'cifar_resnet',
    'efficientnet_b0',
    'linear_classifier',
    'mobilenet_v1',
    'seresnext50_32x4d',
    'vgg11_bn',
    'wide_resnet28_10',
    'zfnet',
)
# From the papers' tables: strides, then channels.
STEM = {'stem': 2, 'stage1': 4, 'stage2': 8, 'stage3': 16, 'stage4': 32}
FIVE = {f'stage{i}': 2**i for i in range(1, 6)}
SMALL = {'stem': 1, 'stage1': 1, 'stage2': 2, 'stage3': 4}
STAGES = {
    'alexnet': ({'stem': 4, 'stage1': 8, 'stage2': 16, 'stage3': 32}, (64, 64, 192, 256)),
    'zfnet': ({'stem': 2, 'stage1': 4, 'stage2': 16, 'stage3': 32}, (96, 96, 256, 256)),
    'vgg': (FIVE, (64, 128, 256, 512, 512)),
    'googlenet': (STEM, (64, 192, 480, 832, 1024)),
    'inception_v3': (STEM, (64, 192, 288, 768, 2048)),
    'cifar_resnet': (SMALL, (16, 16, 32, 64)),
    'wide_resnet28_10': (SMALL, (16, 160, 320, 640)),
    'resnet18': (STEM, (64, 64, 128, 256, 512)),
    'resnet34': (STEM, (64, 64, 128, 256, 512)),
    'resn': (STEM, (64, 256, 512, 1024, 2048)),
    'seresn': (STEM, (64, 256, 512, 1024, 2048)),
    'wide_resnet': (STEM, (64, 256, 512, 1024, 2048)),
    'mobilenet_v1': (FIVE, (64, 128, 256, 512, 1024)),
    'mobilenet_v2': (FIVE, (16, 24, 32, 96, 320)),
    'efficientnet_b2': (FIVE, (16, 24, 48, 120, 352)),
    'efficientnet_b3': (FIVE, (24, 32, 48, 136, 384)),
    'efficientnet_b4': (FIVE, (24, 32, 56, 160, 448)),
    'efficientnet_b5': (FIVE, (24, 40, 64, 176, 512)),
    'efficientnet_b6': (FIVE, (32, 40, 72, 200, 576)),
    'efficientnet_b7': (FIVE, (32, 48, 80, 224, 640)),
    'efficientnet': (FIVE, (16, 24, 40, 112, 320)),
}


def sizes_of(name):
    """Two that each model takes, small and odd; with more than one value a channel at the last batch norm."""
    if name == 'inception_v3':
        return (128, 128), (141, 130)
    return ((32, 32), (29, 38)) if name in SMALL_IMAGES else ((96, 96), (101, 87))


def make(name, **options):
    return getattr(models, name)(num_classes=3, **options)


@pytest.mark.parametrize('name', BACKBONES)
def test_stages(name):
    """Declared as in the papers' tables."""
    longest = max((prefix for prefix in STAGES if name.removeprefix('tf_').startswith(prefix)), key=len)
    strides, channels = STAGES[longest]
    expected = {stage: Stage(stride, c) for (stage, stride), c in zip(strides.items(), channels, strict=True)}
    found = models.stages(make(name))
    assert found == expected
    assert list(found) == list(expected)
    if not name.startswith('tf_efficientnet_b') or name == 'tf_efficientnet_b0':  # the others pad alike
        assert traced_stages(shallow(make(name))) == expected


@pytest.mark.parametrize('output_stride', [8, 16])
@pytest.mark.parametrize('name', DILATABLE)
def test_stages_of_a_dilated_network(name, output_stride):
    """No stage strides further; the declared strides are those of the traced network."""
    strided, model = make(name), make(name, output_stride=output_stride)
    found = models.stages(model)
    expected = {
        stage: (min(stride, output_stride), channels) for stage, (stride, channels) in models.stages(strided).items()
    }
    assert found == expected
    if name in FAST_TO_TRACE:
        assert traced_stages(shallow(model)) == expected


def traced_stages(model):
    """The stages by the shapes of two images, padded or not: `(n2 - n1) / (rows2 - rows1)`, and their channels."""

    variables = shapes_of(model)

    def shapes(size):
        def trace(variables):
            features = model.apply(variables, jnp.zeros((1, size, size, 3)), method='features')
            found.update({name: x.shape for name, x in features.items()})

        found = {}
        with convolution.plain():  # the fastest to trace
            jax.eval_shape(trace, variables)
        return found

    small, large = shapes(320), shapes(320 + 960)
    return {name: (round(960 / (large[name][1] - shape[1])), shape[-1]) for name, shape in small.items()}


def test_a_model_without_stages():
    with pytest.raises(ValueError, match='LinearClassifier declares no stages'):
        models.stages(models.linear_classifier(num_classes=2))


def test_variants_show_their_options_and_refuse_others():
    signature = inspect.signature(models.efficientnet_b3)
    assert list(signature.parameters) == ['num_classes', 'dtype', 'dropout', 'stochastic_depth', 'output_stride']
    assert signature.parameters['dropout'].default == models.efficientnet_b3().dropout == 0.3
    assert models.efficientnet_b3(dropout=0.1).dropout == 0.1
    for name in NAMES:
        constructor = getattr(models, name)
        assert constructor.__name__ == constructor.__qualname__ == name
        assert pickle.loads(pickle.dumps(constructor)) is constructor
    with pytest.raises(TypeError, match="resnet18: got an unexpected keyword argument 'depths'; its options are num_"):
        models.resnet18(depths=(1, 1, 1, 1))
    with pytest.raises(
        TypeError, match=r"fcn8s: missing a required .*argument: 'backbone'; its options are backbone, num"
    ):
        models.segmentation.fcn8s()
    with pytest.raises(TypeError, match='resnet18: too many positional arguments; its options are num_classes'):
        models.resnet18(10)


def training_step(model, traces):
    """(variables, images, key) -> gradients, the state after it, the logits in training and at rest."""

    @jax.jit
    def step(variables, images, key):
        traces.append(images.shape)

        def loss(params):
            logits, state = model.apply(
                {**variables, 'params': params}, images, train=True, mutable=['batch_stats'], rngs={'dropout': key}
            )
            return jax.nn.logsumexp(logits).sum(), (logits, state)

        gradients, (logits, state) = jax.grad(loss, has_aux=True)(variables['params'])
        return gradients, {**variables, **state}, logits, model.apply(variables, images)

    return step


@pytest.mark.parametrize('name', [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in NAMES])
def test_gradient_traces_once_for_each_size(name):
    """In bfloat16, of one image; parameters, gradients, statistics and logits are float32."""
    model, traces = shallow(make(name, dtype='bfloat16')), []
    step, key = training_step(model, traces), jax.random.key(0)
    # A linear model's parameters are made for one size.
    for size in sizes_of(name)[: 1 if name == 'linear_classifier' else 2]:
        images = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
        if not traces:
            variables = jax.eval_shape(model.init, key, images)
        for _ in range(2):
            gradients, updated, *logits = step.eval_shape(variables, images, key)
        assert gradients == variables['params']
        assert updated == dict(variables)
        assert [(x.shape, x.dtype) for x in logits] == [((1, 3), jnp.float32)] * 2
        assert traces.count((1, *size, 3)) == 1
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}


@pytest.mark.slow
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
@pytest.mark.parametrize('name', NAMES)
def test_trains_on_one_image_of_two_sizes(name, dtype):
    """Two real steps at each size, of the whole model."""
    model, traces = make(name, dtype=dtype), []
    step, rng = training_step(model, traces), np.random.default_rng(0)
    sizes = sizes_of(name)[: 1 if name == 'linear_classifier' else 2]
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, *sizes[0], 3)))
    for size in sizes:
        images = jnp.asarray(rng.normal(size=(1, *size, 3)), jnp.float32)
        for seed in range(2):
            gradients, variables, *logits = step(variables, images, jax.random.key(seed))
            assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((gradients, variables, logits)))
            assert gradients['head']['bias'].any()
    assert len(traces) == len(sizes)
