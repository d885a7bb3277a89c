"""Receptive fields, parameters, multiply-adds and memory against published figures and the notes' formulas."""

import pytest

from jaxcv import models
from jaxcv.models.summary import summarize, total

# reference/figures.md: parameters, multiply-adds in billions, native size.
FIGURES = {
    'alexnet': (61_100_840, 0.714, 224),
    'vgg11': (132_863_336, 7.609, 224),
    'vgg16': (138_357_544, 15.47, 224),
    'googlenet': (6_624_904, 1.498, 224),
    'inception_v3': (27_161_264, 5.713, 299),
    'resnet18': (11_689_512, 1.814, 224),
    'resnet50': (25_557_032, 4.089, 224),
    'resnext50_32x4d': (25_028_904, 4.23, 224),
    'wide_resnet50_2': (68_883_240, 11.398, 224),
    'mobilenet_v2': (3_504_872, 0.301, 224),
    'efficientnet_b0': (5_288_548, 0.386, 224),
}
SLOW = {
    'vgg19_bn': (143_678_248, 19.632, 224),
    'resnet152': (60_192_808, 11.514, 224),
    'resnext101_64x4d': (83_455_272, 15.46, 224),
    'wide_resnet101_2': (126_886_696, 22.753, 224),
    'efficientnet_b4': (19_341_616, 4.394, 380),
    'efficientnet_b7': (66_347_960, 37.746, 600),
}


@pytest.mark.parametrize('name', [*FIGURES, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_totals_are_the_published_ones(name):
    parameters, billions, size = {**FIGURES, **SLOW}[name]
    sums = total(summarize(getattr(models, name)(), image_size=size))
    assert sums['parameters'] == parameters
    assert sums['multiply_adds'] / 1e9 == pytest.approx(billions, abs=6e-4)


def test_layers_follow_the_formulas():
    """VGG by hand: r ← r + (k - 1) stride, two more for a 3x3, one for a 2x2 pool."""
    field, stride, channels, size = 1, 1, 3, 224
    layers = iter(summarize(models.vgg16(), image_size=224))
    for features, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            layer, field = next(layers), field + 2 * stride
            assert layer.shape == (size, size, features)
            assert (layer.receptive_field, layer.stride) == (field, stride)
            assert layer.parameters == features * (channels * 9 + 1)
            assert layer.multiply_adds == size * size * features * channels * 9
            assert layer.activation_bytes == 4 * size * size * features
            channels = features
        layer, field = next(layers), field + stride
        stride, size = 2 * stride, size // 2
        assert layer.shape == (size, size, features)
        assert (layer.receptive_field, layer.stride, layer.parameters) == (field, stride, 0)
    assert field == 212
    assert [layer.receptive_field for layer in layers] == [224, 224, 224]


def test_dilation_and_shortcuts():
    """The longest way counts; a dilated stage reaches as far as the strided one, at a finer stride."""
    fields = {
        output_stride: {
            layer.name: layer for layer in summarize(models.resnet18(output_stride=output_stride), image_size=512)
        }
        for output_stride in (32, 16)
    }
    strided, dilated = (fields[s]['stage4/block2/conv2'] for s in (32, 16))
    assert (strided.stride, dilated.stride) == (32, 16)
    assert strided.receptive_field - dilated.receptive_field in (0, 32)  # torchvision's first block keeps its dilation
    assert strided.shape == (16, 16, 512)
    assert dilated.shape == (32, 32, 512)
    assert fields[32]['stage2/block1/shortcut_conv'].receptive_field < fields[32]['stage2/block1/conv2'].receptive_field
