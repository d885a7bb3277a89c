"""PSPNet on a dilated ResNet-50 for ADE20K (tfds: scene_parse150): 150 classes, 20,210 photos to train, 2,000 to test.

    python -m jaxcv.data.prepare scene_parse150
    python -m experiments.train --config=ade20k --workdir=runs/ade20k [--config.finetune.start_from=resnet50]

The paper's setting: crops of 473 pixels, batches of 16, `lr = 0.01 (1 - t/T)^0.9`, an auxiliary loss of weight 0.4; it
reaches a mean IoU of 41.89 % with a PSPNet-50. Here the central crop of 473 pixels is evaluated. NOT RUN
HERE (no such data).

Zhao et al. 2017, Pyramid scene parsing network (https://arxiv.org/abs/1612.01105).
"""

from ml_collections import ConfigDict

from experiments.base import base

SIZE = 473


def get_config() -> ConfigDict:
    """The config."""
    config = base()
    masks = [
        {'name': 'rename', 'names': {'mask': 'annotation'}},
        {'name': 'decode'},
        {'name': 'decode_mask'},
        {'name': 'relabel', 'values': [255, *range(150)]},  # the files have 0 for no class
        {'name': 'keep', 'names': ['image', 'mask']},
    ]
    config.data.update(
        {
            'name': 'scene_parse150',
            'eval_split': 'test',
            'class_names': {'mask': [f'class {i}' for i in range(1, 151)]},
            'train_transforms': [
                *masks,
                {'name': 'random_scale_crop', 'size': SIZE, 'scales': (SIZE, 2 * SIZE)},
                {'name': 'random_flip'},
            ],
            'eval_transforms': [
                *masks,
                {'name': 'resize_short_side', 'size': SIZE},
                {'name': 'center_crop', 'size': SIZE},
            ],
            'batch_size': 16,
            'eval_batch_size': 16,
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
    config.training.update({'epochs': 100.0, 'eval_every': 5000})
    return config
