"""The task's loss and predictions, against NumPy."""

import functools
import inspect

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


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
def test_class_weights_divide_the_loss_as_torch_does(batch, smoothing):
    """Σ w l / Σ w_y over the valid examples; the logged accuracy stays that of the examples."""
    weights = (1.0, 2.0, 0.5, 3.0, 1.5)
    model = models.linear_classifier(num_classes=5)
    loss = functools.partial(losses.softmax_cross_entropy, class_weights=weights, label_smoothing=smoothing)
    task = tasks.classification(model, num_classes=5, loss=loss)
    variables = task.init(jax.random.key(0), batch)
    output = task.loss(variables['params'], {}, batch, jax.random.key(1))
    valid, labels = np.asarray(batch['valid']), np.asarray(batch['label'])
    predictions = task.predict(variables, batch)
    log_p = np.asarray(jax.nn.log_softmax(predictions['logits']), np.float64)
    targets = (1 - smoothing) * np.eye(5)[labels] + smoothing / 5
    total = -(np.array(weights) * targets * log_p).sum(1)[valid].sum()
    np.testing.assert_allclose(output.total, total, rtol=1e-5)
    np.testing.assert_allclose(output.weight, np.array(weights)[labels[valid]].sum(), rtol=1e-6)
    right = np.mean(np.asarray(predictions['label'] == labels)[valid])
    np.testing.assert_allclose(output.logs['top1'] / output.weight, right, rtol=1e-6)
    values = task.metrics['loss'].compute(task.metrics['loss'].measure(predictions, batch))
    np.testing.assert_allclose(values['loss'], output.total / output.weight, rtol=1e-5)


@pytest.mark.parametrize('loss', [losses.focal, losses.kl_divergence, losses.sigmoid_cross_entropy])
def test_mixed_labels_are_taken(batch, loss):
    mix = functools.partial(augment.mixup, num_classes=5)
    task = tasks.classification(models.linear_classifier(num_classes=5), num_classes=5, loss=loss, augment=[mix])
    shapes = jax.eval_shape(task.init, jax.random.key(0), batch)
    assert jax.eval_shape(task.loss, shapes['params'], {}, batch, jax.random.key(1)).total.shape == ()


def test_a_loss_that_cannot_be_meant_is_refused_before_training(batch):
    model = models.linear_classifier(num_classes=5)
    for loss, message in [
        (inspect.unwrap(losses.dice), 'dice is a loss of masks'),
        (lambda logits, labels: jnp.mean(logits), r'one value for each label, of shape \(2,\) .* got \(\)'),
        (lambda logits, labels: logits, r'got \(2, 5\)'),
        (functools.partial(losses.focal, class_weights=(1.0, 2.0)), 'one for each of 5 classes'),
    ]:
        with pytest.raises(ValueError, match=message):
            tasks.classification(model, num_classes=5, loss=loss)
    with pytest.raises(ValueError, match=r'num_classes must be in \[2, inf\), got 1'):
        tasks.classification(model, num_classes=1)
    mix = functools.partial(augment.cutmix, num_classes=5)
    task = tasks.classification(model, num_classes=5, loss=inspect.unwrap(losses.hinge), augment=[mix])
    shapes = jax.eval_shape(task.init, jax.random.key(0), batch)
    with pytest.raises(ValueError, match='for the soft labels of mixup and cutmix there are'):
        jax.eval_shape(task.loss, shapes['params'], {}, batch, jax.random.key(1))


def test_shapes_that_do_not_fit_are_named(batch):
    model = models.linear_classifier(num_classes=4)
    task = tasks.classification(model, num_classes=5)
    shapes = jax.eval_shape(task.init, jax.random.key(0), batch)
    with pytest.raises(ValueError, match='gives 4 logits an image, but there are 5 classes'):
        jax.eval_shape(task.predict, shapes, batch)
    task = tasks.classification(models.linear_classifier(num_classes=5), num_classes=5)
    shapes = jax.eval_shape(task.init, jax.random.key(0), batch)
    with pytest.raises(ValueError, match=r'labels must be class indices of shape \(6,\), .* got \(6, 1\)'):
        jax.eval_shape(task.loss, shapes['params'], {}, {**batch, 'label': batch['label'][:, None]}, jax.random.key(1))


WRONG = {
    'no batch': (lambda key, batch: batch['image'], 'must return a batch'),
    'a feature is lost': (lambda key, batch: {'image': batch['image']}, 'returns no label, valid'),
    'bytes': (lambda key, batch: {**batch, 'image': batch['image'].astype('uint8')}, 'images of floats'),
    'one image': (
        lambda key, batch: {**batch, 'image': batch['image'][0]},
        r'floats \[n h w c\], got float32 \(4, 4, 3\)',
    ),
    'fewer': (lambda key, batch: {**batch, 'image': batch['image'][:2]}, r'6 examples, .* image \(2, 4, 4, 3\)'),
}


@pytest.mark.parametrize('name', WRONG)
def test_an_augmentation_that_returns_another_batch_is_named(batch, name):
    function, message = WRONG[name]
    function.__name__ = 'my_augmentation'
    task = tasks.classification(models.linear_classifier(num_classes=5), num_classes=5, augment=[function])
    shapes = jax.eval_shape(task.init, jax.random.key(0), batch)
    with pytest.raises(ValueError, match='my_augmentation .*' + message):
        jax.eval_shape(task.loss, shapes['params'], {}, batch, jax.random.key(1))


def test_what_does_not_fit_is_said(batch):
    task = tasks.classification(models.linear_classifier(num_classes=5), num_classes=5)
    params = task.init(jax.random.key(0), batch)['params']
    with pytest.raises(ValueError, match="needs the 'label' of each image, but the examples have image, mask"):
        task.loss(params, {}, {'image': batch['image'], 'mask': 0, 'valid': batch['valid']}, jax.random.key(1))
    segmenter = tasks.classification(models.segmentation.unet(num_classes=5, width=2, depth=1), num_classes=5)
    with pytest.raises(ValueError, match=r'no classifier: it gives logits of shape \(6, 4, 4, 5\)'):
        jax.eval_shape(lambda: segmenter.predict(segmenter.init(jax.random.key(0), batch), batch))
