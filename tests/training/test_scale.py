"""The bytes between devices by formula are those of the compiled program, on simulated devices."""

import functools
import itertools

import jax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxcv import training
from jaxcv.training import scale
from tests.tasks import class_parallel
from tests.training import problem

SCALARS = 8
"""At most so many numbers of a step are counts, losses and metrics."""


def exchanged(devices, sharding):
    """The collectives of the compiled step, the network, and how many parameters are in sharded arrays."""
    task, optimizer = problem.pieces()
    batch = problem.batches(1)[0]
    example = {name: value[:1] for name, value in batch.items()}
    shapes = jax.eval_shape(functools.partial(training.init_state, jax.random.key(0), task, optimizer, example))
    mesh = training.make_mesh(jax.devices()[:devices])
    like = training.with_shardings(shapes, mesh, sharding=sharding)
    rows = NamedSharding(mesh, PartitionSpec(training.AXIS))
    batch = {name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=rows) for name, x in batch.items()}
    step = training.compile_step(training.make_train_step(task, optimizer), mesh, sharding=sharding)
    found = scale.collectives(step.lower(like, batch).compile().as_text())
    count = lambda tree: sum(x.size for x in jax.tree.leaves(tree))  # noqa: E731
    statistics = jax.tree.leaves(shapes.state)
    network = scale.Network(count(shapes.params), count(statistics), len(statistics) // 2, 0.0, 0.0)
    sharded = [x for x in jax.tree.leaves(like.params) if not x.sharding.is_fully_replicated]
    return found, network, count(sharded)


@pytest.mark.parametrize('devices', [*(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 4)), 8])
def test_data_parallel(devices):
    found, network, _ = exchanged(devices, 'replicate')
    expected = scale.data_parallel(network, devices=devices)
    assert {(x.kind, x.devices) for x in found} == {(x.kind, x.devices) for x in expected}
    of_scalars = sum(x.size for x in found) - sum(x.size for x in expected)
    assert 0 <= of_scalars <= 4 * SCALARS * (devices > 1)
    assert scale.sent(found) - scale.sent(expected) == 2 * (devices - 1) / devices * of_scalars
    alone = [x for x in found if x.size > 4]
    assert len(alone) == len(expected)  # each batch norm waits twice, and the gradients are one


@pytest.mark.parametrize('devices', [pytest.param(2, marks=pytest.mark.slow), 8])
def test_fsdp(devices):
    """The compiler gathers each array once or twice; it has no reduce-scatter on the CPU, but all-reduces in its place.

    So the gradients are exchanged as in data parallel.
    """
    found, network, sharded = exchanged(devices, 'fsdp')
    gathered = sum(x.size for x in found if x.kind == 'all-gather')
    once, twice = (scale.fsdp(network, devices=devices, sharded=sharded, gathers=n) for n in (1, 2))
    assert sharded
    assert sum(x.size for x in once if x.kind == 'all-gather') <= gathered
    assert gathered <= sum(x.size for x in twice if x.kind == 'all-gather')
    summed = [x for x in found if x.kind == 'all-reduce']
    assert len(summed) + sum(x.kind == 'all-gather' for x in found) == len(found)
    of_gradients = sum(x.size for x in scale.data_parallel(network, devices=devices))
    assert 0 <= sum(x.size for x in summed) - of_gradients <= 4 * SCALARS


def test_class_parallel():
    """The embeddings come from a layer that is sharded along them: they are gathered once more than by the formula."""
    batch, devices = class_parallel.BATCH, 8
    program = class_parallel.compiled(training.make_mesh(), classes=1024, batch=batch)
    found = scale.collectives(program.as_text())
    expected = scale.class_parallel(batch=batch, embedding=class_parallel.D, devices=devices)
    size = 4 * batch * class_parallel.D
    assert [x for x in found if x.size == size and x.kind == 'all-reduce'] == expected[1:]
    assert [x for x in found if x.size == size and x.kind == 'all-gather'] == 2 * expected[:1]
    layer = 4 * class_parallel.D * (16 + 4)
    assert sum(x.size for x in found) <= 3 * size + layer + 4 * 20 * batch


def test_a_program_of_an_accelerator_is_refused():
    with pytest.raises(ValueError, match='got an asynchronous all-reduce'):
        scale.collectives('x = f32[8]{0} all-reduce-start(a), replica_groups={{0,1}}, to_apply=sum')


@pytest.mark.parametrize('groups', ['{{0,1,2,3}}', '[2,4]<=[8]', "mesh['a'=2,'b'=4] {'b'}"])
def test_devices_of_a_collective(groups):
    line = f'x = bf16[2,8]{{1,0}} reduce-scatter(a), channel_id=1, replica_groups={groups}, dimensions={{1}}'
    assert scale.collectives(line) == [scale.Collective('reduce-scatter', 2 * 2 * 8 * 4, 4)]


def test_more_chips_are_never_faster_than_as_many_alone():
    network = scale.Network(25_557_032, 53_120, 53, 24.5e9, 0.1e9)
    for chip in scale.CHIPS.values():
        steps = [scale.step(network, chip, devices=n, batch=128) for n in (1, 8, 64, 512, 1024)]
        assert steps[0].efficiency == (1.0, 1.0)
        for fewer, more in itertools.pairwise(steps):
            assert more.sent > fewer.sent
            assert all(a > b for a, b in zip(fewer.efficiency, more.efficiency, strict=True))
        sharded = scale.step(network, chip, devices=8, batch=128, sharding='fsdp')
        assert sharded.sent == pytest.approx(1.5 * steps[1].sent, rel=0.01)
        assert sharded.memory < steps[1].memory


def test_devices_of_a_permutation_are_those_of_its_pairs():
    line = '%x = f32[4,2]{1,0} collective-permute(%y), channel_id=1, source_target_pairs={{0,1},{1,2}}, metadata={}'
    assert scale.collectives(line) == [scale.Collective('collective-permute', 32, 3)]
