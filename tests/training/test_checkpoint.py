"""Checkpoints: what was saved comes back bit by bit, damage is found, and the old one takes over."""

import errno
import functools
import gc
import json
import logging

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from jaxcv import optim, training
from jaxcv.optim.averaging import SnapshotState
from jaxcv.training.checkpoint import CheckpointError, needed_bytes
from jaxcv.training.checksum import checksum
from tests.training import problem

# Orbax leaves its other reads unfinished when one of them fails; they are told of when they are collected.
pytestmark = pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')


@pytest.fixture(autouse=True)
def collected():
    """Collects what a test leaves here, not in some later test; all that was there before takes a second to search."""
    gc.freeze()
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


def test_the_folder_may_have_any_name(tmp_path):
    """Orbax lists files by patterns: in [x] it would find none of its own, and in * those of its neighbours."""
    for name in ('run[x]', 'run*', 'run?', 'my run', 'run%20#', 'x'):
        store = training.checkpoints(tmp_path / name / 'checkpoints', best_metric='top1')
        store.save(1, {'w': jnp.full(3, len(name))}, metrics={'top1': 0.5})
        store.close()
        assert (tmp_path / name / 'checkpoints' / '1').is_dir()
    for name in ('run[x]', 'run*', 'run?', 'my run', 'run%20#', 'x'):
        store = training.checkpoints(tmp_path / name / 'checkpoints', best_metric='top1', read_only=True)
        assert store.restore({'w': jnp.zeros(3, int)}, 'best').state['w'].tolist() == [len(name)] * 3
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


@pytest.mark.parametrize('better', ['max', 'min'])
def test_of_equals_the_earliest_is_kept_as_the_best(tmp_path, better):
    options = {'keep_last': 1, 'keep_best': 2, 'best_metric': 'loss', 'better': better}
    store = training.checkpoints(tmp_path, **options)
    for step, loss in enumerate([0.5, 0.5, 0.5, 0.5], 1):
        store.save(step, {'w': jnp.full(2, step)}, metrics={'loss': loss})
    assert store.restore({'w': jnp.zeros(2, int)}, 'best').step == 1
    store.close()
    assert training.checkpoints(tmp_path, **options).steps() == [1, 2, 4]


def test_metrics_of_an_evaluation_that_came_later_rank_the_checkpoint(tmp_path):
    """A run that was interrupted in place of an evaluation, which is made up for when it is resumed."""
    options = {'keep_last': 1, 'keep_best': 1, 'best_metric': 'loss', 'better': 'min'}
    store = training.checkpoints(tmp_path, **options)
    store.save(1, {'w': jnp.full(2, 1)}, metrics={'loss': 0.7})
    store.save(2, {'w': jnp.full(2, 2)})
    store.close()
    store = training.checkpoints(tmp_path, **options)
    assert (store.metrics(1), store.metrics(2)) == ({'loss': 0.7}, {})
    store.add_metrics(2, {'loss': 0.3, 'top1': float('nan')})
    assert store.metrics(2) == {'loss': 0.3, 'top1': None}
    store.save(3, {'w': jnp.full(2, 3)}, metrics={'loss': 0.5})
    assert store.restore({'w': jnp.zeros(2, int)}, 'best').step == 2
    store.close()
    assert training.checkpoints(tmp_path, **options).steps() == [2, 3]


def test_what_a_checkpoint_holds_is_strict_json(tmp_path):
    store = training.checkpoints(tmp_path, best_metric='loss')
    store.save(1, {'w': jnp.ones(2)}, {'logs': [0.5, float('nan')]}, {'loss': float('inf'), 'top1': 0.5})
    store.close()
    for path in (tmp_path / '1' / 'metrics' / 'metrics', tmp_path / '1' / 'data' / 'metadata'):
        json.loads(path.read_text(), parse_constant=pytest.fail)
    assert training.checkpoints(tmp_path, best_metric='loss').restore({'w': jnp.ones(2)}).data == {'logs': [0.5, None]}


def test_tokens_of_earlier_checkpoints_are_read(tmp_path):
    store = training.checkpoints(tmp_path, best_metric='loss', better='min')
    for step, loss in ((1, 0.5), (2, 0.4)):
        store.save(step, {'w': jnp.ones(2)}, metrics={'loss': loss})
    store.close()
    (tmp_path / '2' / 'metrics' / 'metrics').write_text('{"loss": NaN}')
    store = training.checkpoints(tmp_path, best_metric='loss', better='min')
    assert store.restore({'w': jnp.ones(2)}, 'best').step == 1
    store.close()


@pytest.mark.parametrize('in_the_background', [False, True])
def test_a_full_disk_is_one_error_and_earlier_checkpoints_are_whole(tmp_path, monkeypatch, in_the_background):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, 'No space left on device')

    store = training.checkpoints(tmp_path / 'checkpoints', best_metric='top1')
    store.save(1, {'w': jnp.ones(3)}, {'next_index': 1})
    store.wait()
    with monkeypatch.context() as patch:
        where = (
            (ocp.CheckpointManager, '_finalize_checkpoint') if in_the_background else (ocp.AsyncCheckpointer, 'save')
        )
        patch.setattr(*where, full)

        def save():
            store.save(2, {'w': jnp.ones(3)})
            store.wait()

        with pytest.raises(CheckpointError, match=r'cannot be written to .*: the disk is full') as error:
            save()
        assert 'the same command resumes' in str(error.value)
        store.close()
    store = training.checkpoints(tmp_path / 'checkpoints', best_metric='top1')
    assert store.restore({'w': jnp.zeros(3)}, 1).data == {'next_index': 1}
    store.close()


def test_variables_are_read_without_the_optimizer_and_an_average_beside_it(tmp_path):
    params = {'head': {'kernel': jnp.ones((2, 3)), 'bias': jnp.zeros(3)}}
    average = {'head': {'kernel': jnp.full((2, 3), 2.0), 'bias': jnp.ones(3)}}
    chain = optax.chain(optim.adam(learning_rate=0.1, clip_norm=1.0), optim.polyak(rho=0.9))
    own, averaged = chain.init(params)
    scalars = {'step': jnp.array(7), 'key': jax.random.key(0), 'healthy': jnp.array(True)}
    store = training.checkpoints(tmp_path, best_metric='top1')
    for step, count in ((1, 0), (2, 7)):
        state = (own, averaged._replace(averaged=jnp.array(count), params=average))
        store.save(step, training.TrainState(params=params, state={}, opt_state=state, **scalars))
    store.close()
    read = training.read_variables
    jax.tree.map(np.testing.assert_array_equal, read(tmp_path, 2), {'params': params})
    jax.tree.map(np.testing.assert_array_equal, read(tmp_path, 2, averaged=True), {'params': average})
    with pytest.raises(CheckpointError, match='its average has not begun'):
        read(tmp_path, 1, averaged=True)
    assert training.step_of(tmp_path) == 2
    with pytest.raises(CheckpointError, match=r'no checkpoint 5 in .*; there are \[1, 2\]'):
        training.step_of(tmp_path, 5)


@pytest.mark.parametrize('members', [None, 2])
def test_an_average_of_snapshots_has_those_that_were_taken(tmp_path, members):
    snapshots = np.arange(24.0).reshape(2, 3, 4) if members else np.arange(12.0).reshape(3, 4)
    taken = jnp.full((members,) if members else (), 2)
    state = SnapshotState(jnp.array(9), taken, {'w': jnp.asarray(snapshots)})
    scalars = {'step': jnp.array(9), 'key': jax.random.key(0), 'healthy': jnp.array(True)}
    store = training.checkpoints(tmp_path, best_metric='top1')
    store.save(1, training.TrainState(params={'w': jnp.ones(4)}, state={}, opt_state=((), state), **scalars))
    store.close()
    found = training.read_variables(tmp_path, averaged=True)['params']['w']
    np.testing.assert_array_equal(found, snapshots[:, :2] if members else snapshots[:2])


def test_differences_are_found_without_a_change(tmp_path):
    store = training.checkpoints(tmp_path, best_metric='top1')
    store.save(1, {'w': jnp.ones((3, 2))})
    store.close()
    (tmp_path / '2.orbax-checkpoint-tmp').mkdir()
    before = sorted(tmp_path.rglob('*'))
    assert training.differences(tmp_path, {'w': jnp.ones((3, 2))}) == []
    assert training.differences(tmp_path, {'w': jnp.ones(3)}) == ['state/w: (3, 2) in the checkpoint, (3,) wanted']
    assert sorted(tmp_path.rglob('*')) == before
