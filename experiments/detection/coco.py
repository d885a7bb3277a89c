"""RetinaNet, SSD300, Faster or Mask R-CNN on COCO 2017 by torchvision's recipes: 80 classes, 118,287 photos to train.

    python -m experiments.train --config=detection/coco:retinanet --workdir=runs/retinanet \
        --config.data.data_dir=~/coco [--config.finetune.start_from=resnet50]

`data_dir` holds `annotations/instances_train2017.json` and `instances_val2017.json`, `train2017/` and `val2017/`.

* `retinanet`, torchvision's `retinanet_resnet50_fpn`, reaches an AP of 36.4 %: 16 images a step (8 devices), SGD of
  0.01, weight decay 1e-4, divided by 10 after 16 and 22 of 26 epochs; short side 800, long side at most 1,333; flips.
  Its backbone is pretrained, its batch norms are frozen, and its first layers stay as they are.
* `ssd300_vgg16` reaches 25.1 %: 32 images a step (8 devices), SGD of 0.002, weight decay 5e-4, divided by 10 after 80
  and 110 of 120 epochs; photometric distortion, zoom-out, crops by IoU and flips, at 300 x 300. Its backbone is
  pretrained as well.
* `faster_rcnn`, torchvision's `fasterrcnn_resnet50_fpn`, reaches 37.0 %: as `retinanet`, but with SGD of 0.02.
* `mask_rcnn`, torchvision's `maskrcnn_resnet50_fpn`, reaches 37.9 % and an AP of masks of 34.6 %: as `faster_rcnn`.

Photos are padded to 800 x 1344 or 1344 x 800, and a batch has one of both, in the evaluation too: each step is compiled
twice. Masks are evaluated at the photos' own pixels. With ',multi_scale' after the network, each batch draws its short
side from six lengths, 640 to 800, and the step is compiled for twelve canvases; torchvision publishes no AP for that.

At the start all photos are read once, for their orientations. Masks are whole, uint8 on the canvas: 100 objects take
108 MB an image, 215 MB on each of 8 devices; with 4 threads the host holds at most six batches, 10 GB. Cut to their
boxes and shrunk to one size they would take less, but large objects would lose their outlines.

torchvision trains 91 outputs, of which COCO uses 80, and leaves images without objects out; here they are negatives.
NOT RUN HERE (neither the data nor the devices).

Lin et al. 2017 (https://arxiv.org/abs/1708.02002); Liu et al. 2016 (https://arxiv.org/abs/1512.02325);
Ren et al. 2015 (https://arxiv.org/abs/1506.01497).
"""

from typing import Any

from ml_collections import ConfigDict

from experiments.base import base

IMAGENET = {'mean': [0.485, 0.456, 0.406], 'std': [0.229, 0.224, 0.225]}
CAFFE = {'mean': [123 / 255, 117 / 255, 104 / 255], 'std': [1 / 255] * 3}
SIDES = {'name': 'resize_sides', 'short': 800, 'long': 1333, 'canvas': 32, 'fill': IMAGENET['mean']}
MULTI_SCALE, SHORT_SIDES = 'multi_scale', [640, 672, 704, 736, 768, 800]
MAX_BOXES = 100  # the fullest image of the training split has 93

SSD_CROPS = [
    {'name': 'random_zoom_out', 'fill': CAFFE['mean']},
    {'name': 'random_iou_crop'},
    {'name': 'random_flip'},
    {'name': 'resize', 'size': 300},
]

RETINANET: dict[str, Any] = {
    'model': {'name': 'detection.retinanet', 'backbone': {'name': 'resnet50', 'frozen_norms': True}},
    'into': 'backbone',
    'rates': {'backbone/stem': 0.0, 'backbone/stage1': 0.0},
    'order': 'grouped',
    'eval_order': 'grouped',
    'train_transforms': [{'name': 'random_flip'}, SIDES],
    'eval_transforms': [SIDES],
    'augment': [],
    'loss': {'name': 'retinanet'},
    'task': {'least_score': 0.05, 'candidates': 1000, 'of': 'map', 'threshold': 0.5, 'most': 300, **IMAGENET},
    'batch_size': 16,
    'learning_rate': 0.01,
    'weight_decay': 1e-4,
    'epochs': (16, 22, 26),
}
FASTER_RCNN: dict[str, Any] = {
    **RETINANET,
    'model': {'name': 'detection.faster_rcnn', 'backbone': RETINANET['model']['backbone']},
    'loss': {},
    'task': {'name': 'region_detection', 'least_score': 0.05, 'threshold': 0.5, 'most': 100, **IMAGENET},
    'learning_rate': 0.02,
}
OUTLINES = {'name': 'outline_masks'}
OWN_PIXELS = {'name': 'pack_masks', 'size': 640}  # photos have at most 640 x 640
NETWORKS: dict[str, dict[str, Any]] = {
    'retinanet': RETINANET,
    'faster_rcnn': FASTER_RCNN,
    'mask_rcnn': {
        **FASTER_RCNN,
        'model': {**FASTER_RCNN['model'], 'masks': 'plain'},
        'train_transforms': [OUTLINES, *RETINANET['train_transforms']],
        'eval_transforms': [OUTLINES, OWN_PIXELS, *RETINANET['eval_transforms']],
        'eval_batch_size': 4,
        'threads': 4,
    },
    'ssd300_vgg16': {
        'model': {'name': 'detection.ssd300_vgg16'},
        'into': '',
        'rates': {},
        'order': 'shuffled',
        'train_transforms': SSD_CROPS,
        'eval_transforms': [{'name': 'resize', 'size': 300}],
        'augment': [{'name': 'photometric_distortion'}],
        'loss': {'name': 'ssd'},
        'task': {'least_score': 0.01, 'candidates': 400, 'of': 'class', 'threshold': 0.45, 'most': 200, **CAFFE},
        'batch_size': 32,
        'learning_rate': 0.002,
        'weight_decay': 5e-4,
        'epochs': (80, 110, 120),
    },
}


def get_config(argument: str = 'retinanet') -> ConfigDict:
    """The config of one of the NETWORKS, maybe with more than one scale."""
    network, _, scales = argument.partition(',')
    if network not in NETWORKS:
        raise ValueError(f'no network {network!r}; there are: {", ".join(NETWORKS)}')
    recipe, config = NETWORKS[network], base()
    if scales and (scales != MULTI_SCALE or recipe['order'] != 'grouped'):
        raise ValueError(f"no {scales!r} of {network}: there is '{MULTI_SCALE}' of those on canvases of two shapes")
    last = {'name': 'pad_boxes', 'max_boxes': MAX_BOXES}
    drawn = {'short': SHORT_SIDES, 'draw': 'batch'} if scales else {}
    transforms = [{**spec, **drawn} if spec['name'] == 'resize_sides' else spec for spec in recipe['train_transforms']]
    config.data.update(
        {
            'name': 'folder_coco',
            'train_split': 'train2017',
            'eval_split': 'val2017',
            'train_transforms': [{'name': 'decode'}, *transforms, last],
            'eval_transforms': [{'name': 'decode'}, *recipe['eval_transforms'], last],
            'batch_size': recipe['batch_size'],
            'eval_batch_size': recipe.get('eval_batch_size', 16),
            'threads': recipe.get('threads'),
        }
    )
    config.data.order = {'name': recipe['order']}
    config.data.eval_order = recipe.get('eval_order', 'in_order')
    config.model = recipe['model']
    config.augment = recipe['augment']
    config.loss = recipe['loss']
    config.task = {'name': 'detection', **recipe['task']}
    config.finetune.update({'into': recipe['into'], 'rates': recipe['rates']})
    config.optimizer = {
        'name': 'momentum',
        'learning_rate': recipe['learning_rate'],
        'weight_decay': recipe['weight_decay'],
    }
    *drops, epochs = recipe['epochs']
    config.schedule = {
        'name': 'multi_step',
        'steps': [f'{epoch} epochs' for epoch in drops],
        'warmup_steps': '1000 steps',
    }
    config.training.update({'epochs': float(epochs), 'log_every': 100, 'eval_every': 10_000, 'save_every': 2000})
    return config
