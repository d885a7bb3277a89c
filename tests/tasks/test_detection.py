"""The task of detection: one program for any number of boxes, its gradients, devices, views and export."""

import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.run.exporting import answer_function, serialize
from jaxcv import losses, models, ops, optim, tasks, training
from jaxcv.augment import views
from jaxcv.ops import Detections
from jaxcv.task import Task
from tests.tasks import detectors

TINY = detectors.task()


def trained(task, batches, devices=1):
    """(state, logs) after a step on each batch, and how often the step was traced."""
    traces = []

    def loss(*arguments):
        traces.append(1)
        return task.loss(*arguments)

    mesh, optimizer = training.make_mesh(jax.devices()[:devices]), optim.sgd(learning_rate=0.1)
    counted = task._replace(loss=loss)
    init = functools.partial(training.init_state, jax.random.key(0), counted, optimizer, batches[0])
    state = training.create_state(init, mesh)
    step = training.compile_step(training.make_train_step(counted, optimizer), mesh)
    every = []
    for batch in batches:
        state, logs = step(state, training.put_batch(mesh)(batch))
        every.append(jax.device_get(logs))
    return state, every, len(traces)


def check_one_program(task, batch):
    """Train and predict batches of 0 to the most boxes, by the programs of the first."""
    counts = [(0, 0), (1, 0), (3, 6), (6, 6), (0, 2)]
    made = [batch(pair, seed=i) for i, pair in enumerate(counts)]
    state, logs, traces = trained(task, made)
    traced_once = trained(task, made[:1])[2]
    assert traces == traced_once
    assert all(one['finite'] == 1 for one in logs)
    calls = []
    predict = jax.jit(lambda variables, batch: calls.append(1) or task.predict(variables, batch))
    found = [predict(state.variables, one) for one in made]
    assert len(calls) == 1
    assert all(np.isfinite(one['boxes']).all() and np.isfinite(one['losses']).all() for one in found)
    return found


def test_one_compiled_program_serves_any_number_of_boxes():
    found = check_one_program(TINY, detectors.batch)
    assert found[0]['boxes'].shape == (2, 10, 4)
    assert found[0]['boxes'].dtype == jnp.float32


@pytest.mark.slow
@pytest.mark.parametrize('loss', [losses.retinanet, functools.partial(losses.retinanet, box_loss='giou')])
def test_one_compiled_program_of_a_retinanet(loss):
    backbone = models.cifar_resnet(depth=8, width=4, num_classes=1)
    sizes = {'strides': (1, 2, 4), 'extra': 'none', 'sizes': (4, 8, 16), 'octaves': 1, 'features': 8, 'depth': 1}
    model = models.detection.retinanet(backbone=backbone, num_classes=detectors.CLASSES, **sizes)
    task = tasks.detection(model, num_classes=detectors.CLASSES, loss=loss, candidates=50, most=10)
    check_one_program(task, detectors.batch)


LOSSES = {
    'retinanet': losses.retinanet,
    'giou': functools.partial(losses.retinanet, box_loss='giou'),
    'ciou': functools.partial(losses.retinanet, box_loss='ciou'),
    'mining': functools.partial(losses.retinanet, classification='cross_entropy', negatives=3.0),
    'efficientdet': losses.efficientdet,
}


@pytest.mark.parametrize('loss', LOSSES)
def test_gradients_are_finite_without_boxes(loss):
    """No boxes, all of them padding, all of them crowds, boxes without area: in one batch and each alone."""
    task = detectors.task(loss=LOSSES[loss])
    normal, crowds = detectors.batch((2, 0)), detectors.batch((6, 6), crowd=True)
    flat = detectors.batch((3, 1))
    flat['boxes'][..., 2:] = flat['boxes'][..., :2]
    variables = task.init(jax.random.key(0), normal)

    @jax.jit
    def gradient(batch):
        return jax.value_and_grad(lambda params: task.loss(params, {}, batch, jax.random.key(1)).total)(
            variables['params']
        )

    for batch in (normal, detectors.batch((0, 0)), crowds, flat):
        value, slopes = gradient(batch)
        assert np.isfinite(value)
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(slopes))


def test_no_room_for_boxes_at_all():
    batch = detectors.batch((0, 0), most=0)
    variables = TINY.init(jax.random.key(0), batch)
    loss = jax.jit(lambda params: TINY.loss(params, {}, batch, jax.random.key(0)).total)
    assert np.isfinite(loss(variables['params']))


def test_eight_devices_equal_one():
    """Terms are normalized within their image and weighted by the valid images, so that devices add up."""
    counts = [0, 6, 1, 0, 3, 2, 5, 6, 0, 0, 1, 4, 6, 6, 2, 1]
    valid = np.arange(16) % 5 != 2
    batches = [detectors.batch(counts, seed=i, valid=valid) for i in range(2)]
    (one, logs, _), (eight, logs8, _) = (trained(TINY, batches, devices) for devices in (1, 8))
    for name in logs[0]:
        np.testing.assert_allclose([x[name] for x in logs8], [x[name] for x in logs], rtol=1e-5, err_msg=name)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), eight.params, one.params)


def test_images_that_are_not_valid_do_not_count():
    batch = detectors.batch((2, 3, 1), valid=[True, True, False])
    variables = TINY.init(jax.random.key(0), batch)
    value = jax.jit(lambda batch: TINY.loss(variables['params'], {}, batch, jax.random.key(0)))
    padded, whole = value(batch), value({name: array[:2] for name, array in batch.items()})
    np.testing.assert_allclose(padded.total, whole.total, rtol=1e-6)
    assert padded.weight == whole.weight == 2


def test_boxes_of_a_bfloat16_network_are_float32():
    """Scores, boxes and their overlaps: two boxes whose IoU bfloat16 could not tell from the threshold."""
    task = detectors.task(dtype=jnp.bfloat16)
    batch = detectors.batch((2, 1))
    variables = task.init(jax.random.key(0), batch)
    found = jax.jit(task.predict)(variables, batch)
    assert {found[name].dtype for name in ('boxes', 'scores')} == {jnp.dtype('float32')}
    output = jax.eval_shape(task.loss, variables['params'], {}, batch, jax.random.key(0))
    assert output.total.dtype == jnp.float32

    codes, anchor = jnp.zeros((2, 4), jnp.bfloat16), jnp.array([[0.0, 0.0, 1000.0, 10.0], [0.0, 0.0, 501.0, 10.0]])
    scores = jnp.array([[0.9], [0.8]], jnp.bfloat16)
    kept = ops.select_detections([scores], [codes], [anchor], coder=ops.box_coder(), size=(2000, 2000), most=2)
    assert kept.box_valid.tolist() == [True, False]  # an IoU of 0.501; in bfloat16 it is 0.5
    np.testing.assert_array_equal(kept.boxes[0], anchor[0])


def test_six_hundred_boxes_in_an_image():
    batch = detectors.batch((600, 0), most=600)
    variables = TINY.init(jax.random.key(0), batch)
    loss = jax.jit(lambda params: TINY.loss(params, {}, batch, jax.random.key(0)).total)
    assert np.isfinite(loss(variables['params']))


def bright(variables, batch):
    """The predictions of a detector of the one bright rectangle, in pixels of the images that it is given."""

    def one(image):
        lit = image[..., 0] > 0.5
        ys, xs = jnp.arange(image.shape[0]), jnp.arange(image.shape[1])
        rows, columns = lit.any(axis=1), lit.any(axis=0)
        low = [jnp.where(some, at, 10**6).min() for some, at in ((columns, xs), (rows, ys))]
        high = [jnp.where(some, at + 1, 0).max() for some, at in ((columns, xs), (rows, ys))]
        return jnp.stack([*low, *high]).astype(jnp.float32)[None]

    boxes = jax.vmap(one)(batch['image'])
    ones = jnp.ones(boxes.shape[:2])
    found = {'boxes': boxes, 'scores': 0.9 * ones, 'box_labels': ones.astype(jnp.int32), 'box_valid': ones > 0}
    losses_of = {'losses': boxes.sum(axis=(1, 2))} if 'boxes' in batch else {}
    return {**found, **losses_of, 'valid': batch['valid']}


def test_boxes_of_views_come_back_and_are_merged():
    """Flips and scales: each view finds the rectangle, and one of the boxes stays."""
    images = np.zeros((2, 40, 60, 3), np.float32)
    images[0, 8:24, 12:20] = images[1, 0:12, 40:60] = 1
    expected = np.float32([[12, 8, 20, 24], [40, 0, 60, 12]])
    batch = {'image': images, 'valid': np.ones(2, bool), 'boxes': np.zeros((2, 1, 4), np.float32)}
    task = Task(None, None, bright, {}, join=TINY.join)
    for some in (views.flips(), views.multi_scale(scales=(80, 40), flip=True)):
        found = jax.jit(tasks.with_views(task, some).predict)({}, batch)
        assert found['box_valid'].sum(axis=1).tolist() == [1, 1]
        np.testing.assert_allclose(found['boxes'][:, 0], expected, atol=0.51)
        np.testing.assert_allclose(found['losses'], expected.sum(axis=1))
        assert found['valid'].all()
    with pytest.raises(ValueError, match='need views that move them back'):
        tasks.with_views(task, views.crops(size=30)).predict({}, batch)


def test_merging_takes_the_best_of_all():
    boxes = jnp.array([[0.0, 0.0, 9.0, 9.0], [1.0, 0.0, 9.0, 9.0], [0.0, 0.0, 9.0, 9.0], [0.0, 0.0, 5.0, 5.0]])
    scores, labels = jnp.array([0.6, 0.8, 0.7, 0.9]), jnp.array([1, 1, 0, 0])
    found = Detections(boxes, scores, labels, jnp.array([True, True, True, False]))
    merged = ops.merge_detections(found, most=3)
    np.testing.assert_allclose(merged.scores, [0.8, 0.7, 0])
    assert merged.box_labels.tolist() == [1, 0, 0]
    alone = ops.merge_detections(found, by_class=False, most=3)
    np.testing.assert_allclose(alone.scores, [0.8, 0, 0])
    soft = ops.merge_detections(found, suppression='soft', most=3)
    assert soft.box_valid.all()
    assert float(soft.scores[2]) < 0.3


ALONE = """
import sys
for name in ('jaxcv', 'flax', 'optax', 'tensorflow'):
    sys.modules[name] = None
import numpy as np
from jax import export
call = export.deserialize(open(sys.argv[1], 'rb').read()).call
images = np.load(sys.argv[2])
np.savez(sys.argv[3], **call(images))
"""


@pytest.mark.slow
def test_a_detector_is_exported_with_its_suppression(tmp_path):
    """The file holds all platforms, and JAX alone gives the answer of the task."""
    backbone = models.cifar_resnet(depth=8, width=4, num_classes=1)
    sizes = {'strides': (1, 2, 4), 'extra': 'none', 'sizes': (4, 8, 16), 'octaves': 1, 'features': 8, 'depth': 1}
    model = models.detection.retinanet(backbone=backbone, num_classes=3, **sizes)
    task = tasks.detection(model, num_classes=3, loss=losses.retinanet, least_score=0.001, candidates=100, most=10)
    images = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3), np.uint8)
    batch = {'image': images, 'valid': np.ones(3, bool)}
    variables = task.init(jax.random.key(0), batch)
    function, inputs = answer_function(task, variables, {'image': {'shape': (32, 32, 3), 'dtype': 'uint8'}})
    (tmp_path / 'model').write_bytes(serialize(function, inputs))
    np.save(tmp_path / 'images.npy', images)
    paths = [str(tmp_path / name) for name in ('model', 'images.npy', 'answer.npz')]
    done = subprocess.run([sys.executable, '-c', ALONE, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = jax.jit(task.predict)(variables, batch)
    with np.load(tmp_path / 'answer.npz') as answer:
        assert answer['box_valid'].any()
        for name in ('boxes', 'scores', 'box_labels', 'box_valid'):
            np.testing.assert_allclose(answer[name], expected[name], rtol=1e-4, atol=1e-4)
