"""SSD300 on Pascal VOC 2007 (tfds: voc/2007): 20 classes, 5,011 photos to train and 4,952 to test.

    python -m jaxcv.data.prepare voc/2007
    python -m experiments.train --config=voc --workdir=runs/voc

The published mean AP by VOC 2007's rule, 74.3 % and 77.2 % with zoom-out, is of VOC 2012's photos in the training as
well, and of a pretrained backbone: 32 images a step, SGD of 0.001, weight decay 5e-4, divided by 10 after 80,000 and
100,000 of 120,000 steps. Files of the development kit are opened as `folder_voc`. The scales of the default boxes are
those of COCO. The values of an evaluation are COCO's, of which `ap50` is closest to VOC's; `metrics.voc_boxes` is VOC's
own. NOT RUN HERE (no such data).

Liu et al. 2016, SSD: Single shot multibox detector (https://arxiv.org/abs/1512.02325).
"""

from ml_collections import ConfigDict

from experiments.base import base
from experiments.detection.coco import NETWORKS, SSD_CROPS

MAX_BOXES = 60  # the fullest image has 42


def get_config() -> ConfigDict:
    """The config."""
    config = base()
    first = [
        {'name': 'keep', 'names': ['image', 'objects']},
        {'name': 'decode'},
        {'name': 'tfds_objects', 'one_based': True},
    ]
    last = {'name': 'pad_boxes', 'max_boxes': MAX_BOXES}
    config.data.update(
        {
            'name': 'voc/2007',
            'train_split': 'train+validation',
            'train_transforms': [*first, *SSD_CROPS, last],
            'eval_transforms': [*first, {'name': 'resize', 'size': 300}, last],
            'batch_size': 32,
            'eval_batch_size': 32,
        }
    )
    config.model = {'name': 'detection.ssd300_vgg16'}
    config.augment = [{'name': 'photometric_distortion'}]
    config.loss = {'name': 'ssd'}
    config.task = {'name': 'detection', **NETWORKS['ssd300_vgg16']['task']}
    config.optimizer = {'name': 'momentum', 'learning_rate': 1e-3, 'weight_decay': 5e-4}
    config.schedule = {'name': 'multi_step', 'steps': ['67%', '83%'], 'warmup_steps': '500 steps'}
    config.training.update({'epochs': 240.0, 'eval_every': 5000})
    return config
