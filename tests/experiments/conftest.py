"""Runs the launchers inside the test process, as their command line would."""

import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
from absl import flags

from experiments import launch

DIGITS = str(Path(__file__).parents[2] / 'experiments' / 'classification' / 'digits.py')


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope='session')
def data_dir(tmp_path_factory):
    """Where the digits are prepared, once."""
    return tmp_path_factory.mktemp('data')


@pytest.fixture
def command(monkeypatch, capfd):
    """command(launcher, *arguments) -> Ended."""

    def run(launcher: ModuleType, *arguments: str) -> Ended:
        # a new process has no overrides yet
        for name in list(flags.FLAGS):
            if name.startswith('config.') or '[' in name:
                delattr(flags.FLAGS, name)
            elif flags.FLAGS[name].present:
                flags.FLAGS[name].unparse()
        flags.FLAGS.unparse_flags()
        monkeypatch.setattr(sys, 'argv', ['command', *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            launch.launch(launcher.main, uses=launcher.USES)
        return Ended(ended.value.code or 0, *capfd.readouterr())

    return run


@pytest.fixture
def tiny(data_dir):
    """The digits at smoke size."""
    return [
        f'--config={DIGITS}',
        f'--config.data.data_dir={data_dir}',
        '--config.data.batch_size=32',
        "--config.model={'name': 'linear_classifier'}",
        '--config.augment=[]',
        '--config.training.epochs=1.0',
        '--config.training.log_every=10',
    ]
