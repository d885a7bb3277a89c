import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.augment import randaugment
from jaxcv.augment.randaugment import OPERATIONS, rand_augment

FIXTURE = np.load(Path(__file__).parent.parent / 'fixtures' / 'augment_reference.npz')
BYTES = FIXTURE['image']
IMAGE = jnp.asarray(BYTES / 255, jnp.float32)
RNG = np.random.default_rng(0)
BATCH = {'image': jnp.asarray(RNG.random((40, 9, 7, 3), np.float32)), 'label': jnp.arange(40)}
KEY = jax.random.key(3)
KEYS = jax.random.split(KEY, 40)
# torchvision cuts off what is behind the point at every step of these; we compute on floats.
CUT_OFF = {'brightness', 'color', 'contrast', 'sharpness', 'autocontrast'}


@pytest.fixture(scope='module')
def apply():
    return jax.jit(randaugment.apply)


@pytest.mark.parametrize('name', OPERATIONS)
def test_torchvision_gives_the_same_bytes(name, apply):
    found = [key for key in FIXTURE if key.startswith(f'byte/{name}/') and not key.endswith('filled')]
    assert found
    for key in found:
        result = 255 * np.asarray(apply(IMAGE, OPERATIONS.index(name), float(key.split('/')[-1])))
        np.testing.assert_allclose(result, FIXTURE[key], atol=2 if name in CUT_OFF else 1e-3, err_msg=key)


@pytest.mark.parametrize('name', ['brightness', 'contrast', 'saturation', 'sharpness'])
def test_torchvision_gives_the_same_floats(name, apply):
    for key in [key for key in FIXTURE if key.startswith(f'float/adjust_{name}/')]:
        operation = OPERATIONS.index('color' if name == 'saturation' else name)
        np.testing.assert_allclose(apply(IMAGE, operation, float(key.split('/')[-1]) - 1), FIXTURE[key], atol=2e-6)
    result = apply(IMAGE, OPERATIONS.index('autocontrast'), 0.0)
    np.testing.assert_allclose(result, FIXTURE['float/autocontrast'], atol=1e-6)


def test_fill():
    filled = 255 * randaugment.apply(IMAGE, OPERATIONS.index('rotate'), 20.0, fill=0.2)
    np.testing.assert_allclose(filled, FIXTURE['byte/rotate/filled'], atol=1e-3)


@pytest.mark.parametrize('index', [0, 9, 17, 30])
def test_magnitudes_are_torchvisions(index):
    expected = dict(zip(FIXTURE['names'].tolist(), FIXTURE[f'magnitudes/{index}'], strict=True))
    ours = randaugment.magnitudes(*BYTES.shape[:2], share=index / 30)
    np.testing.assert_allclose(ours, [expected[name] for name in OPERATIONS], rtol=1e-6)


def test_channels_without_contrast_stay(apply):
    flat = jnp.full(IMAGE.shape, 0.4).at[..., 1].set(IMAGE[..., 1])
    for name in ('autocontrast', 'equalize'):
        result = apply(flat, OPERATIONS.index(name), 0.0)
        np.testing.assert_allclose(result[..., ::2], 0.4, atol=1e-6)
        assert np.ptp(result[..., 1]) == 1


def test_a_batch_is_a_loop(apply):
    compiled = jax.jit(rand_augment)
    out = compiled(KEYS, BATCH)
    assert (out['image'].shape, out['image'].dtype) == (BATCH['image'].shape, jnp.float32)
    assert (out['image'].min() >= 0) & (out['image'].max() <= 1)
    np.testing.assert_array_equal(out['label'], BATCH['label'])

    # Image by image, with the draws written out.
    values, drawn = np.asarray(randaugment.magnitudes(9, 7, share=0.3)), set()
    for key, image, result in zip(KEYS, BATCH['image'], out['image'], strict=True):
        which_key, sign_key = jax.random.split(key)
        which = np.asarray(jax.random.randint(which_key, (2,), 0, 14))
        minus = np.asarray(jax.random.bernoulli(sign_key, shape=(2,)))
        for operation, negative in zip(which, minus, strict=True):
            unsigned = OPERATIONS[operation] in ('posterize', 'solarize', 'autocontrast', 'equalize', 'identity')
            image = apply(image, operation, values[operation] * (-1 if negative and not unsigned else 1))
            drawn.add(int(operation))
        np.testing.assert_allclose(result, image, atol=2e-6)
    assert len(drawn) == 14

    halves = jax.tree.map(lambda x: x.reshape(2, 20, *x.shape[1:]), BATCH)
    both = jax.jit(jax.vmap(rand_augment))(KEYS.reshape(2, 20), halves)['image'].reshape(out['image'].shape)
    np.testing.assert_allclose(both, out['image'], atol=2e-6)


@pytest.mark.parametrize('shape', [(20, 2, 2, 1), (20, 1, 8, 3)])
def test_small_images_and_one_channel(shape):
    images = jnp.asarray(RNG.random(shape, np.float32))
    out = jax.jit(functools.partial(rand_augment, num_ops=1, magnitude=30))(KEY, {'image': images})['image']
    assert out.shape == shape
    assert jnp.isfinite(out).all()
    assert not np.array_equal(out, images)


def test_no_operations():
    np.testing.assert_array_equal(rand_augment(KEY, BATCH, num_ops=0)['image'], BATCH['image'])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'num_ops': -1}, 'num_ops'),
        ({'magnitude': 31}, r'magnitude must be in \[0, 30\]'),
        ({'magnitude': -1}, 'magnitude'),
        ({'magnitude': 0, 'num_magnitude_bins': 1}, 'bins'),
        ({'fill': 1.5}, 'fill'),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        rand_augment(KEY, BATCH, **options)


def test_bad_batches():
    with pytest.raises(ValueError, match='to_float'):
        rand_augment(KEY, {'image': jnp.zeros((1, 4, 4, 3), jnp.uint8)})
    with pytest.raises(ValueError, match='channels'):
        rand_augment(KEY, {'image': jnp.zeros((1, 4, 4, 2))})
    with pytest.raises(ValueError, match='boxes, instance_masks'):
        rand_augment(KEY, {**BATCH, 'instance_masks': jnp.zeros((40, 1, 9, 7)), 'boxes': jnp.zeros((40, 1, 4))})
