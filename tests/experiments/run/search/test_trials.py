"""The trials of a random search: draws, checks, and that no trial is lost; with a stand-in for `train`."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import optuna
import pytest
from scipy import stats

from experiments.classification import digits, digits_space
from experiments.run.exits import BAD_INPUT, RESUME_ME
from experiments.run.search import report, space, trials
from jaxcv import config

ROOT = Path(__file__).parents[4]
SPACE = {
    'optimizer.learning_rate': {'name': 'log_uniform', 'low': 1e-3, 'high': 1.0},
    'optimizer.decay': {'name': 'uniform', 'low': 0.5, 'high': 0.9},
    'model.width': {'name': 'choice', 'of': [16, 32]},
    'schedule': {'name': 'choice', 'of': [{'name': 'one_cycle'}, {'name': 'cosine'}]},
}


@pytest.fixture(autouse=True)
def cleared(monkeypatch):
    """Counts the clearings of JAX's caches, which the tests to come would have to fill again."""
    calls = []
    monkeypatch.setattr(trials.jax, 'clear_caches', lambda: calls.append(1))
    return calls


def settings():
    chosen = digits.get_config()
    chosen.training.eval_every = 10
    return chosen


def score(chosen, step):
    """The best learning rate is 0.03; it gets better with the steps."""
    return float(math.exp(-abs(math.log(chosen.optimizer.learning_rate / 0.03))) * step / 30)


def by_top1(checked):
    """The value that trials are compared by, without data."""
    return report.Ranking('top1', 'max', checked.settings.training.eval_every)


def fake_train(checked, workdir, *, on_evaluation):
    """Three evaluations, and a checkpoint after each; a run goes on from there."""
    chosen = checked.settings
    checkpoint = workdir / 'checkpoint.json'
    start = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
    for step in range(start + 10, 31, 10):
        with (workdir / 'steps.txt').open('a') as file:
            file.write(f'{step} {chosen.optimizer.learning_rate!r}\n')
        on_evaluation(step, {'top1': score(chosen, step), 'loss': 1.0})
        checkpoint.write_text(json.dumps(step))
    return 0


def hanging_train(checked, workdir, *, on_evaluation):
    """As fake_train, but it never gets past step 20, like a process that is about to be killed."""

    def until_20(step, metrics):
        if step == 20:
            (workdir / 'hangs').touch()
            time.sleep(600)
        on_evaluation(step, metrics)

    return fake_train(checked, workdir, on_evaluation=until_20)


def run(workdir, *, number=6, train=fake_train, space=SPACE, ranking=by_top1, **options):
    return trials.search(settings(), space, workdir, trials=number, train=train, ranking=ranking, **options)


def rows(workdir):
    with (workdir / 'trials.csv').open() as file:
        return list(csv.DictReader(file))


def drawn(workdir):
    return {int(row['trial']): {field: row[field] for field in SPACE} for row in rows(workdir)}


def undisturbed(number):
    """What a search draws whose processes are never stopped."""
    study = optuna.create_study()
    draws = [space.draw(study.ask(), SPACE, seed=0) for _ in range(number)]
    return {number: {field: str(value) for field, value in values.items()} for number, values in enumerate(draws)}


def test_draws_follow_their_distributions():
    study = optuna.create_study()
    values = [space.draw(study.ask(), SPACE, seed=0) for _ in range(300)]
    rates = np.log10([v['optimizer.learning_rate'] for v in values])
    decays = np.array([v['optimizer.decay'] for v in values])
    assert stats.kstest(rates, stats.uniform(-3, 3).cdf).pvalue > 0.01
    assert stats.kstest(decays, stats.uniform(0.5, 0.4).cdf).pvalue > 0.01
    assert stats.binomtest(sum(v['model.width'] == 16 for v in values), 300).pvalue > 0.01
    assert abs(np.corrcoef(rates, decays)[0, 1]) < 0.2
    assert {v['schedule']['name'] for v in values} == {'one_cycle', 'cosine'}

    again = optuna.create_study()
    assert [space.draw(again.ask(), SPACE, seed=0) for _ in range(5)] == values[:5]
    other = space.draw(optuna.create_study().ask(), SPACE, seed=1)
    assert other['optimizer.learning_rate'] != values[0]['optimizer.learning_rate']
    # killed between two draws: the rest is drawn as it would have been, whatever is there already
    partly = optuna.create_study().ask()
    space.draw(partly, {'model.width': SPACE['model.width']}, seed=0)
    assert space.draw(partly, SPACE, seed=0) == values[0]


RATE = {'optimizer.learning_rate': SPACE['optimizer.learning_rate']}


def told(study, number, **options):
    """The learning rates of that many trials more; each is told its score at once."""
    rates = []
    for _ in range(number):
        trial = study.ask()
        rates.append(space.draw(trial, RATE, seed=0, **options)['optimizer.learning_rate'])
        study.tell(trial, -abs(math.log(rates[-1] / 0.03)))
    return rates


def test_tpe_follows_the_results_and_a_search_in_one_process_is_exact():
    rates = {
        sampler: told(optuna.create_study(direction='maximize'), 60, sampler=sampler) for sampler in space.SAMPLERS
    }
    off = {sampler: np.mean([abs(math.log(rate / 0.03)) for rate in of[30:]]) for sampler, of in rates.items()}
    assert off['tpe'] < 0.7 * off['random']
    storage = optuna.storages.InMemoryStorage()
    told(optuna.create_study(direction='maximize', storage=storage, study_name='killed'), 13, sampler='tpe')
    resumed = optuna.load_study(storage=storage, study_name='killed')
    assert told(resumed, 3, sampler='tpe') == rates['tpe'][13:16]


def test_search_table_pictures_and_resume(tmp_path, capfd, cleared):
    assert run(tmp_path, number=3) == 0
    assert run(tmp_path, number=6) == 0
    assert len(cleared) == 6
    out = capfd.readouterr().out
    assert 'trial 5 of 6: ' in out
    assert out.count('trial 2 of') == 1
    found = rows(tmp_path)
    values = [float(row['top1']) for row in found]
    assert [row['state'] for row in found] == ['complete'] * 6
    assert values == sorted(values, reverse=True)
    best = found[0]
    assert values[0] == score(
        space.apply(settings(), {'optimizer.learning_rate': float(best['optimizer.learning_rate'])}), 30
    )
    table = out[out.rindex('trial  state') :].splitlines()
    assert table[0].split() == ['trial', 'state', 'top1', 'step', 'width', 'decay', 'learning_rate', 'schedule']
    assert [line.split()[0] for line in table[1:7]] == [row['trial'] for row in found]
    assert f'--config.optimizer.learning_rate={best["optimizer.learning_rate"]}' in out
    assert cv2.imread(str(tmp_path / 'search.png')).shape[1] > 800

    steps = (tmp_path / 'trials' / '0003' / 'steps.txt').read_text()
    assert run(tmp_path, number=6) == 0  # reached already: only the table
    out = capfd.readouterr().out
    assert 'of 6: ' not in out
    assert 'complete' in out
    assert (tmp_path / 'trials' / '0003' / 'steps.txt').read_text() == steps

    assert drawn(tmp_path) == undisturbed(6)

    changed = {**SPACE, 'model.width': {'name': 'choice', 'of': [16, 64]}}
    with pytest.raises(config.ConfigError, match=r'another search.*(?s:.)*space.model.width.of\[1\]: 32 -> 64'):
        run(tmp_path, space=changed)
    with pytest.raises(config.ConfigError, match='seed: 0 -> 1'):
        run(tmp_path, seed=1)


def test_failed_and_interrupted_trials(tmp_path, capfd):
    def moody(checked, workdir, *, on_evaluation):
        number = int(workdir.name)
        if number == 1:
            raise ValueError('the learning rate\nis too high')
        if number == 2:
            on_evaluation(10, {'top1': math.nan})
            return 0
        if number == 3 and not (workdir / 'told').exists():
            (workdir / 'told').touch()
            on_evaluation(10, {'top1': 0.5})
            return RESUME_ME
        if number == 4 and not (workdir / 'told').exists():
            (workdir / 'told').touch()
            os.kill(os.getpid(), signal.SIGTERM)
        if number == 5 and not (workdir / 'told').exists():
            (workdir / 'told').touch()
            raise OSError('no space left')
        if number == 3:
            on_evaluation(10, {'top1': 0.5})  # the checkpoint was from before that
        return fake_train(checked, workdir, on_evaluation=on_evaluation)

    assert run(tmp_path, train=moody) == RESUME_ME  # trial 3
    assert run(tmp_path, train=moody) == RESUME_ME  # trial 4
    with pytest.raises(OSError, match='no space'):
        run(tmp_path, train=moody)  # trial 5: not its fault
    assert run(tmp_path, train=moody) == 0
    assert capfd.readouterr().out.count('trial 3 of 6') == 2
    found = {int(row['trial']): row for row in rows(tmp_path)}
    assert [found[n]['state'] for n in range(6)] == ['complete', 'failed', 'failed', *['complete'] * 3]
    assert [row['state'] for row in rows(tmp_path)][-2:] == ['failed', 'failed']
    assert found[1]['reason'] == 'ValueError: the learning rate\nis too high'
    assert 'exit code 0 and top1 None' in found[2]['reason']
    assert 'Traceback' in (tmp_path / 'trials' / '0001' / 'error.txt').read_text()
    assert drawn(tmp_path) == undisturbed(6)

    def hopeless(checked, workdir, *, on_evaluation):
        raise ValueError('no')

    assert run(tmp_path / 'hopeless', number=1, train=hopeless) == BAD_INPUT
    assert 'ValueError: no' in capfd.readouterr().out


@pytest.mark.parametrize('pruner', ['median', 'halving'])
def test_pruners(tmp_path, pruner):
    assert run(tmp_path, number=9, pruner=pruner) == 0
    states = [row['state'] for row in rows(tmp_path)]
    assert states == ['complete'] * states.count('complete') + ['pruned'] * states.count('pruned')
    assert 0 < states.count('pruned') < 9
    pruned = next(row for row in rows(tmp_path) if row['state'] == 'pruned')
    assert pruned['reason'] == f'pruned at step {pruned["step"]}'
    # the best of all is never behind, so it is found
    best = max(drawn(tmp_path).values(), key=lambda d: -abs(math.log(float(d['optimizer.learning_rate']) / 0.03)))
    assert best == drawn(tmp_path)[int(rows(tmp_path)[0]['trial'])]


def start(workdir, name):
    command = (
        f'from tests.experiments.run.search import test_trials as t; t.run(t.Path({str(workdir)!r}), train=t.{name})'
    )
    environment = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': str(ROOT)}
    return subprocess.Popen(
        [sys.executable, '-c', command], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


@pytest.mark.slow
def test_two_processes_share_the_work_and_one_is_killed(tmp_path):
    workdir = tmp_path / 'search'
    doomed, other = start(workdir, 'hanging_train'), start(workdir, 'fake_train')
    said = other.communicate(timeout=120)[0].decode()
    assert other.returncode == 0, said
    deadline = time.monotonic() + 60
    while not (hangs := list(workdir.glob('trials/*/hangs'))) and time.monotonic() < deadline:
        assert doomed.poll() is None, doomed.communicate()[0].decode()
        time.sleep(0.05)
    doomed.kill()
    doomed.communicate()
    stale = hangs[0].parent
    assert int((stale / 'checkpoint.json').read_text()) == 10

    assert run(workdir) == 0
    assert [row['state'] for row in rows(workdir)] == ['complete'] * 6
    steps = [line.split() for line in (stale / 'steps.txt').read_text().splitlines()]
    assert [int(step) for step, _ in steps] == [10, 20, 20, 30]  # from its checkpoint, not from the start
    assert len({rate for _, rate in steps}) == 1
    assert drawn(workdir) == undisturbed(6)


def test_all_mistakes_of_a_space_at_once(tmp_path):
    wrong = {
        'optimizer.learning_rat': {'name': 'uniform', 'low': 0.1, 'high': 1.0},
        'optimiser.decay': {'name': 'uniform', 'low': 0.1, 'high': 1.0},
        'optimizer.decay': {'name': 'uniform', 'low': 1.0, 'high': 0.5},
        'optimizer.weight_decay': {'name': 'log_uniform', 'low': 0.0, 'high': 1.0},
        'loss.label_smoothing': {'name': 'loguniform', 'low': 0.1, 'high': 1.0},
        'seed': {'name': 'choice', 'of': []},
        'augment': {'name': 'choice', 'off': [1]},
        'training.epochs': {'name': 'choice', 'of': [1.0, -1.0]},
        'model.width': {'name': 'choice', 'of': [16, 'wide']},
        'model.depth': 8,
        'training.best_metric': {'name': 'choice', 'of': ['top1', 'loss']},
    }
    with pytest.raises(config.ConfigError) as error:
        run(tmp_path, space=wrong)
    for line in (
        "has no argument 'learning_rat', did you mean learning_rate?",
        "optimiser.decay: there is no 'optimiser', did you mean optimizer?",
        'optimizer.decay: low must be less than high',
        'optimizer.weight_decay: log_uniform needs a low above 0, got 0.0',
        "loss.label_smoothing: no draw 'loguniform', did you mean log_uniform",
        'seed: choice needs a list of values',
        "augment: choice has no argument 'off', did you mean of?",
        "augment: choice needs the argument 'of'",
        'with training.epochs=-1.0: training.epochs must be positive',
        "with model.width='wide': model: width must be an int",
        "model.depth: expected {'name': draw",
        'training.best_metric: it must be the same in all trials',
    ):
        assert line in str(error.value)
    with pytest.raises(config.ConfigError, match='the space is empty'):
        run(tmp_path, space={})
    at_the_end = settings()
    at_the_end.training.eval_every = 0
    at_the_end.data.eval_split = None
    with pytest.raises(config.ConfigError, match=r'eval_split is None(?s:.)*--pruner=median needs evaluations'):
        trials.search(at_the_end, SPACE, tmp_path, trials=1, pruner='median', train=fake_train)
    assert not list(tmp_path.iterdir())  # nothing was begun
    assert space.problems(digits_space.get_space(), digits.get_config()) == []


def test_the_smallest_value_is_the_best_where_the_unit_says_so(tmp_path, capfd):
    def losing(checked, workdir, *, on_evaluation):
        number = int(workdir.name)
        on_evaluation(10, {'loss': math.inf if number == 0 else 1.0 / number})
        on_evaluation(20, {'loss': math.nan if number < 2 else 2.0 / number})
        return 0

    assert run(tmp_path, number=4, train=losing, ranking=lambda checked: report.Ranking('loss', 'min')) == 0
    assert [(row['trial'], row['state']) for row in rows(tmp_path)] == [
        *((str(number), 'complete') for number in (3, 2, 1)),
        ('0', 'failed'),  # no value of it is finite
    ]
    assert [float(row['loss']) for row in rows(tmp_path)[:3]] == pytest.approx([1 / 3, 1 / 2, 1.0])
    assert 'The best, trial 3' in capfd.readouterr().out


def test_a_search_of_an_earlier_version_resumes(tmp_path):
    """Its config has the way that is better, and fields for findings in the data."""
    assert run(tmp_path, number=1) == 0
    described = json.loads((tmp_path / 'search.json').read_text())
    assert described['config']['training']['best_metric'] == 'top1'
    described['config']['training']['best_mode'] = 'max'
    described['config']['data'].update({'mask_classes': []})
    del described['config']['data']['class_names']
    (tmp_path / 'search.json').write_text(json.dumps(described))
    assert run(tmp_path, number=2) == 0


def test_a_workdir_may_have_any_name(tmp_path):
    """Also the characters that mean something in the address of a storage."""
    for name in ('what?mode=memory', '50%20of {it}', 'a#b'):
        study = optuna.create_study(storage=trials._storage(tmp_path / f'{name}.db'), study_name='search')
        study.ask()
        again = optuna.load_study(storage=trials._storage(tmp_path / f'{name}.db'), study_name='search')
        assert len(again.get_trials()) == 1
        assert (tmp_path / f'{name}.db').exists()
    assert len(list(tmp_path.iterdir())) == 3


def test_the_values_of_a_space_are_read_as_on_the_command_line():
    given = {
        'optimizer.clip_norm': {'name': 'choice', 'of': ['None', '1e-1', None]},
        'schedule': {'name': 'choice', 'of': ['one_cycle', 'cosine(end=0.01)']},
        'augment[0].max_shift': {'name': 'choice', 'of': [1, 2]},
        'training.save_every': {'name': 'choice', 'of': ['1 epoch', '10%']},
    }
    assert space.problems(given, settings()) == []
    assert space.apply(settings(), space.first(given)).optimizer.clip_norm is None
    given = {'training.save_every': {'name': 'choice', 'of': ['1 epoch', '1 epohc']}}
    assert "'1 epohc' is no duration" in space.problems(given, settings())[0]
    given = {'augment[1].max_shift': {'name': 'choice', 'of': [1, 2]}}
    assert "there is no 'augment[1]'" in space.problems(given, settings())[0]
