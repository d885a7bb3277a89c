"""Averaged predictions against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import models, tasks
from jaxcv.augment import views
from tests.tasks.test_segmentation import CLASSES, MODEL

TASK = tasks.classification(models.linear_classifier(num_classes=3), num_classes=3)


@pytest.fixture(scope='module')
def batch():
    rng = np.random.default_rng(0)
    images = rng.random((5, 4, 4, 1), dtype=np.float32)
    return {'image': jnp.asarray(images), 'label': jnp.zeros(5, jnp.int32), 'valid': jnp.array([True] * 4 + [False])}


def softmax(scores):
    exponentials = np.exp(scores - scores.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def probabilities(variables, images):
    head = jax.tree.map(np.asarray, variables['params']['head'])
    return softmax(np.asarray(images).reshape(len(images), -1) @ head['kernel'] + head['bias'])


def check(predicted, expected, batch):
    np.testing.assert_allclose(predicted['probabilities'], expected, rtol=1e-5)
    np.testing.assert_allclose(softmax(np.asarray(predicted['logits'])), expected, rtol=1e-5)
    np.testing.assert_array_equal(predicted['label'], expected.argmax(-1))
    np.testing.assert_array_equal(predicted['valid'], batch['valid'])


def test_an_ensemble_is_the_mean_of_its_members(batch):
    members = [TASK.init(jax.random.key(i), batch) for i in range(3)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *members)
    expected = np.mean([probabilities(one, batch['image']) for one in members], axis=0)
    check(jax.jit(tasks.ensemble(TASK).predict)(stacked, batch), expected, batch)


def test_views_are_averaged(batch):
    variables = TASK.init(jax.random.key(0), batch)
    expected = np.mean([probabilities(variables, x) for x in (batch['image'], batch['image'][:, :, ::-1])], axis=0)
    check(jax.jit(tasks.with_views(TASK, views.flips()).predict)(variables, batch), expected, batch)
    with pytest.raises(ValueError, match='no views'):
        tasks.with_views(TASK, [])


def test_an_ensemble_looks_at_every_view(batch):
    members = [TASK.init(jax.random.key(i), batch) for i in range(2)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *members)
    expected = np.mean(
        [probabilities(one, x) for one in members for x in (batch['image'], batch['image'][:, :, ::-1])], axis=0
    )
    check(tasks.ensemble(tasks.with_views(TASK, views.flips())).predict(stacked, batch), expected, batch)


PIXELS = tasks.segmentation(MODEL, num_classes=CLASSES)


@pytest.fixture(scope='module')
def dense_batch():
    """Images that are smooth, as resizing and its inverse keep only what is."""
    y, x = np.mgrid[:24, :32] / 16
    image = np.stack([np.sin(y + x), np.cos(2 * y - x), np.sin(x * y)], axis=-1)[None] / 2 + 0.5
    return {'image': jnp.asarray(image, jnp.float32), 'valid': jnp.array([True])}


def test_dense_views_come_back(dense_batch):
    """A classifier of single pixels says the same of a mirror image; and of another size, nearly."""
    variables = PIXELS.init(jax.random.key(0), dense_batch)
    plain = PIXELS.predict(variables, dense_batch)
    flipped = jax.jit(tasks.with_views(PIXELS, views.flips()).predict)(variables, dense_batch)
    assert sorted(flipped) == sorted(plain) == ['logits', 'mask', 'valid']
    probabilities = softmax(np.asarray(plain['logits']))
    np.testing.assert_allclose(softmax(np.asarray(flipped['logits'])), probabilities, rtol=1e-5)
    np.testing.assert_array_equal(flipped['mask'], plain['mask'])

    scaled = tasks.with_views(PIXELS, views.multi_scale(scales=[18, 24, 30], flip=True))
    scaled = jax.jit(scaled.predict)(variables, dense_batch)
    assert scaled['mask'].shape == (1, 24, 32)
    inner = np.s_[:, 2:-2, 2:-2]
    np.testing.assert_allclose(softmax(np.asarray(scaled['logits']))[inner], probabilities[inner], atol=0.02)


def test_dense_views_are_averaged(dense_batch):
    """By hand, of a network that looks at where things are."""

    def predict(variables, batch):
        ramp = jnp.linspace(0, 1, batch['image'].shape[2])[:, None] * jnp.array([1.0, 0.0, -1.0])
        predictions = PIXELS.predict(variables, batch)
        return {**predictions, 'logits': predictions['logits'] + 3 * ramp}

    moody = PIXELS._replace(predict=predict)
    variables = PIXELS.init(jax.random.key(0), dense_batch)
    mirrored = {**dense_batch, 'image': dense_batch['image'][:, :, ::-1]}
    straight, back = predict(variables, dense_batch)['logits'], predict(variables, mirrored)['logits'][:, :, ::-1]
    expected = (softmax(np.asarray(straight)) + softmax(np.asarray(back))) / 2
    found = tasks.with_views(moody, views.flips()).predict(variables, dense_batch)
    np.testing.assert_allclose(softmax(np.asarray(found['logits'])), expected, rtol=1e-5)
    np.testing.assert_array_equal(found['mask'], expected.argmax(-1))


def test_an_ensemble_of_segmentation_networks(dense_batch):
    members = [PIXELS.init(jax.random.key(i), dense_batch) for i in range(3)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *members)
    expected = np.mean([softmax(np.asarray(PIXELS.predict(one, dense_batch)['logits'])) for one in members], axis=0)
    found = jax.jit(tasks.ensemble(PIXELS).predict)(stacked, dense_batch)
    np.testing.assert_allclose(softmax(np.asarray(found['logits'])), expected, rtol=1e-5)
    np.testing.assert_array_equal(found['mask'], expected.argmax(-1))


def test_views_of_parts_have_no_way_back(dense_batch):
    variables = PIXELS.init(jax.random.key(0), dense_batch)
    for parts in (views.crops(size=8), views.multi_scale(scales=[16], crop=16), [lambda images: images]):
        with pytest.raises(ValueError, match='need views with an inverse'):
            tasks.with_views(PIXELS, parts).predict(variables, dense_batch)


def test_views_that_give_results_of_another_form(dense_batch):
    """An inverse that leaves another size, and two predictions of one image."""

    def halved(images):
        return images

    halved.inverse = lambda logits, size: logits[:, ::2, ::2]
    variables = PIXELS.init(jax.random.key(0), dense_batch)
    with pytest.raises(ValueError, match='must be those of the images'):
        tasks.with_views(PIXELS, [halved]).predict(variables, dense_batch)
    batch = {'image': jnp.ones((2, 4, 4, 3)), 'valid': jnp.ones(2, bool)}
    task = tasks.classification(models.linear_classifier(num_classes=2), num_classes=2)
    twice = tasks.with_views(task, [lambda images: jnp.concatenate([images] * 2)])
    with pytest.raises(ValueError, match='a view gives 4 predictions of 2 images'):
        twice.predict(task.init(jax.random.key(0), batch), batch)


def test_predictions_that_cannot_be_averaged_are_refused():
    """When the task is made, not when it predicts."""
    alone = TASK._replace(decide=None)
    with pytest.raises(ValueError, match='ensemble: the predictions of this task cannot be averaged'):
        tasks.ensemble(alone)
    with pytest.raises(ValueError, match='with_views: the predictions of this task cannot be averaged'):
        tasks.with_views(alone, views.flips())
