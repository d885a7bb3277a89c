"""Margins on cosines against NumPy's formulas in float64 and pytorch-metric-learning 2.9."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from scipy import special

from jaxcv import losses, training

PML = np.load(Path(__file__).parents[1] / 'fixtures' / 'embedding' / 'losses.npz')
COSINES = np.array([0.99, 0.3, 0.0, -0.3, -0.8, -0.95, -1.0])


def target(cosines, **options):
    """The logit of the true class for each cosine."""
    options = {'scale': 1.0, **options}
    rows = jnp.asarray(np.stack([cosines, np.zeros_like(cosines)], 1), jnp.float32)
    return np.asarray(losses.margin_logits(rows, jnp.zeros(len(cosines), jnp.int32), **options)[:, 0])


def test_the_three_conventions_beyond_pi():
    angle = np.arccos(COSINES) + 0.5
    beyond = angle > np.pi
    assert beyond.tolist() == [False] * 5 + [True] * 2
    plain = np.cos(angle)
    np.testing.assert_allclose(target(COSINES, beyond_pi='plain'), plain, atol=2e-6)
    linear = np.where(beyond, COSINES - 0.5 * np.sin(0.5), plain)
    np.testing.assert_allclose(target(COSINES, beyond_pi='linear'), linear, atol=2e-6)
    np.testing.assert_allclose(target(COSINES), np.where(beyond, -plain - 2, plain), atol=2e-6)
    easy = target(COSINES, beyond_pi='plain', easy_margin=True)
    np.testing.assert_allclose(easy, np.where(COSINES > 0, plain, COSINES), atol=2e-6)
    three = [target(np.array([-0.95]), **o)[0] for o in ({'beyond_pi': 'plain'}, {'beyond_pi': 'linear'})]
    assert [round(float(x), 3) for x in three] == [-0.983, -1.19]
    with pytest.raises(ValueError, match="'linear' is defined for m1 = 1, got 4"):
        target(COSINES, m1=4.0, beyond_pi='linear')


def test_spherefaces_target_falls_with_the_angle():
    cosines = np.cos(np.linspace(0.01, np.pi - 0.01, 200))
    found = target(cosines, m1=4.0, m2=0.0)
    angles = np.arccos(cosines)
    k = np.floor(4 * angles / np.pi)
    np.testing.assert_allclose(found, (-1) ** k * np.cos(4 * angles) - 2 * k, atol=1e-5)
    assert (np.diff(found) < 1e-6).all()
    combined = target(np.array([0.7]), m1=0.9, m2=0.4, m3=0.15)
    np.testing.assert_allclose(combined, np.cos(0.9 * np.arccos(0.7) + 0.4) - 0.15, rtol=1e-5)


def slopes(cosines, **options):
    rows = jnp.asarray(np.stack([cosines, np.zeros_like(cosines)], 1), jnp.float32)
    labels = jnp.zeros(len(cosines), jnp.int32)
    return np.asarray(jax.grad(lambda c: losses.margin_logits(c, labels, scale=1.0, **options)[:, 0].sum())(rows)[:, 0])


def test_gradients_are_exact_or_straight_through_and_finite_everywhere():
    inner = np.array([0.99999, np.cos(np.radians(5)), 0.3, -0.5])
    angle = np.arccos(np.float32(inner).astype(np.float64))
    found = slopes(inner)
    np.testing.assert_allclose(found, np.sin(angle + 0.5) / np.sin(angle), rtol=2e-3)
    assert [round(float(x), 1) for x in found[:3]] == [108.0, 6.4, 1.0]
    np.testing.assert_array_equal(slopes(inner, gradient='straight_through'), 1)
    ends = np.array([1.0, -1.0, 1.0000001, -1.0000001])
    for options in ({}, {'m1': 1.5}, {'beyond_pi': 'plain'}, {'beyond_pi': 'linear'}, {'m1': 4.0, 'm2': 0.0}):
        assert np.isfinite(slopes(ends, **options)).all()
    np.testing.assert_allclose(target(np.ones(1)), np.cos(0.5), rtol=1e-6)


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('arcface', {'beyond_pi': 'linear'}),
        ('cosface', {'m2': 0.0, 'm3': 0.35}),
        ('subcenter', {'beyond_pi': 'linear'}),
    ],
)
def test_pytorch_metric_learning(name, options):
    centers = PML['several'].reshape(8, 3, 6) if name == 'subcenter' else PML['centers']

    def value(x):
        labels = jnp.asarray(PML['labels'], jnp.int32)
        return losses.margin_softmax(x, jnp.asarray(centers, jnp.float32), labels, **options).mean()

    found, gradient = jax.jit(jax.value_and_grad(value))(jnp.asarray(PML['x'], jnp.float32))
    np.testing.assert_allclose(found, PML[name], rtol=1e-5)
    np.testing.assert_allclose(gradient, PML[f'{name}_gradient'], rtol=1e-3, atol=1e-5)


def test_insightfaces_gradient_is_that_of_the_softmax():
    """s (p - onehot) for every cosine, as if the margin were a constant."""
    cosines = np.random.default_rng(0).uniform(-0.9, 0.9, (5, 4))
    labels = np.array([0, 3, 2, 1, 1])

    def value(c):
        logits = losses.margin_logits(c, jnp.asarray(labels), scale=8.0, gradient='straight_through')
        return losses.softmax_cross_entropy(logits, jnp.asarray(labels)).sum()

    logits = 8 * np.where(np.eye(4)[labels] == 1, np.cos(np.arccos(cosines) + 0.5), cosines)
    expected = 8 * (special.softmax(logits, axis=1) - np.eye(4)[labels])
    np.testing.assert_allclose(jax.grad(value)(jnp.asarray(cosines, jnp.float32)), expected, atol=1e-5)


def test_any_length_any_type_and_zero():
    rng = np.random.default_rng(1)
    x, centers = jnp.asarray(rng.normal(size=(4, 5)), jnp.float32), jnp.asarray(rng.normal(size=(3, 5)), jnp.float32)
    labels = jnp.array([0, 2, 1, 7])
    found = losses.margin_softmax(x, centers, labels)
    np.testing.assert_allclose(losses.margin_softmax(9 * x, centers / 7, labels)[:3], found[:3], rtol=1e-4)
    assert np.isnan(found[3])
    half = losses.margin_softmax(x.astype(jnp.bfloat16), centers.astype(jnp.bfloat16), labels)
    rounded = losses.margin_softmax(x.astype(jnp.bfloat16).astype(jnp.float32), centers.astype(jnp.bfloat16), labels)
    assert half.dtype == jnp.float32
    np.testing.assert_array_equal(half[:3], rounded[:3])
    kept = losses.margin_softmax(x, centers, labels, m1=4.0, m2=0.0, scale=None)  # SphereFace keeps the length
    assert (np.abs(kept[:3] - losses.margin_softmax(2 * x, centers, labels, m1=4.0, m2=0.0, scale=None)[:3]) > 0).all()
    at_zero = jax.grad(lambda x, c: losses.margin_softmax(x, c, labels[:3]).sum(), argnums=(0, 1))
    for gradient in (*at_zero(jnp.zeros((3, 5)), centers), *at_zero(centers, centers), *at_zero(-centers, centers)):
        assert np.isfinite(gradient).all()


def test_a_class_matrix_sharded_over_its_classes_gives_the_same():
    """The dense code, on 8 devices: no device holds the logits of all classes."""
    rng = np.random.default_rng(2)
    mesh = training.make_mesh()
    x, labels = jnp.asarray(rng.normal(size=(16, 8)), jnp.float32), jnp.asarray(rng.integers(0, 4096, 16))
    centers = jnp.asarray(rng.normal(size=(4096, 8)), jnp.float32)

    def loss(x, centers, labels):
        return losses.margin_softmax(x, centers, labels).mean()

    step = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    value, gradients = step(x, centers, labels)
    parted = NamedSharding(mesh, PartitionSpec(mesh.axis_names[0]))
    arguments = jax.device_put((x, centers, labels), parted)
    compiled = step.lower(*arguments).compile()
    sharded, of_shards = compiled(*arguments)
    np.testing.assert_allclose(sharded, value, rtol=1e-6)
    for found, expected in zip(of_shards, gradients, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert '16,4096]' not in compiled.as_text()
    assert '16,512]' in compiled.as_text()


def test_partial_fc_keeps_every_class_of_the_batch():
    labels, valid = jnp.array([7, 2, 7, 99, -1, 50]), jnp.array([True, True, True, False, True, True])
    drawn = set()
    for seed in range(6):
        kept = losses.sampled_classes(jax.random.key(seed), labels, valid, num_classes=100, sample=10)
        classes = np.asarray(kept.classes)
        assert len(set(classes.tolist())) == 10
        assert (np.diff(classes) > 0).all()
        assert classes[kept.labels[jnp.array([0, 1, 2, 5])]].tolist() == [7, 2, 7, 50]
        assert kept.labels[3:5].tolist() == [-1, -1]
        drawn |= set(classes.tolist())
    assert len(drawn) > 30  # the rest is drawn anew
    all_of_them = losses.sampled_classes(jax.random.key(0), labels, valid, num_classes=100, sample=100)
    assert all_of_them.classes.tolist() == list(range(100))
    with pytest.raises(ValueError, match='at least the 6 images of the batch and at most the 100 classes, got 5'):
        losses.sampled_classes(jax.random.key(0), labels, valid, num_classes=100, sample=5)
