"""Open-set digits: an embedding that is trained on the digits 0 to 4 and judged by 5 to 9, which it has never seen.

    python -m experiments.train --config=embedding/digits_open_set --workdir=runs/open_set
    python -m experiments.train --config=embedding/digits_open_set:arcface --workdir=runs/arcface

After the colon stands one of the LOSSES; `experiments.studies.open_set` trains all of them, and its docstring has the
results. A batch has 8 images of each of the five digits; the network is a ResNet-8 with 64 numbers an image.
"""

from typing import Any

from ml_collections import ConfigDict

from experiments.base import base

LOSSES: dict[str, dict[str, Any]] = {
    'softmax': {'name': 'softmax_cross_entropy'},
    'contrastive': {'name': 'contrastive', 'margin': None},
    'hinge': {'name': 'contrastive', 'margin': 1.0},
    'triplet_all': {'name': 'triplet', 'margin': 0.2, 'mean': 'active'},
    'triplet_semi_hard': {'name': 'triplet', 'margin': 0.2, 'mining': 'facenet', 'mean': 'active'},
    'triplet_hard': {'name': 'triplet', 'margin': 0.2, 'mining': 'batch_hard'},
    'arcface': {'name': 'margin_softmax', 'm2': 0.5, 'scale': 16.0},
    'cosface': {'name': 'margin_softmax', 'm2': 0.0, 'm3': 0.35, 'scale': 16.0},
}
"""Name -> the loss. 'contrastive' has no margin, 'hinge' has one."""


def get_config(loss: str = 'triplet_semi_hard') -> ConfigDict:
    """The config with one of the LOSSES."""
    if loss not in LOSSES:
        raise ValueError(f'there is no loss {loss!r}; there are: {", ".join(LOSSES)}')
    config = base()
    config.data.update(
        {
            'name': 'digits',
            'classes': list('01234'),
            'eval_classes': list('56789'),
            'order': {'name': 'identities', 'identities': 5, 'images': 8},
            'train_transforms': [{'name': 'decode', 'channels': 1}],
            'eval_transforms': [{'name': 'decode', 'channels': 1}],
            'batch_size': 40,
            'eval_batch_size': 300,
        }
    )
    backbone = {'name': 'cifar_resnet', 'depth': 8, 'width': 32}
    config.model = {'name': 'embedding.embedder', 'backbone': backbone, 'features': 64}
    config.augment = [
        {'name': 'random_shift', 'max_shift': 1},
        {'name': 'random_resized_crop', 'size': 8, 'area': (0.7, 1.0), 'ratio': (0.8, 1.25)},
    ]
    config.loss = LOSSES[loss]
    config.task = {'name': 'embedding', 'mean': [0.305], 'std': [0.376]}
    config.optimizer = {'name': 'adamw', 'learning_rate': 3e-3, 'weight_decay': 1e-2}
    config.schedule = {'name': 'one_cycle'}
    config.training.update({'epochs': 60.0, 'eval_every': 100})
    return config
