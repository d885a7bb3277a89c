"""The folder of a run: what a refused command leaves there, and runs of earlier versions."""

import json
import os
import shlex
import shutil

import numpy as np
import pytest

from experiments.classification import digits
from experiments.run import training as training_run
from experiments.run import workdir
from experiments.run.check import check
from jaxcv.config import ConfigError
from tests.experiments.facts import assembled

EXAMPLE = {'image': np.zeros((8, 8, 1), np.uint8), 'label': np.int32(0)}
NAMES = {'label': list('0123456789')}


@pytest.fixture
def experiment():
    return assembled(digits.get_config(), EXAMPLE, names=NAMES)


@pytest.fixture
def run_folder(experiment, tmp_path):
    """A run with a checkpoint, as far as its config is concerned."""
    path = tmp_path / 'run'
    (path / 'checkpoints' / '20').mkdir(parents=True)
    workdir.save_config(experiment, path)
    return path


def test_a_folder_is_checked_without_being_made(tmp_path):
    workdir.check_writable(tmp_path / 'new' / 'run')
    workdir.check_writable(tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / 'file').write_text('')
    for path in (tmp_path / 'file', tmp_path / 'file' / 'run'):
        with pytest.raises(ConfigError, match='cannot be written to: Not a directory'):
            workdir.check_writable(path)


def test_a_run_of_another_config_is_refused_and_stays(experiment, run_folder, capsys):
    before = (run_folder / 'config.json').read_bytes()
    workdir.check_config(experiment, run_folder, changes_allowed=False)
    settings = digits.get_config()
    settings.optimizer.learning_rate = 0.5
    settings.training.keep_last = 3
    other = assembled(settings, EXAMPLE, names=NAMES, train_size=80)
    with pytest.raises(ConfigError, match=r'found\.train_size: 160 -> 80\n  optimizer\.learning_rate: 0\.1 -> 0\.5$'):
        workdir.check_config(other, run_folder, changes_allowed=False)
    assert (run_folder / 'config.json').read_bytes() == before
    assert capsys.readouterr().out == ''
    assert 'training.keep_last: 2 -> 3' in workdir.check_config(other, run_folder, changes_allowed=True)
    assert (run_folder / 'config.json').read_bytes() == before


def test_data_and_views_of_another_config_count(run_folder):
    given = digits.get_config()
    given.data.eval_split = 'train'
    given.views = {'name': 'flips'}
    given.optimizer.learning_rate = 0.5
    checked = workdir.trained(run_folder, given)
    assert (checked.data.eval_split, checked.settings.views.name) == ('train', 'flips')
    assert checked.settings.optimizer.learning_rate == 0.1
    del given.views  # as in a config that an earlier version wrote
    assert workdir.trained(run_folder, given).settings.views.to_dict() == {}
    given.model.width = 16
    with pytest.raises(ConfigError, match='width: 32 -> 16'):
        workdir.trained(run_folder, given)


def test_facts_of_an_earlier_version_are_those_of_its_own_data(run_folder, data_dir):
    content = json.loads((run_folder / 'config.json').read_text())
    expected = workdir.facts_of(run_folder, check(digits.get_config()))
    del content['found']
    content['data']['train_split'] = 'train[:160]'
    (run_folder / 'config.json').write_text(json.dumps(content))
    given = digits.get_config()
    given.data.update({'data_dir': str(data_dir), 'train_split': 'test', 'classes': ['3', '7']})
    found = workdir.facts_of(run_folder, workdir.trained(run_folder, given))
    assert found.train_size == expected.train_size
    assert found.names == expected.names
    assert found.example == expected.example


def test_steps_are_read_without_opening_the_checkpoints(run_folder, tmp_path):
    (run_folder / 'checkpoints' / '100').mkdir()
    (run_folder / 'checkpoints' / '120.orbax-checkpoint-tmp').mkdir()
    assert workdir.saved_steps(run_folder) == [20, 100]
    assert workdir.saved_steps(tmp_path / 'nowhere') == []


def test_one_run_at_a_time_trains_in_a_workdir(tmp_path):
    path = tmp_path / 'runs' / 'mine'
    with workdir.alone(path):
        assert (path / 'run.lock').exists()
        with (
            pytest.raises(ConfigError, match=rf'another run trains in {path} \(process {os.getpid()} on .+\): wait'),
            workdir.alone(path),
        ):
            pass
        assert (path / 'run.lock').exists()
    assert list(tmp_path.iterdir()) == []  # nothing was written, so nothing is left
    with workdir.alone(path):
        (path / 'config.json').write_text('{}')
    assert [file.name for file in path.iterdir()] == ['config.json']


def test_commands_to_copy_are_quoted():
    command = workdir.command('evaluate', '--workdir=/my runs/it is')
    assert command == "python -m experiments.evaluate '--workdir=/my runs/it is'"
    assert shlex.split(command)[-1] == '--workdir=/my runs/it is'
    assert (
        workdir.command('evaluate', '--workdir=runs/digits') == 'python -m experiments.evaluate --workdir=runs/digits'
    )


def test_a_few_kilobytes_are_not_said_to_be_none(experiment, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: shutil._ntuple_diskusage(10**6, 10**6, 50_000))
    shapes = {'w': np.zeros(20_000, np.float32)}
    with pytest.raises(ConfigError, match=r'has 0\.0 MB free, but the checkpoints will take 0\.3 MB: make room'):
        workdir.check_space(tmp_path, shapes, 2)


def test_durations_become_steps(experiment):
    """An epoch of 160 images has 2.5 updates of 64."""
    options = experiment.training._replace(eval_every='2 epochs', save_every='20%', log_every='1 epoch')
    timed = experiment._replace(checked=experiment.checked._replace(training=options))
    log, evaluate, save = (
        [step for step in range(1, timed.num_steps + 1) if due(step)] for due in training_run.due(timed)
    )
    assert timed.num_steps == 75
    assert log == [*range(2, 75, 2), 75]
    assert evaluate == list(range(5, 76, 5))
    assert save == list(range(15, 76, 15))
