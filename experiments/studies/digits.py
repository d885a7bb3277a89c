"""The bundled digits as arrays, for the studies without a config."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from experiments.run.gallery import Worst
from jaxcv import data, presentation
from jaxcv.types import Batch, Float


def read(split: str, *, data_dir: str | os.PathLike | None = None) -> Batch:
    """All digits of a split as one batch: `image` uint8 `[n 8 8 1]`, `label` int32 `[n]`, `valid` and `index`.

    Args:
        split: 'train', 'test' or a part of them.
        data_dir: the folder of prepared data sets; None: `TFDS_DATA_DIR` or `~/tensorflow_datasets`.
    """
    source = data.source('digits', split=split, data_dir=data_dir)
    batches = data.eval_batches(source, batch_size=source.size, transforms=[data.transforms.decode(channels=1)])
    return next(iter(batches))


def features(batch: Batch) -> Float[np.ndarray, 'n 64']:
    """The pixels as scikit-learn has them: 0, 1, ..., 16.

    The images hold round(v · 255 / 16). With whole numbers distances, and so ties between them, are exact.
    """
    images = np.asarray(batch['image'])
    return np.round(images.reshape(len(images), -1) * (16 / 255)).astype(np.float32)


def picture(batch: Batch, answer: Mapping[str, np.ndarray]) -> Figure:
    """The worst mistakes of a classifier without a `Task`.

    Args:
        batch: from `read`.
        answer: `label` [n] and, where there are any, `probabilities` [n 10].
    """
    labels = presentation.labels()
    worst = Worst(labels)
    worst.see(batch, answer)
    return labels.draw(worst.gallery, {})


def counts(words: Sequence[str]) -> list[int]:
    """The numbers of a flag that is a list.

    Example:
        >>> counts(['1', '10'])
        [1, 10]
    """
    return [int(word) for word in words]


def are_counts(words: Sequence[str]) -> bool:
    """Whether each word is a whole number from 1 on.

    Example:
        >>> are_counts(['1', '10']), are_counts(['0']), are_counts(['1.5'])
        (True, False, False)
    """
    return all(word.isdecimal() and int(word) > 0 for word in words)
