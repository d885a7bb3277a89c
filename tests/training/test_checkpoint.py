"""Checkpoints: what was saved comes back bit by bit, damage is found, and the old one takes over."""

import functools
import gc
import json
import logging

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxcv import training
from jaxcv.training.checkpoint import CheckpointError, needed_bytes
from jaxcv.training.checksum import checksum
from tests.training import problem

# Orbax leaves its other reads unfinished when one of them fails; they are told of when they are collected.
pytestmark = pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')


@pytest.fixture(autouse=True)
def collected():
    """Collects what a test leaves here, not in some later test."""
    yield
    gc.collect()


@pytest.fixture(scope='module')
def state():
    task, optimizer = problem.pieces()
    batch = {name: value[:1] for name, value in problem.batches(1)[0].items()}
    init = functools.partial(training.init_state, jax.random.key(7), task, optimizer, batch)
    return training.create_state(init, training.make_mesh(jax.devices()[:1]))


def bits(state):
    return [np.asarray(x).tobytes() for x in jax.tree.leaves(state._replace(key=jax.random.key_data(state.key)))]


def test_state_and_data_come_back_bit_by_bit(state, tmp_path):
    store = training.checkpoints(tmp_path / 'checkpoints', best_metric='top1')
    assert store.restore(state) is None
    store.save(3, state, {'next_index': 12, 'skipped': 1})
    store.close()
    restored = training.checkpoints(tmp_path / 'checkpoints', best_metric='top1').restore(
        jax.tree.map(jnp.zeros_like, state)
    )
    assert (restored.step, restored.data) == (3, {'next_index': 12, 'skipped': 1})
    assert bits(restored.state) == bits(state)
    store.close()


def test_the_newest_and_the_best_are_kept(tmp_path):
    store = training.checkpoints(tmp_path, keep_last=2, keep_best=1, best_metric='top1')
    for step, top1 in enumerate([0.5, 0.9, 0.7, 0.8, 0.6], 1):
        store.save(step, {'w': jnp.full(2, step)}, metrics={'top1': top1})
    store.save(6, {'w': jnp.full(2, 6)})  # one without an evaluation
    store.close()
    store = training.checkpoints(tmp_path, keep_last=2, keep_best=1, best_metric='top1')
    assert store.steps() == [2, 5, 6]
    like = {'w': jnp.zeros(2, int)}
    assert store.restore(like, 'best').step == 2
    assert store.restore(like, 'last').step == 6
    with pytest.raises(CheckpointError, match=r'no checkpoint of step 4 in .*; there are \[2, 5, 6\]'):
        store.restore(like, 4)


@pytest.mark.parametrize(('better', 'best'), [('max', 3), ('min', 2)])
def test_a_value_that_is_not_finite_is_never_the_best(tmp_path, better, best):
    options = {'keep_last': 1, 'keep_best': 1, 'best_metric': 'loss', 'better': better}
    store = training.checkpoints(tmp_path, **options)
    values = {1: float('nan'), 2: 0.4, 3: 0.6, 4: float('inf'), 5: -float('inf'), 6: float('nan')}
    for step, loss in values.items():
        store.save(step, {'w': jnp.full(2, step)}, metrics={'loss': loss})
    assert store.restore({'w': jnp.zeros(2, int)}, 'best').step == best
    store.close()
    assert training.checkpoints(tmp_path, **options).steps() == [best, 6]


def test_without_a_finite_value_there_is_no_best(tmp_path):
    store = training.checkpoints(tmp_path, best_metric='loss', better='min')
    store.save(1, {'w': jnp.ones(2)}, metrics={'loss': float('nan')})
    with pytest.raises(CheckpointError, match="'loss' is finite in no checkpoint"):
        store.restore({'w': jnp.ones(2)}, 'best')
    store.close()


def overwrite_the_largest_file(folder):
    file = max((f for f in folder.rglob('*') if f.is_file()), key=lambda f: f.stat().st_size)
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8] = bytes(255 - b for b in content[middle : middle + 8])
    file.write_bytes(bytes(content))


def remove_the_largest_file(folder):
    max((f for f in folder.rglob('*') if f.is_file()), key=lambda f: f.stat().st_size).unlink()


def empty_every_file(folder):
    for file in folder.rglob('*'):
        if file.is_file():
            file.write_bytes(b'')


@pytest.mark.parametrize('damage', [overwrite_the_largest_file, remove_the_largest_file, empty_every_file])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, caplog, damage):
    store = training.checkpoints(tmp_path / 'checkpoints', keep_last=3, best_metric='top1')
    draw = np.random.default_rng(0)
    values = {step: jnp.asarray(draw.normal(size=4096), jnp.float32) for step in (1, 2)}
    for step, value in values.items():
        store.save(step, {'w': value}, {'next_index': step})
    store.close()
    damage(tmp_path / 'checkpoints' / '2')
    with caplog.at_level(logging.ERROR):
        restored = training.checkpoints(tmp_path / 'checkpoints', best_metric='top1').restore({'w': jnp.zeros(4096)})
    assert (restored.step, restored.data) == (1, {'next_index': 1})
    np.testing.assert_array_equal(restored.state['w'], values[1])
    assert 'THE CHECKPOINT OF STEP 2 IS DAMAGED' in caplog.text
    assert (tmp_path / 'checkpoints_damaged' / '2').is_dir()  # kept, for whoever can still use it


def test_no_readable_checkpoint_is_an_error_not_a_fresh_start(tmp_path):
    store = training.checkpoints(tmp_path / 'checkpoints', best_metric='top1')
    store.save(1, {'w': jnp.ones(4096)})
    store.close()
    empty_every_file(tmp_path / 'checkpoints' / '1')
    with pytest.raises(CheckpointError, match='every checkpoint of this run is damaged, they are kept in'):
        training.checkpoints(tmp_path / 'checkpoints', best_metric='top1').restore({'w': jnp.ones(4096)})


def test_the_checksum_sees_every_bit_and_no_sharding():
    tree = {'a': jnp.arange(64.0).reshape(8, 8), 'b': jnp.array([True, False]), 'key': jax.random.key(3)}
    whole = int(checksum(tree))
    assert int(checksum({**tree, 'a': tree['a'].at[3, 4].add(2**-18)})) != whole
    assert int(checksum({**tree, 'a': tree['a'].T})) != whole
    assert int(checksum({**tree, 'b': ~tree['b']})) != whole
    assert int(checksum({**tree, 'key': jax.random.key(4)})) != whole
    sharding = training.state_sharding(tree['a'], training.make_mesh(), sharding='fsdp', min_size=1)
    assert int(checksum({**tree, 'a': jax.device_put(tree['a'], sharding)})) == whole


@pytest.mark.parametrize(('devices', 'sharding'), [(1, 'replicate'), (2, 'fsdp'), (8, 'fsdp')])
def test_a_checkpoint_is_read_on_any_number_of_devices(tmp_path, devices, sharding):
    value = {'w': jnp.arange(4096.0).reshape(64, 64)}
    all_devices = training.make_mesh()
    store = training.checkpoints(tmp_path, best_metric='top1')
    store.save(1, jax.device_put(value, training.state_sharding(value, all_devices, sharding='fsdp')))
    store.close()
    mesh = training.make_mesh(jax.devices()[:devices])
    like = training.with_shardings(jax.eval_shape(lambda: value), mesh, sharding=sharding)
    restored = training.checkpoints(tmp_path, best_metric='top1').restore(like)
    np.testing.assert_array_equal(restored.state['w'], value['w'])
    assert restored.state['w'].sharding == like['w'].sharding


def test_another_model_is_no_damage(tmp_path):
    store = training.checkpoints(tmp_path / 'checkpoints', best_metric='top1')
    store.save(1, {'w': jnp.ones((3, 2)), 'b': jnp.ones(2)})
    store.close()
    with pytest.raises(CheckpointError, match='is of another model') as error:
        training.checkpoints(tmp_path / 'checkpoints', best_metric='top1').restore(
            {'w': jnp.ones((4, 2)), 'c': jnp.ones(2)}
        )
    assert 'state/w: (3, 2) in the checkpoint, (4, 2) wanted' in str(error.value)
    assert 'state/c: not there in the checkpoint, (2,) wanted' in str(error.value)
    assert (tmp_path / 'checkpoints' / '1').is_dir()  # not moved


@pytest.mark.parametrize('error', [MemoryError, jax.errors.JaxRuntimeError])
def test_a_state_without_room_on_the_device_is_no_damage(tmp_path, monkeypatch, error):
    def no_room(*args, **kwargs):
        raise error('RESOURCE_EXHAUSTED')

    store = training.checkpoints(tmp_path / 'checkpoints', best_metric='top1')
    store.save(1, {'w': jnp.ones(3)})
    with monkeypatch.context() as patch:
        patch.setattr(ocp.CheckpointManager, 'restore', no_room)
        with pytest.raises(error, match='RESOURCE_EXHAUSTED'):
            store.restore({'w': jnp.zeros(3)})
    assert store.restore({'w': jnp.zeros(3)}).step == 1  # not moved
    store.close()


def test_to_read_only_moves_nothing(tmp_path):
    store = training.checkpoints(tmp_path / 'checkpoints', best_metric='top1')
    store.save(1, {'w': jnp.ones(4096)})
    store.save(2, {'w': jnp.ones(4096)})
    store.close()
    (tmp_path / 'checkpoints' / '2' / 'metrics' / 'metrics').write_bytes(b'')
    with pytest.raises(CheckpointError, match=r'steps \[2\] .* are damaged'):
        training.checkpoints(tmp_path / 'checkpoints', read_only=True, best_metric='top1')
    assert (tmp_path / 'checkpoints' / '2').is_dir()
    unfinished = tmp_path / 'checkpoints' / '3.orbax-checkpoint-tmp' / 'metrics'
    unfinished.mkdir(parents=True)
    (unfinished / 'metrics').write_bytes(b'')
    assert training.checkpoints(tmp_path / 'checkpoints', best_metric='top1').restore({'w': jnp.ones(4096)}).step == 1


def test_needed_bytes_counts_one_more_than_is_kept():
    assert needed_bytes({'w': jax.ShapeDtypeStruct((10, 10), np.dtype('float32'))}, 2) == 1200


def test_metrics_continue_without_gap_or_repeat(tmp_path):
    from jaxcv.training.writers import jsonl_writer, read_jsonl

    path = tmp_path / 'metrics.jsonl'
    writer = jsonl_writer(path)
    for step in (10, 20, 30):
        writer.write(step, {'train/loss': 1 / step})
    writer.close()
    with path.open('a') as file:
        file.write('{"step": 40, "train/lo')  # a kill in the middle of a line
    writer = jsonl_writer(path, step=20)
    writer.write(30, {'train/loss': 0.5})
    writer.close()
    assert [(r['step'], r['train/loss']) for r in read_jsonl(path)] == [(10, 0.1), (20, 0.05), (30, 0.5)]
    assert all(json.loads(line) for line in path.read_text().splitlines())
