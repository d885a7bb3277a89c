"""PSPNet on a dilated ResNet-50 for Cityscapes: 19 classes, 2,975 street scenes to train and 500 to validate.

    python -m jaxcv.data.prepare cityscapes   # after putting the files of its site where tfds asks for them
    python -m experiments.train --config=cityscapes --workdir=runs/cityscapes \
        [--config.finetune.start_from=resnet50]

The paper's setting: crops of 713 pixels, batches of 16, `lr = 0.01 (1 - t/T)^0.9`, an auxiliary loss of weight 0.4; it
reaches a mean IoU of 77.3 % with a PSPNet-50. NOT RUN HERE (no such data).

Zhao et al. 2017, Pyramid scene parsing network (https://arxiv.org/abs/1612.01105).
"""

from ml_collections import ConfigDict

from experiments.base import base

SIZE = 713
CLASSES = {
    **{7: 'road', 8: 'sidewalk', 11: 'building', 12: 'wall', 13: 'fence', 17: 'pole', 19: 'traffic light'},
    **{20: 'traffic sign', 21: 'vegetation', 22: 'terrain', 23: 'sky', 24: 'person', 25: 'rider', 26: 'car'},
    **{27: 'truck', 28: 'bus', 31: 'train', 32: 'motorcycle', 33: 'bicycle'},
}
"""The number of a class in the files -> its name; the others are not evaluated."""


def get_config() -> ConfigDict:
    """The config."""
    config = base()
    numbers = list(CLASSES)
    masks = [
        {'name': 'rename', 'names': {'image': 'image_left', 'mask': 'segmentation_label'}},
        {'name': 'decode'},
        {'name': 'decode_mask'},
        {'name': 'relabel', 'values': [numbers.index(i) if i in CLASSES else 255 for i in range(34)]},
        {'name': 'keep', 'names': ['image', 'mask']},
    ]
    config.data.update(
        {
            'name': 'cityscapes',
            'eval_split': 'validation',
            'class_names': {'mask': list(CLASSES.values())},
            'train_transforms': [
                *masks,
                {'name': 'random_scale_crop', 'size': SIZE, 'scales': (SIZE, 2048)},
                {'name': 'random_flip'},
            ],
            'eval_transforms': masks,
            'batch_size': 16,
            'eval_batch_size': 4,
        }
    )
    config.model = {'name': 'segmentation.pspnet', 'backbone': {'name': 'resnet50', 'output_stride': 8}}
    config.model.update({'aux_head': True})
    config.loss = {'name': 'softmax_cross_entropy'}
    config.task = {
        'name': 'segmentation',
        'auxiliary_weights': [0.4],
        'mean': [0.485, 0.456, 0.406],
        'std': [0.229, 0.224, 0.225],
    }
    config.finetune.into = 'backbone'
    config.optimizer = {'name': 'momentum', 'learning_rate': 0.01, 'weight_decay': 1e-4}
    config.schedule = {'name': 'polynomial', 'power': 0.9}
    config.training.update({'epochs': 200.0, 'eval_every': 5000})
    return config
