r"""EfficientNet-Lite0, fine-tuned on photos of your own that a table names, with a label each.

    python -m experiments.train --config=classification/csv --config.data.data_dir=~/photos/labels.csv \
        --config.data.options="{'file': 'name', 'label': 'kind'}" --workdir=runs/photos

The table is a CSV whose first line names its columns; 80 % of each class are trained on and 20 % evaluated. All options
are those of `jaxcv.data.csv_files.folder_csv`: a column of splits, a folder for the files, another delimiter. The
network and its training are those of `classification/folder:finetune`; a number is that of the pixels,
`classification/csv:96`. `experiments.look` with the same config shows the photos and counts them.
"""

from ml_collections import ConfigDict

from experiments.classification import folder


def get_config(size: str = str(folder.SIZE)) -> ConfigDict:
    """The config, for images of `size` pixels."""
    config = folder.get_config(f'{folder.FLAT},{folder.FINETUNE},{size}')
    config.data.update({'name': 'folder_csv'})
    return config
