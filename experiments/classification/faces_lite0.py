"""EfficientNet-Lite0 with ImageNet's weights on 100 gray patches of 25 x 25 pixels: face or background.

    python -m experiments.train --config=faces_lite0:finetune --workdir=runs/faces_lite0

The patches are those of "Labeled Faces in the Wild" that come with scikit-image; all else is as in `digits_lite0.py`.

Measured by `experiments.studies.transfer --runs=2`, test accuracy in %, mean ± standard error of 2 runs, on all 100
training patches and on 20: scratch 97.5 ± 0.5 and 90.0 ± 1.0, frozen 98.5 ± 0.5 and 96.0 ± 0.0, finetune 100.0 ± 0.0
and 92.5 ± 3.5.
"""

from ml_collections import ConfigDict

from experiments.classification import digits_lite0


def get_config(how: str = 'finetune') -> ConfigDict:
    """The config: `how` is scratch, frozen or finetune."""
    config = digits_lite0.get_config(how)
    config.data.update({'name': 'faces', 'train_split': 'train'})
    return config
