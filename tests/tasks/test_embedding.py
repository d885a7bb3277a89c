"""The task of embeddings: three kinds of losses, masked rows, the head that predictions do not use."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcv import losses, metrics, models, tasks, training

N, D, CLASSES = 12, 3, 4
MODEL = models.linear_classifier(num_classes=D)


@pytest.fixture(scope='module')
def batch():
    rng = np.random.default_rng(0)
    return {
        'image': rng.integers(0, 256, (N, 2, 3, 1)).astype(np.uint8),
        'label': np.repeat(np.arange(4), 3).astype(np.int32),
        'valid': np.arange(N) != 5,
        'index': np.arange(N, dtype=np.int32),
    }


def value_and_gradient(task, variables, batch):
    def value(params):
        output = task.loss(params, {}, batch, jax.random.key(1))
        return output.total / output.weight, output

    (_, output), gradient = jax.jit(jax.value_and_grad(value, has_aux=True))(variables['params'])
    return output, gradient


def embeddings(variables, batch):
    kernel, bias = (np.asarray(variables['params']['head'][name], np.float64) for name in ('kernel', 'bias'))
    return (batch['image'] / 255).reshape(N, -1) @ kernel + bias


def test_pairs_and_triplets(batch):
    task = tasks.embedding(MODEL, loss=functools.partial(losses.triplet, margin=0.3))
    variables = task.init(jax.random.key(0), batch)
    assert set(variables['params']) == {'head'}
    output, gradient = value_and_gradient(task, variables, batch)
    x = embeddings(variables, batch)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    terms = losses.triplet(*map(jnp.asarray, (x.astype(np.float32), batch['label'], batch['valid'])), margin=0.3)
    np.testing.assert_allclose(output.total, terms.total.sum(), rtol=1e-4)
    np.testing.assert_allclose(output.weight, terms.weight.sum())
    np.testing.assert_allclose(
        output.logs['active'] / output.weight, terms.active.sum() / terms.number.sum(), rtol=1e-5
    )
    far = np.linalg.norm(x[:, None] - x, axis=-1)
    same = (
        (batch['label'][:, None] == batch['label']) & batch['valid'] & batch['valid'][:, None] & ~np.eye(N, dtype=bool)
    )
    np.testing.assert_allclose(output.logs['positive_distance'] / output.weight, far[same].mean(), rtol=1e-4)
    # A row that is no image changes nothing.
    other = {**batch, 'image': np.where(batch['valid'][:, None, None, None], batch['image'], 255).astype(np.uint8)}
    changed, again = value_and_gradient(task, variables, other)
    np.testing.assert_allclose(changed.total, output.total, rtol=1e-6)
    np.testing.assert_allclose(again['head']['kernel'], gradient['head']['kernel'], rtol=1e-4, atol=1e-6)
    predicted = task.predict(variables, batch)
    np.testing.assert_allclose(predicted['embedding'], x, atol=1e-5)
    plain = tasks.embedding(MODEL, normalize=False).predict(variables, batch)['embedding']
    mirrored = tasks.embedding(MODEL, normalize=False, mirror=True).predict(variables, batch)['embedding']
    flipped = embeddings(variables, {**batch, 'image': batch['image'][:, :, ::-1]})
    np.testing.assert_allclose(mirrored, (flipped + embeddings(variables, batch)) / 2, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(plain, embeddings(variables, batch), rtol=1e-4, atol=1e-5)


def test_a_batch_that_satisfies_the_margin_changes_nothing(batch):
    task = tasks.embedding(MODEL, loss=functools.partial(losses.triplet, mean='active'))
    apart = {**batch, 'label': np.arange(N, dtype=np.int32)}  # there is no positive pair at all
    state = training.init_state(jax.random.key(0), task, optax.sgd(1.0), apart)
    after, logs = jax.jit(training.make_train_step(task, optax.sgd(1.0)))(state, apart)
    assert logs['loss'] == 0
    for new, old in zip(jax.tree.leaves(after.params), jax.tree.leaves(state.params), strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize('options', [{}, {'subcenters': 2}, {'sample_classes': N}])
def test_centers_are_kept_apart_and_thrown_away(batch, options):
    classes = 20
    task = tasks.embedding(MODEL, loss=losses.margin_softmax, num_classes=classes, **options)
    variables = task.init(jax.random.key(0), batch)
    centers = variables['params']['class_head']['centers']
    assert centers.shape == ((classes, 2, D) if options.get('subcenters') else (classes, D))
    np.testing.assert_allclose(jnp.linalg.norm(centers, axis=-1).mean(), 1, atol=0.4)
    output, gradient = value_and_gradient(task, variables, batch)
    assert output.weight == 11
    assert set(output.logs) == {'top1'}
    if not options.get('sample_classes'):
        x = jnp.asarray(embeddings(variables, batch), jnp.float32)
        expected = losses.margin_softmax(x, centers, jnp.asarray(batch['label']))[batch['valid']].sum()
        np.testing.assert_allclose(output.total, expected, rtol=1e-4)
    moved = np.abs(gradient['class_head']['centers']).reshape(classes, -1).sum(axis=1) > 0
    assert moved[:4].all()
    assert moved.sum() == (N if options.get('sample_classes') else classes)
    without = {'params': {'head': variables['params']['head']}}
    np.testing.assert_array_equal(
        task.predict(without, batch)['embedding'], task.predict(variables, batch)['embedding']
    )


def test_class_weights_and_losses_are_float32_whatever_the_network_computes_in(batch):
    """A class matrix in half precision overflows after some thousand steps."""
    model = models.linear_classifier(num_classes=D, dtype=jnp.bfloat16)
    for loss in (losses.margin_softmax, losses.softmax_cross_entropy):
        task = tasks.embedding(model, loss=loss, num_classes=CLASSES)
        variables = task.init(jax.random.key(0), batch)
        output, gradient = value_and_gradient(task, variables, batch)
        assert {x.dtype for x in jax.tree.leaves((variables['params'], output, gradient))} == {jnp.dtype('float32')}
        assert all(np.isfinite(x).all() for x in jax.tree.leaves((output, gradient)))


def test_softmax_features(batch):
    task = tasks.embedding(MODEL, loss=losses.softmax_cross_entropy, num_classes=CLASSES)
    variables = task.init(jax.random.key(0), batch)
    head = variables['params']['class_head']
    output, _ = value_and_gradient(task, variables, batch)
    logits = jnp.asarray(embeddings(variables, batch), jnp.float32) @ head['kernel'] + head['bias']
    values = losses.softmax_cross_entropy(logits, jnp.asarray(batch['label']))[batch['valid']]
    np.testing.assert_allclose(output.total, values.sum(), rtol=1e-4)
    right = (np.argmax(logits, -1) == batch['label']) & batch['valid']
    assert output.logs['top1'] == right.sum()


def test_metrics_are_of_the_hosts_kind(batch):
    task = tasks.embedding(
        MODEL, evaluate={'retrieval': metrics.retrieval(), 'who': metrics.identification(fars=(0.3,))}
    )
    assert task.best == 'map_at_r'
    assert {'precision_at_1', 'dir_at_0.3'} < set(task.units)
    variables = task.init(jax.random.key(0), batch)
    values = training.evaluate(jax.jit(training.make_eval_step(task)), task, variables, [batch, batch])
    assert values['precision_at_1'] == 1  # every image comes twice
    answers = task.presentation.answer(task.predict(variables, batch))
    row = {name: np.asarray(value)[0] for name, value in answers.items()}
    written = task.presentation.write(batch['image'][0], row, {}).row
    np.testing.assert_allclose(written['embedding'], row['embedding'], atol=1e-6)


def test_what_does_not_fit(batch):
    with pytest.raises(
        ValueError, match=r'the loss smooth_l1 takes \(predictions, targets\): the task .embedding. takes'
    ):
        tasks.embedding(MODEL, loss=losses.smooth_l1)
    with pytest.raises(ValueError, match='margin_softmax is of classes: give num_classes'):
        tasks.embedding(MODEL, loss=losses.margin_softmax)
    with pytest.raises(ValueError, match='subcenters, sample_classes: of losses of centres'):
        tasks.embedding(MODEL, subcenters=2, sample_classes=9)
    task = tasks.embedding(MODEL)
    variables = task.init(jax.random.key(0), batch)
    for wrong, message in (
        ({name: x for name, x in batch.items() if name != 'label'}, "embedding needs the 'label' of each image"),
        ({**batch, 'label': np.ones((N, 2), np.float32)}, r'labels must be identities, integers of shape \(12,\)'),
    ):
        with pytest.raises(ValueError, match=message):
            task.loss(variables['params'], {}, wrong, jax.random.key(0))
    images = {**batch, 'image': np.ones((N, 4, 4, 1), np.float32)}
    segmenter = tasks.embedding(models.segmentation.unet(num_classes=2, width=2, depth=1))
    shapes = jax.eval_shape(segmenter.init, jax.random.key(0), images)
    with pytest.raises(ValueError, match=r'one vector for each image, \[n d\], got an array of shape'):
        jax.eval_shape(segmenter.predict, shapes, images)
