"""The data of a config, as it is and as the network gets it: a picture of each, and lines about the truths."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.run import batches as opening
from experiments.run import tables
from experiments.run.assemble import assemble, num_classes
from experiments.run.check import Checked
from experiments.run.fields import Facts
from experiments.run.pictures import image_names
from jaxcv import augment, config, data, viz
from jaxcv.features import Example, Names
from jaxcv.task import Gallery, Presentation, Shown


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
    training = opening.open_training(checked)
    facts = opening.facts_of(training, opening.open_evaluation(checked))
    presentation = assemble(checked, facts).task.presentation
    if presentation is None or presentation.truth is None:
        raise config.ConfigError(f'{checked.settings.task.name} does not say how its examples are drawn')
    source = training.source
    opening.warn_of(checked, presentation, source, checked.data.train_transforms, training.names)
    read = _reader(checked, source)
    print(tables.pairs(_lines(presentation, read, source, most, training.names)))
    batch = _batch(checked, facts, source, min(presentation.most, source.size), seed)
    after = [{name: x[i] for name, x in batch.items()} for i in np.flatnonzero(batch['valid'])]
    before = [read(int(example['index'])) for example in after]
    for name, examples in (('before', before), ('after', after)):
        rows = tuple(
            Shown({image: example[image] for image in image_names(example)}, presentation.truth(example))
            for example in examples
        )
        viz.save(presentation.draw(Gallery(rows), training.names), folder / f'{name}.png')
    print(f'written to {folder}: before.png, the data as it is; after.png, transformed and augmented as in training')
    return 0


def _reader(checked: Checked, source: data.Source) -> Callable[[int], Example]:
    """Index -> raw example with its features decoded and its classes numbered, before anything is moved."""
    kept = (*data.transforms.DECODING, *data.transforms.NUMBERING)
    specs = [spec for spec in checked.data.train_transforms if spec['name'] in kept]
    prepared = opening.prepared(checked.data, source, specs, checked.registries, warn=False)
    transform = data.transforms.compose(prepared.transforms)
    return lambda index: transform({**source.read(index), 'seed': index})


def _lines(
    presentation: Presentation, read: Callable[[int], Example], source: data.Source, most: int, names: Names
) -> dict[str, str]:
    sizes: list[tuple[int, ...]] = []
    broken: list[str] = []

    def examples() -> Iterator[Example]:
        for index in range(min(most, source.size)):
            try:
                example = read(index)
            except (OSError, ValueError) as error:
                broken.append(str(error))
                continue
            sizes.append(np.shape(example[image_names(example)[0]]))
            yield example

    statistics = presentation.statistics
    rest = examples()
    found: Mapping[str, str] = statistics(rest, names) if statistics else {}
    for _ in rest:  # whatever the statistics left
        pass
    if not sizes:
        raise config.ConfigError(f'none of the first {len(broken):,} examples can be read: {broken[0]}')
    low, high = np.min(sizes, axis=0), np.max(sizes, axis=0)
    counted = f' (the first {most:,} are counted)' * (most < source.size)
    lines = {
        'images': f'{source.size:,}{counted}',
        'rows': _span(low[0], high[0]),
        'columns': _span(low[1], high[1]),
        **found,
    }
    if broken:
        lines['unreadable'] = f'{len(broken):,}, the first: {broken[0]}'
    return lines


def _span(low: int, high: int) -> str:
    return f'{low:,}' if low == high else f'{low:,} to {high:,}'


def _batch(checked: Checked, facts: Facts, source: data.Source, size: int, seed: int) -> dict[str, np.ndarray]:
    """A batch of training examples after the transforms of the host and the augmentations of the device."""
    fields = checked.data._replace(batch_size=size)
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
