"""GC-Net on KITTI 2015, fine-tuned from Scene Flow by the paper's recipe: 160 pairs to train, 40 to validate.

    python -m experiments.train --config=stereo/kitti --workdir=runs/gcnet_kitti --config.data.data_dir=~/kitti2015 \
        --config.finetune.start_from=runs/gcnet

`data_dir` holds `training/image_2/`, `image_3/` and `disp_occ_0/`, and `start_from` is the run of `stereo/scene_flow`,
or a file of the public PyTorch version's weights (`--config.model.form=public --config.finetune.source=gcnet_pytorch`).
50,000 updates of one crop of 256 x 512 pixels; pixels without a measured disparity are in no mean. The older set is
`--config.data.name=kitti2012_stereo`. Of the paper's test pixels, 2.87 % are wrong by more than 3 pixels and 5 %.

NOT RUN HERE (neither the data nor the day of a GPU).

Kendall et al. 2017, End-to-end learning of geometry and context for deep stereo regression
(https://arxiv.org/abs/1703.04309); Menze and Geiger 2015, Object scene flow for autonomous vehicles.
"""

from ml_collections import ConfigDict

from experiments.base import base

LARGEST = (376, 1248)
"""Images are of several sizes, of which none is larger; the network pads them to multiples of 32."""


def get_config() -> ConfigDict:
    """The config."""
    config = base()
    config.data.update(
        {
            'name': 'kitti2015_stereo',
            'train_split': 'train[:80%]',
            'eval_split': 'train[80%:]',
            'train_transforms': [{'name': 'decode'}, {'name': 'random_crop', 'size': (256, 512)}],
            'eval_transforms': [{'name': 'decode'}, {'name': 'pad_to', 'size': LARGEST}],
            'batch_size': 1,
            'eval_batch_size': 1,
        }
    )
    config.model.name = 'stereo.gcnet'
    config.task = {'name': 'stereo', 'visible': True, 'mean': [0.5] * 3, 'std': [0.5] * 3}
    config.optimizer = {'name': 'rmsprop', 'learning_rate': 1e-3}
    config.finetune.new = []
    config.training.update({'epochs': '50000 steps', 'eval_every': 1_000, 'save_every': 1_000})
    return config
