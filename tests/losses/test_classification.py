import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special
from sklearn import metrics as sklearn_metrics
from sklearn.utils import class_weight

from jaxcv import losses
from jaxcv.losses.classification import label_weights

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(scale=3, size=(12, 5)).astype(np.float32)
LABELS = RNG.integers(0, 5, 12).astype(np.int32)
SOFT = RNG.dirichlet(np.ones(5), 12).astype(np.float32)
MULTI_HOT = RNG.integers(0, 2, (12, 5)).astype(np.float32)
PIXELS = RNG.normal(scale=2, size=(3, 5, 6, 4)).astype(np.float32)
PIXEL_LABELS = RNG.integers(0, 4, (3, 5, 6)).astype(np.int32)

INTEGER_LOSSES = [
    losses.softmax_cross_entropy,
    losses.kl_divergence,
    losses.sigmoid_cross_entropy,
    losses.zero_one,
    losses.hinge,
]


def one_hot(labels):
    return np.eye(5)[labels]


def reference_softmax(logits, targets, smoothing=0.0):
    logits = logits.astype(np.float64)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    targets = targets * (1 - smoothing) + smoothing / logits.shape[1]
    return -(targets * log_p).sum(1)


def reference_sigmoid(logits, targets, smoothing=0.0):
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    targets = targets * (1 - smoothing) + smoothing / 2
    return -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).sum(1)


@pytest.mark.parametrize('smoothing', [0.0, 0.1, 1.0])
@pytest.mark.parametrize(
    ('loss', 'reference', 'dense'),
    [
        (losses.softmax_cross_entropy, reference_softmax, SOFT),
        (losses.sigmoid_cross_entropy, reference_sigmoid, MULTI_HOT),
    ],
)
def test_cross_entropies(loss, reference, dense, smoothing):
    by_index = jax.jit(loss, static_argnames='label_smoothing')(LOGITS, LABELS, label_smoothing=smoothing)
    np.testing.assert_allclose(by_index, reference(LOGITS, one_hot(LABELS), smoothing), rtol=1e-5, atol=1e-6)
    by_class = loss(jnp.asarray(LOGITS), jnp.asarray(dense), label_smoothing=smoothing)
    np.testing.assert_allclose(by_class, reference(LOGITS, dense, smoothing), rtol=1e-5, atol=1e-6)


def test_softmax_cross_entropy_is_scikit_learns_log_loss():
    p = np.exp(LOGITS.astype(np.float64))
    expected = sklearn_metrics.log_loss(LABELS, p / p.sum(1, keepdims=True), labels=range(5))
    np.testing.assert_allclose(
        losses.softmax_cross_entropy(jnp.asarray(LOGITS), jnp.asarray(LABELS)).mean(), expected, rtol=1e-6
    )


@pytest.mark.parametrize('smoothing', [0.0, 0.1, 1.0])
@pytest.mark.parametrize('labels', [LABELS, SOFT], ids=['integer', 'soft'])
def test_kl_divergence_is_cross_entropy_less_a_constant(labels, smoothing):
    """SciPy's relative entropy; a constant apart from the cross-entropy, and so with its gradient."""
    logits, labels = jnp.asarray(LOGITS), jnp.asarray(labels)

    @jax.jit
    def values_and_gradients(logits):
        options = {'label_smoothing': smoothing}
        sums = [
            jax.grad(lambda s, loss=loss: loss(s, labels, **options).sum())
            for loss in (losses.kl_divergence, losses.softmax_cross_entropy)
        ]
        kl = losses.kl_divergence(logits, labels, **options)
        return kl, losses.softmax_cross_entropy(logits, labels, **options), *(f(logits) for f in sums)

    kl, cross_entropy, kl_gradient, gradient = values_and_gradients(logits)
    targets = (one_hot(labels) if labels.ndim == 1 else np.asarray(labels, np.float64)) * (
        1 - smoothing
    ) + smoothing / 5
    p = special.softmax(LOGITS.astype(np.float64), axis=1)
    np.testing.assert_allclose(kl, special.rel_entr(targets, p).sum(1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(cross_entropy - kl, special.entr(targets).sum(1), atol=5e-6)
    np.testing.assert_allclose(kl_gradient, gradient, atol=1e-6)


def test_kl_divergence_is_0_at_the_labels_and_its_gradient_by_them_is_finite():
    soft = jnp.asarray(SOFT)
    np.testing.assert_allclose(losses.kl_divergence(jnp.log(soft) + 7, soft), np.zeros(12), atol=1e-6)
    hard = jnp.array([[1.0, 0.0], [0.5, 0.5]])
    gradient = jax.grad(lambda t: losses.kl_divergence(jnp.zeros((2, 2)), t).sum())(hard)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize('dtype', [np.int32, bool])
def test_sigmoid_takes_multi_hot_integers_and_booleans(dtype):
    np.testing.assert_array_equal(
        losses.sigmoid_cross_entropy(jnp.asarray(LOGITS), jnp.asarray(MULTI_HOT.astype(dtype))),
        losses.sigmoid_cross_entropy(jnp.asarray(LOGITS), jnp.asarray(MULTI_HOT)),
    )


def test_zero_one():
    logits, labels = jnp.asarray(LOGITS), jnp.asarray(LABELS)
    np.testing.assert_array_equal(losses.zero_one(logits, labels), LOGITS.argmax(1) != LABELS)
    np.testing.assert_array_equal(losses.zero_one(logits, jnp.asarray(SOFT)), LOGITS.argmax(1) != SOFT.argmax(1))
    # A network that has blown up is not right about class 0.
    np.testing.assert_array_equal(losses.zero_one(jnp.full((2, 3), jnp.nan), jnp.array([0, 1])), [1, 1])


@pytest.mark.parametrize('margin', [1.0, 0.25])
def test_hinge(margin):
    expected = [
        sum(max(0.0, s[j] - s[y] + margin) for j in range(5) if j != y) for s, y in zip(LOGITS, LABELS, strict=True)
    ]
    np.testing.assert_allclose(
        losses.hinge(jnp.asarray(LOGITS), jnp.asarray(LABELS), margin=margin), expected, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize('loss', INTEGER_LOSSES)
def test_bfloat16_logits_give_float32(loss):
    logits = jnp.asarray(LOGITS, jnp.bfloat16)
    value = jax.jit(loss)(logits, LABELS)
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, jax.jit(loss)(logits.astype(jnp.float32), LABELS), rtol=1e-6)


@pytest.mark.parametrize('loss', INTEGER_LOSSES)
def test_a_label_that_is_no_class_is_nan_and_leaves_masked_gradients_alone(loss):
    logits, labels = jnp.asarray(LOGITS), jnp.asarray(LABELS).at[:2].set(jnp.array([-1, 5]))
    value = jax.jit(loss)(logits, labels)
    np.testing.assert_array_equal(jnp.isnan(value), np.arange(12) < 2)
    masked = lambda s: jnp.sum(jnp.where(jnp.arange(12) < 2, 0, loss(s, labels)))  # noqa: E731
    gradient = jax.jit(jax.grad(masked))(logits)
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient[:2], 0)


@pytest.mark.parametrize('loss', INTEGER_LOSSES)
def test_leading_axes_are_free(loss):
    """One value per pixel as well as per example, and under vmap."""
    logits, labels = jnp.asarray(LOGITS), jnp.asarray(LABELS)
    expected = jax.jit(loss)(logits, labels)
    pixels = jax.jit(loss)(logits.reshape(2, 3, 2, 5), labels.reshape(2, 3, 2))
    np.testing.assert_allclose(pixels.reshape(12), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.vmap(loss))(logits, labels), expected, rtol=1e-6)


def test_extreme_logits_stay_finite():
    logits, labels = jnp.array([[1e4, 0.0], [0.0, 1e4], [0.0, -jnp.inf]]), jnp.array([0, 0, 0])
    softmax, sigmoid = jax.jit(losses.softmax_cross_entropy), jax.jit(losses.sigmoid_cross_entropy)
    np.testing.assert_allclose(softmax(logits, labels), [0, 1e4, 0])
    np.testing.assert_allclose(sigmoid(logits, labels)[:2], [np.log(2), 1e4 + np.log(2)])
    gradient = jax.jit(jax.grad(lambda s: softmax(s, labels).sum()))(logits)
    np.testing.assert_allclose(gradient, [[0, 0], [-1, 1], [0, 0]], atol=1e-6)


def test_gradient_of_softmax_cross_entropy_is_p_minus_y():
    logits, labels = jnp.asarray(LOGITS), jnp.asarray(LABELS)
    gradient = jax.jit(jax.grad(lambda s: losses.softmax_cross_entropy(s, labels).sum()))(logits)
    p = np.exp(LOGITS.astype(np.float64))
    np.testing.assert_allclose(gradient, p / p.sum(1, keepdims=True) - one_hot(LABELS), atol=1e-6)


@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
@pytest.mark.parametrize('alpha', [None, 0.25, [0.1, 0.2, 0.3, 0.4]])
def test_focal(gamma, alpha):
    labels = PIXEL_LABELS
    log_p = np.take_along_axis(special.log_softmax(PIXELS.astype(np.float64), axis=-1), labels[..., None], axis=-1)[
        ..., 0
    ]
    weights = 1.0 if alpha is None else np.broadcast_to(alpha, 4)[labels]
    expected = -weights * (1 - np.exp(log_p)) ** gamma * log_p
    found = jax.jit(lambda s, y: losses.focal(s, y, gamma=gamma, alpha=alpha))(PIXELS, labels)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-7)
    # Leading axes are free: one value an example.
    by_row = losses.focal(jnp.asarray(PIXELS.reshape(-1, 4)), jnp.asarray(labels.ravel()), gamma=gamma)
    assert by_row.shape == (labels.size,)


def test_focal_without_gamma_is_cross_entropy():
    labels = jnp.asarray(PIXEL_LABELS)
    np.testing.assert_allclose(
        losses.focal(jnp.asarray(PIXELS), labels, gamma=0.0),
        losses.softmax_cross_entropy(jnp.asarray(PIXELS), labels),
        rtol=1e-5,
    )


@pytest.mark.parametrize('gamma', [0.0, 0.5, 1.0, 2.0])
def test_focal_of_extreme_logits_has_a_finite_gradient(gamma):
    logits = jnp.array([[1e4, 0.0], [0.0, 1e4], [0.0, 0.0]])
    gradient = jax.grad(lambda s: losses.focal(s, jnp.zeros(3, jnp.int32), gamma=gamma).sum())(logits)
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient[0], [0, 0])


WEIGHTS = (0.5, 2.0, 1.0, 0.0, 3.0)
WEIGHTED = [losses.softmax_cross_entropy, losses.kl_divergence, losses.sigmoid_cross_entropy, losses.focal]


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
def test_class_weights_are_torchs(smoothing):
    """torch.nn.CrossEntropyLoss: of indices the sum over Σ w_y, of probabilities the mean over the examples."""
    loss = functools.partial(losses.softmax_cross_entropy, class_weights=WEIGHTS, label_smoothing=smoothing)
    log_p, weights = special.log_softmax(LOGITS.astype(np.float64), axis=1), np.array(WEIGHTS)
    nll = -(weights[LABELS] * log_p[np.arange(12), LABELS]).sum() / weights[LABELS].sum()
    even = -(weights * log_p).sum() / weights[LABELS].sum()
    divisor = label_weights(loss, jnp.asarray(LABELS)).sum()
    found = loss(jnp.asarray(LOGITS), jnp.asarray(LABELS)).sum() / divisor
    np.testing.assert_allclose(found, (1 - smoothing) * nll + smoothing / 5 * even, rtol=1e-5)

    targets = (1 - smoothing) * SOFT + smoothing / 5
    assert label_weights(loss, jnp.asarray(SOFT)) is None
    np.testing.assert_allclose(
        loss(jnp.asarray(LOGITS), jnp.asarray(SOFT)), -(weights * targets * log_p).sum(1), rtol=1e-5
    )


@pytest.mark.parametrize('loss', [*WEIGHTED, losses.hinge])
def test_class_weights_of_indices_are_factors(loss):
    logits, labels = jnp.asarray(LOGITS), jnp.asarray(LABELS)
    expected = np.array(WEIGHTS)[LABELS] * loss(logits, labels)
    np.testing.assert_allclose(loss(logits, labels, class_weights=WEIGHTS), expected, rtol=1e-5, atol=1e-7)
    bad = loss(logits, labels.at[:2].set(jnp.array([-1, 5])), class_weights=WEIGHTS)
    np.testing.assert_array_equal(jnp.isnan(bad), np.arange(12) < 2)
    for wrong in ((1.0, 2.0), (1.0, 1, 1, 1, -1), (1.0, 1, 1, 1, float('nan')), (0.0,) * 5):
        with pytest.raises(ValueError, match='class_weights must be'):
            loss(logits, labels, class_weights=wrong)


def test_class_weights_of_several_labels_are_factors_of_their_terms():
    terms = [
        losses.sigmoid_cross_entropy(jnp.asarray(LOGITS[:, [j]]), jnp.asarray(MULTI_HOT[:, [j]])) for j in range(5)
    ]
    found = losses.sigmoid_cross_entropy(jnp.asarray(LOGITS), jnp.asarray(MULTI_HOT), class_weights=WEIGHTS)
    np.testing.assert_allclose(found, np.array(WEIGHTS) @ np.array(terms), rtol=1e-5)


def test_balanced_class_weights_are_scikit_learns():
    labels = np.repeat([0, 1, 2], [90, 9, 1])
    expected = class_weight.compute_class_weight('balanced', classes=np.arange(3), y=labels)
    np.testing.assert_allclose(losses.balanced_class_weights(np.bincount(labels)), expected)
    with pytest.raises(ValueError, match=r'at least one example, .* of none \[1\]'):
        losses.balanced_class_weights([3, 0])


def test_focal_takes_soft_labels():
    """As mixup mixes the losses of two labels; of one-hot labels it is that of their indices."""
    logits, labels, others = jnp.asarray(LOGITS), jnp.asarray(LABELS), jnp.asarray(np.roll(LABELS, 1))
    options = {'gamma': 1.5, 'alpha': [0.1, 0.2, 0.3, 0.4, 0.5]}
    of_index = functools.partial(losses.focal, logits, **options)
    np.testing.assert_allclose(of_index(jax.nn.one_hot(labels, 5)), of_index(labels), rtol=1e-6)
    mixed = 0.3 * jax.nn.one_hot(labels, 5) + 0.7 * jax.nn.one_hot(others, 5)
    np.testing.assert_allclose(of_index(mixed), 0.3 * of_index(labels) + 0.7 * of_index(others), rtol=1e-5)


@pytest.mark.parametrize('loss', WEIGHTED)
def test_gradients_at_the_edges_are_finite(loss):
    """Certain and right, certain and wrong, undecided; labels without doubt, shared and smoothed by themselves."""
    logits = jnp.array([[1e4, 0.0], [0.0, 1e4], [0.0, 0.0], [1e38, -1e38], [-80.0, 80.0]])
    for labels in (jnp.zeros(5, jnp.int32), jnp.tile(jnp.array([1.0, 0.0]), (5, 1)), jnp.full((5, 2), 0.5)):
        value, gradient = jax.value_and_grad(lambda s, t=labels: loss(s / 1e2, t).sum())(logits)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize('dtype', ['uint8', 'int16', 'uint32'])
def test_any_type_of_integer_is_a_label(dtype):
    for loss in map(inspect.unwrap, (*INTEGER_LOSSES, losses.focal)):
        expected = loss(jnp.asarray(LOGITS), jnp.asarray(LABELS))
        np.testing.assert_array_equal(loss(jnp.asarray(LOGITS), jnp.asarray(LABELS, dtype)), expected)


def test_bad_arguments():
    logits = jnp.zeros((4, 3))
    with pytest.raises(ValueError, match='label_smoothing'):
        losses.softmax_cross_entropy(logits, jnp.zeros(4, jnp.int32), label_smoothing=1.5)
    # Without the tests' shape checks these reach the functions' own.
    plain = losses.softmax_cross_entropy.__wrapped__
    for labels in [jnp.zeros(1, jnp.int32), jnp.zeros(4), jnp.zeros((4, 2))]:
        with pytest.raises(ValueError, match='labels must be class indices'):
            plain(logits, labels)
    with pytest.raises(ValueError, match='hinge takes class indices'):
        losses.hinge.__wrapped__(logits, logits)
    with pytest.raises(ValueError, match='gamma'):
        losses.focal(logits, jnp.zeros(4, jnp.int32), gamma=-1.0)
    with pytest.raises(ValueError, match='one for each of 3 classes'):
        losses.focal(logits, jnp.zeros(4, jnp.int32), alpha=[1.0, 2.0])
