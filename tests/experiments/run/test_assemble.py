"""Checks of the pieces, before any of them is trained."""

import numpy as np
import pytest

from experiments.classification import digits
from experiments.run.assemble import assemble, check_evaluation
from experiments.run.check import check
from jaxcv.config import ConfigError
from tests.experiments.facts import facts


def experiment(model, *, side):
    """Trained on images of 8 x 8, evaluated on `side` x `side`."""
    settings = digits.get_config()
    settings.model = model
    shapes = {'valid': np.bool_(True), 'index': np.int32(0), 'label': np.int32(0)}
    trained, evaluated = (
        facts({**shapes, 'image': np.zeros((size, size, 1), np.uint8)}, names={'label': list('01')}, train_size=160)
        for size in (8, side)
    )
    return assemble(check(settings), trained._replace(eval_example=evaluated.example))


def test_a_network_for_one_size_is_not_evaluated_on_another():
    linear = {'name': 'linear_classifier'}
    check_evaluation(experiment(linear, side=8))
    with pytest.raises(ConfigError, match=r'made for image \(8, 8, 1\), now \(12, 12, 1\), which it does not take'):
        check_evaluation(experiment(linear, side=12))
    check_evaluation(experiment({'name': 'cifar_resnet', 'depth': 8, 'width': 4}, side=12))
