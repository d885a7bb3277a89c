"""The task's loss against NumPy; sums and weights that add up however the pixels are spread; predictions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from scipy import special

from jaxcv import augment, losses, models, tasks, training
from jaxcv.losses.segmentation import counted_weight, masked_loss
from jaxcv.nn import frozen
from jaxcv.types import IGNORED

CLASSES, BATCH, SIDE = 3, 16, 6


class PixelModel(nn.Module):
    """A linear classifier of each pixel, with one auxiliary head."""

    num_classes: int = CLASSES

    @nn.compact
    def with_auxiliary(self, images, *, train=False):
        return tuple(nn.Dense(self.num_classes, name=name)(images) for name in ('head', 'aux'))

    def __call__(self, images, *, train=False):
        return self.with_auxiliary(images, train=train)[0]


MODEL = PixelModel()


@pytest.fixture(scope='module')
def batch():
    """Uneven: of some images nothing is labelled, others are no images."""
    rng = np.random.default_rng(0)
    masks = rng.integers(0, CLASSES, (BATCH, SIDE, SIDE)).astype(np.int32)
    masks[rng.random(masks.shape) < np.linspace(0, 1, BATCH)[:, None, None]] = IGNORED
    masks[3] = IGNORED
    return {
        'image': rng.integers(0, 256, (BATCH, SIDE, SIDE, 3)).astype(np.uint8),
        'mask': masks,
        'valid': rng.random(BATCH) < 0.8,
        'index': np.arange(BATCH, dtype=np.int32),
    }


@pytest.fixture(scope='module')
def params(batch):
    return tasks.segmentation(MODEL, num_classes=CLASSES).init(jax.random.key(0), batch)['params']


def log_probabilities(params, images, head):
    kernel, bias = (np.asarray(params[head][name], np.float64) for name in ('kernel', 'bias'))
    return special.log_softmax(((images / 255 - 0.5) / 0.25) @ kernel + bias, axis=-1)


def test_loss_is_a_sum_and_its_weight(batch, params):
    options = {'num_classes': CLASSES, 'mean': [0.5] * 3, 'std': [0.25] * 3}
    task = tasks.segmentation(MODEL, auxiliary_weights=[0.4], **options)
    output = jax.jit(task.loss)(params, {}, batch, jax.random.key(1))
    labelled = (batch['mask'] != IGNORED) & batch['valid'][:, None, None]
    truth = batch['mask'][labelled]
    main, aux = (
        -log_probabilities(params, batch['image'], head)[labelled][range(len(truth)), truth].sum()
        for head in ('head', 'aux')
    )
    np.testing.assert_allclose(output.total, main + 0.4 * aux, rtol=1e-5)
    assert float(output.weight) == labelled.sum()
    np.testing.assert_allclose(output.logs['auxiliary'], 0.4 * aux, rtol=1e-5)
    right = log_probabilities(params, batch['image'], 'head').argmax(-1)[labelled] == truth
    assert int(output.logs['pixel_accuracy']) == right.sum()

    alone = tasks.segmentation(MODEL, **options)
    without = jax.jit(alone.loss)(params, {}, batch, jax.random.key(1))
    np.testing.assert_allclose(without.total, main, rtol=1e-5)
    assert 'auxiliary' not in without.logs

    predictions = jax.jit(alone.predict)({'params': params}, batch)
    expected = log_probabilities(params, batch['image'], 'head')
    np.testing.assert_allclose(special.log_softmax(predictions['logits'], -1), expected, atol=1e-5)
    np.testing.assert_array_equal(predictions['mask'], expected.argmax(-1))
    assert sorted(predictions) == ['logits', 'mask', 'valid']


def test_dice_weighs_with_the_images(batch, params):
    task = tasks.segmentation(MODEL, num_classes=CLASSES, loss=losses.dice)
    output = jax.jit(task.loss)(params, {}, batch, jax.random.key(1))
    counted = batch['valid'] & (batch['mask'] != IGNORED).any((1, 2))
    logits = MODEL.apply({'params': params}, jnp.asarray(batch['image'] / 255, jnp.float32))
    np.testing.assert_allclose(output.total, losses.dice(logits, jnp.asarray(batch['mask']))[counted].sum(), rtol=1e-5)
    assert float(output.weight) == counted.sum() < batch['valid'].sum()
    assert 0 <= float(output.logs['pixel_accuracy']) <= counted.sum()


def trained(task, batch, mesh, accumulate):
    optimizer = optax.sgd(0.5)
    example = {name: value[:1] for name, value in batch.items()}
    state = training.create_state(lambda: training.init_state(jax.random.key(0), task, optimizer, example), mesh)
    step = training.compile_step(training.make_train_step(task, optimizer, accumulate=accumulate), mesh)
    for _ in range(3):
        state, logs = step(state, training.put_batch(mesh)(batch))
    return jax.device_get((state.params, logs))


@pytest.mark.parametrize('loss', [losses.softmax_cross_entropy, losses.dice])
def test_devices_with_micro_batches_equal_the_whole_batch(batch, loss):
    task = tasks.segmentation(MODEL, num_classes=CLASSES, loss=loss, auxiliary_weights=[0.4])
    expected = trained(task, batch, training.make_mesh(jax.devices()[:1]), 1)
    found = trained(task, batch, training.make_mesh(), 2)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, expected)


def test_what_is_not_labelled_has_no_gradient(batch, params):
    """Not even where the whole batch is ignored."""
    for loss in (losses.softmax_cross_entropy, losses.dice, losses.focal):
        task = tasks.segmentation(MODEL, num_classes=CLASSES, loss=loss)
        nothing = {**batch, 'mask': np.full_like(batch['mask'], IGNORED)}

        def total(params, task=task, batch=nothing):
            return task.loss(params, {}, batch, jax.random.key(1)).total

        value, gradient = jax.jit(jax.value_and_grad(total))(params)
        assert float(value) == 0
        jax.tree.map(lambda g: np.testing.assert_array_equal(g, 0), gradient)


def test_a_label_that_is_no_class_is_told(batch, params):
    """The train loop's guard finds NaN."""
    task = tasks.segmentation(MODEL, num_classes=CLASSES)
    wrong = {**batch, 'mask': np.where(batch['mask'] == 1, 77, batch['mask'])}
    assert np.isnan(task.loss(params, {}, wrong, jax.random.key(1)).total)


def test_augmentations_move_the_mask_along(batch, params):
    task = tasks.segmentation(MODEL, num_classes=CLASSES)
    cropped = tasks.segmentation(
        MODEL, num_classes=CLASSES, augment=[lambda key, batch: augment.random_crop(key, batch, size=4, padding=2)]
    )
    whole, part = (t.loss(params, {}, batch, jax.random.key(1)) for t in (task, cropped))
    assert 0 < float(part.weight) < float(whole.weight)
    np.testing.assert_array_equal(
        cropped.predict({'params': params}, batch)['mask'], task.predict({'params': params}, batch)['mask']
    )


def test_metrics(batch, params):
    task = tasks.segmentation(MODEL, num_classes=CLASSES)
    mesh = training.make_mesh()
    step = jax.jit(training.make_eval_step(task))
    variables = {'params': params}
    values = training.evaluate(step, task, variables, map(training.put_batch(mesh), [batch, batch]))
    labelled = (batch['mask'] != IGNORED) & batch['valid'][:, None, None]
    assert values['confusion'].sum() == 2 * labelled.sum()
    predicted = np.asarray(task.predict(variables, batch)['mask'])
    assert values['pixel_accuracy'] == pytest.approx(np.mean(predicted[labelled] == batch['mask'][labelled]))
    output = task.loss(params, {}, batch, jax.random.key(1))
    assert values['loss'] == pytest.approx(float(output.total / output.weight), rel=1e-5)
    assert values['class_iou'].shape == (CLASSES,)
    assert values['mean_iou'] == pytest.approx(values['class_iou'].mean(), rel=1e-6)
    assert 0 < values['boundary_f_score'] <= 1


def test_what_does_not_fit_is_said(batch, params):
    with pytest.raises(ValueError, match=r'num_classes must be in \[2, 255\], got 256'):
        tasks.segmentation(MODEL, num_classes=256)
    with pytest.raises(ValueError, match=r'num_classes must be in \[2, 255\], got 1'):
        tasks.segmentation(MODEL, num_classes=1)
    plain = models.segmentation.unet(num_classes=CLASSES, width=2, depth=1)
    with pytest.raises(ValueError, match='UNet has no auxiliary heads'):
        tasks.segmentation(plain, num_classes=CLASSES, auxiliary_weights=[0.4])
    unlabelled = {name: value for name, value in batch.items() if name != 'mask'}
    with pytest.raises(ValueError, match="needs the 'mask' of each image, but the examples have image"):
        tasks.segmentation(MODEL, num_classes=CLASSES).loss(params, {}, unlabelled, jax.random.key(1))
    classifier = tasks.segmentation(models.linear_classifier(num_classes=CLASSES), num_classes=CLASSES)
    with pytest.raises(ValueError, match=r'no segmenter: it gives logits of shape \(16, 3\)'):
        classifier.predict(classifier.init(jax.random.key(0), batch), batch)
    with pytest.raises(ValueError, match='gives 3 logits a pixel, but there are 4 classes'):
        tasks.segmentation(MODEL, num_classes=4).predict({'params': params}, batch)
    task = tasks.segmentation(MODEL, num_classes=CLASSES, auxiliary_weights=[0.4, 0.2])
    with pytest.raises(ValueError, match='2 auxiliary_weights for 1 auxiliary heads'):
        task.loss(params, {}, batch, jax.random.key(1))


def test_a_model_with_frozen_layers_keeps_its_auxiliary_head(batch, params):
    model = frozen(MODEL, layers={'head': True})
    task = tasks.segmentation(model, num_classes=CLASSES, auxiliary_weights=[0.4])
    assert float(task.loss(params, {}, batch, jax.random.key(1)).logs['auxiliary']) > 0


def test_class_weights_divide_the_loss_of_the_pixels():
    """Over the pixels that are not ignored, of valid images; the logged accuracy stays that of the pixels."""
    weights = (1.0, 4.0)
    loss = functools.partial(losses.softmax_cross_entropy, class_weights=weights)
    task = tasks.segmentation(models.segmentation.unet(num_classes=2, width=2, depth=1), num_classes=2, loss=loss)
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 2, (3, 4, 4))
    masks[0, 0] = 255
    valid = np.array([True, True, False])
    logits = rng.normal(size=(3, 4, 4, 2)).astype(np.float32)
    predictions = {'logits': jnp.asarray(logits), 'valid': jnp.asarray(valid)}
    found = task.metrics['loss'].compute(task.metrics['loss'].measure(predictions, {'mask': jnp.asarray(masks)}))
    counted = (masks != 255) & valid[:, None, None]
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    nll = -np.take_along_axis(log_p, np.where(masks == 255, 0, masks)[..., None], -1)[..., 0]
    expected = np.average(nll[counted], weights=np.array(weights)[masks[counted]])
    np.testing.assert_allclose(found['loss'], expected, rtol=1e-5)
    total, counts = masked_loss(loss, jnp.asarray(logits), jnp.asarray(masks), jnp.asarray(valid))
    np.testing.assert_allclose(total.sum() / counted_weight(loss, jnp.asarray(masks), counts), expected, rtol=1e-5)


def test_a_loss_that_cannot_be_meant_is_refused_before_training():
    with pytest.raises(ValueError, match='one value for each label'):
        tasks.segmentation(MODEL, num_classes=3, loss=lambda logits, masks: jnp.mean(logits))
