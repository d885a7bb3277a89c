"""The launcher of the random search."""

import csv
import json
import shlex
from pathlib import Path

import pytest

from experiments import launch, search, train
from experiments.classification import digits_space
from experiments.run.search import space
from experiments.run.workdir import settings_of
from jaxcv import config


def rows(workdir):
    with (workdir / 'trials.csv').open() as file:
        return list(csv.DictReader(file))


def write_space(path, content):
    path.write_text(f'def get_space():\n    return {content!r}\n')
    return f'--space={path}'


@pytest.mark.slow
def test_the_command_on_the_digits(command, tiny, tmp_path, monkeypatch):
    workdir = tmp_path / 'search'
    given = write_space(
        tmp_path / 'space.py',
        {
            'optimizer.learning_rate': {'name': 'log_uniform', 'low': 0.01, 'high': 1.0},
            'schedule': {'name': 'choice', 'of': [{'name': 'cosine'}, {'name': 'constant'}]},
        },
    )
    arguments = [*tiny, given, f'--workdir={workdir}', '--trials=2', '--config.training.eval_every=20']
    ended = command(search, *arguments)
    assert ended.code == 0, ended.err
    found = rows(workdir)
    assert [row['state'] for row in found] == ['complete'] * 2
    folder = workdir / 'trials' / f'{int(found[0]["trial"]):04d}'
    records = [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
    assert float(found[0]['top1']) == max(r['eval/top1'] for r in records if 'eval/top1' in r)
    assert (folder / 'learning_curves.png').exists()

    # the command that is shown describes the best trial
    words = shlex.split(ended.out[ended.out.index('python -m experiments.train') :])
    monkeypatch.setattr(train, 'train', lambda checked, folder, **options: shown.append(checked.settings) or 0)
    shown = []
    assert command(train, *words[3:]).code == 0
    assert config.differences(settings_of(folder), shown[0]) == []


def test_the_space_of_the_digits_is_found_by_its_name():
    path = launch.find_file('space', 'digits_space', 'get_space')
    assert space.load(Path(path)) == digits_space.get_space()
    with pytest.raises(config.ConfigError, match='--space=digit_space: no such space; there are: digits_space'):
        launch.find_file('space', 'digit_space', 'get_space')


def test_errors_have_no_stack_trace(command, tiny, tmp_path):
    workdir = f'--workdir={tmp_path / "search"}'
    broken = tmp_path / 'broken.py'
    broken.write_text('def get_space():\n    return {}[0]\n')
    bad = write_space(tmp_path / 'bad.py', {'optimizer.decay': {'name': 'normal', 'mean': 0.0}})
    for arguments, message in (
        ([], 'give --config=NAME and --space=NAME'),
        (['--space=nowhere.py'], 'nowhere.py does not exist'),
        ([f'--space={broken}'], 'broken.py, line 2: KeyError'),
        ([bad], "optimizer.decay: no draw 'normal'"),
        ([bad, '--pruner=random'], 'pruner'),
        ([bad, '--trials=0'], 'trials'),
    ):
        ended = command(search, *tiny, workdir, *arguments)
        assert ended.code != 0
        assert message in ended.err
        assert 'Traceback' not in ended.err
