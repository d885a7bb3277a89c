"""However a step is spread over devices and processes, the same global batches give the same parameters."""

import jax
import numpy as np
import pytest

from jaxcv import training
from jaxcv.training import parallel
from tests.processes import run_two
from tests.training import problem

TOLERANCE = 5e-6  # float32 rounding, over 20 steps; parameters are up to 1


@pytest.fixture(scope='module')
def one_device():
    return problem.flat(problem.train(training.make_mesh(jax.devices()[:1])))


def compare(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=TOLERANCE, rtol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize(('mode', 'sharding'), [('jit', 'replicate'), ('pmap', 'replicate'), ('jit', 'fsdp')])
def test_eight_devices_equal_one(one_device, mode, sharding):
    state = problem.train(training.make_mesh(), mode=mode, sharding=sharding)
    compare(problem.flat(state), one_device)
    kernel = state.params['stage3']['block1']['conv2']['kernel']
    velocities = [x for x in jax.tree.leaves(state.opt_state) if x.shape == kernel.shape]
    for x in (kernel, *velocities):
        assert x.addressable_shards[0].data.size == x.size // (8 if sharding == 'fsdp' else 1)


@pytest.mark.slow
def test_two_processes_of_four_devices_equal_one(one_device, tmp_path):
    output = tmp_path / 'state.npz'
    run_two('tests.training.one_process', output)
    compare(dict(np.load(output)), one_device)


def test_pmap_is_for_one_process_and_replicated_state():
    with pytest.raises(ValueError, match="use mode 'jit'"):
        training.compile_step(lambda state, batch: (state, {}), training.make_mesh(), mode='pmap', sharding='fsdp')


def test_a_batch_that_does_not_divide_is_told():
    with pytest.raises(ValueError, match='multiple of 8, the number of devices'):
        training.put_batch(training.make_mesh())({'label': np.zeros(12, np.int32)})


def test_several_processes_need_all_three_flags():
    with pytest.raises(ValueError, match='--coordinator=host:port, --processes and --process'):
        training.initialize_processes('localhost:1', None, 0)


def test_only_many_small_arrays_are_made_by_a_program_that_is_not_optimized(monkeypatch):
    given = []
    jit = jax.jit
    monkeypatch.setattr(jax, 'jit', lambda f, **options: given.append(options) or jit(f))
    mesh = training.make_mesh(jax.devices()[:1])
    for count, side in ((3, 8), (3, 2048)):
        state = training.TrainState(0, [np.zeros((side, side), np.int8)] * count, {}, (), 0, True)
        training.create_state(lambda state=state: state, mesh)
    quick = parallel.RUN_ONCE if jax.default_backend() == 'cpu' else None
    assert [options['compiler_options'] for options in given if 'compiler_options' in options] == [quick, None]
