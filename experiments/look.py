"""Shows the training data of a config, before and after its transforms and augmentations, and counts its classes.

python -m experiments.look --config=detection/digit_scenes [--folder=look]

Nothing is trained. before.png has examples with their truths as they are in the data set, after.png the same examples
as the network gets them; the lines printed have the numbers of images, classes and objects, and their sizes.
"""

from pathlib import Path

from absl import flags

from experiments import launch
from experiments.run.check import check
from experiments.run.looking import look
from jaxcv import config

MOST = flags.DEFINE_integer('most_counted', 1000, 'Examples that are counted, at most.', lower_bound=1)
DRAWN = flags.DEFINE_integer('drawn_by', 0, 'The seed of the examples that are drawn.', lower_bound=0)
USES = ('config', 'use', 'folder')


def main() -> int:
    """Shows the data of the flags; returns the exit code."""
    given = launch.given_config()
    if given is None:
        raise config.ConfigError('give --config=NAME')
    return look(
        check(given, launch.used_modules()), Path(launch.FOLDER.value or 'look'), most=MOST.value, seed=DRAWN.value
    )


if __name__ == '__main__':
    launch.launch(main, uses=USES)
