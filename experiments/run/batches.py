"""The data of a run, opened once: its sources, its batches, and the facts that the rest is built by."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.run.check import Checked
from experiments.run.fields import Data, Facts
from jaxcv import config, data
from jaxcv.features import Example

INSPECTED = 16
"""Raw examples that `Presentation.inspect` gets."""
LISTED = 10
"""Names of classes in a message."""


class TrainingData(NamedTuple):
    """The training split, opened."""

    source: data.Source
    example: Mapping[str, np.ndarray]
    """One example as the transforms leave it, for its shapes."""


class EvaluationData(NamedTuple):
    """The evaluation split, opened."""

    source: data.Source
    batches: Any
    """An iterable of this process's part of the batches: each pass has every example once."""
    first: Mapping[str, np.ndarray]
    """The first batch."""


def open_training(checked: Checked) -> TrainingData:
    """Opens the training split and reads one example, by a pipeline of its own: the real one stays unread."""
    source = open_source(checked.data, checked.data.train_split)
    fields = checked.data._replace(batch_size=jax.process_count(), threads=1)
    batch = next(train_batches(fields, source, seed=0, registries=checked.registries))
    return TrainingData(source, {name: value[0] for name, value in batch.items()})


def open_evaluation(checked: Checked, facts: Facts | None = None) -> EvaluationData:
    """Opens the evaluation split and reads its first batch; the training split, as evaluated, where there is none.

    Raises:
        ConfigError: its classes are not those of `facts`, which the model was trained on.
    """
    fields = checked.data
    source = open_source(fields, fields.eval_split or fields.train_split, facts)
    batches = eval_batches(fields, source, registries=checked.registries)
    return EvaluationData(source, batches, next(iter(batches)))


def facts_of(training: TrainingData, evaluation: EvaluationData) -> Facts:
    """The facts about opened data.

    Raises:
        ConfigError: the two splits have different classes.
    """
    same = evaluation.source.names, training.source.names
    if same[0] != same[1]:
        raise config.ConfigError('the evaluation split has other classes than the training split: ' + _others(*same))
    first = {name: value[0] for name, value in evaluation.first.items()}
    names = {feature: list(names) for feature, names in training.source.names.items()}
    return Facts(names, training.source.size, _specs(training.example), _specs(first))


def as_evaluated(facts: Facts, evaluation: EvaluationData) -> Facts:
    """The facts of a trained run, with the shapes of the examples that it is evaluated on now."""
    return facts._replace(eval_example=_specs({name: value[0] for name, value in evaluation.first.items()}))


def zeros(specs: Mapping[str, Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """A batch of one example of zeros, of the shapes and types of `Facts.example`."""
    return {name: np.zeros((1, *spec['shape']), spec['dtype']) for name, spec in specs.items()}


def raw_examples(checked: Checked, source: data.Source) -> Iterator[Example]:
    """The first examples with their truths decoded and numbered, before anything is moved; unreadable ones left out."""
    numbering = [spec for spec in checked.data.train_transforms if spec['name'] in data.transforms.NUMBERING]
    transform = data.transforms.compose(build_transforms(numbering, checked.registries))
    for i in range(min(INSPECTED, source.size)):
        try:
            yield transform(source.read(i))
        except (OSError, ValueError):  # reported with the batches, by the example's name
            continue


def open_source(fields: Data, split: str, facts: Facts | None = None) -> data.Source:
    """Opens a split of the config's data set.

    Raises:
        ConfigError: its classes are not those of `facts`, which the model was trained on.
    """
    source = data.source(fields.name, split=split, data_dir=fields.data_dir)
    if fields.classes:
        source = data.only_classes(source, fields.classes)
    if fields.class_names:
        given = {feature: tuple(names) for feature, names in fields.class_names.items()}
        source = source._replace(names={**source.names, **given})
    for feature, names in (facts.names if facts else {}).items():
        if feature in source.names and list(source.names[feature]) != list(names):
            raise config.ConfigError(
                f'{fields.name}, {split}, has the classes {shortened(source.names[feature])}, '
                f'but the run was trained on {shortened(names)}{_difference(source.names[feature], names)}'
            )
    return source


def train_batches(
    fields: Data, source: data.Source, *, seed: int, registries: Mapping[str, ModuleType] | None = None
) -> Iterator:
    """This process's part of the training batches, on the host."""
    return data.train_batches(
        source,
        batch_size=fields.batch_size,
        transforms=build_transforms(fields.train_transforms, registries),
        seed=seed if fields.seed is None else fields.seed,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        on_broken=fields.on_broken,
        threads=fields.threads,
    )


def eval_batches(
    fields: Data, source: data.Source, *, registries: Mapping[str, ModuleType] | None = None
) -> Iterable[Mapping[str, np.ndarray]]:
    """This process's part of the evaluation batches, on the host; each pass has every example once."""
    return data.eval_batches(
        source,
        batch_size=-(-min(fields.eval_batch_size, source.size) // jax.device_count()) * jax.device_count(),
        transforms=build_transforms(fields.eval_transforms, registries),
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        on_broken=fields.on_broken,
        threads=fields.threads,
    )


def build_transforms(specs: Iterable[Mapping], registries: Mapping[str, ModuleType] | None = None) -> list:
    """The transforms of the host that the specs name."""
    return [config.build(spec, data.transforms, registries=registries or {}) for spec in specs]


def _specs(example: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    return {
        name: {'shape': list(np.shape(value)), 'dtype': str(np.asarray(value).dtype)} for name, value in example.items()
    }


def _others(found: Mapping[str, Sequence[str]], expected: Mapping[str, Sequence[str]]) -> str:
    for feature in found.keys() | expected.keys():
        if found.get(feature) != expected.get(feature):
            break
    now, was = found.get(feature, ()), expected.get(feature, ())
    return f'{shortened(now)}, not {shortened(was)}{_difference(now, was)}'


def _difference(found: Sequence[str], expected: Sequence[str]) -> str:
    """The end of a message about two lists of classes: those that are in one of them only."""
    more, fewer = ([name for name in one if name not in other] for one, other in ((found, expected), (expected, found)))
    parts = [f'; {what}: {shortened(names)}' for what, names in (('more', more), ('missing', fewer)) if names]
    return ''.join(parts) or '; the same in another order'


def shortened(names: Sequence[str]) -> str:
    """Names of classes for a message, not too many."""
    return ', '.join(names[:LISTED]) + f', ... ({len(names)} in all)' * (len(names) > LISTED) or 'none'
