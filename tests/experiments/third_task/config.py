"""Bright pixels of the digits, counted."""

from ml_collections import ConfigDict

from experiments.base import base

MODULE = 'tests.experiments.third_task.counting'


def get_config() -> ConfigDict:
    """The config."""
    config = base()
    config.data.update(
        {
            'name': 'digits',
            'train_transforms': [
                {'name': 'decode', 'channels': 1},
                {'name': f'{MODULE}.count_bright'},
                {'name': 'keep', 'names': ['image', 'count']},
            ],
            'batch_size': 40,
        }
    )
    config.data.eval_transforms = config.data.train_transforms
    config.model = {'name': f'{MODULE}.counter', 'features': 8}
    config.task = {'name': f'{MODULE}.counting'}
    config.optimizer = {'name': 'adam', 'learning_rate': 0.02}
    config.training.epochs = 10.0
    return config
