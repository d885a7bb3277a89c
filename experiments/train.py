"""Trains the network of a config; the same command resumes a run that was stopped.

    python -m experiments.train --config=digits --workdir=runs/digits [--config.optimizer.learning_rate=0.05 ...]

`python -m experiments.list configs` has the configs, `python -m experiments.list fields` the fields of a config.

The numbers go to metrics.jsonl and TensorBoard (tensorboard --logdir=runs/digits/tensorboard), and with
--config.training.writers=jsonl,wandb,mlflow to Weights & Biases or MLflow too (pip install 'jaxcv[wandb]' or
'jaxcv[mlflow]'). The services' own variables say where: WANDB_MODE=offline keeps all in the workdir, until
`wandb sync` uploads it; without MLFLOW_TRACKING_URI the store is the file runs/digits/mlflow.db, which
`mlflow ui --backend-store-uri sqlite:///runs/digits/mlflow.db` shows. A resumed run continues the tracker's run.

--profile=100:110 writes a trace of the steps 100 to 109 into runs/digits/profile. To look at it: TensorBoard's profile
plugin (pip install tensorboard xprof; tensorboard --logdir=runs/digits/profile, tab Profile), or without installing
anything the file profile/plugins/profile/TIME/HOST.trace.json.gz in https://ui.perfetto.dev.
"""

from absl import flags

from experiments import launch
from experiments.run.check import check
from experiments.run.training import train
from experiments.run.workdir import check_used, settings_of
from jaxcv import config
from jaxcv.config.text import integer_in

PROFILE = flags.DEFINE_string(
    'profile', None, 'FIRST:END, steps whose trace is written into the workdir, as in a slice: 100:110 is ten steps.'
)
USES = ('config', 'workdir', 'use', 'resume_with_changes', *launch.ON_SEVERAL_HOSTS)


def main() -> int:
    """Runs the experiment of the flags; returns the exit code."""
    workdir, settings, used = launch.workdir(), launch.given_config(), launch.used_modules()
    if settings is None:
        if not (workdir / 'config.json').exists():
            raise config.ConfigError(f'give --config=NAME: {workdir} holds no config.json of an earlier run')
        check_used(workdir, used)
        settings = settings_of(workdir)
    profiled = steps_of(PROFILE.value)
    return train(check(settings, used), workdir, changes_allowed=launch.CHANGES.value, profiled=profiled)


def steps_of(text: str | None) -> tuple[int, int] | None:
    """The first step of --profile, and the step after its last one.

    Raises:
        ConfigError: the text is no FIRST:END of steps.

    Example:
        >>> steps_of('100:110')
        (100, 110)
    """
    if text is None:
        return None
    first, end = (integer_in(part) for part in text.partition(':')[::2])
    if first is None or end is None or not 1 <= first < end:
        raise config.ConfigError(f'--profile={text}: expected FIRST:END, such as 100:110 for the steps 100 to 109')
    return first, end


if __name__ == '__main__':
    launch.launch(main, uses=USES)
