"""Checks of a user's data before anything is trained: broken files, classes with too few examples, shared examples."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from absl import logging

from experiments.run.fields import Data
from jaxcv import config, data
from jaxcv.data.folders import first_ten

MOST_FILES = 50_000
"""Files whose first and last bytes are read before training; of larger data sets, a broken file is found on the way."""


def check_files(fields: Data, source: data.Source, split: str) -> None:
    """Reads the first and last bytes of each file, and refuses those that cannot be images, or warns of them.

    Args:
        fields: of the config.
        source: a split.
        split: its name.

    Raises:
        ConfigError: there are such files, and `data.on_broken` is 'error'; the first ten of them, with the reasons.
    """
    found = faults(source)
    if not found:
        return
    listed = first_ten([f'{source.where(index)}: {reason}' for index, reason in found.items()])
    message = f'{len(found):,} of the {source.size:,} files of {split!r} cannot be read as images: {listed}'
    if fields.on_broken == 'error':
        raise config.ConfigError(f'{message}; mend or remove them, or leave them out, --config.data.on_broken=skip')
    logging.warning('%s; they are left out', message)


def faults(source: data.Source) -> dict[int, str]:
    """The examples whose files cannot be images, by their first and last bytes, and the reasons.

    Args:
        source: a split; of more than `MOST_FILES` nothing is read.
    """
    if source.fault is None or source.size > MOST_FILES:
        return {}
    with ThreadPoolExecutor() as threads:
        return {index: why for index, why in enumerate(threads.map(source.fault, range(source.size))) if why}


def warn_of_classes(training: data.Source, evaluation: data.Source, fields: Data) -> None:
    """Logs which classes have one training example or none, or none to evaluate on, and what both splits share.

    Args:
        training: the training split.
        evaluation: the evaluation split; the same where there is none.
        fields: of the config.
    """
    for line in class_warnings(training, evaluation, fields):
        logging.warning(line)


def class_warnings(training: data.Source, evaluation: data.Source, fields: Data) -> Iterator[str]:
    r"""A line for each kind of class that has too few examples, and for examples that both splits have.

    Args:
        training: the training split.
        evaluation: the evaluation split; the same where there is none.
        fields: of the config.

    Yields:
        The lines.

    Example:
        >>> names = {'label': ('cat', 'dog')}
        >>> train = data.Source(4, lambda index: {}, 'train/{}.jpg'.format, names, counts={'label': [3, 1]})
        >>> test = data.Source(2, lambda index: {}, 'test/{}.jpg'.format, names, counts={'label': [2, 0]})
        >>> print('\n'.join(class_warnings(train, test, Data())))
        1 of 2 classes has one training example only: dog
        1 of 2 classes has no example in the evaluation split 'test', so nothing is measured of it: dog
    """
    for feature, counts in training.counts.items():
        names = training.names[feature]
        for number, words in ((0, 'no training example'), (1, 'one training example only')):
            few = [name for name, count in zip(names, counts, strict=True) if count == number]
            if few:
                yield f'{_share(few, names)} {words}: {first_ten(few)}'
    if fields.eval_split is None:
        return
    for feature, counts in evaluation.counts.items():
        names = evaluation.names[feature]
        none = [name for name, count in zip(names, counts, strict=True) if not count]
        if none:
            of_them = 'it' if len(none) == 1 else 'them'
            yield (
                f'{_share(none, names)} no example in the evaluation split {fields.eval_split!r}, so nothing is '
                f'measured of {of_them}: {first_ten(none)}'
            )
    own = {training.where(index) for index in range(training.size)}
    both = [name for name in map(evaluation.where, range(evaluation.size)) if name in own]
    if both:
        yield (
            f'{len(both):,} of the {evaluation.size:,} examples of {fields.eval_split!r} are those of training too '
            f'({fields.train_split!r}), so the values of the evaluation are too good: {both[0]}'
        )


def _share(few: Sequence[str], names: Sequence[str]) -> str:
    return f'{len(few):,} of {len(names):,} classes ' + ('has' if len(few) == 1 else 'have')
