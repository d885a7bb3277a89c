"""Detection of digits: 1,000 scenes of 96 x 96 pixels with real handwritten digits of 12 to 48 pixels.

python -m experiments.train --config=experiments/detection/digit_scenes.py:retinanet --workdir=runs/retinanet
"""

from typing import Any

from ml_collections import ConfigDict

from experiments.base import base

SIZE = 96
BACKBONE = {'name': 'cifar_resnet', 'depth': 20, 'width': 32}
NETWORKS: dict[str, dict[str, Any]] = {
    'retinanet': {
        'name': 'detection.retinanet',
        'backbone': {'name': 'resnet18'},
        'strides': (4, 8, 16),
        'extra': 'none',
        'features': 64,
        'depth': 2,
        'sizes': (14, 22, 36),
        'octaves': 2,
        'ratios': (1.0, 1.5, 2.2),
    },
}


def get_config(network: str = 'retinanet') -> ConfigDict:
    """The config of one of the NETWORKS."""
    config = base()
    transforms = [
        {'name': 'decode'},
        {'name': 'keep', 'names': ['image', 'boxes', 'box_labels']},
        {'name': 'pad_boxes', 'max_boxes': 12},
    ]
    config.data.update(
        {
            'name': 'digit_scenes/easy',
            'eval_split': 'test',
            'train_transforms': transforms,
            'eval_transforms': transforms,
            'batch_size': 16,
            'eval_batch_size': 50,
        }
    )
    config.model = NETWORKS[network]
    config.augment = [{'name': 'random_shift', 'max_shift': 8}]
    config.loss = {'name': 'retinanet'}
    config.task = {'name': 'detection', 'mean': [0.5, 0.5, 0.5], 'std': [0.25, 0.25, 0.25], 'most': 20}
    config.optimizer = {'name': 'adamw', 'learning_rate': 1e-3, 'weight_decay': 1e-2}
    config.schedule = {'name': 'one_cycle'}
    config.training.update({'epochs': 20.0, 'eval_every': 250})
    return config
