"""DispNet, DispNetC or GC-Net on Scene Flow by the papers' recipes: 35,454 pairs of 540 x 960 pixels, 4,370 to test.

    python -m experiments.train --config=stereo/scene_flow:gcnet --workdir=runs/gcnet \
        --config.data.data_dir=~/scene_flow

`data_dir` holds `frames_cleanpass/` and `disparity/`, each with `TRAIN/` and `TEST/`; `--config.data.name=
scene_flow_stereo_final` takes the other rendering.

* `dispnet`, `dispnet_c`: crops of 384 x 768 pixels, 4 pairs an update, Adam of 1e-4, halved every 200,000 updates from
  400,000 on; the loss begins at the coarsest level and moves to the next finer one every 50,000. The test errors of the
  paper are 2.02 and 1.68 pixels on FlyingThings3D.
* `gcnet`: crops of 256 x 512, one pair an update, RMSProp of 1e-3, 150,000 updates, images scaled to [-1, 1]. The
  paper's test error is 2.51 pixels, and 16.9 % of the pixels are wrong by more than 1.

For DispNets colours change mostly alike in both views, and views are mirrored and exchanged.

Cost: a pair takes 60 (`dispnet`), 66 (`dispnet_c`) and, without the cost volume, about 470 (`gcnet`) GFLOP forward; the
whole training, at three times as many an update, 0.72, 0.80 and 0.21 million TFLOP: 10, 11 and 3 hours at a sustained
20 TFLOP/s, weeks to months on two CPU cores. By XLA's estimate for the CPU (`python -m experiments.memory`), a step of
GC-Net needs 11.5 GiB in float32 for a whole pair of 540 x 960 pixels, and 3.0 GiB for a crop of 256 x 512.
NOT RUN HERE: neither the data nor that time.

Mayer et al. 2016 (https://arxiv.org/abs/1512.02134); Kendall et al. 2017 (https://arxiv.org/abs/1703.04309).
"""

from typing import Any

from ml_collections import ConfigDict

from experiments.base import base

DISPNET: dict[str, Any] = {
    'size': (384, 768),
    'batch_size': 4,
    'augment': [{'name': 'random_flip'}, {'name': 'random_pair_colors'}],
    'task': {'moving_every': 50_000, 'mean': [0.5] * 3},
    'optimizer': {'name': 'adam', 'learning_rate': 1e-4},
    'schedule': {'name': 'multi_step', 'steps': (400_000, 600_000, 800_000), 'factor': 0.5},
    'steps': 1_000_000,
}
NETWORKS: dict[str, dict[str, Any]] = {
    'dispnet': DISPNET,
    'dispnet_c': DISPNET,
    'gcnet': {
        'size': (256, 512),
        'batch_size': 1,
        'augment': [],
        'task': {'mean': [0.5] * 3, 'std': [0.5] * 3},
        'optimizer': {'name': 'rmsprop', 'learning_rate': 1e-3},
        'schedule': {'name': 'constant'},
        'steps': 150_000,
    },
}


def get_config(network: str = 'gcnet') -> ConfigDict:
    """The config of one of the NETWORKS."""
    if network not in NETWORKS:
        raise ValueError(f'there is no network {network!r}; there are: {", ".join(NETWORKS)}')
    config, recipe = base(), NETWORKS[network]
    config.data.update(
        {
            'name': 'scene_flow_stereo',
            'train_transforms': [{'name': 'decode'}, {'name': 'random_crop', 'size': recipe['size']}],
            'batch_size': recipe['batch_size'],
            'eval_batch_size': 1,
        }
    )
    config.model.name = f'stereo.{network}'
    config.augment = recipe['augment']
    config.task = {'name': 'stereo', **recipe['task']}
    config.optimizer = recipe['optimizer']
    config.schedule = recipe['schedule']
    config.training.update({'epochs': f'{recipe["steps"]} steps', 'eval_every': 10_000, 'save_every': 5_000})
    return config
