"""Images, classes and compute types that a model cannot take: one message, before anything is traced into it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import models
from jaxcv.models.checks import Window, check_classes, check_images, compute_type, smallest_size
from tests.models.test_constructors import BACKBONES, NAMES
from tests.models.tracing import shallow

SMALLEST = {
    ('inception_v3', 32): 75,
    ('alexnet', 32): 63,
    ('alexnet', 8): 15,
    ('zfnet', 32): 47,
    ('zfnet', 16): 31,
    ('vgg11', 32): 32,
    ('vgg11', 8): 8,
    ('googlenet', 32): 15,
    ('googlenet', 8): 7,
}
SLOW_TO_TRACE = ('inception_v3', 'googlenet')


def traced(model, size):
    images = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    return jax.eval_shape(lambda key, images: model.init(key, images, method='features'), jax.random.key(0), images)


def model_of(name, output_stride):
    return shallow(getattr(models, name)(num_classes=3, output_stride=output_stride))


@pytest.mark.parametrize(('name', 'output_stride'), SMALLEST)
def test_one_pixel_less_than_the_least_size_is_refused(name, output_stride):
    smallest = SMALLEST[name, output_stride]
    with pytest.raises(ValueError, match=f'takes images of {smallest} x {smallest} pixels or more, got '):
        traced(model_of(name, output_stride), (smallest + 5, smallest - 1))


@pytest.mark.parametrize(
    ('name', 'output_stride'),
    [pytest.param(*case, marks=pytest.mark.slow if case[0] in SLOW_TO_TRACE else ()) for case in SMALLEST],
)
def test_the_least_size_is_taken(name, output_stride):
    traced(model_of(name, output_stride), (SMALLEST[name, output_stride],) * 2)


@pytest.mark.slow
@pytest.mark.parametrize('name', sorted(set(BACKBONES) - {'alexnet', 'googlenet', 'inception_v3', 'zfnet'}))
def test_the_others_take_a_single_pixel(name):
    smallest = 32 if name.startswith('vgg') else 1
    traced(shallow(getattr(models, name)(num_classes=3)), (smallest, smallest))


def test_the_size_of_a_chain_of_windows_by_the_forward_formula():
    """Against counting outputs forward, for all sizes."""
    for windows in (
        [Window(3, 2), Window(3), Window(2, 2)],
        [Window(11, 4, 2), Window(3, 2, ceil_mode=True), Window(5, 2)],
        [Window(7, 2, 3), Window(3, 2, 1)],
    ):

        def outputs(size, windows=windows):
            for w in windows:
                beyond = size + 2 * w.padding - w.size
                size = max(0, (-(-beyond // w.strides) if w.ceil_mode else beyond // w.strides) + 1)
                if size == 0:
                    return 0
            return size

        assert smallest_size(windows) == next(size for size in range(1, 200) if outputs(size) > 0)


WRONG_IMAGES = {
    'one image': ((224, 224, 3), jnp.float32, ValueError, r'a batch of images \[n h w c\].*images\[None\]'),
    'channels first': ((2, 3, 32, 32), jnp.float32, ValueError, r'which is \[n c h w\]: transpose'),
    'bytes': ((2, 32, 32, 3), jnp.uint8, TypeError, 'images of floats, got uint8: jaxcv.ops.to_float'),
    'no pixels': ((2, 0, 32, 3), jnp.float32, ValueError, '1 x 1 pixels or more, got 0 x 32'),
}


@pytest.mark.parametrize('wrong', WRONG_IMAGES)
def test_arrays_that_are_no_batch_of_images(wrong):
    shape, dtype, kind, message = WRONG_IMAGES[wrong]
    with pytest.raises(kind, match=message):
        check_images(models.mobilenet_v2(), jnp.ones(shape, dtype))


def test_a_list_is_no_batch_of_images():
    with pytest.raises(TypeError, match=r'takes an array of images \[n h w c\], got list'):
        check_images(models.mobilenet_v2(), [[0.5]])


def test_images_of_other_channels_name_the_layer():
    model = models.cifar_resnet(depth=8, width=4)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 8, 8, 3)))
    with pytest.raises(ValueError, match=r'stem/conv was made for images or features of 3 channels, got 1, of shape'):
        jax.eval_shape(model.apply, variables, jnp.ones((2, 8, 8, 1)))


def test_a_linear_classifier_is_for_one_size():
    model = models.linear_classifier(num_classes=2)
    variables = model.init(jax.random.key(0), jnp.ones((1, 4, 4, 1)))
    with pytest.raises(ValueError, match='made for, of 16 values; got 25 values'):
        model.apply(variables, jnp.ones((1, 5, 5, 1)))


@pytest.mark.parametrize('num_classes', [0, -1])
def test_numbers_of_classes(num_classes):
    for name in NAMES:
        with pytest.raises(ValueError, match=r'num_classes must be (in \[1, inf\)|an int of at least 1)'):
            getattr(models, name)(num_classes=num_classes)
    for other in (2.0, True, None, '3'):
        with pytest.raises(ValueError, match=r'num_classes must be (in \[1, inf\)|an int of at least 1)'):
            check_classes(other)
    check_classes(np.int64(3))


@pytest.mark.parametrize('dtype', ['bf16', 'half precision', 'int8', jnp.int32, 'float64', 'fp16'])
def test_compute_types(dtype):
    for name in NAMES:
        with pytest.raises(ValueError, match='dtype'):
            getattr(models, name)(num_classes=2, dtype=dtype)


def test_the_nearest_compute_type_is_named():
    for dtype, named in (('bf16', 'bfloat16'), ('fp16', 'float16'), ('fp32', 'float32'), ('int8', 'float32, float64')):
        with pytest.raises(ValueError, match=named):
            compute_type(dtype)
    assert compute_type('bfloat16') == compute_type(jnp.bfloat16) == jnp.dtype('bfloat16')
