"""Checks of the pieces, before any of them is trained."""

import numpy as np
import pytest

from experiments.classification import digits
from experiments.run.assemble import assemble, check_evaluation, check_loss
from experiments.run.check import check
from experiments.segmentation import folder
from jaxcv.config import ConfigError
from tests.experiments.facts import assembled, facts


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


@pytest.mark.parametrize('accumulate', [1, 2])
def test_batch_norm_on_one_value_a_channel_is_refused_before_training(accumulate):
    """DeepLab v3's pooled branch with one image an update, or one a micro-batch."""
    settings = folder.get_config()
    settings.model = {
        'name': 'segmentation.deeplabv3',
        'backbone': {'name': 'cifar_resnet', 'depth': 8, 'width': 4},
    }
    settings.task = {'name': 'segmentation'}
    settings.finetune.rates = {}
    settings.augment = []
    settings.data.batch_size = settings.training.accumulate = accumulate
    example = {'image': np.zeros((8, 8, 3), np.uint8), 'mask': np.zeros((8, 8), np.int32)}
    run = assembled(settings, example, names={'mask': ['ground', 'red']})
    with pytest.raises(ValueError, match=r'^head/aspp/pool/bn would train on 1 value a channel.* two images an update'):
        check_loss(run)
