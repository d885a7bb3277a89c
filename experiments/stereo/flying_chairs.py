"""FlowNetS or FlowNetC on FlyingChairs, by the paper's recipe: 22,232 pairs of 384 x 512 pixels to train, 640 to test.

    python -m experiments.train --config=stereo/flying_chairs:flownet_c --workdir=runs/flownet_c \
        --config.data.data_dir=~/FlyingChairs_release

`data_dir` holds `data/00001_img1.ppm`, ... and `FlyingChairs_train_val.txt`, the official split. 600,000 updates of 8
pairs by Adam, 1e-4 and halved every 100,000 from 300,000 on; FlowNetC begins with 10,000 updates from 1e-6 up, without
which the paper's did not converge. The test errors of the paper are 2.71 pixels (`flownet_s`) and 2.19 (`flownet_c`).

Cost: a pair takes 31 (`flownet_s`) and 44 (`flownet_c`) GFLOP forward; the whole training, at three times as many an
update, 0.44 and 0.63 million TFLOP: 6 and 9 hours at a sustained 20 TFLOP/s, months on two CPU cores. NOT RUN HERE:
neither the data nor that time.

Dosovitskiy et al. 2015, FlowNet: learning optical flow with convolutional networks (https://arxiv.org/abs/1504.06852).
"""

from ml_collections import ConfigDict

from experiments.base import base

NETWORKS = ('flownet_s', 'flownet_c')


def get_config(network: str = 'flownet_c') -> ConfigDict:
    """The config of one of the NETWORKS."""
    if network not in NETWORKS:
        raise ValueError(f'there is no network {network!r}; there are: {", ".join(NETWORKS)}')
    config = base()
    config.data.update({'name': 'flying_chairs', 'batch_size': 8, 'eval_batch_size': 8})
    config.model.name = f'stereo.{network}'
    config.augment = [{'name': 'random_pair_affine'}, {'name': 'random_pair_colors'}]
    config.task = {'name': 'flow', 'mean': [0.45, 0.432, 0.411]}
    config.optimizer = {'name': 'adam', 'learning_rate': 1e-4, 'weight_decay': 4e-4}
    config.schedule = {'name': 'multi_step', 'steps': (300_000, 400_000, 500_000), 'factor': 0.5}
    if network == 'flownet_c':
        config.schedule.update({'warmup_steps': 10_000, 'warmup_start': 0.01})
    config.training.update({'epochs': '600000 steps', 'eval_every': 20_000, 'save_every': 10_000})
    return config
