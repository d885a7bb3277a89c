"""Evaluates a trained workdir: a table, evaluation.json, and figures, among them the worst examples.

python -m experiments.evaluate --workdir=runs/digits [--checkpoint=best] [--averaged]
"""

from experiments import launch
from experiments.run.evaluation import evaluate
from experiments.run.workdir import trained

USES = (*launch.OF_A_TRAINED_RUN, *launch.ON_SEVERAL_HOSTS)


def main() -> int:
    """Evaluates the workdir of the flags; returns the exit code."""
    workdir = launch.workdir()
    checked = trained(workdir, launch.given_config(), launch.used_modules())
    return evaluate(checked, workdir, launch.which_checkpoint(), averaged=launch.AVERAGED.value)


if __name__ == '__main__':
    launch.launch(main, uses=USES)
