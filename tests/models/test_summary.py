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


def test_a_networks_backbone_is_counted():
    """All of it but its own head, which the network leaves out; by its names in the parameters."""
    for backbone, size, channels in ((models.resnet18(), 64, 512), (models.googlenet(), 64, 1024)):
        alone = [layer for layer in summarize(backbone, image_size=size) if layer.shape and layer.name != 'head']
        network = summarize(models.segmentation.fcn32s(backbone=backbone, num_classes=5), image_size=size)
        *inside, head = (layer for layer in network if layer.shape)
        named = [layer._replace(name=f'backbone/{layer.name}') for layer in alone if layer.parameters]
        assert [layer for layer in inside if layer.parameters] == named
        assert head.multiply_adds == (size // 32) ** 2 * channels * 5
        assert total(network)['multiply_adds'] == total(alone)['multiply_adds'] + head.multiply_adds


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_what_goes_up_again(dtype):
    """U-Net by hand. A 2x2 stamp meets each of its inputs once, and reaches no further than they do."""
    layers = summarize(models.segmentation.unet(num_classes=3, width=4, depth=2, dtype=dtype), image_size=64)
    found = {layer.name: (layer.receptive_field, layer.stride, layer.multiply_adds) for layer in layers}
    assert found['bottom/conv2'] == (32, 4, 16 * 16 * 9 * 16 * 16)
    assert found['up2_conv'] == (32, 2, 16 * 16 * 4 * 16 * 8)
    assert found['up2/conv1'] == (36, 2, 32 * 32 * 9 * 16 * 8)
    assert found['up2/conv2'] == (40, 2, 32 * 32 * 9 * 8 * 8)
    assert found['up1_conv'] == (40, 1, 32 * 32 * 4 * 8 * 4)
    assert found['up1/conv2'] == (44, 1, 64 * 64 * 9 * 4 * 4)
    assert found['score'] == (44, 1, 64 * 64 * 4 * 3)


def test_a_crop_is_no_window():
    """With or without padding, the same pixels are seen."""
    fields = [
        [
            layer.receptive_field
            for layer in summarize(models.segmentation.unet(width=2, depth=2, **options), image_size=64)
        ]
        for options in ({}, {'padding': 'valid'})
    ]
    assert fields[0] == fields[1]


def test_resizing_refines_the_stride():
    """Of copies (4 -> 8 pixels, or 10 -> 19, which is no repetition), of interpolations, and of means."""
    for size in (64, 75):
        unet = summarize(models.segmentation.backbone_unet(backbone=models.resnet18()), image_size=size)
        strides = {layer.name: layer.stride for layer in unet}
        assert [strides[f'decoder/block{i}_conv1/conv'] for i in (1, 2, 3, 4, 5)] == [16, 8, 4, 2, 1]
    backbone = models.resnet18(output_stride=16)
    deeplab = {
        layer.name: layer for layer in summarize(models.segmentation.deeplabv3_plus(backbone=backbone), image_size=512)
    }
    assert [deeplab[name].stride for name in ('aspp/project/conv', 'decoder1/conv', 'score')] == [16, 4, 4]
    pspnet = {layer.name: layer for layer in summarize(models.segmentation.pspnet(backbone=backbone), image_size=96)}
    grids = [pspnet[f'head/pyramid/pool{k}/conv'] for k in (1, 2, 3, 6)]
    assert [(grid.shape[0], grid.stride) for grid in grids] == [(1, 96), (2, 48), (3, 32), (6, 16)]
    assert pspnet['head/hidden/conv'].stride == 16


def test_a_gate_makes_nothing_coarser():
    """A squeeze sees all of the image, and so does what it weighs; but that has as many pixels as before."""
    layers = {layer.name: layer for layer in summarize(models.efficientnet_b0(), image_size=64)}
    assert layers['top/conv'].stride == 32
    assert layers['top/conv'].receptive_field == 64
