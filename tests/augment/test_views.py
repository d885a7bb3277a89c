import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxcv.augment import views

RNG = np.random.default_rng(0)
UINT8 = RNG.integers(0, 256, (2, 30, 40, 3)).astype(np.uint8)
FLOAT = UINT8.astype(np.float32) / 255


def by_pillow(images, height, width):
    """Pillow's bilinear filter in floats: it averages what a pixel covers when it shrinks."""

    def resized(channel):
        return np.asarray(Image.fromarray(channel, mode='F').resize((width, height), Image.Resampling.BILINEAR))

    channels = np.ascontiguousarray(np.moveaxis(images, -1, 1)).reshape(-1, *images.shape[1:3])
    out = np.stack([resized(channel) for channel in channels]).reshape(len(images), -1, height, width)
    return np.moveaxis(out, 1, -1)


def all_of(some_views, images):
    """Together in one program, as a prediction runs them."""
    return [np.asarray(image) for image in jax.jit(lambda x: [view(x) for view in some_views])(jnp.asarray(images))]


def test_flips():
    for images in (UINT8, FLOAT):
        straight, mirrored = all_of(views.flips(), images)
        np.testing.assert_allclose(straight, FLOAT, rtol=1e-6)
        np.testing.assert_array_equal(mirrored, straight[:, :, ::-1])


@pytest.mark.parametrize('images', [UINT8, FLOAT], ids=['uint8', 'float'])
def test_multi_scale(images):
    scales = [12, 30, 45]
    whole = all_of(views.multi_scale(scales=scales), images)
    assert [image.shape for image in whole] == [(2, 12, 16, 3), (2, 30, 40, 3), (2, 45, 60, 3)]
    for image, scale in zip(whole, scales, strict=True):
        assert image.dtype == np.float32
        assert 0 <= image.min() <= image.max() <= 1
        np.testing.assert_allclose(image, by_pillow(FLOAT, scale, scale * 4 // 3), atol=5e-6)
    cropped = all_of(views.multi_scale(scales=scales, crop=11, flip=True), images)
    assert len(cropped) == 6
    for image, mirrored, full in zip(cropped[:3], cropped[3:], whole, strict=True):
        top, left = (full.shape[1] - 11) // 2, (full.shape[2] - 11) // 2
        np.testing.assert_allclose(image, full[:, top : top + 11, left : left + 11], atol=1e-6)
        np.testing.assert_array_equal(mirrored, image[:, :, ::-1])


@pytest.mark.parametrize('size', [(10, 12), (30, 40)])
def test_crops(size):
    height, width = size
    corners = [(0, 0), (0, 40 - width), (30 - height, 0), (30 - height, 40 - width)]
    places = [*corners, ((30 - height) // 2, (40 - width) // 2)]
    expected = [FLOAT[:, top : top + height, left : left + width] for top, left in places]
    for images in (UINT8, FLOAT):
        five, ten = all_of(views.crops(size=size), images), all_of(views.crops(size=size, flip=True), images)
        assert len(five) == 5
        np.testing.assert_allclose(five, expected, rtol=1e-6)
        np.testing.assert_array_equal(ten, [*five, *[image[:, :, ::-1] for image in five]])


def test_views_under_vmap():
    """A leading axis, as that of an ensemble's members."""
    for view in (*views.multi_scale(scales=[8], crop=6), *views.crops(size=7)):
        out = jax.vmap(view)(jnp.asarray(FLOAT)[:, None])[:, 0]
        np.testing.assert_allclose(out, view(jnp.asarray(FLOAT)), atol=1e-6)


def test_inverses():
    """Of whole images, to the pixel or by resizing; parts of images have none."""
    straight, mirrored = views.flips()
    for view in (straight, mirrored):
        np.testing.assert_array_equal(view.inverse(view(jnp.asarray(FLOAT)), (30, 40)), FLOAT)
    smooth = np.broadcast_to(np.linspace(0, 1, 40, dtype=np.float32)[:, None], (1, 30, 40, 1))
    for view in views.multi_scale(scales=[20, 30, 45], flip=True):
        back = view.inverse(view(jnp.asarray(smooth)), (30, 40))
        np.testing.assert_allclose(back[:, :, 3:-3], smooth[:, :, 3:-3], atol=1e-3)
    parts = (*views.crops(size=8, flip=True), *views.multi_scale(scales=[16], crop=8, flip=True))
    assert all(view.inverse is None for view in parts)


def test_bad_arguments():
    for options in ({'scales': []}, {'scales': [0, 2]}, {'scales': [12, 9], 'crop': 10}):
        with pytest.raises(ValueError, match='scales'):
            views.multi_scale(**options)
    with pytest.raises(ValueError, match='crop must be'):
        views.multi_scale(crop=0)
    with pytest.raises(ValueError, match='size'):
        views.crops(size=0)
    for view in views.crops(size=31):
        with pytest.raises(ValueError, match='does not fit'):
            view(jnp.asarray(FLOAT))
