"""The task of detection by regions: one program for any number of boxes, padding, proposals from elsewhere."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxcv import models, tasks
from jaxcv.models import Stage
from tests.tasks import detectors


class Patches(nn.Module):
    """A backbone of one convolution."""

    @property
    def stages(self):
        return {'patches': Stage(4, 8)}

    @nn.compact
    def features(self, images, *, train=False):
        return {'patches': nn.relu(nn.Conv(8, (4, 4), strides=4, padding='VALID')(images))}


def task(**options):
    """Of two stages, with masks, whose programs compile quickly."""
    sizes = {'sizes': ((10.0,),), 'ratios': (1.0,), 'cells': 4.0, 'pool_size': 3, 'widths': (16,)}
    masks = {'masks': 'plain', 'mask_features': 4, 'mask_depth': 1, 'mask_pool_size': 4}
    of_model = {'neck': 'none', 'strides': (4,), 'num_classes': detectors.CLASSES, **sizes, **masks}
    own = {name: options.pop(name) for name in list(options) if name in (*of_model, 'pooling', 'proposals_of')}
    proposes = own.pop('proposals_of', 'own') == 'own'
    model = models.detection.faster_rcnn(backbone=Patches(), proposals=proposes, **{**of_model, **own})
    counts = {'anchors': 16, 'regions': 16, 'train_proposals': 24, 'proposals': 16, 'most': 6}
    return tasks.region_detection(model, num_classes=detectors.CLASSES, **{**counts, **options})


def batch(counts, **options):
    """Boxes that are masks too."""
    made = detectors.batch(counts, **options)
    places = np.arange(detectors.SIDE) + 0.5
    x1, y1, x2, y2 = np.moveaxis(made['boxes'], -1, 0)[..., None]
    down, right = (places >= y1) & (places < y2), (places >= x1) & (places < x2)
    made['instance_masks'] = (down[..., :, None] & right[..., None, :]).astype(np.uint8)
    return made


@pytest.fixture(scope='module')
def compiled():
    """(variables, loss and gradient, predictions): one program each."""
    made, calls = task(), []

    def loss(params, batch, key):
        calls.append(1)
        output = made.loss(params, {}, batch, key)
        return output.total / jnp.maximum(output.weight, 1), output

    variables = jax.jit(made.init)(jax.random.key(0), batch((1, 1)))
    return variables, jax.jit(jax.value_and_grad(loss, has_aux=True)), jax.jit(made.predict), calls


@pytest.mark.slow
def test_one_program_for_any_number_of_objects(compiled):
    variables, loss, predict, calls = compiled
    for counts in ((3, 6), (0, 0), (6, 1)):
        (value, output), gradient = loss(variables['params'], batch(counts), jax.random.key(1))
        assert np.isfinite(value)
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient))
        assert set(output.logs) == {'objectness', 'proposal_boxes', 'classes', 'boxes', 'masks'}
        if not sum(counts):
            assert output.logs['boxes'] == output.logs['masks'] == output.logs['proposal_boxes'] == 0
        found = predict(variables, batch(counts))
        assert found['boxes'].shape == (2, 6, 4)
        assert found['masks'].shape == (2, 6, 8, 8)
    assert len(calls) == 1


@pytest.mark.slow
def test_padded_images_and_boxes_do_not_count(compiled):
    variables, loss, _, _ = compiled
    two = batch((3, 5), valid=[True, False])
    (value, output), gradient = loss(variables['params'], two, jax.random.key(1))
    assert output.weight == 1
    other = {name: x.copy() for name, x in two.items()}
    other['image'][1], other['boxes'][1], other['box_valid'][1] = 0.5, 3, False
    other['boxes'][0, 3:] = 7
    other['instance_masks'][0, 3:] = 1
    (same, _), alike = loss(variables['params'], other, jax.random.key(1))
    np.testing.assert_allclose(value, same, rtol=1e-6)
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-6), gradient, alike)


def test_what_is_missing_is_named():
    made, one = task(), batch((1, 1))
    variables = jax.eval_shape(made.init, jax.random.key(0), one)

    def loss(batch):
        return jax.eval_shape(made.loss, variables['params'], {}, batch, jax.random.key(0))

    with pytest.raises(ValueError, match=r"'instance_masks'.*outline_masks"):
        loss({name: x for name, x in one.items() if name != 'instance_masks'})
    with pytest.raises(ValueError, match="'boxes'"):
        loss({'image': one['image'], 'valid': one['valid']})
    given = task(proposals_of='others', masks='none')
    with pytest.raises(ValueError, match=r"'proposals'.*proposes no regions itself"):
        jax.eval_shape(given.init, jax.random.key(0), one)
    with pytest.raises(ValueError, match=r'scores 4 classes.*but there are 2'):
        tasks.region_detection(models.detection.faster_rcnn(backbone=Patches(), num_classes=3), num_classes=2)
    with pytest.raises(ValueError, match='no detector by regions'):
        tasks.region_detection(Patches(), num_classes=2)


def test_proposals_of_another_source():
    made = task(proposals_of='others', masks='none', pooling='max')
    one = {**batch((2, 1)), 'proposals': jnp.ones((2, 9, 4)) * 4, 'proposal_valid': jnp.ones((2, 9), bool)}
    variables = jax.eval_shape(made.init, jax.random.key(0), one)
    assert sorted(variables['params']) == ['backbone', 'box_head', 'predictor']
    output = jax.eval_shape(made.loss, variables['params'], {}, one, jax.random.key(0))
    assert set(output.logs) == {'classes', 'boxes'}
    assert jax.eval_shape(made.predict, variables, one)['boxes'].shape == (2, 6, 4)


@pytest.mark.slow
def test_a_few_scenes_are_learnt():
    made, one = task(), batch((3, 2))
    variables = jax.jit(made.init)(jax.random.key(0), one)

    @jax.jit
    def step(params, key):
        def loss(params):
            output = made.loss(params, {}, one, key)
            return output.total / output.weight, output.logs

        (value, logs), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient), value, logs

    params, values = variables['params'], []
    for i in range(300):
        params, value, _ = step(params, jax.random.key(i))
        values.append(float(value))
    assert np.mean(values[-20:]) < 0.6 * np.mean(values[:5])
