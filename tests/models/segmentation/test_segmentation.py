"""What all segmentation networks do: sizes, gradients, types. Parity is in tests/weights/test_segmentation.py."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxcv import models
from jaxcv.models import segmentation
from jaxcv.models.segmentation.head import BackboneHead
from jaxcv.models.segmentation.pspnet import PSPHead
from jaxcv.models.segmentation.unet import UNetDecoder
from jaxcv.models.strides import by_stride
from tests.models.tracing import shapes_of


def small(dtype='float32', **options):
    """A backbone with strides 1, 2 and 4 and few channels."""
    return models.cifar_resnet(depth=8, width=4, dtype=dtype, **options)


# name: dtype -> model; small, of 3 classes
NETWORKS = {
    'fcn32s': lambda dtype: segmentation.fcn32s(backbone=small(dtype), num_classes=3, hidden_features=5, dtype=dtype),
    'fcn8s': lambda dtype: segmentation.fcn8s(backbone=Strided(dtype=dtype), num_classes=3, dtype=dtype),
    'unet': lambda dtype: segmentation.unet(num_classes=3, width=2, depth=2, dropout=0.1, dtype=dtype),
    'unet_valid': lambda dtype: segmentation.unet(
        num_classes=3, width=2, depth=1, padding='valid', batch_norm=True, dtype=dtype
    ),
    'backbone_unet': lambda dtype: segmentation.backbone_unet(
        backbone=Strided(dtype=dtype), num_classes=3, decoder_features=(4, 4, 4, 4, 3), dtype=dtype
    ),
    'deeplab_v1': lambda dtype: segmentation.deeplab_v1(
        backbone=small(dtype), num_classes=3, rate=2, hidden_features=4, dtype=dtype
    ),
    'deeplab_v2': lambda dtype: segmentation.deeplab_v2(
        backbone=small(dtype), num_classes=3, rates=(1, 2), dtype=dtype
    ),
    'deeplabv3': lambda dtype: segmentation.deeplabv3(
        backbone=small(dtype), num_classes=3, rates=(2,), aux_head=True, dtype=dtype
    ),
    'deeplabv3_plus': lambda dtype: segmentation.deeplabv3_plus(
        backbone=small(dtype), num_classes=3, rates=(2,), separable=True, dtype=dtype
    ),
    'pspnet': lambda dtype: segmentation.pspnet(
        backbone=small(dtype), num_classes=3, features=4, aux_head=True, dtype=dtype
    ),
}
FAST = ('fcn8s', 'unet')


class Strided(nn.Module):
    """A backbone of strides 2 to 32 that rounds sizes down, as VGG, with one convolution a stage."""

    dtype: str = 'float32'

    @nn.compact
    def features(self, images, *, train=False):
        """Return the stages."""
        x, stages = images.astype(self.dtype), {}
        for i in range(1, 6):
            x = nn.avg_pool(x, (2, 2), (2, 2))
            x = stages[f'stage{i}'] = nn.tanh(nn.Dense(4, dtype=self.dtype, name=f'stage{i}')(x))
        return stages

    @property
    def stages(self):
        return {f'stage{i}': (2**i, 4) for i in range(1, 6)}


def count(shapes):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes['params']))


@pytest.mark.parametrize(
    'name', [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in NETWORKS]
)
def test_gradient_under_jit_traces_once(name):
    """One compile: training, its gradient and the auxiliary logits; then an evaluation in bfloat16 against float32."""
    model, half = NETWORKS[name]('float32'), NETWORKS[name]('bfloat16')
    images = jax.random.normal(jax.random.key(1), (2, 39, 34, 3))
    variables = jax.jit(model.init)(jax.random.key(0), images)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
    assert jax.tree.map(jnp.shape, shapes_of(half)) == jax.tree.map(jnp.shape, dict(variables))
    auxiliary = getattr(model, 'auxiliary', None) is not None
    method = 'with_auxiliary' if auxiliary else None
    traces = []

    @jax.jit
    def everything(variables, key):
        traces.append(1)

        def loss(params):
            outputs, updated = model.apply(
                {**variables, 'params': params},
                images,
                train=True,
                mutable=['batch_stats'],
                rngs={'dropout': key},
                method=method,
            )
            outputs = outputs if auxiliary else (outputs,)
            return sum(-jax.nn.log_softmax(logits)[..., 0].mean() for logits in outputs), (outputs, updated)

        gradients, (outputs, updated) = jax.grad(loss, has_aux=True)(variables['params'])
        return gradients, outputs, updated, model.apply(variables, images), half.apply(variables, images)

    for seed in (0, 1):
        gradients, outputs, updated, logits, in_half = everything(variables, jax.random.key(seed))
    assert len(traces) == 1
    assert len(outputs) == 1 + auxiliary
    assert {(value.shape, value.dtype) for value in (*outputs, logits, in_half)} == {
        ((2, 39, 34, 3), jnp.dtype('float32'))
    }
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((gradients, outputs, updated)))
    score_gradients = [
        leaf for path, leaf in jax.tree_util.tree_leaves_with_path(gradients) if 'score' in jax.tree_util.keystr(path)
    ]
    assert score_gradients
    assert all(leaf.any() for leaf in score_gradients)
    np.testing.assert_allclose(in_half, logits, atol=0.1 * float(logits.std()) + 0.02)


def test_the_last_stage_of_each_declared_stride():
    def found(model, size):
        def read(images):
            features = model.init_with_output(jax.random.key(0), images, method='features')[0]
            shapes.update({stride: x.shape[1:3] for stride, x in by_stride(model, features).items()})
            last.update({id(features[name]): stage.stride for name, stage in models.stages(model).items()})
            assert [last[id(x)] for x in by_stride(model, features).values()] == list(shapes)
            return images

        shapes, last = {}, {}
        jax.eval_shape(read, jnp.zeros((1, *size, 3)))
        return shapes

    # Also of few pixels, whose shapes do not tell the strides.
    for size in ((32, 32), (33, 47), (64, 1), (224, 65), (16, 16)):
        expected = {stride: tuple(-(-side // stride) for side in size) for stride in (2, 4, 8, 16, 32)}
        assert found(models.resnet18(), size) == expected
    assert list(found(models.resnet18(output_stride=8), (33, 47))) == [2, 4, 8]
    assert list(found(models.vgg11(), (63, 40))) == [2, 4, 8, 16, 32]
    assert list(found(models.cifar_resnet(depth=8), (9, 7))) == [1, 2, 4]
    assert list(found(models.inception_v3(), (96, 96))) == [2, 4, 8, 16, 32]


def test_a_backbone_of_ones_own_declares_its_stages():
    class Undeclared(nn.Module):
        @nn.compact
        def features(self, images, *, train=False):
            return {'all': nn.Dense(3)(images)}

    class Other(Undeclared):
        stages = {'some': (1, 3)}  # noqa: RUF012

    for make in (segmentation.fcn8s, segmentation.backbone_unet, segmentation.deeplabv3_plus):
        with pytest.raises(ValueError, match=r'Undeclared declares no stages\. Give it a property `stages`'):
            shapes_of(make(backbone=Undeclared()))
        with pytest.raises(ValueError, match='Other declares the stages some, but its `features` returns all'):
            shapes_of(make(backbone=Other()))


@pytest.mark.parametrize('name', NETWORKS)
def test_declared_stages_are_those_of_the_features(name):
    model = NETWORKS[name]('float32')
    images = jnp.zeros((1, 64, 64, 3))
    features = jax.eval_shape(lambda key: model.init_with_output(key, images, method='features')[0], jax.random.key(0))
    declared = models.stages(model)
    assert sorted(declared) == sorted(features)
    assert {stage: x.shape[-1] for stage, x in features.items()} == {k: stage.channels for k, stage in declared.items()}
    if name != 'unet_valid':  # whose images are padded
        assert {stage: 64 // x.shape[1] for stage, x in features.items()} == {k: s.stride for k, s in declared.items()}


def test_number_of_auxiliary_heads():
    assert segmentation.pspnet(backbone=small(), aux_head=True).num_auxiliary == 1
    assert segmentation.pspnet(backbone=small()).num_auxiliary == 0
    for name in ('fcn8s', 'unet', 'backbone_unet', 'deeplabv3_plus'):
        assert NETWORKS[name]('float32').num_auxiliary == 0
    assert models.googlenet(aux_heads=True).num_auxiliary == 2
    assert models.inception_v3().num_auxiliary == 1
    assert models.inception_v3(aux_heads=False).num_auxiliary == 0


@pytest.mark.slow
def test_the_networks_take_every_family_of_backbones():
    images = jnp.zeros((1, 75, 90, 3))
    for backbone in (models.vgg11_bn(), models.mobilenet_v2(), models.efficientnet_b0()):
        for make in (segmentation.fcn8s, segmentation.backbone_unet, segmentation.deeplabv3_plus):
            model = make(backbone=backbone, num_classes=3)
            assert jax.eval_shape(model.init_with_output, jax.random.key(0), images)[0].shape == (1, 75, 90, 3)


@pytest.mark.parametrize(
    ('name', 'parameters'),
    [
        ('fcn_resnet50', 35_322_218),
        ('fcn_resnet101', 54_314_346),
        ('deeplabv3_resnet50', 42_004_074),
        ('deeplabv3_resnet101', 60_996_202),
    ],
)
def test_parameter_counts_of_torchvision(name, parameters):
    """With the auxiliary head; without it are fewer."""
    shapes = shapes_of(getattr(segmentation, name)(aux_head=True))
    assert count(shapes) == parameters
    auxiliary = 9 * 1024 * 256 + 2 * 256 + 256 * 21 + 21
    assert count({'params': shapes['params'].pop('auxiliary')}) == auxiliary
    if name.endswith('50'):
        assert shapes_of(getattr(segmentation, name)())['params'] == shapes['params']


def test_parameter_counts_of_the_papers():
    def convs(*channels, size=3):
        return sum((size**2 * a + 1) * b for a, b in itertools.pairwise(channels))

    down = convs(1, 64, 64, 128, 128, 256, 256, 512, 512, 1024, 1024)
    up = sum(convs(2 * c, c, size=2) + convs(2 * c, c, c) for c in (512, 256, 128, 64))
    assert count(shapes_of(segmentation.unet(num_classes=2), channels=1)) == down + up + convs(64, 2, size=1)
    assert down + up + convs(64, 2, size=1) == 31_030_658

    vgg = convs(3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
    dense = convs(512, 4096, size=7) + convs(4096, 4096, 21, size=1)
    model = segmentation.fcn32s(backbone=models.vgg16(), hidden_features=4096)
    assert count(shapes_of(model)) == vgg + dense == 134_346_581
    # Two more scores, and two kernels of 4 x 4 between all pairs of classes.
    eight = segmentation.fcn8s(backbone=models.vgg16(), hidden_features=4096)
    assert (
        count(shapes_of(eight)) - count(shapes_of(model))
        == convs(512, 21, size=1) + convs(256, 21, size=1) + 2 * 16 * 21**2
    )


def test_fcn_starts_at_zero_and_sums_upsampled_scores():
    """With scores of the coarsest stage only, FCN-16s is a bilinear upsampling of FCN-32s, but for borders."""
    model = segmentation.fcn16s(backbone=Strided(), num_classes=2)
    images = jax.random.normal(jax.random.key(1), (1, 192, 160, 3))
    variables = jax.jit(model.init)(jax.random.key(0), images)
    assert not jax.jit(model.apply)(variables, images).any()
    variables['params']['score32']['bias'] = jnp.array([1.0, -2.0])
    logits = jax.jit(model.apply)(variables, images)
    np.testing.assert_allclose(
        logits[:, 32:-32, 32:-32], jnp.broadcast_to(jnp.array([1.0, -2.0]), (1, 128, 96, 2)), atol=1e-5
    )


def test_valid_unet_equals_the_papers_crops():
    """Far from the border the mirrored pixels do not matter: the same as a 'valid' network on a larger image."""
    model = segmentation.unet(num_classes=2, width=2, depth=2, padding='valid')
    images = jax.random.normal(jax.random.key(1), (1, 68, 56, 1))
    variables = jax.jit(model.init)(jax.random.key(0), images)
    stages = jax.eval_shape(lambda v: model.apply(v, images, method='features'), variables)
    # 68 + 2 * 20 = 108 pixels; each convolution eats two, each pooling halves.
    assert [stages[name].shape[1] for name in ('down1', 'down2', 'bottom', 'up2', 'up1')] == [104, 48, 20, 36, 68]
    # Cutting a multiple of 4 pixels off the image cuts the same off the logits; what has no mirror in view is equal.
    whole = jax.jit(model.apply)(variables, images)
    part = jax.jit(model.apply)(variables, images[:, 4:, 4:])
    np.testing.assert_allclose(part[:, 20:, 20:], whole[:, 24:, 24:], atol=1e-5)
    assert not np.allclose(part[:, :4, :4], whole[:, 4:8, 4:8], atol=1e-3)


def test_dilated_smp_backbone_has_its_own_convention():
    """The same parameters, other values."""
    smp = segmentation.deeplabv3_resnet34()
    assert smp.backbone.dilate_first
    assert shapes_of(smp.backbone) == shapes_of(models.resnet34(output_stride=8))


def test_coarse_stages_reach_the_scores_of_a_unet_whatever_the_scale_of_the_finer_ones():
    """Images that exchange their coarsest stage: the share of the decoder's variance that changes."""
    images = jnp.zeros((8, 32, 32, 3))
    keys = {stride: jax.random.key(stride) for stride in (2, 4, 8, 16)}
    stages = {stride: jax.random.normal(key, (8, 32 // stride, 32 // stride, 4)) for stride, key in keys.items()}

    def outputs_and_change(normalize_stages, scale):
        decoder = UNetDecoder((4,) * 4, normalize_stages, jnp.float32)
        encoded = {stride: x if stride == 16 else scale * x for stride, x in stages.items()}
        variables = decoder.init(jax.random.key(0), images, encoded, train=False)
        decode = jax.jit(lambda x: decoder.apply(variables, images, x, train=True, mutable=['batch_stats'])[0]['up4'])
        outputs = decode(encoded)
        exchanged = decode({**encoded, 16: encoded[16][::-1]})
        return outputs, float(jnp.var(outputs - exchanged) / (2 * jnp.var(outputs)))

    outputs, change = outputs_and_change(True, 1.0)
    scaled, change_scaled = outputs_and_change(True, 10.0)
    np.testing.assert_allclose(scaled, outputs, atol=1e-3)
    assert change == pytest.approx(change_scaled, rel=1e-3)
    assert change > 0.05
    assert outputs_and_change(False, 10.0)[1] < 0.005


def test_the_backbones_stages_are_normalized_but_in_the_published_network():
    norms = {f'stage{stride}_bn' for stride in (2, 4, 8, 16, 32)}
    ours = shapes_of(segmentation.backbone_unet(backbone=models.resnet18()))['params']['decoder']
    assert norms <= ours.keys()
    assert not norms & shapes_of(segmentation.unet_resnet34())['params']['decoder'].keys()


def test_what_cannot_be_made():
    with pytest.raises(ValueError, match=r'dropout .* in \[0, 1\), got 1.0'):
        segmentation.pspnet(backbone=small(), dropout=1.0)
    model = BackboneHead(small(), PSPHead(3))
    with pytest.raises(ValueError, match='make it with aux_head=True'):
        jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.ones((1, 8, 8, 3)), method='with_auxiliary'))
    with pytest.raises(ValueError, match=r'5 resolutions needs 5 decoder_features, got \(4, 4\)'):
        shapes_of(segmentation.backbone_unet(backbone=Strided(), decoder_features=(4, 4)))
