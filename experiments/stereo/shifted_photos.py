"""Stereo on `shifted_photos`: 600 pairs of 128 x 192 pixels, layers of photos at disparities of 2 to 24 pixels.

    python -m jaxcv.data.prepare shifted_photos
    python -m experiments.train --config=stereo/shifted_photos:gcnet --workdir=runs/gcnet
    python -m experiments.predict --workdir=runs/gcnet --left=left.png --right=right.png

After the colon stands one of the NETWORKS, which have fewer channels than the papers'; `experiments.studies.stereo`
trains all of them and measures them beside OpenCV's methods. Crops are reduced to 0.8 or enlarged by up to 2, and their
disparities with them, so that the networks meet up to 50 pixels. GC-Net, whose volumes take most of the time, has
smaller crops (0.7 to 1.7), a quarter of the paper's channels and 3,000 updates of 2 pairs: half an hour of one core.
"""

from typing import Any

from ml_collections import ConfigDict

from experiments.base import base

SIZE, GCNET_SIZE = (96, 160), (64, 128)
"""Of the crops."""
DISPNET = {'width': 0.25}
NETWORKS: dict[str, dict[str, Any]] = {
    'dispnet': {'name': 'stereo.dispnet', **DISPNET},
    'dispnet_c': {'name': 'stereo.dispnet_c', **DISPNET, 'max_displacement': 16},
    'gcnet': {'name': 'stereo.gcnet', 'disparities': 64, 'width': 8, 'blocks': 4},
}


def get_config(network: str = 'gcnet') -> ConfigDict:
    """The config of one of the NETWORKS."""
    if network not in NETWORKS:
        raise ValueError(f'there is no network {network!r}; there are: {", ".join(NETWORKS)}')
    config = base()
    images = ['left', 'right', 'disparity', 'right_disparity']
    config.data.update(
        {
            'name': 'shifted_photos',
            'eval_split': 'validation',
            'train_transforms': [{'name': 'decode'}, {'name': 'keep', 'names': images}],
            'eval_transforms': [{'name': 'decode'}],
            'eval_batch_size': 10,
        }
    )
    config.model = NETWORKS[network]
    config.augment = [
        {'name': 'random_flip'},
        {'name': 'random_flip', 'axis': 'vertical'},
        {
            'name': 'random_resized_crop',
            'size': GCNET_SIZE if network == 'gcnet' else SIZE,
            'area': (0.15, 1.0),
            'ratio': (1.4, 1.9),
        },
        {'name': 'random_pair_colors', 'contrast': (-0.5, 0.4), 'noise': 0.02},
    ]
    config.task = {'name': 'stereo', 'visible': True, 'mean': [0.5] * 3, 'std': [0.5] * 3}
    config.schedule = {'name': 'one_cycle'}
    if network == 'gcnet':
        config.data.batch_size = 2
        config.optimizer = {'name': 'adam', 'learning_rate': 1e-3}
        config.training.epochs = 10.0
    else:
        config.data.batch_size = 8
        # Of strides 64 to 2: together as much as the finest.
        config.loss = {'name': 'multi_scale_disparity', 'weights': (0.1, 0.1, 0.2, 0.3, 0.5, 1.0)}
        config.optimizer = {'name': 'adam', 'learning_rate': 5e-4}
        config.training.epochs = 80.0
    config.training.eval_every = '10%'
    return config
