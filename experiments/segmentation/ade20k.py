"""PSPNet on a dilated ResNet-50 for ADE20K (tfds: scene_parse150): 150 classes, 20,210 photos to train, 2,000 to test.

    python -m jaxcv.data.prepare scene_parse150
    python -m experiments.train --config=experiments/segmentation/ade20k.py --workdir=runs/ade20k \
        [--config.finetune.start_from=resnet50.pth]

The paper's setting: crops of 473 pixels, batches of 16, `lr = 0.01 (1 - t/T)^0.9`, an auxiliary loss of weight 0.4; it
reaches a mean IoU of 41.89 % with a PSPNet-50. Here the middle 473 pixels are evaluated. NOT RUN HERE (no such data).

Zhao et al. 2017, Pyramid scene parsing network (https://arxiv.org/abs/1612.01105).
"""

from ml_collections import ConfigDict

from experiments.segmentation import cityscapes

SIZE = 473


def get_config() -> ConfigDict:
    """The config."""
    config = cityscapes.get_config()
    masks = [
        {'name': 'rename', 'names': {'mask': 'annotation'}},
        {'name': 'decode'},
        {'name': 'decode_mask'},
        {'name': 'relabel', 'values': [255, *range(150)]},  # 0 is what belongs to no class
        {'name': 'keep', 'names': ['image', 'mask']},
    ]
    config.data.update(
        {
            'name': 'scene_parse150',
            'eval_split': 'test',
            'mask_classes': [f'class {i}' for i in range(1, 151)],
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
            'eval_batch_size': 16,
        }
    )
    config.training.epochs = 100.0
    return config
