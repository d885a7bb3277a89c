"""DeepLab v3 on a ResNet-50 for a folder of your own: `data_dir/<split>/images/*.jpg` and `masks/*.png`.

    python -m experiments.train --config=segmentation/folder --workdir=runs/masks \
        --config.data.data_dir=~/scenes [--config.finetune.start_from=resnet50]

The splits are `train` and `val`; a mask holds the number of each pixel's class, 255 where it is of none, and
`data_dir/classes.txt` names the classes, a line each. Published weights of the backbone are downloaded once,
by their name. NOT RUN HERE: the results depend on your images.
"""

from ml_collections import ConfigDict

from experiments.base import base

SIZE = 480


def get_config() -> ConfigDict:
    """The config."""
    config = base()
    config.data.update(
        {
            'name': 'folder_masks',
            'eval_split': 'val',
            'train_transforms': [
                {'name': 'decode'},
                {'name': 'decode_mask'},
                {'name': 'random_scale_crop', 'size': SIZE, 'scales': (SIZE, 2 * SIZE)},
                {'name': 'random_flip'},
            ],
            'eval_transforms': [
                {'name': 'decode'},
                {'name': 'decode_mask'},
                {'name': 'resize_short_side', 'size': SIZE},
                {'name': 'center_crop', 'size': SIZE},
            ],
            'batch_size': 16,
            'eval_batch_size': 16,
        }
    )
    config.model = {'name': 'segmentation.deeplabv3', 'backbone': {'name': 'resnet50', 'output_stride': 8}}
    config.model.update({'aux_head': True})
    config.loss = {'name': 'softmax_cross_entropy'}
    config.task = {
        'name': 'segmentation',
        'auxiliary_weights': [0.4],
        'mean': [0.485, 0.456, 0.406],
        'std': [0.229, 0.224, 0.225],
    }
    config.finetune.update({'into': 'backbone', 'rates': {'backbone': 0.1}})
    config.optimizer = {'name': 'momentum', 'learning_rate': 0.02, 'weight_decay': 1e-4}
    config.schedule = {'name': 'polynomial', 'power': 0.9}
    config.training.update({'epochs': 30.0, 'eval_every': 1000})
    return config
