"""What is taken over from a trained network."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcv import models, optim, tasks, training

BATCH = {'image': jnp.zeros((1, 8, 8, 1)), 'label': jnp.zeros(1, jnp.int32), 'valid': jnp.ones(1, bool)}


def task_of(classes, width=2):
    return tasks.classification(models.cifar_resnet(depth=8, width=width, num_classes=classes), num_classes=classes)


def test_a_backbone_with_a_new_head(tmp_path):
    optimizer = optim.adam(learning_rate=1e-3)
    trained = jax.jit(lambda key: training.init_state(key, task_of(10), optimizer, BATCH))(jax.random.key(1))
    trained = trained._replace(state=jax.tree.map(lambda x: x + 1, trained.state))
    store = training.checkpoints(tmp_path / 'checkpoints', best_metric='top1')
    store.save(7, trained)
    store.close()

    given = training.read_variables(tmp_path / 'checkpoints')
    jax.tree.map(np.testing.assert_array_equal, given, dict(trained.variables))
    kept = training.transferable(given, jax.eval_shape(task_of(3).init, jax.random.key(0), BATCH))
    chain = [optimizer, optim.polyak()]
    start = jax.jit(lambda key, kept: training.init_state(key, task_of(3), optax.chain(*chain), BATCH, kept))
    state = start(jax.random.key(0), kept)
    for name in ('stem', 'stage1', 'stage2', 'stage3'):
        jax.tree.map(np.testing.assert_array_equal, state.params[name], trained.params[name])
        jax.tree.map(
            np.testing.assert_array_equal, state.state['batch_stats'][name], trained.state['batch_stats'][name]
        )
    assert state.params['head']['kernel'].shape[-1] == 3
    # An average begins with what was taken over, too.
    jax.tree.map(np.testing.assert_array_equal, optim.averaged_params(state.opt_state), state.params)


def test_all_differences_at_once():
    given = jax.jit(task_of(10).init)(jax.random.key(0), BATCH)
    wider = jax.eval_shape(task_of(3, width=4).init, jax.random.key(0), BATCH)
    del wider['params']['stage3']
    with pytest.raises(ValueError, match='differ in more than the new layers') as error:
        training.transferable(given, wider)
    message = str(error.value)
    assert 'stem/bn/scale: (2,) in the trained network, (4,) in this one' in message
    assert re.search(r'\.\.\. and \d+ more$', message)
    assert 'head' not in message.split('\n', 1)[1]
    with pytest.raises(ValueError, match="new: no layer 'classifier'; the network has"):
        training.transferable(given, given, new=['classifier'])


def test_nothing_is_left_to_take_over():
    given = {'params': {'head': {'kernel': np.ones((3, 10))}}}
    with pytest.raises(ValueError, match='nothing is left of the trained network'):
        training.transferable(given, given)


def test_the_best_one(tmp_path):
    store = training.checkpoints(tmp_path, keep_last=3, best_metric='top1')
    state = training.init_state(jax.random.key(0), task_of(3), optim.sgd(learning_rate=0.1), BATCH)
    for step, top1 in ((1, 0.2), (2, 0.9), (3, 0.5)):
        kernel = {**state.params['head'], 'bias': jnp.full(3, float(step))}
        store.save(step, state._replace(params={**state.params, 'head': kernel}), metrics={'top1': top1})
    store.close()
    for which, value in (('best', 2), ('last', 3), (1, 1)):
        assert training.read_variables(tmp_path, which, best_metric='top1')['params']['head']['bias'][0] == value
    with pytest.raises(ValueError, match="which='best' needs best_metric"):
        training.read_variables(tmp_path, 'best')
    with pytest.raises(training.CheckpointError, match="was saved with the metric 'loss'"):
        training.read_variables(tmp_path, 'best', best_metric='loss')
    (tmp_path / '1' / 'metrics' / 'metrics').write_bytes(b'')
    with pytest.raises(training.CheckpointError, match=r'checkpoint of step 1 in .* is damaged'):
        training.read_variables(tmp_path, 'best', best_metric='top1')


def test_no_checkpoint(tmp_path):
    with pytest.raises(training.CheckpointError, match="no checkpoint 'last'"):
        training.read_variables(tmp_path)
