"""The data of a config, as it is and as the network gets it: a picture of each, and lines about the truths."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.run import batches as opening
from experiments.run import tables
from experiments.run.assemble import assemble, num_classes
from experiments.run.check import Checked
from experiments.run.fields import Data, Facts
from experiments.run.own_data import faults, warn_of_classes
from experiments.run.pictures import image_names
from jaxcv import augment, config, data, viz
from jaxcv.data.folders import first_ten
from jaxcv.features import Example, Names
from jaxcv.task import Gallery, Presentation, Shown

AT_A_TIME = 32
"""Images that are decoded at a time."""


def look(checked: Checked, folder: Path, *, most: int, seed: int) -> int:
    """Writes before.png and after.png into a folder, and prints lines about the training split.

    Args:
        checked: the config.
        folder: it is made.
        most: examples that are counted.
        seed: of the order and of what is drawn at random.

    Returns:
        The exit code.

    Raises:
        ConfigError: the task has nothing to draw its examples with.
    """
    checked = checked._replace(data=checked.data._replace(on_broken='skip'))
    training = opening.open_training(checked)
    evaluation, why_none = _evaluation(checked)
    facts = opening.facts_of(training, evaluation)
    presentation = assemble(checked, facts).task.presentation
    if presentation is None or presentation.truth is None:
        raise config.ConfigError(f'{checked.settings.task.name} does not say how its examples are drawn')
    source = training.source
    opening.warn_of(checked, presentation, source, checked.data.train_transforms, training.names)
    read = _reader(checked, source)
    lines = _lines(presentation, read, source, _chosen(source.size, most, seed), training.names)
    print(tables.pairs({**lines, **why_none}))
    if not why_none:
        warn_of_classes(source, evaluation.source, checked.data)
    batch = _batch(checked, facts, source, min(presentation.most, source.size), seed)
    valid = np.flatnonzero(batch['valid'])
    shown = valid[:: max(1, len(valid) // presentation.most)][: presentation.most]
    after = [{name: x[i] for name, x in batch.items()} for i in shown]
    before = [read(int(example['index'])) for example in after]
    for name, examples in (('before', before), ('after', after)):
        rows = tuple(
            Shown({image: example[image] for image in image_names(example)}, presentation.truth(example))
            for example in examples
        )
        viz.save(presentation.draw(Gallery(rows), training.names), folder / f'{name}.png')
    print(f'written to {folder}: before.png, the data as it is; after.png, transformed and augmented as in training')
    return 0


def _evaluation(checked: Checked) -> tuple[opening.EvaluationData, dict[str, str]]:
    """The evaluation split, or where it cannot be opened the training split and a line that says why."""
    try:
        return opening.open_evaluation(checked), {}
    except (OSError, ValueError) as error:
        fields = checked.data._replace(eval_split=None, eval_classes=())
        return opening.open_evaluation(checked._replace(data=fields)), {'evaluation': f'not there: {error}'}


def _chosen(size: int, most: int, seed: int) -> np.ndarray:
    """The places of the examples that are counted: all, or some at random, as the classes of a folder are in order."""
    if size <= most:
        return np.arange(size)
    return np.sort(np.random.default_rng(seed).choice(size, most, replace=False))


def _reader(checked: Checked, source: data.Source) -> Callable[[int], Example]:
    """Index -> raw example with its features decoded and its classes numbered, before anything is moved."""
    kept = (*data.transforms.DECODING, *data.transforms.NUMBERING)
    specs = [spec for spec in checked.data.train_transforms if spec['name'] in kept]
    prepared = opening.prepared(checked.data, source, specs, checked.registries, warn=False)
    transform = data.transforms.compose(prepared.transforms)
    return lambda index: transform({**source.read(index), 'seed': index})


def _lines(
    presentation: Presentation, read: Callable[[int], Example], source: data.Source, chosen: np.ndarray, names: Names
) -> dict[str, str]:
    sizes: list[tuple[int, ...]] = []
    broken = faults(source)

    def tried(index: int) -> Example | str:
        try:
            return {} if index in broken else read(index)
        except (OSError, ValueError) as error:
            return str(error)

    def examples() -> Iterator[Example]:
        with ThreadPoolExecutor() as threads:
            for block in np.split(chosen, range(AT_A_TIME, len(chosen), AT_A_TIME)):
                for index, example in zip(block.tolist(), threads.map(tried, block.tolist()), strict=True):
                    if isinstance(example, str):
                        broken[index] = example
                    elif example:
                        sizes.append(np.shape(example[image_names(example)[0]]))
                        yield example

    statistics = presentation.statistics
    rest = examples()
    found: Mapping[str, str] = statistics(rest, names) if statistics else {}
    for _ in rest:  # whatever the statistics left
        pass
    if not sizes:
        raise config.ConfigError(
            f'none of {len(broken):,} examples can be read: {_named(source, dict(list(broken.items())[:1]))}'
        )
    counted = f' ({len(chosen):,} of them, at random, are counted)' * (len(chosen) < source.size)
    rows, columns, *_ = np.transpose([size[:2] for size in sizes])
    lines = {'images': f'{source.size:,}{counted}', 'rows': _span(rows), 'columns': _span(columns), **found}
    if source.files:
        lines['files'] = source.files
    if broken:
        lines['unreadable'] = f'{len(broken):,}: {_named(source, broken)}'
    return lines


def _named(source: data.Source, broken: Mapping[int, str]) -> str:
    return first_ten([f'{source.where(index)}: {reason}' for index, reason in broken.items()])


def _span(numbers: np.ndarray) -> str:
    low, high = numbers.min(), numbers.max()
    return f'{low:,}' if low == high else f'{low:,} to {high:,}, half of them up to {int(np.median(numbers)):,}'


def _batch(checked: Checked, facts: Facts, source: data.Source, size: int, seed: int) -> dict[str, np.ndarray]:
    """A batch of training examples after the transforms of the host and the augmentations of the device."""
    fields = checked.data
    if dict(fields.order) == dict(Data().order):  # another order may need batches of its own size
        fields = fields._replace(batch_size=size)
    host = next(opening.train_batches(fields, source, seed=seed, registries=checked.registries))
    batch: Any = {name: jnp.asarray(x) for name, x in host.items()}
    for name in image_names(batch):
        if jnp.issubdtype(batch[name].dtype, jnp.integer):
            batch[name] = batch[name] / 255
    provided = num_classes(checked, facts)
    for i, spec in enumerate(checked.settings.augment):
        augmentation = config.bind(spec, augment, provided=provided, registries=checked.registries)
        batch = augmentation(jax.random.fold_in(jax.random.key(seed), i), batch)
    return jax.device_get(batch)
