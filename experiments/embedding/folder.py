"""Embeddings of your own people, `data_dir/train/<name>/*.jpg`, judged by others, `data_dir/test/<name>/*.jpg`.

    python -m jaxcv.data.face_pairs ~/people/test --pairs=300
    python -m experiments.train --config=embedding/folder --workdir=runs/people --config.data.data_dir=~/people

The first command draws the pairs that are verified, once, and writes them into `~/people/test_pairs.txt`: the measure
belongs to this list. Those in `test` should be others than those in `train`. A batch has 4 images of each of 8; names
with fewer images repeat theirs. Faces should be aligned (`jaxcv.ops.align_faces`).

ResNet-18 with semi-hard triplets, at 112 pixels, from random values; a trained start is far better with few images:
`--config.finetune.start_from=resnet18 --config.finetune.into=backbone`. The result depends on your photos.
"""

from ml_collections import ConfigDict

from experiments.base import base

SIZE = 112
IDENTITIES, IMAGES = 8, 4


def get_config() -> ConfigDict:
    """The config."""
    config = base()
    config.data.update(
        {
            'name': 'folder_faces',
            'eval_split': 'test_pairs',
            'order': {'name': 'identities', 'identities': IDENTITIES, 'images': IMAGES},
            'train_transforms': [{'name': 'decode'}, {'name': 'resize', 'size': SIZE}],
            'eval_transforms': [{'name': 'decode'}, {'name': 'resize', 'size': SIZE}],
            'batch_size': IDENTITIES * IMAGES,
            'eval_batch_size': 64,
        }
    )
    config.model = {'name': 'embedding.embedder', 'backbone': {'name': 'resnet18'}, 'features': 128}
    config.augment = [{'name': 'random_flip'}, {'name': 'color_jitter'}]
    config.loss = {'name': 'triplet', 'margin': 0.2, 'mining': 'facenet', 'mean': 'active'}
    config.task = {
        'name': 'embedding',
        'evaluate': [{'name': 'metrics.verification', 'fars': [0.1]}],
        'mean': [0.485, 0.456, 0.406],
        'std': [0.229, 0.224, 0.225],
    }
    config.optimizer = {'name': 'adam', 'learning_rate': 3e-4}
    config.schedule = {'name': 'one_cycle'}
    config.training.update({'epochs': 50.0, 'eval_every': 200})
    return config
