"""U-Net on a ResNet-34 for the Oxford pets: animal, background and outline, 3,680 photos to train and 3,669 to test.

    python -m jaxcv.data.prepare oxford_iiit_pet
    python -m experiments.train --config=pets --workdir=runs/pets [--config.finetune.start_from=resnet34]

Start from published weights of the backbone where you have them. NOT RUN HERE (no such data): no result is claimed.
"""

from ml_collections import ConfigDict

from experiments.base import base

SIZE = 256


def get_config() -> ConfigDict:
    """The config."""
    config = base()
    masks = [
        {'name': 'rename', 'names': {'mask': 'segmentation_mask'}},
        {'name': 'decode'},
        {'name': 'decode_mask'},
        {'name': 'relabel', 'values': [255, 0, 1, 2]},  # the files number classes from 1 on
        {'name': 'keep', 'names': ['image', 'mask']},
    ]
    config.data.update(
        {
            'name': 'oxford_iiit_pet',
            'class_names': {'mask': ['animal', 'background', 'outline']},
            'train_transforms': [
                *masks,
                {'name': 'random_resized_crop', 'size': SIZE, 'area': (0.25, 1.0)},
                {'name': 'random_flip'},
            ],
            'eval_transforms': [
                *masks,
                {'name': 'resize_short_side', 'size': SIZE},
                {'name': 'center_crop', 'size': SIZE},
            ],
            'batch_size': 32,
            'eval_batch_size': 32,
        }
    )
    config.model = {'name': 'segmentation.backbone_unet', 'backbone': {'name': 'resnet34'}}
    config.loss = {'name': 'softmax_cross_entropy'}
    config.task = {'name': 'segmentation', 'mean': [0.485, 0.456, 0.406], 'std': [0.229, 0.224, 0.225]}
    config.finetune.into = 'backbone'
    config.optimizer = {'name': 'adamw', 'learning_rate': 1e-3, 'weight_decay': 1e-2}
    config.schedule = {'name': 'one_cycle'}
    config.training.update({'epochs': 30.0, 'eval_every': 500})
    return config
