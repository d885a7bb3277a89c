r"""Search over hyper-parameters; the same command resumes, and several of it at once share the work.

    python -m experiments.search --config=digits --space=digits_space --workdir=runs/search --trials=20 \
        --config.data.train_split='train[:1000]' --config.data.eval_split='train[1000:]' \
        [--seed=0 --sampler=tpe --pruner=median --config.training.epochs=5 ...]

Each trial trains in a workdir of its own, `trials/0007`, as `experiments.train` would. A trial counts with the best of
its evaluations, by training.best_metric or else the task's own. The workdir holds `search.db` (Optuna's SQLite
storage), `trials.csv` and `search.png`; `optuna-dashboard sqlite:///runs/search/search.db` shows them in a browser
(pip install optuna-dashboard).

By default values are drawn at random: those of a trial are a function of the seed and its number, however many
processes work on the search and however often it was killed. With --sampler=tpe (Optuna's tree-structured Parzen
estimator) they follow the results of the trials before, from the 11th trial on. Of one process the draws are then exact
too, killed or not; of several they depend on which trials have ended when a trial begins, so two such searches differ.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from experiments import launch
from jaxcv import config
from jaxcv.extras import required

if TYPE_CHECKING:
    from experiments.run.search.report import Given

SPACE = flags.DEFINE(
    launch.LocalPath(),
    'space',
    None,
    'The hyper-parameters to draw, by the name or path of a Python file with get_space().',
)
TRIALS = flags.DEFINE_integer('trials', 20, 'How many trials there are in all, earlier ones included.', lower_bound=1)
SEED = flags.DEFINE_integer('seed', 0, 'The random draws of trial n are a function of this and n.', lower_bound=0)
PRUNER = flags.DEFINE_string(
    'pruner', 'none', 'When an evaluation ends a trial that is worse than the others: none, median or halving.'
)
SAMPLER = flags.DEFINE_string('sampler', 'random', "How values are drawn: random, or tpe, Optuna's TPE.")
USES = ('config', 'workdir', 'use')


def main() -> int:
    """Runs the search of the flags; returns the exit code."""
    settings = launch.given_config()
    if settings is None or SPACE.value is None:
        raise config.ConfigError('give --config=NAME and --space=NAME')
    required('optuna')  # an extra, which these modules import
    from experiments.run.search import space
    from experiments.run.search.trials import search

    return search(
        settings,
        space.load(Path(launch.find_file('space', SPACE.value, 'get_space'))),
        launch.workdir(),
        trials=TRIALS.value,
        seed=SEED.value,
        pruner=PRUNER.value,
        sampler=SAMPLER.value,
        used=launch.used_modules(),
        given=_given(),
    )


def _given() -> 'Given':
    """The config and its fields as they stand on the command line."""
    from experiments.run.search.report import Given

    path, argument = launch.config_path(launch.CONFIG.value or '')
    names = {str(file): name for name, file in launch.named_files().items()}
    name = ':'.join([names.get(str(path), str(path)), *argument])
    return Given((f'--config={name}', *(f'--use={module}' for module in launch.USE.value)), launch.given_fields())


if __name__ == '__main__':
    launch.launch(main, uses=USES)
