"""ResNet-18 on a folder of your own photos, `data_dir/<split>/<class>/*.jpg`, with the splits `train` and `val`.

    python -m experiments.train --config=classification/folder --workdir=runs/photos --config.data.data_dir=~/photos

Trained from random values, at 224 pixels, for 30 epochs. The accuracy depends on your photos. A file that is no image
ends the run with its name; `--config.data.on_broken=skip` leaves such files out and counts them.
"""

from ml_collections import ConfigDict

from experiments.base import base

SIZE = 224


def get_config() -> ConfigDict:
    """The config."""
    config = base()
    config.data.update(
        {
            'name': 'folder',
            'eval_split': 'val',
            'train_transforms': [
                {'name': 'decode'},
                {'name': 'random_resized_crop', 'size': SIZE},
                {'name': 'random_flip'},
            ],
            'eval_transforms': [
                {'name': 'decode'},
                {'name': 'resize_short_side', 'size': SIZE * 8 // 7},
                {'name': 'center_crop', 'size': SIZE},
            ],
            'batch_size': 64,
            'eval_batch_size': 64,
        }
    )
    config.model = {'name': 'resnet18'}
    config.loss = {'name': 'softmax_cross_entropy', 'label_smoothing': 0.1}
    config.task = {'name': 'classification', 'mean': [0.485, 0.456, 0.406], 'std': [0.229, 0.224, 0.225]}
    config.optimizer = {'name': 'nesterov', 'learning_rate': 0.05, 'weight_decay': 1e-4}
    config.schedule = {'name': 'one_cycle'}
    config.training.update({'epochs': 30.0, 'eval_every': 500})
    return config
