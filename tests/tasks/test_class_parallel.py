"""ArcFace with its classes over the devices, by `training.sharding = 'fsdp'` alone: values, checkpoints, memory."""

import re

import jax
import numpy as np
import pytest

from jaxcv import training
from tests.processes import run_two
from tests.tasks import class_parallel

CLASSES = 1024
pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def unsharded():
    """One device: the losses, and the parameters, which are sums of gradients, after three steps."""
    state, values = class_parallel.train(training.make_mesh(jax.devices()[:1]), classes=CLASSES)
    assert values[0] > values[-1] > 0
    return {'loss': np.array(values), **flat(state.params)}


def flat(tree):
    return {jax.tree_util.keystr(path): np.asarray(x) for path, x in jax.tree_util.tree_flatten_with_path(tree)[0]}


def compare(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=5e-6, rtol=5e-6, err_msg=name)


def test_eight_devices_equal_one_and_their_checkpoint_is_read_on_any_number(unsharded, tmp_path):
    state, values = class_parallel.train(training.make_mesh(), classes=CLASSES)
    compare({'loss': np.array(values), **flat(state.params)}, unsharded)
    centers = state.params['class_head']['centers']
    velocities = [x for x in jax.tree.leaves(state.opt_state) if x.shape == centers.shape]
    assert velocities
    for x in (centers, *velocities):
        assert {shard.data.shape for shard in x.addressable_shards} == {(CLASSES // 8, class_parallel.D)}
    store = training.checkpoints(tmp_path, best_metric='loss')
    store.save(3, state)
    store.close()
    shapes = jax.eval_shape(class_parallel.init(CLASSES))
    for count in (1, 2, 3, 8):
        mesh = training.make_mesh(jax.devices()[:count])
        like = training.with_shardings(shapes, mesh, sharding='fsdp')
        restored = training.checkpoints(tmp_path, best_metric='loss').restore(like).state
        assert restored.params['class_head']['centers'].sharding == like.params['class_head']['centers'].sharding
        for name, value in flat(state.params).items():
            np.testing.assert_array_equal(flat(restored.params)[name], value)


def test_two_processes_equal_one_device(unsharded, tmp_path):
    output = tmp_path / 'state.npz'
    run_two('tests.tasks.class_parallel', output, CLASSES)
    compare(dict(np.load(output)), unsharded)


def test_memory_for_a_million_classes():
    """Of the compiled program, for 512 numbers and 1,024 images: 3.8 GiB of centres and velocities on one device."""
    classes, batch = 1_000_000, 1024
    of_one, of_eight = (
        class_parallel.compiled(training.make_mesh(jax.devices()[:n]), classes=classes, batch=batch) for n in (1, 8)
    )
    state = [compiled.memory_analysis().argument_size_in_bytes for compiled in (of_one, of_eight)]
    scratch = [compiled.memory_analysis().temp_size_in_bytes for compiled in (of_one, of_eight)]
    assert 2 * 4 * 512 * classes < state[0] < 2.01 * 4 * 512 * classes
    assert state[1] < 1.01 * state[0] / 8
    assert scratch[1] < 1.3 * scratch[0] / 8
    # No device has the logits of all classes, nor sends a matrix as large as its own.
    text = of_eight.as_text()
    assert f'{batch},{classes // 8}]' in text
    assert f',{classes}]' not in text
    sent = re.findall(r'= .*\b(?:all-gather|all-to-all|all-reduce|reduce-scatter|collective-permute)\(', text)
    assert sent
    assert not [line for line in sent if f'{classes // 8}]' in line or f'[{classes}' in line]
