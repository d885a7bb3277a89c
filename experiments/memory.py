r"""The memory that a training step of a config needs, before there are data or a run: from the compiled program.

    python -m experiments.memory --config=stereo/scene_flow:gcnet \
        --example="{'left': [540, 960, 3], 'right': [540, 960, 3], 'disparity': [540, 960]}"

--example has the shape of each feature of a training example, after transforms; without it the data of the config are
opened. The step is compiled for the devices of this machine, and nothing is run or allocated: only here the estimate
holds, as a GPU's compiler plans otherwise than a CPU's. `experiments.train` prints the same number before it begins,
and a warning where the device has less. Where classes have names, give `--config.data.class_names`.
"""

from collections.abc import Mapping, Sequence

import jax
from absl import flags

from experiments import launch
from experiments.run import batches as opening
from experiments.run import planning, tables
from experiments.run.assemble import assemble
from experiments.run.check import check
from jaxcv import config, training
from jaxcv.config.text import read

EXAMPLE = flags.DEFINE_string('example', None, "Shapes of an example: {'image': [224, 224, 3], 'label': []}.")
USES = ('config', 'use')


def main() -> int:
    """Prints the table of the flags' config; returns the exit code."""
    settings = launch.given_config()
    if settings is None:
        raise config.ConfigError('give --config=NAME')
    checked, mesh = check(settings, launch.used_modules()), training.make_mesh()
    planning.check_split(checked, mesh)
    if EXAMPLE.value is None:
        facts = opening.facts_of(opening.open_training(checked), opening.open_evaluation(checked))
    else:
        facts = planning.facts_of_shapes(checked, _shapes(EXAMPLE.value))
    experiment = assemble(checked, facts)
    parameters, cost = planning.cost_of(experiment, mesh)
    device = jax.devices()[0]
    there = planning.memory_of(device)
    rows = {
        'model': f'{settings.model.name}, {parameters:,} parameters',
        'example': ', '.join(
            f'{name} {" x ".join(map(str, spec["shape"])) or "1"}'
            for name, spec in facts.example.items()
            if name not in ('valid', 'index')
        ),
        'batch': f'{checked.data.batch_size} on {mesh.size} x {device.device_kind}',
        'compiled in': f'{cost.compile_seconds:.1f} s',
        'a step': f'{cost.flops / 1e9:.3g} GFLOP a device' if cost.flops else 'not known',
        'memory': f'{planning.gib(cost.memory)} a device' if cost.memory else 'not known',
        'there is': planning.gib(there) if there else 'not known',
    }
    print(tables.pairs(rows))
    return 0


def _shapes(text: str) -> Mapping[str, Sequence[int]]:
    """The shapes that --example gives."""
    try:
        given = read(text)
    except ValueError as error:
        raise config.ConfigError(f'--example: {error}') from None
    if not isinstance(given, Mapping) or not all(isinstance(shape, Sequence) for shape in given.values()):
        raise config.ConfigError(f"--example must be {{'feature': [shape], ...}}, got {text!r}")
    return given


if __name__ == '__main__':
    launch.launch(main, uses=USES)
