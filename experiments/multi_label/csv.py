r"""EfficientNet-Lite0, fine-tuned on photos of your own that a table names, with several labels each, or none.

    python -m experiments.train --config=multi_label/csv --config.data.data_dir=~/photos/labels.csv \
        --config.data.options="{'file': 'name', 'label': 'tags', 'separator': '|'}" --workdir=runs/tags

The labels of a photo are in one column, with a separator between; or in columns of 0 and 1,
`{'file': 'name', 'columns': ['cat', 'dog']}`, or `['*']` for all columns but the file's. 80 % of the photos are trained
on and 20 % evaluated. The loss is the sigmoid cross-entropy of each class; where labels are rare,
`--config.loss.positive_weights=5,20` weighs their presence, a number for each class. The result is the mean average
precision; F1 is that at `task.threshold`, and `predict --show=threshold=0.3` shows the labels at another one.

The network and its training are those of `classification/folder:finetune`; a number is that of the pixels,
`multi_label/csv:96`. Nothing is cut off in evaluation, and at most 40 % in training: a label may be that of a thing at
the side. On the 100 mosaics of `docs/guides/photos.md`, by the command there, the mean average precision of the 20 that
it evaluates is 94.2 % after two epochs and 98.2 % at the end, F1 at 0.5 over all labels 93.8 % (one seed; 2.6 minutes
of CPU time).
"""

from ml_collections import ConfigDict

from experiments.classification import csv, folder


def get_config(size: str = str(folder.SIZE)) -> ConfigDict:
    """The config, for images of `size` pixels."""
    config = csv.get_config(size)
    pixels = folder.options(size)['size']
    config.data.update({'options': {'separator': '|'}})
    config.data.train_transforms[1].update({'area': [0.6, 1.0], 'ratio': [0.5, 2.0]})
    config.data.eval_transforms = [{'name': 'decode'}, {'name': 'resize', 'size': pixels}]
    config.task.name = 'multi_label'
    config.loss = {'name': 'sigmoid_cross_entropy'}
    return config
