import colorsys
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.augment import color

FIXTURE = np.load(Path(__file__).parent.parent / 'fixtures' / 'augment_reference.npz')
RNG = np.random.default_rng(0)
IMAGES = RNG.random((48, 4, 5, 3), np.float32)
BATCH = {'image': jnp.asarray(IMAGES), 'label': jnp.arange(48), 'boxes': jnp.ones((48, 2, 4))}
KEY = jax.random.key(3)
KEYS = jax.random.split(KEY, 48)

AUGMENTATIONS = {
    'brightness': functools.partial(color.random_brightness, max_change=0.5),
    'contrast': functools.partial(color.random_contrast, max_change=0.5),
    'saturation': functools.partial(color.random_saturation, max_change=0.5),
    'hue': functools.partial(color.random_hue, max_change=0.2),
    'jitter': functools.partial(color.color_jitter, brightness=0.5, contrast=0.6, saturation=0.7, hue=0.2),
    'grayscale': functools.partial(color.random_grayscale, probability=0.5),
}


def blended(image, second, factor):
    return np.clip(factor * image + (1 - factor) * second, 0, 1)


def grays(image):
    return (image @ np.array([0.2989, 0.587, 0.114]))[..., None]


def turned(image, shift):
    out = np.empty_like(image)
    for place in np.ndindex(image.shape[:2]):
        hue, saturation, value = colorsys.rgb_to_hsv(*image[place].tolist())
        out[place] = colorsys.hsv_to_rgb((hue + shift) % 1, saturation, value)
    return out


OPERATIONS = {
    'brightness': lambda image, factor: blended(image, 0, factor),
    'contrast': lambda image, factor: blended(image, grays(image).mean(), factor),
    'saturation': lambda image, factor: blended(image, grays(image), factor),
    'hue': turned,
}


@pytest.mark.parametrize('what', ['brightness', 'contrast', 'saturation', 'hue'])
def test_torchvision_gives_the_same(what):
    image = jnp.asarray(FIXTURE['image'] / 255, jnp.float32)
    ours = {
        'brightness': lambda factor: color.blend(image, jnp.zeros((1, 1, 1)), factor),
        'contrast': lambda factor: color.blend(image, color.mean_gray(image), factor),
        'saturation': lambda factor: color.blend(image, color.gray(image), factor),
        'hue': lambda shift: color.turn_hue(image, shift),
    }
    found = [name for name in FIXTURE if name.startswith(f'float/adjust_{what}/')]
    assert len(found) == 3
    for name in found:
        np.testing.assert_allclose(ours[what](float(name.split('/')[-1])), FIXTURE[name], atol=2e-6)


@pytest.mark.parametrize('name', AUGMENTATIONS)
def test_a_batch_is_a_loop_and_compiling_changes_nothing(name):
    augmentation, compiled = AUGMENTATIONS[name], jax.jit(AUGMENTATIONS[name])
    out = compiled(KEYS, BATCH)
    assert (out['image'].shape, out['image'].dtype) == (IMAGES.shape, IMAGES.dtype)
    assert (out['image'].min() >= 0) & (out['image'].max() <= 1)
    np.testing.assert_array_equal(out['label'], BATCH['label'])
    np.testing.assert_array_equal(out['boxes'], BATCH['boxes'])
    np.testing.assert_array_equal(BATCH['image'], IMAGES)
    assert not np.allclose(compiled(jax.random.split(jax.random.key(4), 48), BATCH)['image'], out['image'])

    singles = [
        compiled(KEYS[i : i + 1], jax.tree.map(lambda x, i=i: x[i : i + 1], BATCH))['image'][0] for i in range(6)
    ]
    np.testing.assert_allclose(singles, out['image'][:6], atol=2e-6)
    halves = jax.tree.map(lambda x: x.reshape(2, 24, *x.shape[1:]), BATCH)
    both = jax.jit(jax.vmap(augmentation))(KEYS.reshape(2, 24), halves)
    np.testing.assert_allclose(both['image'].reshape(IMAGES.shape), out['image'], atol=2e-6)
    if name != 'jitter':  # a hundred operations, each compiled alone; NumPy checks it below
        np.testing.assert_allclose(augmentation(KEY, BATCH)['image'], out['image'], atol=2e-6)


@pytest.mark.parametrize('what', ['brightness', 'contrast', 'saturation', 'hue'])
def test_against_numpy_with_the_same_draws(what):
    change = 0.2 if what == 'hue' else 0.5
    low, high = (-change, change) if what == 'hue' else (1 - change, 1 + change)
    draws = np.array(jax.vmap(lambda key: jax.random.uniform(key, minval=low, maxval=high))(KEYS))
    expected = [OPERATIONS[what](image, draw) for image, draw in zip(IMAGES, draws, strict=True)]
    np.testing.assert_allclose(AUGMENTATIONS[what](KEYS, BATCH)['image'], expected, atol=2e-6)


def test_jitter_is_the_four_in_the_drawn_order():
    orders = set()
    out = np.asarray(jax.jit(AUGMENTATIONS['jitter'])(KEYS, BATCH)['image'])
    for key, image, result in zip(KEYS, IMAGES, out, strict=True):
        order_key, hue_key, *keys = jax.random.split(key, 5)
        changes = {'brightness': 0.5, 'contrast': 0.6, 'saturation': 0.7}
        draws = {
            what: float(jax.random.uniform(k, minval=1 - change, maxval=1 + change))
            for k, (what, change) in zip(keys, changes.items(), strict=True)
        } | {'hue': float(jax.random.uniform(hue_key, minval=-0.2, maxval=0.2))}
        places = np.asarray(jax.random.permutation(order_key, 4))
        order = tuple(np.array(list(draws))[np.argsort(places)].tolist())
        orders.add(order)
        np.testing.assert_allclose(
            functools.reduce(lambda x, w: OPERATIONS[w](x, draws[w]), order, image), result, atol=1e-5
        )
    assert len(orders) > 15  # of 24


def test_factors_fill_their_range():
    batch = {'image': jnp.full((2000, 1, 1, 3), 0.5)}
    factors = color.random_brightness(KEY, batch, max_change=0.6)['image'][:, 0, 0, 0] / 0.5
    assert 0.4 <= factors.min() < 0.41
    assert 1.59 < factors.max() <= 1.6
    assert abs(factors.mean() - 1) < 0.03
    # A change above 1 stops at black, and does not turn the image into its negative.
    assert color.random_brightness(KEY, batch, max_change=2.0)['image'].min() < 0.01
    gray = color.random_grayscale(KEY, {'image': jnp.zeros((2000, 1, 1, 3)).at[..., 0].set(1)}, probability=0.3)[
        'image'
    ]
    assert abs((gray[:, 0, 0, 1] > 0).mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 2000)


def test_no_change_and_one_channel():
    for name, change in {'brightness': 0, 'contrast': 0, 'saturation': 0, 'hue': 0}.items():
        same = getattr(color, f'random_{name}')(KEY, BATCH, max_change=change)['image']
        np.testing.assert_allclose(same, IMAGES, atol=1e-6)
    one = {'image': BATCH['image'][..., :1]}
    out = color.random_contrast(KEYS, one, max_change=0.5)['image']
    draw = jax.random.uniform(KEYS[0], minval=0.5, maxval=1.5)
    np.testing.assert_allclose(out[0], blended(IMAGES[0, ..., :1], IMAGES[0, ..., :1].mean(), draw), atol=1e-6)
    without_colors = jax.jit(functools.partial(color.color_jitter, saturation=0, hue=0))(KEY, one)['image']
    assert without_colors.shape == (48, 4, 5, 1)
    assert (without_colors.min() >= 0) & (without_colors.max() <= 1)
    half = {'image': BATCH['image'].astype(jnp.bfloat16)}
    assert jax.eval_shape(color.color_jitter, KEY, half)['image'].dtype == jnp.bfloat16


def test_bad_arguments():
    with pytest.raises(ValueError, match='to_float'):
        color.random_brightness(KEY, {'image': jnp.zeros((1, 2, 2, 3), jnp.uint8)})
    with pytest.raises(ValueError, match='max_change'):
        color.random_contrast(KEY, BATCH, max_change=-0.1)
    with pytest.raises(ValueError, match=r'0\.5'):
        color.random_hue(KEY, BATCH, max_change=0.6)
    with pytest.raises(ValueError, match='probability'):
        color.random_grayscale(KEY, BATCH, probability=1.5)
    with pytest.raises(ValueError, match='saturation'):
        color.color_jitter(KEY, BATCH, saturation=-1.0)
    gray = {'image': jnp.zeros((1, 2, 2, 1))}
    for needs_rgb in (
        color.random_saturation,
        color.random_hue,
        color.random_grayscale,
        color.color_jitter,
        color.photometric_distortion,
    ):
        with pytest.raises(ValueError, match='3 channels'):
            needs_rgb(KEY, gray)


def test_photometric_distortion_changes_each_with_its_probability():
    """Contrast, saturation and hue leave even gray as it is: half of the images change, by an eighth at most."""
    gray = {'image': jnp.full((400, 2, 2, 3), 0.5)}
    factors = np.asarray(jax.jit(color.photometric_distortion)(KEY, gray)['image'])[:, 0, 0, 0] / 0.5
    assert 150 <= (abs(factors - 1) > 1e-3).sum() <= 250
    assert 0.87 < factors.min() < 0.9
    assert 1.1 < factors.max() < 1.13
    of_hue = functools.partial(color.photometric_distortion, brightness=0.0, contrast=0.0, saturation=0.0)
    turned_only = np.asarray(jax.jit(functools.partial(of_hue, probability=1.0))(KEY, BATCH)['image'])
    np.testing.assert_allclose(turned_only.max(axis=-1), IMAGES.max(axis=-1), atol=1e-5)
    np.testing.assert_allclose(turned_only.min(axis=-1), IMAGES.min(axis=-1), atol=1e-5)
    assert (np.abs(turned_only - IMAGES).max(axis=(1, 2, 3)) > 0).mean() > 0.9
    half = jnp.zeros((2, 3, 3, 3), jnp.bfloat16)
    assert jax.eval_shape(color.photometric_distortion, KEY, {'image': half})['image'].dtype == jnp.bfloat16
    with pytest.raises(ValueError, match='probability must be in'):
        color.photometric_distortion(KEY, BATCH, probability=1.5)
