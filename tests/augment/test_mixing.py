import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxcv.augment.mixing import cutmix, mixup

RNG = np.random.default_rng(0)
N, CLASSES = 12, 12
IMAGES = RNG.random((N, 8, 10, 3), np.float32)
LABELS = np.arange(N)
BATCH = {'image': jnp.asarray(IMAGES), 'label': jnp.asarray(LABELS), 'index': jnp.arange(N) + 100}
KEY = jax.random.key(3)
KEYS = jax.random.split(KEY, N)
MIXING = {
    'mixup': functools.partial(mixup, num_classes=CLASSES, alpha=1.0),
    'cutmix': functools.partial(cutmix, num_classes=CLASSES),
}


def shares(labels):
    """How much of itself each example kept; each has a class of its own."""
    own = np.asarray(labels)[np.arange(N), LABELS]
    others = np.eye(CLASSES)[np.roll(LABELS, 1)]
    np.testing.assert_allclose(labels, own[:, None] * np.eye(CLASSES)[LABELS] + (1 - own[:, None]) * others, atol=1e-6)
    return own


def test_mixup_is_its_formula():
    out = MIXING['mixup'](KEY, BATCH)
    own = shares(out['label'])[:, None, None, None]
    np.testing.assert_allclose(out['image'], own * IMAGES + (1 - own) * np.roll(IMAGES, 1, axis=0), atol=1e-6)
    assert len(set(own.ravel().tolist())) == N


@pytest.mark.parametrize('dtype', [np.float32, np.uint8])
def test_cutmix_pastes_one_box_and_labels_by_its_area(dtype):
    images = (255 * IMAGES).astype(dtype) if dtype == np.uint8 else IMAGES
    out = MIXING['cutmix'](KEY, {**BATCH, 'image': jnp.asarray(images)})
    assert out['image'].dtype == dtype
    own, others, sizes = shares(out['label']), np.roll(images, 1, axis=0), set()
    for i in range(N):
        pasted = (np.asarray(out['image'][i]) != images[i]).any(-1)
        rows, columns = np.nonzero(pasted.any(1))[0], np.nonzero(pasted.any(0))[0]
        box = np.zeros_like(pasted)
        if pasted.any():
            box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        np.testing.assert_array_equal(pasted, box)
        np.testing.assert_array_equal(out['image'][i][box], others[i][box])
        np.testing.assert_allclose(1 - own[i], box.mean(), atol=1e-6)
        sizes.add((len(rows), len(columns)))
    assert len(sizes) > 3


@pytest.mark.parametrize('name', MIXING)
def test_compiled_with_keys_for_each_and_under_vmap(name):
    """An example's result comes from its key, itself and the one before: so every pair alone gives it."""
    mixing, compiled = MIXING[name], jax.jit(MIXING[name])
    out = compiled(KEY, BATCH)
    np.testing.assert_array_equal(out['index'], BATCH['index'])
    assert out['label'].shape == (N, CLASSES)
    assert (out['image'].min() >= 0) & (out['image'].max() <= 1)
    np.testing.assert_allclose(out['label'].sum(-1), 1, atol=1e-6)
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-6), mixing(KEYS, BATCH), out)

    pairs = jax.tree.map(lambda x: jnp.stack([jnp.roll(x, 1, axis=0), x], axis=1), BATCH)
    in_pairs = jax.vmap(mixing)(jnp.stack([jnp.roll(KEYS, 1), KEYS], axis=1), pairs)
    for part in ('image', 'label'):
        np.testing.assert_allclose(in_pairs[part][:, 1], out[part], atol=1e-6)
    assert not np.allclose(compiled(jax.random.key(4), BATCH)['label'], out['label'])


@pytest.mark.parametrize('name', MIXING)
def test_what_is_invalid_does_not_leak(name):
    valid = jnp.arange(N) % 3 != 1
    images = jnp.where(valid[:, None, None, None], IMAGES, jnp.nan)
    batch = {'image': images, 'label': jnp.where(valid, LABELS, -1), 'valid': valid}
    out, clean = MIXING[name](KEY, batch), MIXING[name](KEY, BATCH)
    assert jnp.isfinite(out['image'][valid]).all()
    np.testing.assert_allclose(out['label'][valid].sum(-1), 1, atol=1e-6)
    after = np.roll(~valid, 1) & valid
    np.testing.assert_array_equal(out['image'][after], IMAGES[after])
    np.testing.assert_array_equal(out['label'][after], np.eye(CLASSES)[LABELS[after]])
    rest = valid & ~after
    np.testing.assert_allclose(out['image'][rest], clean['image'][rest], atol=1e-6)


def test_shares_follow_the_beta_distribution():
    alpha = 0.2
    batch = {'image': jnp.zeros((500, 32, 32, 1)), 'label': jnp.arange(500) % 2}
    own = mixup(KEY, batch, num_classes=2, alpha=alpha)['label'][jnp.arange(500), batch['label']]
    assert stats.kstest(np.asarray(own), stats.beta(alpha, alpha).cdf).pvalue > 1e-3


@pytest.mark.parametrize('name', MIXING)
def test_options(name):
    mixing = MIXING[name]
    never = mixing(KEY, BATCH, probability=0.0)
    np.testing.assert_array_equal(never['image'], IMAGES)
    np.testing.assert_array_equal(never['label'], np.eye(CLASSES))
    own = shares(mixing(KEY, BATCH, probability=0.5)['label'])
    assert 0 < (own == 1).sum() < N
    assert np.ptp(shares(mixing(KEY, BATCH, per_batch=True)['label'])) == 0
    # Labels that are shares already go through again.
    again = mixing(jax.random.key(9), mixing(KEY, BATCH))
    np.testing.assert_allclose(again['label'].sum(-1), 1, atol=1e-6)
    assert (np.count_nonzero(again['label'], axis=-1) > 2).any()


@pytest.mark.parametrize('name', MIXING)
def test_bad_arguments(name):
    mixing = MIXING[name]
    with pytest.raises(ValueError, match='alpha'):
        mixing(KEY, BATCH, alpha=0.0)
    with pytest.raises(ValueError, match='probability'):
        mixing(KEY, BATCH, probability=-0.1)
    with pytest.raises(ValueError, match='labels, the batch has only: image'):
        mixing(KEY, {'image': BATCH['image']})
    with pytest.raises(ValueError, match=r'\[n, 12\]'):
        mixing(KEY, {**BATCH, 'label': jnp.zeros((N, 3))})
    with pytest.raises(ValueError, match='boxes'):
        mixing(KEY, {**BATCH, 'boxes': jnp.zeros((N, 1, 4))})
    with pytest.raises(ValueError, match='one key'):
        mixing(KEYS, BATCH, per_batch=True)
    with pytest.raises(ValueError, match='keys of shape'):
        mixing(KEYS[:3], BATCH)


def test_mixup_takes_floats_only():
    with pytest.raises(ValueError, match='to_float'):
        mixup(KEY, {**BATCH, 'image': BATCH['image'].astype(jnp.uint8)}, num_classes=CLASSES)


def test_a_label_that_is_no_class_is_nan_unless_it_is_padding():
    """A label without any class would have a loss of 0."""
    valid = jnp.array([True, True, False])
    batch = {'image': jnp.zeros((3, 2, 2, 1)), 'label': jnp.array([0, 7, -1]), 'valid': valid}
    labels = mixup(jax.random.key(0), batch, num_classes=2, probability=0.0)['label']
    np.testing.assert_array_equal(np.isnan(labels).all(axis=1), [False, True, False])


def test_labels_of_several_classes_are_averaged_though_they_are_integers():
    several = jnp.array([[1, 0, 1], [0, 1, 1]])
    batch = {'image': jnp.zeros((2, 2, 2, 1)), 'label': several}
    mixed, expected = (
        mixup(jax.random.key(0), {**batch, 'label': labels}, num_classes=3)['label']
        for labels in (several, several.astype(jnp.float32))
    )
    np.testing.assert_array_equal(mixed, expected)
