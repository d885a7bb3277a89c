"""Several labels an image: the loss, the predictions, averages of them, and what does not fit."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import losses, models, tasks

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 1)).astype(np.uint8)
BATCH = {
    'image': IMAGES,
    'labels': np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1]], np.float32),
    'valid': np.array([True, True, False]),
}
MODEL = models.linear_classifier(num_classes=3)


@pytest.fixture(scope='module')
def variables():
    return tasks.multi_label(MODEL, num_classes=3).init(jax.random.key(3), BATCH)


def test_the_loss_is_a_sum_over_valid_images_and_classes(variables):
    weights = (1.0, 2.0, 5.0)
    loss = functools.partial(losses.sigmoid_cross_entropy, positive_weights=weights)
    task = tasks.multi_label(MODEL, num_classes=3, loss=loss)
    output = task.loss(variables['params'], {}, BATCH, jax.random.key(0))
    p = np.asarray(task.predict(variables, BATCH)['probabilities'], np.float64)[:2]
    y = BATCH['labels'][:2]
    expected = -(np.array(weights) * y * np.log(p) + (1 - y) * np.log(1 - p)).sum()
    assert float(output.total) == pytest.approx(expected, rel=1e-5)
    assert float(output.weight) == 2
    assert float(output.logs['right_labels']) == pytest.approx(((p >= 0.5) == (y > 0.5)).mean(axis=1).sum(), rel=1e-6)


def test_networks_and_views_are_averaged_by_their_probabilities(variables):
    task = tasks.multi_label(MODEL, num_classes=3, threshold=0.4)
    alone = task.predict(variables, BATCH)
    assert np.array_equal(alone['labels'], alone['probabilities'] >= 0.4)
    views = [lambda images: images, lambda images: images[:, :, ::-1]]
    seen = [task.predict(variables, {**BATCH, 'image': view(IMAGES)})['probabilities'] for view in views]
    averaged = tasks.with_views(task, views).predict(variables, BATCH)
    np.testing.assert_allclose(averaged['probabilities'], (seen[0] + seen[1]) / 2, atol=1e-6)
    np.testing.assert_allclose(jax.nn.sigmoid(averaged['log_odds']), averaged['probabilities'], atol=1e-6)
    two = jax.tree.map(lambda x: jnp.stack([x, -x]), variables)
    both = [task.predict(jax.tree.map(lambda x, i=i: x[i], two), BATCH)['probabilities'] for i in (0, 1)]
    found = tasks.ensemble(task).predict(two, BATCH)
    np.testing.assert_allclose(found['probabilities'], (both[0] + both[1]) / 2, atol=1e-6)
    assert found['valid'].tolist() == [True, True, False]


@pytest.mark.parametrize(
    ('options', 'batch', 'message'),
    [
        ({'loss': lambda logits, labels: logits}, BATCH, 'the loss must give one value for each image'),
        ({}, {**BATCH, 'labels': np.zeros((3, 2), np.float32)}, r'one value a class, of shape \(3, 3\), got \(3, 2\)'),
        ({}, {'image': IMAGES, 'valid': BATCH['valid']}, "multi_label needs the 'labels' of each image"),
        ({'num_classes': 4}, BATCH, 'the model gives 3 logits an image, but there are 4 classes'),
    ],
)
def test_what_does_not_fit(variables, options, batch, message):
    with pytest.raises(ValueError, match=message):
        tasks.multi_label(MODEL, **{'num_classes': 3, **options}).loss(
            variables['params'], {}, batch, jax.random.key(0)
        )
