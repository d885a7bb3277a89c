"""Checkpoints of another optimizer: resumed with it, or refused without a trace; and evaluated without any."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.classification import digits
from experiments.run import resuming, workdir
from experiments.run.assemble import state_factory
from experiments.run.variables import described, restore, variables_factory
from jaxcv import training
from jaxcv.config import ConfigError
from tests.experiments.facts import assembled

EXAMPLE = {'image': np.zeros((8, 8, 1), np.uint8), 'label': np.int32(0)}
SNAPSHOTS = {'name': 'snapshots', 'keep': 3, 'period': 10}


def experiment(**sections):
    settings = digits.get_config()
    settings.model, settings.augment = {'name': 'linear_classifier'}, []
    for name, section in sections.items():
        settings[name] = {**settings[name].to_dict(), **section}
    return assembled(settings, EXAMPLE, names={'label': list('0123456789')})


def filled(experiment):
    """A train state with values of its own in every array, without a compilation."""

    def values(i, x):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jax.random.key(7)
        return jnp.asarray(np.full(x.shape, 20 if jnp.issubdtype(x.dtype, jnp.integer) else i, x.dtype))

    leaves, structure = jax.tree.flatten(jax.eval_shape(state_factory(experiment)))
    return jax.tree.unflatten(structure, [values(i, x) for i, x in enumerate(leaves)])


def saved(experiment, path, state, step=20):
    """A run as far as its config and its checkpoints are concerned."""
    path.mkdir(exist_ok=True)
    store = workdir.checkpoints(experiment, path)
    store.save(step, state, metrics={'top1': 0.5})
    store.close()
    workdir.save_config(experiment, path)
    return path


def bytes_of(path):
    return {file: file.read_bytes() for file in sorted(path.rglob('*')) if file.is_file()}


def plan(experiment, path, *, allowed=True):
    return resuming.plan(experiment, path, jax.eval_shape(state_factory(experiment)), changes_allowed=allowed)


def test_the_same_optimizer_goes_on_as_it_was(tmp_path):
    own = experiment()
    found = plan(own, saved(own, tmp_path, filled(own)), allowed=False)
    assert (found.other_optimizer, found.lines) == (False, ())
    assert plan(own, tmp_path / 'new').other_optimizer is False


def test_a_run_goes_on_clipped(tmp_path):
    own, clipped = experiment(), experiment(optimizer={'clip_norm': 1.0})
    state = filled(own)
    before = bytes_of(saved(own, tmp_path, state))
    found = plan(clipped, tmp_path)
    assert (found.other_optimizer, found.lines) == (True, [])
    mesh = training.make_mesh(jax.devices()[:1])
    read = workdir.checkpoints(own, tmp_path, read_only=True).restore(found.shapes).state
    changed = found.apply(read, mesh, 'replicate')
    assert jax.tree.structure(changed) == jax.tree.structure(jax.eval_shape(state_factory(clipped)))
    for new, old in zip(jax.tree.leaves(changed), jax.tree.leaves(state), strict=True):
        assert new.dtype == old.dtype
        if not jnp.issubdtype(new.dtype, jax.dtypes.prng_key):
            np.testing.assert_array_equal(new, old)
    assert bytes_of(tmp_path) == before


@pytest.mark.parametrize(
    ('changes', 'allowed'),
    [
        ({'optimizer': {'clip_norm': 1.0}}, False),
        ({'model': {'name': 'cifar_resnet', 'depth': 8, 'width': 2}}, True),
        ({'optimizer': {'decay': {'name': 'one_cycle_momentum'}}}, True),
    ],
    ids=['not allowed', 'another model', 'a schedule of its own'],
)
def test_what_cannot_go_on_is_refused_with_the_way_that_is_left(tmp_path, changes, allowed):
    own = experiment()
    before = bytes_of(saved(own, tmp_path, filled(own)))
    (tmp_path / 'checkpoints' / '40.orbax-checkpoint-tmp').mkdir()  # as a kill leaves it
    with pytest.raises(training.DifferentStateError, match='is of another model, optimizer or image size') as error:
        plan(experiment(**changes), tmp_path, allowed=allowed)
    assert f'--config.finetune.start_from={tmp_path}' in str(error.value)
    assert bytes_of(tmp_path) == before
    assert (tmp_path / 'checkpoints' / '40.orbax-checkpoint-tmp').exists()


@pytest.mark.parametrize('averaged', [False, True])
def test_evaluation_needs_no_optimizer(tmp_path, averaged):
    own = experiment(average={'name': 'polyak'})
    state = filled(own)
    saved(own, tmp_path, state)
    mesh = training.make_mesh(jax.devices()[:1])
    expected, _ = restore(own, tmp_path, 'last', mesh, averaged=averaged)
    other = experiment(average={'name': 'polyak'}, optimizer={'clip_norm': 1.0})
    found, step = restore(other, tmp_path, 'best', mesh, averaged=averaged)
    assert step == 20
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    if not averaged:
        jax.tree.map(np.testing.assert_array_equal, found['params'], state.params)
    with pytest.raises(training.DifferentStateError):
        restore(
            experiment(model={'name': 'cifar_resnet', 'depth': 8, 'width': 2}), tmp_path, 'last', mesh, averaged=False
        )


@pytest.mark.parametrize('average', [{'name': 'swa', 'start': 30}, {'name': 'polyak', 'start': 30}, SNAPSHOTS])
def test_an_average_that_has_not_begun_is_not_called_one(tmp_path, average):
    own = experiment(average=average)
    state = filled(own)
    optimizer, mean = state.opt_state
    none = jnp.zeros((), jnp.int32)
    mean = mean._replace(taken=none) if 'keep' in average else mean._replace(averaged=none)
    saved(own, tmp_path, state._replace(opt_state=(optimizer, mean)))
    mesh = training.make_mesh(jax.devices()[:1])
    with pytest.raises(ConfigError, match=r'the average of this run has not begun at step 20.*--noaveraged'):
        restore(own, tmp_path, 'last', mesh, averaged=True)
    assert restore(own, tmp_path, 'last', mesh, averaged=False)[1] == 20


@pytest.mark.parametrize('members', [1, 2])
def test_networks_are_counted_by_those_that_there_are(members):
    own = experiment(average=SNAPSHOTS, training={'members': members})
    state = filled(own)
    optimizer, average = state.opt_state
    mesh = training.make_mesh(jax.devices()[:1])
    evaluated = variables_factory(own, mesh, averaged=True)
    for taken, networks in ((0, 1), (2, 2), (7, 3)):
        count = jnp.full(average.taken.shape, taken, jnp.int32)
        found = evaluated(state._replace(opt_state=(optimizer, average._replace(taken=count))))
        word = f', averaged, an ensemble of {members * networks} networks'
        assert described(own, found, averaged=True) == word
    assert described(own, state.variables, averaged=False) == ', an ensemble of 2 networks' * (members > 1)
