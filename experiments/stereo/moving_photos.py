"""Optical flow on `moving_photos`: 600 pairs of 128 x 192 pixels, layers of photos that move by up to 12 pixels.

    python -m jaxcv.data.prepare moving_photos
    python -m experiments.train --config=stereo/moving_photos:flownet_c --workdir=runs/flownet_c
    python -m experiments.predict --workdir=runs/flownet_c --images=frame1.png --next_image=frame2.png

After the colon stands one of the NETWORKS, which have a quarter of the paper's channels;
`experiments.studies.stereo` trains both and measures them beside OpenCV's methods. FlowNetC correlates displacements of
up to 32 pixels, all of them instead of every second one.
"""

from typing import Any

from ml_collections import ConfigDict

from experiments.base import base

FLOWNET = {'width': 0.25}
NETWORKS: dict[str, dict[str, Any]] = {
    'flownet_s': {'name': 'stereo.flownet_s', **FLOWNET},
    'flownet_c': {'name': 'stereo.flownet_c', **FLOWNET, 'max_displacement': 4, 'stride': 1},
}


def get_config(network: str = 'flownet_c') -> ConfigDict:
    """The config of one of the NETWORKS."""
    if network not in NETWORKS:
        raise ValueError(f'there is no network {network!r}; there are: {", ".join(NETWORKS)}')
    config = base()
    images = ['image', 'next_image', 'flow']
    config.data.update(
        {
            'name': 'moving_photos',
            'eval_split': 'validation',
            'train_transforms': [{'name': 'decode'}, {'name': 'keep', 'names': images}],
            'eval_transforms': [{'name': 'decode'}],
            'batch_size': 8,
            'eval_batch_size': 10,
        }
    )
    config.model = NETWORKS[network]
    config.augment = [
        {'name': 'random_flip'},
        {'name': 'random_flip', 'axis': 'vertical'},
        {'name': 'random_pair_affine', 'scale': (1.0, 1.6)},
        {'name': 'random_pair_colors', 'contrast': (-0.5, 0.4), 'noise': 0.02},
    ]
    config.task = {'name': 'flow', 'visible': True, 'mean': [0.45, 0.432, 0.411]}
    config.optimizer = {'name': 'adam', 'learning_rate': 5e-4}
    config.schedule = {'name': 'one_cycle'}
    config.training.update({'epochs': 80.0, 'eval_every': '10%'})
    return config
