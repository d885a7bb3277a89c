"""The task's loss and predictions, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import augment, losses, models, tasks


@pytest.fixture(scope='module')
def batch():
    rng = np.random.default_rng(0)
    return {
        'image': jnp.asarray(rng.integers(0, 256, (6, 4, 4, 3)), jnp.uint8),
        'label': jnp.asarray(rng.integers(0, 5, 6), jnp.int32),
        'valid': jnp.array([True, True, False, True, True, False]),
    }


def test_loss_is_a_sum_and_its_weight(batch):
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    task = tasks.classification(models.linear_classifier(num_classes=5), num_classes=5, mean=mean, std=std)
    variables = task.init(jax.random.key(0), batch)
    output = task.loss(variables['params'], {}, batch, jax.random.key(1))

    layer = next(iter(variables['params']))
    kernel, bias = (np.asarray(variables['params'][layer][name], np.float64) for name in ('kernel', 'bias'))
    flat = ((np.asarray(batch['image']) / 255 - mean) / std).reshape(6, -1)
    scores = flat @ kernel + bias
    log_probabilities = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    rows = np.flatnonzero(batch['valid'])
    expected = -log_probabilities[rows, np.asarray(batch['label'])[rows]].sum()
    np.testing.assert_allclose(output.total, expected, rtol=1e-4)
    assert float(output.weight) == 4

    predictions = task.predict(variables, batch)
    np.testing.assert_allclose(predictions['probabilities'], np.exp(log_probabilities), atol=1e-5)
    np.testing.assert_array_equal(predictions['label'], scores.argmax(1))


def test_a_masked_example_may_hold_nan(batch):
    task = tasks.classification(models.linear_classifier(num_classes=5), num_classes=5)
    clean = {**batch, 'image': batch['image'] / 255.0}
    dirty = {**clean, 'image': clean['image'].at[2].set(jnp.nan)}
    params = task.init(jax.random.key(0), clean)['params']
    loss = lambda params, batch: task.loss(params, {}, batch, jax.random.key(1)).total  # noqa: E731
    np.testing.assert_allclose(loss(params, dirty), loss(params, clean), rtol=1e-6)


def test_augmentations_see_the_image_in_training_only(batch):
    seen = []

    def darken(key, batch):
        seen.append(batch['image'].shape)
        return {**batch, 'image': batch['image'] * 0.5}

    model = models.linear_classifier(num_classes=5)
    plain = tasks.classification(model, num_classes=5)
    dark = tasks.classification(model, num_classes=5, augment=[augment.random_flip, darken], loss=losses.hinge)
    variables = plain.init(jax.random.key(0), batch)
    assert dark.loss(variables['params'], {}, batch, jax.random.key(1)).total > 0
    assert seen == [(6, 4, 4, 3)]
    np.testing.assert_array_equal(dark.predict(variables, batch)['logits'], plain.predict(variables, batch)['logits'])


def test_what_does_not_fit_is_said(batch):
    task = tasks.classification(models.linear_classifier(num_classes=5), num_classes=5)
    params = task.init(jax.random.key(0), batch)['params']
    with pytest.raises(ValueError, match="needs the 'label' of each image, but the examples have image, mask"):
        task.loss(params, {}, {'image': batch['image'], 'mask': 0, 'valid': batch['valid']}, jax.random.key(1))
    segmenter = tasks.classification(models.segmentation.unet(num_classes=5, width=2, depth=1), num_classes=5)
    with pytest.raises(ValueError, match=r'no classifier: it gives logits of shape \(6, 4, 4, 5\)'):
        jax.eval_shape(lambda: segmenter.predict(segmenter.init(jax.random.key(0), batch), batch))
