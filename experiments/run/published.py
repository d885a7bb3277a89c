"""Published weights as a network that is ready: what a trained workdir gives, without a workdir."""

from typing import Any

import jax
import numpy as np

from experiments.run.assemble import assemble
from experiments.run.check import check
from experiments.run.fields import Facts, base
from experiments.run.prediction import Ready
from jaxcv import config, weights
from jaxcv.features import FEATURES, OF_CLASSES
from jaxcv.types import Variables

AT_A_TIME = 4
"""Pictures in a batch: those of detectors are large."""


def published(given: str) -> Ready:
    """The network of published weights, with their classes and their preprocessing.

    Args:
        given: as in `weights.located`: a row or a model of `weights.PUBLISHED`, a package, 'MODEL:FILE', or a file of a
            published name.

    Raises:
        ConfigError: no such weights are known, or their file is not there and cannot be downloaded.
    """
    try:
        row, path = weights.located(given)
    except (ValueError, OSError) as error:  # a ConnectionError is an OSError
        raise config.ConfigError(f'--weights={given}: {error}') from None
    made, settings = weights.recipe(row), base()
    settings.data.update({'name': row.name, 'eval_transforms': [*made.transforms], 'eval_batch_size': AT_A_TIME})
    settings.model, settings.task, settings.loss = dict(made.model), dict(made.task), dict(made.loss)
    settings.optimizer = {'name': 'sgd', 'learning_rate': 1.0}  # nothing is trained
    names = {feature: list(of_feature) for feature, of_feature in made.names.items()}
    class_ids = {feature: list(ids) for feature, ids in made.class_ids.items()}
    example: dict[str, dict[str, Any]] = {'image': {'shape': [*made.shape], 'dtype': 'uint8'}}
    example['valid'] = {'shape': [], 'dtype': 'bool'}
    for feature in names:
        sizes = {**dict(zip('hwk', (*made.shape[:2], 1), strict=True)), OF_CLASSES: len(names[feature])}
        shape = [sizes[axis] for axis in FEATURES[feature].axes.split()]
        example[feature] = {'shape': shape, 'dtype': FEATURES[feature].dtype}
    experiment = assemble(check(settings), Facts(names, 1, example, example, class_ids))

    def load() -> Variables:
        name = weights.published.model_of(row)
        try:
            found = weights.load(name, path, source=row.source, num_classes=made.num_classes, **row.arguments)
        except (ValueError, OSError) as error:
            raise config.ConfigError(f'--weights={given}: {error}') from None
        return jax.tree.map(np.asarray, found)

    return Ready(experiment, experiment.task, load, made.evaluated)
