"""Random forests on the bundled digits, 1,200 to train and 597 to test, next to scikit-learn's, over 5 seeds.

    python -m experiments.studies.forest --workdir=runs/forest [--trees=1,10,100 --forests=5]

On 2 CPU cores, in half a minute: 76.11, 93.84 and 96.72 % for 1, 10 and 100 trees; scikit-learn reaches 75.71, 93.97
and 96.78 %. Out-of-bag accuracy, from the training digits alone, is 96.38 % for 100 trees; with few trees it is too
low, since only a third of them vote on an example. The figure has the mistakes of the last forest.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from sklearn.ensemble import RandomForestClassifier

from experiments import launch
from experiments.run import tables, workdir
from experiments.studies import digits
from experiments.studies import study as studies
from jaxcv.classical import random_forest

TREES = flags.DEFINE_list('trees', ['1', '10', '100'], 'How many trees, separated by commas.')
FORESTS = flags.DEFINE_integer('forests', 5, 'How many forests of each size, from different seeds.', lower_bound=1)
USES = ('workdir',)

flags.register_validator('trees', digits.are_counts, '--trees: whole numbers from 1 on')


def main() -> int:
    """Runs the study of the flags; returns the exit code."""
    return study(launch.workdir(), digits.counts(TREES.value), seeds=FORESTS.value)


def study(folder: Path, sizes: Sequence[int], *, seeds: int, data_dir: str | os.PathLike | None = None) -> int:
    """Writes the accuracy for each number of trees, and a figure of mistakes; returns the exit code."""
    workdir.check_writable(folder)
    train, test = (digits.read(split, data_dir=data_dir) for split in ('train', 'test'))
    features, labels = digits.features(train), np.asarray(train['label'], np.int32)
    queries, truth = digits.features(test), np.asarray(test['label'])
    x, y, q = jnp.asarray(features), jnp.asarray(labels), jnp.asarray(queries)

    rows = [['trees', 'jaxcv, %', 'out of bag, %', 'scikit-learn, %']]
    answer: Mapping[str, np.ndarray] = {}
    for trees in sizes:
        accuracies = []
        for seed in range(seeds):
            forest = random_forest.fit(jax.random.key(seed), x, y, None, num_trees=trees)
            reference = RandomForestClassifier(trees, random_state=seed).fit(features, labels)
            answer = _answer(forest, q)
            out_of_bag = 1 - float(random_forest.out_of_bag_error(forest, x, y))
            accuracy = float(np.mean(answer['label'] == truth))
            accuracies.append((accuracy, out_of_bag, reference.score(queries, truth)))
        rows.append([str(trees), *(f'{value:.2f}' for value in 100 * np.mean(accuracies, axis=0))])
    return studies.conclude(folder, tables.markdown(rows), {'mistakes': digits.picture(test, answer)})


def _answer(forest: random_forest.Forest, queries: jax.Array) -> Mapping[str, np.ndarray]:
    """Labels and probabilities, as the presentation of labels shows them."""
    return {
        'label': np.asarray(random_forest.predict(forest, queries)),
        'probabilities': np.asarray(random_forest.predict_probabilities(forest, queries)),
    }


if __name__ == '__main__':
    launch.launch(main, uses=USES)
