r"""RetinaNet on a ResNet-50 for images of your own with boxes, in the files of COCO, Pascal VOC or YOLO.

    python -m experiments.train --config=detection/folder:coco --workdir=runs/mine \
        --config.data.data_dir=~/mine [--config.finetune.start_from=resnet50]

* `coco`: `annotations/instances_<split>.json` and `<split>/*.jpg`, or `<split>/_annotations.coco.json` beside them.
* `voc`: `JPEGImages/*.jpg`, `Annotations/*.xml` and `ImageSets/Main/<split>.txt`.
* `yolo`: `images/<split>/*.jpg`, `labels/<split>/*.txt`, and the names of the classes in `data.yaml` or `classes.txt`.

The splits are `train` and `val`; `--config.data.train_split='train[:80%]' --config.data.eval_split='train[80%:]'` makes
them of one. Classes come from the files; `--config.data.classes` keeps some. The start of a run says how many boxes
there are, which were clipped or dropped, and the number in the fullest image, which `max_boxes` should hold.

Images are fitted into 640 x 640. Mirrored left to right, digits and text are no longer what they are: leave
`random_flip` out for them. For less than 16 images a step, lower the learning rate in proportion. Published weights
of the backbone are downloaded once, by their name. NOT RUN HERE: the results depend on your images.
"""

from ml_collections import ConfigDict

from experiments.base import base
from experiments.detection.coco import IMAGENET

SIZE, MAX_BOXES = 640, 100
FORMATS = ('coco', 'voc', 'yolo')


def get_config(format: str = 'coco') -> ConfigDict:
    """The config for one of the FORMATS."""
    if format not in FORMATS:
        raise ValueError(f'no format {format!r}; there are: {", ".join(FORMATS)}')
    config = base()
    last = {'name': 'pad_boxes', 'max_boxes': MAX_BOXES}
    config.data.update(
        {
            'name': f'folder_{format}',
            'eval_split': 'val',
            'train_transforms': [
                {'name': 'decode'},
                {'name': 'random_scale_jitter', 'size': SIZE, 'scale': (0.5, 1.5), 'min_visible': 0.2},
                {'name': 'random_flip'},
                last,
            ],
            'eval_transforms': [{'name': 'decode'}, {'name': 'letterbox', 'size': SIZE}, last],
            'batch_size': 16,
            'eval_batch_size': 16,
        }
    )
    config.model = {'name': 'detection.retinanet', 'backbone': {'name': 'resnet50'}}
    config.augment = [{'name': 'photometric_distortion'}]
    config.loss = {'name': 'retinanet'}
    config.task = {'name': 'detection', **IMAGENET}
    config.finetune.update({'into': 'backbone', 'rates': {'backbone': 0.1}})
    config.optimizer = {'name': 'adamw', 'learning_rate': 2e-4, 'weight_decay': 0.05}
    config.schedule = {'name': 'one_cycle'}
    config.training.update({'epochs': 50.0, 'eval_every': 500})
    return config
