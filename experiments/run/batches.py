"""The data of a run, opened once: its sources, its batches, and the facts that the rest is built by."""

import functools
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging

from experiments.run.check import Checked
from experiments.run.fields import Data, Facts
from experiments.run.own_data import check_files
from jaxcv import config, data
from jaxcv.config.values import plain
from jaxcv.data.classes import ordered_by, same_names, with_classes_of
from jaxcv.data.prefetch import Prefetched
from jaxcv.features import FEATURES, Example, Names
from jaxcv.task import Presentation

INSPECTED = 16
"""Raw examples that `Presentation.inspect` gets."""
LISTED = 10
"""Names of classes in a message."""


class TrainingData(NamedTuple):
    """The training split, opened."""

    source: data.Source
    example: Mapping[str, np.ndarray]
    """One example as the transforms leave it, for its shapes."""
    names: Names
    """Names of the classes of transformed examples; {} of those that have none."""
    numbered: Names
    """See `numbers_of`."""


class EvaluationData(NamedTuple):
    """The evaluation split, opened."""

    source: data.Source
    batches: Any
    """An iterable of this process's part of the batches: each pass has every example once."""
    first: Mapping[str, np.ndarray]
    """The first batch."""
    names: Names
    """Names of the classes of transformed examples; {} of those that have none."""
    has_own_classes: bool = False
    """Whether its classes are others than those of training, by `data.eval_classes`."""


class Prepared(NamedTuple):
    """How the examples of a split are prepared."""

    transforms: Sequence[Any]
    names: Names
    """Names of the classes after the transforms."""


def open_training(checked: Checked) -> TrainingData:
    """Opens the training split and reads one example, by a pipeline of its own: the real one stays unread.

    Raises:
        ConfigError, ValueError: the example is not as `jaxcv.features` has it, or its classes are not those of the
            model.
    """
    source = open_source(checked.data, checked.data.train_split)
    check_files(checked.data, source, checked.data.train_split)
    fields = checked.data._replace(batch_size=jax.process_count(), threads=1, order={'name': 'shuffled'})
    batch = next(train_batches(fields, source, seed=0, registries=checked.registries))
    example = {name: value[0] for name, value in batch.items()}
    names = prepared(fields, source, fields.train_transforms, checked.registries).names
    return TrainingData(source, example, names, numbers_of(checked, names, example))


def open_evaluation(checked: Checked, facts: Facts | None = None) -> EvaluationData:
    """Opens the evaluation split and reads its first batch; the training split, as evaluated, where there is none.

    Args:
        checked: the config.
        facts: of the trained run, if there is one: classes are numbered, by their names, as in its training, unless
            they are others, `data.eval_classes`.

    Raises:
        ConfigError: there are classes that the model was not trained on.
    """
    fields, own = checked.data, bool(checked.data.eval_classes)
    if own:
        fields = fields._replace(classes=fields.eval_classes)
    source = open_source(fields, fields.eval_split or fields.train_split, facts)
    if fields.eval_split is not None:
        check_files(fields, source, fields.eval_split)
    there = _features(source, fields.eval_transforms, checked.registries) if facts else None
    names = prepared(fields, source, fields.eval_transforms, checked.registries, facts, there=there).names
    opened = functools.partial(
        eval_batches, fields, source, registries=checked.registries, facts=facts, groups=groups_of(fields, source)
    )
    batches = opened()
    first = next(iter(batches))
    if numbered := numbers_of(checked, names, first):  # only now it is known which features the examples have
        batches = opened(numbered=numbered)
        first = next(iter(batches))
    return EvaluationData(source, batches, first, names, own)


def facts_of(training: TrainingData, evaluation: EvaluationData) -> Facts:
    """The facts about opened data.

    Raises:
        ConfigError: the two splits have different classes.
    """
    there = {*training.example, *evaluation.first}
    names = {feature: list(trained) for feature, trained in training.names.items() if feature in there}
    found, expected = (
        {feature: list(named) for feature, named in part.items() if feature in evaluation.first}
        for part in (evaluation.names, names)
    )
    if found != expected and not evaluation.has_own_classes:
        raise config.ConfigError(
            'the evaluation split has other classes than the training split: ' + _others(found, expected)
        )
    first = {name: value[0] for name, value in evaluation.first.items()}
    ids = {
        feature: list(numbers)
        for feature, numbers in training.source.class_ids.items()
        if names.get(feature) == list(training.source.names.get(feature, ()))  # no transform changed them
    }
    return Facts(names, training.source.size, _specs(training.example), _specs(first), ids)


def as_evaluated(facts: Facts, evaluation: EvaluationData) -> Facts:
    """The facts of a trained run, with the shapes of the examples that it is evaluated on now."""
    return facts._replace(eval_example=_specs({name: value[0] for name, value in evaluation.first.items()}))


def zeros(specs: Mapping[str, Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """A batch of one example of zeros, of the shapes and types of `Facts.example`."""
    return {name: np.zeros((1, *spec['shape']), spec['dtype']) for name, spec in specs.items()}


def warn_of(
    checked: Checked,
    presentation: Presentation | None,
    source: data.Source,
    specs: Sequence[Mapping],
    names: Names,
    facts: Facts | None = None,
) -> None:
    """Logs the warnings of the presentation about the first raw examples of a split, of training or evaluation."""
    for warning in presentation.inspect(raw_examples(checked, source, specs, facts), names) if presentation else ():
        logging.warning(warning)


def resume(batches: Prefetched, state: Mapping[str, Any], *, changes_allowed: bool) -> None:
    """Moves the training batches to a saved place.

    Raises:
        ConfigError: it is a place in other data, and changes are not allowed.
    """
    try:
        batches.set_state(state, changes_allowed=changes_allowed)
    except ValueError as error:
        raise config.ConfigError(f'{error} (to allow the changes: --resume_with_changes)') from None


def raw_examples(
    checked: Checked, source: data.Source, specs: Sequence[Mapping], facts: Facts | None = None
) -> Iterator[Example]:
    """The first examples with their truths decoded and numbered, before anything is moved; unreadable ones left out.

    Each has its name, as in messages, as 'where'.
    """
    numbering = [spec for spec in specs if spec['name'] in data.transforms.NUMBERING]
    transform = data.transforms.compose(
        prepared(checked.data, source, numbering, checked.registries, facts, warn=False).transforms
    )
    for i in range(min(INSPECTED, source.size)):
        try:
            yield {**transform(source.read(i)), 'where': source.where(i)}
        except (OSError, ValueError):  # reported with the batches, by the example's name
            continue


def open_source(fields: Data, split: str, facts: Facts | None = None) -> data.Source:
    """Opens a split of the config's data set; of `data.classes`, a trained run's may lack some in other data."""
    source = data.source(fields.name, split=split, data_dir=fields.data_dir, options=plain(fields.options))
    if not fields.classes:
        return source
    listed = {name for names in source.names.values() for name in names}
    return data.only_classes(source, [name for name in fields.classes if facts is None or name in listed])


def prepared(
    fields: Data,
    source: data.Source,
    specs: Iterable[Mapping],
    registries: Mapping[str, ModuleType] | None = None,
    facts: Facts | None = None,
    *,
    warn: bool = True,
    there: Container[str] | None = None,
) -> Prepared:
    """The transforms of a split, and the names of the classes that they leave.

    Names of `data.class_names` are those of transformed examples. Where `facts` are given, the classes are numbered by
    their names as in the training of that run, and a difference is reported; of features that are `there`, if those of
    the examples are given.

    Raises:
        ConfigError: there are classes that the run was not trained on.
    """
    transforms = build_transforms(specs, registries)
    names = {**data.transforms.names_after(source.names, transforms), **(fields.class_names or {})}
    for feature, wanted in (facts.names if facts and not fields.eval_classes else {}).items():
        found = names.get(feature, ())
        if found and not same_names(found, wanted):
            difference = f'{fields.name} ({source.where(0)}) has the classes {shortened(found)}'
            try:
                transforms.append(with_classes_of(found, wanted, feature=feature))
            except ValueError as error:
                raise config.ConfigError(
                    f'{difference}, but the run was trained on {shortened(wanted)}: {error}. Give the classes to '
                    f'keep in data.classes, or their names in data.class_names'
                ) from None
            if warn:
                logging.warning(
                    '%s; they are numbered by their names as in training: %s', difference, shortened(wanted)
                )
        if not found and warn and (there is None or feature in there):
            logging.warning(
                '%s (%s) names no classes of %s: its numbers are taken for those of the training: %s',
                *(fields.name, source.where(0), feature, shortened(wanted)),
            )
        names[feature] = tuple(wanted)
    return Prepared(transforms, {feature: tuple(of_feature) for feature, of_feature in names.items()})


def numbers_of(checked: Checked, names: Names, example: Mapping[str, Any]) -> Names:
    """Numbers as names, of the one feature whose classes have no names but a number in the config; else {}.

    Batches check labels against them: without a name, a label out of range would be found by nothing.
    """
    count = checked.settings.model.get('num_classes', checked.settings.task.get('num_classes'))
    unnamed = [name for name, row in FEATURES.items() if row.names and name in example and not names.get(name)]
    if not isinstance(count, int) or len(unnamed) != 1 or any(names.get(name) for name in example):
        return {}
    return {unnamed[0]: tuple(map(str, range(count)))}


def train_batches(
    fields: Data,
    source: data.Source,
    *,
    seed: int,
    registries: Mapping[str, ModuleType] | None = None,
    numbered: Names | None = None,
) -> Iterator:
    """This process's part of the training batches, on the host.

    Args:
        fields: of the config.
        source: the training split.
        seed: the run's.
        registries: see `Checked`.
        numbered: further names of classes that labels are checked against, see `numbers_of`.
    """
    transforms, names = prepared(fields, source, fields.train_transforms, registries)
    return data.train_batches(
        source,
        batch_size=fields.batch_size,
        transforms=transforms,
        names={**names, **(numbered or {})},
        seed=seed if fields.seed is None else fields.seed,
        order=order_of(fields, source, transforms, registries),
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        on_broken=fields.on_broken,
        threads=fields.threads,
    )


def order_of(
    fields: Data, source: data.Source, transforms: Sequence[Any], registries: Mapping[str, ModuleType] | None = None
) -> data.orders.Order | None:
    """The order that `data.order` names; None of the default, a new permutation each epoch.

    Raises:
        ConfigError: the order does not fit the data or the batches.
    """
    if dict(fields.order) == {'name': 'shuffled'}:
        return None
    made = ordered_by(source, transforms, batch_size=fields.batch_size)
    call = config.prepare(fields.order, data.orders, path='data.order', provided=made, registries=registries or {})
    arguments = {name: made[name]() if value is made.get(name) else value for name, value in call.keywords.items()}
    try:
        return call.func(**arguments)
    except ValueError as error:
        raise config.ConfigError(f'data.order: {error}') from None


def groups_of(fields: Data, source: data.Source) -> np.ndarray | None:
    """The groups that share the batches of an evaluation, by `data.eval_order`; None: there is one."""
    return data.orientations(source) if fields.eval_order == 'grouped' else None


def eval_batches(
    fields: Data,
    source: data.Source,
    *,
    registries: Mapping[str, ModuleType] | None = None,
    facts: Facts | None = None,
    numbered: Names | None = None,
    groups: np.ndarray | None = None,
) -> Iterable[Mapping[str, np.ndarray]]:
    """This process's part of the evaluation batches, on the host; each pass has every example once.

    Args:
        fields: of the config.
        source: the evaluation split.
        registries: see `Checked`.
        facts: of the trained run, if there is one, see `prepared`.
        numbered: further names of classes that labels are checked against, see `numbers_of`.
        groups: see `groups_of`.
    """
    transforms, names = prepared(fields, source, fields.eval_transforms, registries, facts, warn=False)
    return data.eval_batches(
        source,
        batch_size=-(-min(fields.eval_batch_size, source.size) // jax.device_count()) * jax.device_count(),
        transforms=transforms,
        groups=groups,
        names={**names, **(numbered or {})},
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        on_broken=fields.on_broken,
        threads=fields.threads,
    )


def build_transforms(specs: Iterable[Mapping], registries: Mapping[str, ModuleType] | None = None) -> list:
    """The transforms of the host that the specs name."""
    return [config.build(spec, data.transforms, registries=registries or {}) for spec in specs]


def _features(
    source: data.Source, specs: Iterable[Mapping], registries: Mapping[str, ModuleType] | None
) -> Container[str] | None:
    """The features of the first example after the transforms; None where it cannot be read."""
    try:
        return data.transforms.compose(build_transforms(specs, registries))({**source.read(0), 'seed': 0}).keys()
    except (OSError, ValueError):  # reported with the batches, by the example's name
        return None


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
