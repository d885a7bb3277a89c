"""Trains the network of a config; the same command resumes a run that was stopped.

    python -m experiments.train --config=digits --workdir=runs/digits [--config.optimizer.learning_rate=0.05 ...]

`python -m experiments.list configs` has the configs, `python -m experiments.list fields` the fields of a config.
"""

from experiments import launch
from experiments.run.check import check
from experiments.run.training import train
from experiments.run.workdir import check_used, settings_of
from jaxcv import config

USES = ('config', 'workdir', 'use', 'resume_with_changes', *launch.ON_SEVERAL_HOSTS)


def main() -> int:
    """Runs the experiment of the flags; returns the exit code."""
    workdir, settings, used = launch.workdir(), launch.given_config(), launch.used_modules()
    if settings is None:
        if not (workdir / 'config.json').exists():
            raise config.ConfigError(f'give --config=NAME: {workdir} holds no config.json of an earlier run')
        check_used(workdir, used)
        settings = settings_of(workdir)
    return train(check(settings, used), workdir, changes_allowed=launch.CHANGES.value)


if __name__ == '__main__':
    launch.launch(main, uses=USES)
