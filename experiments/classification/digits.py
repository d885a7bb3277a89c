"""A small ResNet on scikit-learn's 1,797 real handwritten digits (8 x 8 pixels), 1,200 to train and 597 to test."""

from ml_collections import ConfigDict

from experiments.base import base


def get_config() -> ConfigDict:
    """The config."""
    config = base()
    config.data.name = 'digits'
    config.data.train_transforms = [{'name': 'decode', 'channels': 1}]
    config.data.eval_transforms = [{'name': 'decode', 'channels': 1}, {'name': 'resize', 'size': 8}]
    config.data.batch_size = 64
    config.data.eval_batch_size = 256
    config.model = {'name': 'cifar_resnet', 'depth': 8, 'width': 32}
    config.augment = [{'name': 'random_shift', 'max_shift': 1}]
    config.loss.label_smoothing = 0.1
    config.task.update({'mean': [0.305], 'std': [0.376]})
    config.optimizer = {
        'name': 'momentum',
        'learning_rate': 0.1,
        'decay': 0.9,
        'nesterov': True,
        'weight_decay': 5e-4,
    }
    config.schedule = {'name': 'one_cycle'}
    config.training.update({'epochs': 30.0, 'log_every': 50, 'eval_every': 200})
    return config
