"""ResNet-50 on ImageNet, 90 epochs, the standard recipe (Goyal et al. 2017, "Accurate, Large Minibatch SGD").

    python -m experiments.train --config=imagenet_resnet50 --workdir=runs/imagenet

1,024 images a step, learning rate 0.1 x 1024/256, five epochs of warm-up, divided by 10 after epochs 30, 60 and 80,
weight decay 1e-4, the last scale of each residual block starting at 0, bfloat16 compute. The paper reaches a top-1
accuracy of 76.3 % at 224 pixels. NOT RUN HERE: this machine has neither the data nor the devices; the model, the
pipeline and the schedule are tested one by one. Put the two ImageNet archives where tfds asks for them, then
`pip install tensorflow` and `python -m jaxcv.data.prepare imagenet2012`.
"""

from ml_collections import ConfigDict

from experiments.base import base

BATCH, SIZE = 1024, 224


def get_config() -> ConfigDict:
    """The config."""
    config = base()
    config.data.update(
        {
            'name': 'imagenet2012',
            'eval_split': 'validation',
            'train_transforms': [
                {'name': 'decode', 'reduced': True},
                {'name': 'random_resized_crop', 'size': SIZE},
                {'name': 'random_flip'},
            ],
            'eval_transforms': [
                {'name': 'decode'},
                {'name': 'resize_short_side', 'size': 256},
                {'name': 'center_crop', 'size': SIZE},
            ],
            'batch_size': BATCH,
            'eval_batch_size': BATCH,
        }
    )
    config.model = {'name': 'resnet50', 'zero_init_residual': True, 'dtype': 'bfloat16'}
    config.loss = {'name': 'softmax_cross_entropy'}
    config.task = {'name': 'classification', 'mean': [0.485, 0.456, 0.406], 'std': [0.229, 0.224, 0.225]}
    config.optimizer = {
        'name': 'nesterov',
        'learning_rate': 0.1 * BATCH / 256,
        'weight_decay': 1e-4,
    }
    config.schedule = {
        'name': 'multi_step',
        'steps': ['30 epochs', '60 epochs', '80 epochs'],
        'warmup_steps': '5 epochs',
    }
    config.training.update({'epochs': 90.0, 'log_every': 100, 'eval_every': 5000, 'save_every': 1000})
    return config
