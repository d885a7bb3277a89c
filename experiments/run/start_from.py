"""Where a run starts from, besides random values: `finetune.start_from`, a trained workdir or published weights."""

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from experiments.run import shared
from experiments.run.assemble import Experiment, num_classes
from experiments.run.batches import zeros
from experiments.run.fields import Finetune
from experiments.run.workdir import ranking_of, settings_of
from jaxcv import config, models, training, weights
from jaxcv.features import FEATURES
from jaxcv.types import Variables
from jaxcv.weights.layouts.embedding import NORMALIZATIONS

IMAGE = 'h w c'
"""The axes of an image in the table of features; those of a pair have one shape."""


def given_variables(experiment: Experiment) -> Variables:
    """The trained network's variables without the new layers; {} if the run starts from random values.

    Raises:
        ConfigError: there is no such network, or it differs in more than the new layers, with all differences.
    """
    finetune = experiment.finetune
    if finetune.start_from is None:
        return {}
    batch = zeros(experiment.facts.example)
    ours = jax.eval_shape(experiment.phases[0].task.init, jax.random.key(0), batch)
    spec, wanted = experiment.settings.model, ours
    if finetune.into:
        spec, wanted = _part(experiment)
    try:
        row = _row(finetune.start_from, spec.name)
        place = _place(finetune.start_from, row)
        source = finetune.source or (row.source if row else 'torchvision')
        published = weights.files.holds_weights(place) and not shared.holds_network(place)
        if published and (warning := normalization_differs(experiment.settings.task, row, source)):
            logging.warning('finetune.start_from: %s', warning)
        given = _published(place, spec.name, source, wanted, finetune) if published else _trained(place, finetune)
        given = training.transferable(given, wanted, new=finetune.new)
    except (ValueError, OSError) as error:  # a ConnectionError is an OSError
        raise config.ConfigError(f'finetune.start_from: {error}') from None
    if not finetune.into:
        return given
    # A backbone does without some of the layers of the whole network, such as its head.
    *outer, inner = finetune.into.split('/')
    found: dict[str, Any] = {}
    for kind, layers in ours.items():
        own = functools.reduce(lambda x, name: x.get(name, {}), [*outer, inner], layers)
        if own:
            part = {name: value for name, value in given[kind].items() if name in own}
            found[kind] = functools.reduce(lambda x, name: {name: x}, [inner, *reversed(outer)], part)
    return found


def _row(given: str, model_name: str) -> weights.Published | None:
    """The row of the tables of published weights that a name stands for; None for a path, or a package without a row.

    Raises:
        ValueError: it is neither a path nor a known name, or its weights are of another model.
    """
    name = given.removeprefix(weights.PACKAGE)
    if name != given and name not in weights.PACKAGED:
        return None
    path, of_path = Path(given).expanduser(), ('/', *weights.files.SUFFIXES)
    if name == given and (path.exists() or any(word in given for word in of_path)):
        return None
    try:
        row = weights.find(name)
    except ValueError as error:
        raise ValueError(f'{error} There is no folder or file {given} either') from None
    model = weights.published.model_of(row)
    if model != model_name.rpartition('.')[2]:
        raise ValueError(
            f'{row.name} are weights of {model}, and the network is {model_name}: take model.name={model}, or weights '
            f'of {model_name}; finetune.into names the part that they are for'
        )
    return row


def normalization_differs(task: ConfigDict, row: weights.Published | None, source: str) -> str:
    """The warning where a task normalizes images otherwise than the weights were trained with; ''.

    Args:
        task: the section of the config.
        row: of the published weights; None: they are a file of `source`.
        source: of the file; of most sources no normalization is known.
    """
    if row is not None:
        known = weights.recipe(row).task
        name, mean, std = row.name, known['mean'], known['std']
    elif source in NORMALIZATIONS:
        name = f'the weights of {source}'
        mean, std = ([round(value, 4)] * 3 for value in NORMALIZATIONS[source])
    else:
        return ''
    own = [task.get('mean'), task.get('std')]
    if any(len(value or ()) not in (0, 3) for value in own):
        return ''  # of gray images
    if all(np.allclose(a or b, c, atol=1e-3) for a, b, c in zip(own, (0.0, 1.0), (mean, std), strict=True)):
        return ''
    return f'{name} were trained on images with task.mean={mean} and task.std={std}; this run has {own[0]} and {own[1]}'


def _place(given: str, row: weights.Published | None) -> Path:
    """The folder or file: of a row or a repository of the Hub the downloaded one, or that of a package."""
    if row is not None:
        return weights.download(row.name)
    if given.startswith(shared.HUB):
        return shared.downloaded(given)
    package = given.removeprefix(weights.PACKAGE)
    return Path(given).expanduser() if package == given else weights.packaged(package)


def _part(experiment: Experiment) -> tuple[ConfigDict, Variables]:
    """The spec of the network in `finetune.into`, and the variables that it has when it stands alone."""
    name = experiment.finetune.into.rpartition('/')[2]
    spec = experiment.settings.model[name]
    registries = experiment.checked.registries
    provided = {'num_classes': 1, **num_classes(experiment.checked, experiment.facts)}  # of its head, if it has one
    model = config.build(spec, models, path=f'model.{name}', provided=provided, registries=registries)
    example = experiment.facts.example
    shape = next(example[one]['shape'] for one, feature in FEATURES.items() if feature.axes == IMAGE and one in example)
    image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    return spec, jax.eval_shape(model.init, jax.random.key(0), image)


def _trained(workdir: Path, finetune: Finetune) -> Variables:
    """The variables of a run, or of a shared network."""
    if shared.holds_network(workdir):
        networks = shared.facts_of_network(workdir)['networks']
        if networks > 1:
            raise ValueError(f'{workdir} holds an ensemble of {networks}, not one network')
        return shared.variables_of(workdir)
    if not (workdir / 'checkpoints').is_dir():
        raise ValueError(f'{workdir} holds no checkpoints, and is no file of weights either')
    members = settings_of(workdir).training.members
    if members > 1:
        raise ValueError(f'{workdir} holds an ensemble of {members}, not one network')
    best, better = ranking_of(workdir)
    return training.read_variables(workdir / 'checkpoints', finetune.checkpoint, best_metric=best, better=better)


def _published(path: Path, model_name: str, source: str, wanted: Variables, finetune: Finetune) -> Variables:
    """The variables of a file of weights, without the new layers."""
    name = model_name.rpartition('.')[2]
    state_dict, choice = weights.files.read_part(path, part=finetune.part, averaged=finetune.averaged)
    try:
        return weights.fitting.fit(
            state_dict,
            wanted,
            name,
            source,
            without=tuple(finetune.new),
            averaged=finetune.averaged and not choice.averaged,
            sum_channels=finetune.sum_channels,
            hint='Layers that start from random values, such as a head for other classes, are listed in finetune.new.',
        )
    except ValueError as error:
        new = ', '.join(finetune.new) or 'none'
        raise ValueError(
            f'{path} as {model_name} from {source!r} (finetune.source), new layers {new}: {error}'
        ) from None
