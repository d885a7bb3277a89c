"""The random search: what is drawn, what is checked, and that nothing is lost; mostly with a stand-in for `train`."""

import csv
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import optuna
import pytest
from absl import flags
from scipy import stats

from experiments import launch, search, space, train
from experiments.classification import digits, digits_space
from jaxcv import config

ROOT = Path(__file__).parents[2]
SPACE = {
    'optimizer.learning_rate': {'name': 'log_uniform', 'low': 1e-3, 'high': 1.0},
    'optimizer.decay': {'name': 'uniform', 'low': 0.5, 'high': 0.9},
    'model.width': {'name': 'choice', 'of': [16, 32]},
    'schedule': {'name': 'choice', 'of': [{'name': 'one_cycle'}, {'name': 'cosine'}]},
}


def settings():
    chosen = digits.get_config()
    chosen.training.eval_every = 10
    return chosen


def score(chosen, step):
    """The best learning rate is 0.03; it gets better with the steps."""
    return float(math.exp(-abs(math.log(chosen.optimizer.learning_rate / 0.03))) * step / 30)


def fake_train(chosen, workdir, *, on_evaluation):
    """Three evaluations, and a checkpoint after each; a run goes on from there."""
    checkpoint = workdir / 'checkpoint.json'
    start = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
    for step in range(start + 10, 31, 10):
        with (workdir / 'steps.txt').open('a') as file:
            file.write(f'{step} {chosen.optimizer.learning_rate!r}\n')
        on_evaluation(step, {'top1': score(chosen, step), 'loss': 1.0})
        checkpoint.write_text(json.dumps(step))
    return 0


def hanging_train(chosen, workdir, *, on_evaluation):
    """As fake_train, but it never gets past step 20, like a process that is about to be killed."""

    def until_20(step, metrics):
        if step == 20:
            (workdir / 'hangs').touch()
            time.sleep(600)
        on_evaluation(step, metrics)

    return fake_train(chosen, workdir, on_evaluation=until_20)


def run(workdir, *, trials=6, train=fake_train, space=SPACE, **options):
    return search.search(settings(), space, workdir, trials=trials, train=train, **options)


def rows(workdir):
    with (workdir / 'trials.csv').open() as file:
        return list(csv.DictReader(file))


def drawn(workdir):
    return {int(row['trial']): {field: row[field] for field in SPACE} for row in rows(workdir)}


def undisturbed(trials):
    """What a search draws whose processes are never stopped."""
    study = optuna.create_study()
    draws = [space.draw(study.ask(), SPACE, seed=0) for _ in range(trials)]
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


def test_search_table_pictures_and_resume(tmp_path, capfd):
    assert run(tmp_path, trials=3) == 0
    assert run(tmp_path, trials=6) == 0
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
    assert run(tmp_path, trials=6) == 0  # reached already: only the table
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
    def moody(chosen, workdir, *, on_evaluation):
        number = int(workdir.name)
        if number == 1:
            raise ValueError('the learning rate\nis too high')
        if number == 2:
            on_evaluation(10, {'top1': math.nan})
            return 0
        if number == 3 and not (workdir / 'told').exists():
            (workdir / 'told').touch()
            on_evaluation(10, {'top1': 0.5})
            return launch.RESUME_ME
        if number == 4 and not (workdir / 'told').exists():
            (workdir / 'told').touch()
            os.kill(os.getpid(), signal.SIGTERM)
        if number == 5 and not (workdir / 'told').exists():
            (workdir / 'told').touch()
            raise OSError('no space left')
        if number == 3:
            on_evaluation(10, {'top1': 0.5})  # the checkpoint was from before that
        return fake_train(chosen, workdir, on_evaluation=on_evaluation)

    assert run(tmp_path, train=moody) == launch.RESUME_ME  # trial 3
    assert run(tmp_path, train=moody) == launch.RESUME_ME  # trial 4
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

    def hopeless(chosen, workdir, *, on_evaluation):
        raise ValueError('no')

    assert run(tmp_path / 'hopeless', trials=1, train=hopeless) == launch.BAD_INPUT
    assert 'ValueError: no' in capfd.readouterr().out


@pytest.mark.parametrize('pruner', ['median', 'halving'])
def test_pruners(tmp_path, pruner):
    assert run(tmp_path, trials=9, pruner=pruner) == 0
    states = [row['state'] for row in rows(tmp_path)]
    assert states == ['complete'] * states.count('complete') + ['pruned'] * states.count('pruned')
    assert 0 < states.count('pruned') < 9
    pruned = next(row for row in rows(tmp_path) if row['state'] == 'pruned')
    assert pruned['reason'] == f'pruned at step {pruned["step"]}'
    # the best of all is never behind, so it is found
    best = max(drawn(tmp_path).values(), key=lambda d: -abs(math.log(float(d['optimizer.learning_rate']) / 0.03)))
    assert best == drawn(tmp_path)[int(rows(tmp_path)[0]['trial'])]


def start(workdir, name):
    command = f'from tests.experiments import test_search as t; t.run(t.Path({str(workdir)!r}), train=t.{name})'
    environment = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': str(ROOT)}
    return subprocess.Popen(
        [sys.executable, '-c', command], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


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
        "with model.width='wide': model: width must be int",
        "model.depth: expected {'name': draw",
        'training.best_metric: it must be the same in all trials',
    ):
        assert line in str(error.value)
    with pytest.raises(config.ConfigError, match='the space is empty'):
        run(tmp_path, space={})
    at_the_end = settings()
    at_the_end.training.eval_every = 0
    at_the_end.data.eval_split = None
    with pytest.raises(config.ConfigError, match=r'eval_split is None(?s:.)*--pruner=median looks at evaluations'):
        search.search(at_the_end, SPACE, tmp_path, trials=1, pruner='median', train=fake_train)
    assert not list(tmp_path.iterdir())  # nothing was begun
    assert space.problems(digits_space.get_space(), digits.get_config()) == []


@pytest.fixture
def launched(command):
    """launched(*arguments) -> Ended, of `experiments.search` in this process."""

    def run(*arguments):
        for name in ('space', 'trials', 'pruner', 'seed'):
            flags.FLAGS[name].unparse()
        return command(search.main, *arguments)

    return run


def write_space(path, content):
    path.write_text(f'def get_space():\n    return {content!r}\n')
    return f'--space={path}'


def test_the_command_on_the_digits(command, launched, tiny, tmp_path, monkeypatch):
    workdir = tmp_path / 'search'
    given = write_space(
        tmp_path / 'space.py',
        {
            'optimizer.learning_rate': {'name': 'log_uniform', 'low': 0.01, 'high': 1.0},
            'schedule': {'name': 'choice', 'of': [{'name': 'cosine'}, {'name': 'constant'}]},
        },
    )
    arguments = [*tiny, given, f'--workdir={workdir}', '--trials=2', '--config.training.eval_every=20']
    ended = launched(*arguments)
    assert ended.code == 0, ended.err
    found = rows(workdir)
    assert [row['state'] for row in found] == ['complete'] * 2
    folder = workdir / 'trials' / f'{int(found[0]["trial"]):04d}'
    records = [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
    assert float(found[0]['top1']) == max(r['eval/top1'] for r in records if 'eval/top1' in r)
    assert (folder / 'learning_curves.png').exists()

    # the command that is shown describes the best trial
    words = shlex.split(ended.out[ended.out.index('python -m experiments.train') :])
    monkeypatch.setattr(train, 'train', lambda chosen, folder: shown.append(chosen) or 0)
    shown = []
    assert command(train.main, *words[3:]).code == 0
    differences = config.differences(config.load(folder / 'config.json'), shown[0])
    assert {line.split(':')[0].split('[')[0] for line in differences} <= {
        'data.class_names',
        'data.image_shape',
        'data.train_size',
    }


def test_errors_have_no_stack_trace(launched, tiny, tmp_path):
    workdir = f'--workdir={tmp_path / "search"}'
    broken = tmp_path / 'broken.py'
    broken.write_text('def get_space():\n    return {}[0]\n')
    bad = write_space(tmp_path / 'bad.py', {'optimizer.decay': {'name': 'normal', 'mean': 0.0}})
    for arguments, message in (
        ([], 'give --config=FILE and --space=FILE'),
        (['--space=nowhere.py'], 'nowhere.py does not exist'),
        ([f'--space={broken}'], 'broken.py, line 2: KeyError'),
        ([bad], "optimizer.decay: no draw 'normal'"),
        ([bad, '--pruner=random'], 'pruner'),
        ([bad, '--trials=0'], 'trials'),
    ):
        ended = launched(*tiny, workdir, *arguments)
        assert ended.code != 0
        assert message in ended.err
        assert 'Traceback' not in ended.err
