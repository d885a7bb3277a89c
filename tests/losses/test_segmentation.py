"""Dice loss against NumPy's formula, and any loss of pixels under the task's mask."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from jaxcv import losses
from jaxcv.losses.segmentation import masked_loss
from jaxcv.types import IGNORED

RNG = np.random.default_rng(0)
CLASSES = 4
# Smoothing -> value of smp 0.6; its `smooth` is added to half of the sums, so a 2 here is a 1 there.
SMP = {2.0: 0.6694164872169495, 0.0: 0.7740389704704285}
LOGITS = RNG.normal(scale=2, size=(3, 5, 6, CLASSES)).astype(np.float32)
MASKS = RNG.integers(0, CLASSES, (3, 5, 6)).astype(np.int32)
MASKS[0, :2] = IGNORED
MASKS[1][MASKS[1] == 3] = 1  # a class is absent
MASKS[2] = IGNORED


def reference_dice(logits, mask, classes, smoothing):
    """Of one image, a class at a time."""
    p = special.softmax(logits.astype(np.float64), axis=-1)[mask != IGNORED]
    mask = mask[mask != IGNORED]
    errors = []
    for c in range(CLASSES):
        y = (mask == c).astype(float)
        if y.any() or (classes == 'all' and len(mask)):
            errors.append(1 - (2 * (p[:, c] * y).sum() + smoothing) / (p[:, c].sum() + y.sum() + smoothing))
    return np.mean(errors) if errors else 0.0


@pytest.mark.parametrize('classes', ['present', 'all'])
@pytest.mark.parametrize('smoothing', [0.0, 1.0])
def test_dice(classes, smoothing):
    def value(logits):
        return losses.dice(logits, jnp.asarray(MASKS), classes=classes, smoothing=smoothing)

    found = jax.jit(value)(LOGITS)
    expected = [reference_dice(*image, classes, smoothing) for image in zip(LOGITS, MASKS, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    gradient = jax.jit(jax.grad(lambda s: value(s).sum()))(LOGITS)
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient[MASKS == IGNORED], 0)
    assert np.abs(gradient[:2]).sum() > 0


def test_dice_is_segmentation_models_pytorchs():
    """smp.losses.DiceLoss('multiclass', ignore_index=255, smooth=1 and 0) of one image with all classes."""
    rng = np.random.default_rng(5)
    logits = rng.normal(scale=2, size=(1, 4, 6, 3)).astype(np.float32)
    mask = rng.integers(0, 3, (1, 4, 6)).astype(np.int32)
    mask[0, 0, :3] = IGNORED
    for smoothing, expected in SMP.items():
        np.testing.assert_allclose(
            losses.dice(jnp.asarray(logits), jnp.asarray(mask), smoothing=smoothing), [expected], rtol=1e-5
        )


def test_dice_of_the_truth_is_0_and_of_its_opposite_1():
    mask = jnp.asarray(RNG.integers(0, 2, (2, 4, 4)), jnp.int32)
    right = 100 * jax.nn.one_hot(mask, 2)
    np.testing.assert_allclose(losses.dice(right, mask, smoothing=0.0), [0, 0], atol=1e-6)
    np.testing.assert_allclose(losses.dice(-right, mask, smoothing=0.0), [1, 1], atol=1e-6)


@pytest.mark.parametrize('score', [30, 60, 200])
def test_dice_of_an_absent_class_of_no_probability(score):
    """Without smoothing its overlap is 0, also where `p` is too small for float32, or for its square."""
    logits, mask = jnp.zeros((1, 1, 1, CLASSES)).at[..., 0].set(score), jnp.zeros((1, 1, 1), int)

    def value(logits):
        return losses.dice(logits, mask, classes='all', smoothing=0.0)[0]

    found, gradient = jax.value_and_grad(value)(logits)
    np.testing.assert_allclose(found, (CLASSES - 1) / CLASSES, rtol=1e-6)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_dice_of_a_label_that_is_no_class_is_nan():
    mask = jnp.asarray(MASKS).at[0, -1, -1].set(CLASSES).at[1, 0, 0].set(-1)
    np.testing.assert_array_equal(np.isnan(losses.dice(jnp.asarray(LOGITS), mask)), [True, True, False])


@pytest.mark.parametrize(
    'loss', [losses.softmax_cross_entropy, losses.focal, losses.sigmoid_cross_entropy, losses.hinge, losses.dice]
)
def test_ignored_pixels_and_padding_give_0_and_no_gradient(loss):
    """As the task masks a loss; what the logits are there does not matter."""
    valid = np.array([True, False, True])
    counted = (MASKS != IGNORED) & valid[:, None, None]

    @jax.jit
    def values_and_gradient(logits):
        values, _ = masked_loss(loss, logits, jnp.asarray(MASKS), jnp.asarray(valid))
        return values, jax.grad(lambda s: masked_loss(loss, s, jnp.asarray(MASKS), jnp.asarray(valid))[0].sum())(logits)

    values, gradient = values_and_gradient(LOGITS)
    elsewhere, _ = values_and_gradient(np.where(counted[..., None], LOGITS, 1e4).astype(np.float32))
    np.testing.assert_array_equal(gradient[~counted], 0)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient[counted]).sum() > 0
    if values.ndim == 3:
        np.testing.assert_array_equal(values[~counted], 0)
    np.testing.assert_allclose(elsewhere, values, rtol=1e-6)


def test_class_weights_of_dice_weight_its_mean():
    weights = np.array([1.0, 2.0, 0.5, 0.0])
    logits, mask = jnp.asarray(LOGITS[:1]), jnp.asarray(MASKS[:1])
    each = [float(losses.dice(logits, mask, classes='all', class_weights=row)[0]) for row in np.eye(CLASSES).tolist()]
    found = losses.dice(logits, mask, classes='all', class_weights=weights)
    np.testing.assert_allclose(found, [np.average(each, weights=weights)], rtol=1e-5)


def test_dice_is_a_loss_of_masks():
    with pytest.raises(ValueError, match='dice is a loss of masks'):
        losses.dice.__wrapped__(jnp.zeros((2, 3)), jnp.zeros(2, jnp.int32))


def test_softmax_cross_entropy_of_pixels():
    labels = np.where(MASKS == IGNORED, 0, MASKS)
    expected = -np.take_along_axis(special.log_softmax(LOGITS, axis=-1), labels[..., None], axis=-1)[..., 0]
    expected = np.where(MASKS == IGNORED, 0, expected)
    found, counted = masked_loss(
        losses.softmax_cross_entropy, jnp.asarray(LOGITS), jnp.asarray(MASKS), jnp.ones(3, bool)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(counted, MASKS != IGNORED)


def test_bad_arguments():
    logits, labels = jnp.zeros((1, 2, 2, 3)), jnp.zeros((1, 2, 2), jnp.int32)
    with pytest.raises(ValueError, match='smoothing'):
        losses.dice(logits, labels, smoothing=-1.0)
