import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxcv import ops
from jaxcv.ops.image import center_crop, resize_short_side

RNG = np.random.default_rng(0)
UINT8 = RNG.integers(0, 256, (2, 4, 5, 3)).astype(np.uint8)


def test_to_float():
    images = jax.jit(ops.to_float)(jnp.asarray(UINT8))
    assert images.dtype == jnp.float32
    np.testing.assert_allclose(images, UINT8 / 255, rtol=1e-6)
    assert ops.to_float(images) is images
    np.testing.assert_array_equal(jax.vmap(ops.to_float)(jnp.asarray(UINT8)), images)
    assert ops.to_float(images.astype(jnp.bfloat16)).dtype == jnp.bfloat16


def test_normalize():
    mean, std = (0.485, 0.456, 0.406), [0.229, 0.224, 0.225]
    images = ops.to_float(jnp.asarray(UINT8))
    out = jax.jit(lambda x: ops.normalize(x, mean=mean, std=std))(images)
    np.testing.assert_allclose(out, (UINT8 / 255 - mean) / std, rtol=1e-5, atol=1e-6)
    assert ops.normalize(images.astype(jnp.bfloat16), mean=mean, std=std).dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ('shape', 'size', 'expected'),
    [((30, 40), 15, (15, 20)), ((40, 30), 45, (60, 45)), ((30, 41), 10, (10, 14)), ((5, 5), 5, (5, 5))],
)
def test_resize_short_side(shape, size, expected):
    """Pillow's bilinear filter in floats: it averages what a pixel covers when it shrinks."""
    image = RNG.random(shape).astype(np.float32)
    out = jax.jit(lambda x: resize_short_side(x, size=size))(jnp.asarray(image)[None, ..., None])
    assert out.shape == (1, *expected, 1)
    reference = Image.fromarray(image, mode='F').resize(expected[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_allclose(out[0, ..., 0], reference, atol=5e-6)


def test_center_crop():
    np.testing.assert_array_equal(center_crop(jnp.asarray(UINT8), size=2), UINT8[:, 1:3, 1:3])
    np.testing.assert_array_equal(center_crop(jnp.asarray(UINT8[0]), size=(3, 4)), UINT8[0, :3, :4])
    assert center_crop(jnp.asarray(UINT8), size=(4, 5)).dtype == jnp.uint8


def test_bad_arguments():
    images = jnp.zeros((1, 2, 2, 3))
    with pytest.raises(ValueError, match='3 channels, but mean has 1 values'):
        ops.normalize(images, mean=[0.5], std=[0.5, 0.5, 0.5])
    with pytest.raises(ValueError, match=r'std\[1\] must be in \(0, inf\), got 0'):
        ops.normalize(images, mean=[0.5] * 3, std=[1, 0, 1])
    with pytest.raises(TypeError, match='call to_float first'):
        ops.normalize.__wrapped__(jnp.asarray(UINT8), mean=[0.5] * 3, std=[1.0] * 3)
    with pytest.raises(TypeError, match='int32'):
        ops.to_float.__wrapped__(jnp.zeros((1, 2, 2, 3), jnp.int32))
    with pytest.raises(ValueError, match=r'size must be in \[1, inf\), got 0'):
        resize_short_side(images, size=0)
    for size, message in ((3, 'does not fit'), ((0, 1), r'size\[0\] must be in')):
        with pytest.raises(ValueError, match=message):
            center_crop(images, size=size)
