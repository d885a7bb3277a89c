"""What a run starts from besides random values: `finetune.start_from`, a trained workdir or published weights."""

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments import launch
from experiments.experiment import Experiment, Finetune, batch_of_one
from jaxcv import config, models, training, weights
from jaxcv.types import Variables


def given_variables(experiment: Experiment, settings: ConfigDict, example: Mapping[str, np.ndarray]) -> Variables:
    """The trained network's variables without the new layers; {} if the run starts from random values.

    Raises:
        ConfigError: there is no such network, or it differs in more than the new layers, with all differences.
    """
    finetune = experiment.finetune
    if finetune.start_from is None:
        return {}
    ours = jax.eval_shape(experiment.phases[0].task.init, jax.random.key(0), batch_of_one(example))
    spec, wanted = settings.model, ours
    if finetune.into:
        spec, wanted = _part(experiment, settings, example)
    try:
        package = finetune.start_from.removeprefix('package:')
        place = Path(package).expanduser() if package == finetune.start_from else weights.packaged(package)
        given = _published(place, spec.name, wanted, finetune) if place.is_file() else _trained(place, finetune)
        given = training.transferable(given, wanted, new=finetune.new)
    except (ValueError, FileNotFoundError) as error:
        raise config.ConfigError(f'finetune.start_from: {error}') from None
    if not finetune.into:
        return given
    # A backbone does without some of the layers of the whole network, such as its head.
    return {
        kind: {finetune.into: {name: value for name, value in given[kind].items() if name in layers[finetune.into]}}
        for kind, layers in ours.items()
        if finetune.into in layers
    }


def _part(
    experiment: Experiment, settings: ConfigDict, example: Mapping[str, np.ndarray]
) -> tuple[ConfigDict, Variables]:
    """The spec of the network in `finetune.into`, and the variables that it has when it stands alone."""
    name = experiment.finetune.into
    spec = settings.model[name]
    provided = {'num_classes': len(experiment.data.class_names)}
    model = config.build(spec, models, path=f'model.{name}', provided=provided)
    image = jax.ShapeDtypeStruct((1, *example['image'].shape), jnp.float32)
    return spec, jax.eval_shape(model.init, jax.random.key(0), image)


def _trained(workdir: Path, finetune: Finetune) -> Variables:
    """The variables of a run."""
    if not (workdir / 'checkpoints').is_dir():
        raise ValueError(f'{workdir} holds no checkpoints, and is no file of weights either')
    options = launch.run_config(workdir).training
    if options.members > 1:
        raise ValueError(f'{workdir} holds an ensemble of {options.members}, not one network')
    return training.read_variables(
        workdir / 'checkpoints', finetune.checkpoint, best_metric=options.best_metric, best_mode=options.best_mode
    )


def _published(path: Path, model_name: str, wanted: Variables, finetune: Finetune) -> Variables:
    """The variables of a file of weights, without the new layers."""
    layout = weights.loading.layout(model_name.rpartition('.')[2], finetune.source)
    try:
        return weights.convert.to_variables(weights.read_state_dict(path), wanted, layout, without=tuple(finetune.new))
    except ValueError as error:
        new = ', '.join(finetune.new) or 'none'
        raise ValueError(
            f'{path} as {model_name} from {finetune.source!r} (finetune.source), new layers {new}: {error}'
        ) from None
