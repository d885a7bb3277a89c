"""Averages, ensembles, early stopping, views and transfer, from the command line."""

import contextlib
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import evaluate, train
from experiments.classification import digits
from experiments.run import batches as opening
from experiments.run import workdir
from experiments.run.assemble import assemble, state_factory
from experiments.run.check import check
from experiments.run.exits import BAD_INPUT, RESUME_ME
from experiments.run.training import train as train_checked
from experiments.run.variables import variables_factory
from experiments.run.workdir import save_config
from jaxcv import config as configs
from jaxcv import training
from jaxcv.training import hooks
from tests import kill_and_resume

RESNET = "--config.model={'name': 'cifar_resnet', 'depth': 8, 'width': 4}"


@pytest.fixture
def run(command, tiny, tmp_path):
    """run(*arguments, launcher=train) -> Ended, in the workdir tmp_path/run."""

    def launched(*arguments, launcher=train, workdir='run'):
        config = tiny if launcher is train else []
        ended = command(launcher, *config, f'--workdir={tmp_path / workdir}', *arguments)
        assert ended.code == 0, ended.err
        return ended

    return launched


def records(workdir):
    return [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]


def top1(workdir):
    return json.loads((workdir / 'evaluation.json').read_text())['top1']


def settings(data_dir, **sections):
    config = digits.get_config()
    config.data.update({'data_dir': str(data_dir), 'train_split': 'train[:160]', 'batch_size': 24})
    config.model.update({'width': 4})
    config.training.update({'epochs': 2.0, 'save_every': 0})
    for name, section in sections.items():
        config[name].update(section)
    return config


def train_on(settings, workdir):
    return train_checked(check(settings), workdir)


def opened(settings):
    """The experiment of a config on its data, and the opened training split."""
    checked = check(settings)
    data = opening.open_training(checked)
    return assemble(checked, opening.facts_of(data, opening.open_evaluation(checked))), data.source


@pytest.fixture
def source(data_dir, tmp_path):
    """The workdir of a network on the digits 0 to 4, as a run would leave it; nobody has trained it."""
    experiment, _ = opened(settings(data_dir, data={'classes': list('01234')}))
    state = state_factory(experiment)()
    store = training.checkpoints(tmp_path / 'source' / 'checkpoints', best_metric='top1')
    store.save(5, state._replace(state=jax.tree.map(lambda x: x + 0.1, state.state)))
    store.close()
    save_config(experiment, tmp_path / 'source')
    return tmp_path / 'source'


@pytest.mark.slow
@pytest.mark.parametrize('model', [[], [RESNET]], ids=['linear', 'resnet'])
def test_a_snapshot_ensemble_of_an_ensemble(run, tmp_path, model):
    average = "--config.average={'name': 'snapshots', 'keep': 2, 'period': '25%'}"
    schedule = "--config.schedule={'name': 'cosine_restarts', 'period': '25%'}"
    momentum = "--config.optimizer={'name': 'momentum', 'learning_rate': 0.05, 'decay': {'name': 'one_cycle_momentum'}}"
    trained = run(*model, average, schedule, momentum, '--config.training.members=2')
    assert '2 x ' in trained.out
    rows = [row for row in records(tmp_path / 'run') if 'learning_rate' in row]
    assert rows[0]['learning_rate'] > 0.04
    assert {round(row['momentum'], 3) for row in rows} & {0.95, 0.85}
    assert 'an ensemble of 2 networks' in run(launcher=evaluate).out
    two = top1(tmp_path / 'run')
    averaged = run('--averaged', launcher=evaluate)
    assert 'averaged, an ensemble of 4 networks' in averaged.out
    assert top1(tmp_path / 'run') > 0.3
    assert two > 0.3


@pytest.mark.slow
def test_averaged_evaluation_and_views(run, tmp_path):
    views = "--config.views={'name': 'multi_scale', 'scales': [8, 10], 'crop': 8}"
    average = "--config.average={'name': 'polyak', 'rho': 0.9}"
    run(average, views, '--config.training.evaluate_averaged=True')
    expected = records(tmp_path / 'run')[-1]['eval/loss']
    losses = []
    for flags in ([], ['--noaveraged']):
        run(*flags, launcher=evaluate)
        losses.append(json.loads((tmp_path / 'run' / 'evaluation.json').read_text())['loss'])
    assert losses[0] == pytest.approx(expected)
    assert losses[1] != pytest.approx(expected)


def test_nothing_was_averaged(command, source):
    ended = command(evaluate, f'--workdir={source}', '--averaged')
    assert ended.code == BAD_INPUT
    assert 'this run averages nothing' in ended.err


def test_a_run_stops_early_and_stays_stopped(run, tmp_path):
    # A learning rate this low changes no prediction: the second and third evaluation are no better.
    options = [
        '--config.training.patience=2',
        '--config.training.eval_every=5',
        '--config.optimizer.learning_rate=1e-9',
    ]
    stopped = run(*options)
    assert 'stopped early: no better top1 in 2 evaluations' in stopped.out
    assert records(tmp_path / 'run')[-1]['step'] == 15
    assert 'This run is complete' in run(*options).out


@pytest.mark.slow
def test_transfer_in_phases(data_dir, tmp_path, source):
    """Probe, then the rest at a lower rate: what rests does not move, and a run that is cut in two gives the same."""
    trained = training.read_variables(source / 'checkpoints')
    finetune = {
        'start_from': str(source),
        'rates': {'*': 0.1, 'head': 1.0, 'stem': 0.0},
        'frozen_until': {'*': '50%', 'head': 0},
    }
    target = settings(
        data_dir,
        data={'classes': list('56789'), 'eval_split': None},
        finetune=finetune,
        training={'save_every': 1, 'keep_last': 20},
    )
    assert train_on(target, tmp_path / 'whole') == 0
    directory = tmp_path / 'whole' / 'checkpoints'
    steps = sorted(int(path.name) for path in directory.iterdir())
    half, last = steps[-1] // 2, steps[-1]
    assert half > 1
    resting, moved = (training.read_variables(directory, step) for step in (half, last))

    for collection in ('params', 'batch_stats'):
        for name, before in trained[collection].items():
            if name != 'head':
                jax.tree.map(np.testing.assert_array_equal, resting[collection][name], before)
        jax.tree.map(np.testing.assert_array_equal, moved[collection]['stem'], trained[collection]['stem'])
    assert not np.array_equal(*(x['params']['stage3']['block1']['conv1']['kernel'] for x in (moved, trained)))
    assert not np.array_equal(*(x['batch_stats']['stage3']['block1']['bn1']['mean'] for x in (moved, trained)))

    shutil.copytree(tmp_path / 'whole', tmp_path / 'cut')
    for step in steps:
        if step >= half:
            shutil.rmtree(tmp_path / 'cut' / 'checkpoints' / str(step))
    assert train_on(target, tmp_path / 'cut') == 0
    again = training.read_variables(tmp_path / 'cut' / 'checkpoints', last)
    jax.tree.map(np.testing.assert_array_equal, again, moved)


def test_a_network_that_does_not_fit_is_told(data_dir, tmp_path, source):
    other = settings(data_dir, model={'width': 8}, finetune={'start_from': str(source)})
    with pytest.raises(configs.ConfigError, match=r'stem/bn/scale: \(4,\) in the trained network, \(8,\) in this one'):
        train_on(other, tmp_path / 'run')


@pytest.mark.slow
def test_one_member_is_the_run_of_its_seed(data_dir, tmp_path):
    """Member 1 of an ensemble from seed 0 is the run with seed 1, on data in the order of seed 0."""
    mixing = {'augment': [{'name': 'random_shift', 'max_shift': 1}, {'name': 'mixup'}]}
    both = settings(data_dir, training={'members': 2})
    alone = settings(data_dir, data={'seed': 0})
    both.augment = alone.augment = mixing['augment']
    alone.seed = 1
    train_on(both, tmp_path / 'both')
    train_on(alone, tmp_path / 'alone')
    member, own = (training.read_variables(tmp_path / name / 'checkpoints') for name in ('both', 'alone'))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[1], b, atol=1e-4), member, own)


def test_averaged_networks_get_statistics_of_their_own(data_dir):
    """The first batch norm's, by NumPy, from the first training batches that the run itself would see."""
    config = settings(data_dir, average={'name': 'polyak'}, training={'recalibrate_batches': 2})
    config.augment, config.model.depth = [], 8
    experiment, source = opened(config)
    state = state_factory(experiment)()
    make = variables_factory(experiment, training.make_mesh(jax.devices()[:1]), averaged=True, source=source)
    found = make(state)['batch_stats']['stem']['bn']['mean']

    kernel = np.asarray(state.params['stem']['conv']['kernel'])
    batches = opening.train_batches(experiment.data, source, seed=0)
    means = []
    for _ in range(2):
        images = (next(batches)['image'] / 255 - config.task.mean[0]) / config.task.std[0]
        padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
        seen = sum(padded[:, i : i + 8, j : j + 8] @ kernel[i, j] for i in range(3) for j in range(3))
        means.append(seen.mean((0, 1, 2)))
    np.testing.assert_allclose(found, np.mean(means, axis=0), rtol=1e-3, atol=1e-5)


def contents(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob('*'))}


def test_a_refused_run_leaves_the_workdir_as_it_was(data_dir, source):
    before = contents(source)
    other = settings(data_dir, data={'classes': list('01234')}, optimizer={'learning_rate': 0.5})
    with pytest.raises(configs.ConfigError, match='holds a run of another config'):
        train_on(other, source)
    other.model.width = 6
    with pytest.raises(training.DifferentStateError, match='is of another model'):
        train_checked(check(other), source, changes_allowed=True)
    with workdir.alone(source), pytest.raises(configs.ConfigError, match='another run trains in'):
        train_checked(check(other), source, changes_allowed=True)
    assert contents(source) == before


def linear(data_dir, **options):
    config = settings(data_dir, training={'best_metric': 'loss', 'eval_every': 3, 'log_every': 4, **options})
    config.model = {'name': 'linear_classifier'}
    return config


@pytest.mark.slow
@pytest.mark.parametrize('step', [2, 6], ids=['within an interval', 'in place of an evaluation'])
def test_an_interrupted_run_equals_an_unbroken_one(data_dir, tmp_path, monkeypatch, step):
    config = linear(data_dir)
    assert train_on(config, tmp_path / 'whole') == 0

    @contextlib.contextmanager
    def signalled(*, agree_at):
        yield lambda number: number == step

    with monkeypatch.context() as patch:
        patch.setattr(hooks, 'interruption', signalled)
        assert train_on(config, tmp_path / 'cut') == RESUME_ME
    assert train_on(config, tmp_path / 'cut') == 0
    assert all(kill_and_resume.compared(tmp_path / 'whole', tmp_path / 'cut').values())


@pytest.mark.slow
def test_an_evaluation_that_failed_at_the_end_is_made_up_for(data_dir, tmp_path):
    """The last step is saved without it; the same command then evaluates."""

    def fail(step, values):
        if step == 13:
            raise OSError('the disk is gone')

    config = linear(data_dir)
    with pytest.raises(OSError, match='the disk is gone'):
        train_checked(check(config), tmp_path, on_evaluation=fail)
    assert train_on(config, tmp_path) == 0
    metrics = json.loads((tmp_path / 'checkpoints' / '13' / 'metrics' / 'metrics').read_text())
    assert metrics['loss'] == records(tmp_path)[-1]['eval/loss']
    assert sum('eval/loss' in row and row['step'] == 13 for row in records(tmp_path)) == 1


@pytest.mark.slow
def test_the_rate_in_the_log_is_that_of_the_update(data_dir, tmp_path, monkeypatch):
    """Of a run that leaves steps out: its schedule is behind by as many."""
    config = linear(data_dir, on_non_finite='skip', log_every=1, eval_every=0)
    config.schedule = {'name': 'linear'}
    config.data.eval_split = None
    original = training.make_train_step

    def sometimes_broken(task, *arguments, **options):
        def loss(params, state, batch, key):
            output = task.loss(params, state, batch, key)
            return output._replace(total=output.total * jnp.where(batch['index'][0] % 3 == 0, jnp.nan, 1.0))

        return original(task._replace(loss=loss), *arguments, **options)

    monkeypatch.setattr(training, 'make_train_step', sometimes_broken)
    assert train_on(config, tmp_path) in (0, None)
    rows = records(tmp_path)
    applied = 0
    for row in rows:
        expected = 0.1 * (1 - applied / len(rows))
        assert row['learning_rate'] == pytest.approx(expected, rel=1e-3)
        assert (row['train/loss'] is None) == (row.get('skipped_steps', 0) == 1)
        applied += 1 - row.get('skipped_steps', 0)
    assert 0 < applied < len(rows)
