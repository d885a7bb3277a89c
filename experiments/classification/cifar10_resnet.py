"""ResNet-20 on CIFAR-10, by the recipe of the paper (He et al. 2016, section 4.2).

    python -m experiments.train --config=cifar10_resnet --workdir=runs/cifar10 [--config.model.depth=56]

64,000 updates of 128 images, learning rate 0.1 divided by 10 after 32,000 and 48,000, weight decay 1e-4, 4 pixels of
padding with random crops and flips. The paper reaches a test accuracy of 91.25 % (depth 20), 92.49 (32), 92.83 (44),
93.03 (56) and 93.57 (110; it warms up with 0.01 first, `--config.schedule.warmup_steps=400`). NOT RUN HERE: this
machine has no CIFAR-10; only the pipeline is tested, on mocked data. Prepare the data once with
`pip install tensorflow` and `python -m jaxcv.data.prepare cifar10`.
"""

from ml_collections import ConfigDict

from experiments.base import base

TRAIN, BATCH, UPDATES = 50_000, 128, 64_000


def get_config() -> ConfigDict:
    """The config."""
    config = base()
    config.data.update({'name': 'cifar10', 'batch_size': BATCH, 'eval_batch_size': 500})
    config.model = {'name': 'cifar_resnet', 'depth': 20}
    config.augment = [{'name': 'random_shift', 'max_shift': 4}, {'name': 'random_flip'}]
    config.loss = {'name': 'softmax_cross_entropy'}
    config.task = {'name': 'classification', 'mean': [0.4914, 0.4822, 0.4465], 'std': [0.2470, 0.2435, 0.2616]}
    config.optimizer = {'name': 'momentum', 'learning_rate': 0.1, 'decay': 0.9, 'weight_decay': 1e-4}
    config.schedule = {'name': 'multi_step', 'steps': [32_000, 48_000], 'warmup_steps': 0}
    config.training.update({'epochs': UPDATES * BATCH / TRAIN, 'log_every': 100, 'eval_every': 2000})
    return config
