"""The model card of a shared network: README.md with YAML at its head, as the Hugging Face Hub reads it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml

from experiments.run import tables, workdir
from experiments.run.assemble import Experiment, num_classes
from experiments.run.shared import HUB
from jaxcv import __version__, config, models

OTHER = 'other'
"""The Hub's word for a task that it does not know."""


class Card(NamedTuple):
    """The facts of a model card, beside those of the experiment."""

    name: str
    repo: str | None
    license: str | None
    evaluated: Mapping[str, Any]
    """The content of evaluation.json; {} if the network was not evaluated."""
    network: Mapping[str, Any]
    """See `experiments.run.shared.facts_of_network`."""
    parameters: int
    """Of one network."""


def model_card(experiment: Experiment, card: Card) -> str:
    """The text of README.md: what the network is, its measured results with their command, and how it is used."""
    place = f'{HUB}{card.repo}' if card.repo else card.name
    settings, network = experiment.settings, card.network
    several = f', an ensemble of {network["networks"]}' * (network['networks'] > 1)
    averaged = ', averaged over the training' * network['averaged']
    predicted = workdir.command('predict', f'--workdir={place}', '--images=photos')
    continued = workdir.command(
        'train', '--config=NAME', f'--config.finetune.start_from={place}', '--workdir=runs/mine'
    )
    parts = [
        f'---\n{yaml.safe_dump(head(experiment, card), sort_keys=False, allow_unicode=True)}---\n',
        f'# {card.name.rpartition("/")[2]}\n',
        f'`{settings.model.name}` ({card.parameters:,} parameters{several}{averaged}), trained on '
        f'`{experiment.data.name}` for {network["step"]:,} steps with jaxcv {__version__}, in JAX and Flax.\n',
        _classes(experiment),
        f'## Results\n\n{results(experiment, card, place)}\n',
        f'## Use\n\n```\n{predicted}\n{continued}\n```\n',
        _in_python(experiment, network['networks']),
        '## Training\n\n`config.json` has all fields of the run. In a folder that holds it alone, `again`, this '
        'command trains the network again:\n\n'
        f'```\n{workdir.command("train", "--workdir=again")}\n```\n',
    ]
    return '\n'.join(part for part in parts if part)


def head(experiment: Experiment, card: Card) -> dict[str, Any]:
    """The card's metadata, by the names that the Hub has for them."""
    presentation = experiment.task.presentation
    kind = presentation.hub_task if presentation else ''
    found: dict[str, Any] = {'library_name': 'jaxcv', 'tags': ['jax', 'flax', 'jaxcv', experiment.settings.model.name]}
    if kind:
        found['pipeline_tag'] = kind
    if card.license:
        found['license'] = card.license
    units = experiment.task.units
    metrics = [
        {'type': name, 'name': f'{name} ({units[name].name})'.replace(' ()', ''), 'value': units[name].factor * value}
        for name, value in sorted(card.evaluated.items())
        if name in units and isinstance(value, float)
    ]
    if metrics:
        data = _evaluated_on(experiment, card)
        result = {
            'task': {'type': kind or OTHER},
            'dataset': {'name': data, 'type': data, 'split': card.evaluated['split']},
            'metrics': metrics,
        }
        found['model-index'] = [{'name': card.name.rpartition('/')[2], 'results': [result]}]
    return found


def results(experiment: Experiment, card: Card, place: str) -> str:
    """A table of the measured values, and the command that measures them."""
    if not card.evaluated:
        return 'This network was not evaluated.'
    units, split = experiment.task.units, card.evaluated['split']
    rows = [
        [name, units[name].format(value)]
        for name, value in sorted(card.evaluated.items())
        if name in units and isinstance(value, float)
    ]
    table = tables.markdown([[f'{_evaluated_on(experiment, card)}, {split}', ''], *rows])
    return f'{table}\n\nMeasured by\n\n```\n{workdir.command("evaluate", f"--workdir={place}")}\n```'


def _evaluated_on(experiment: Experiment, card: Card) -> str:
    return card.evaluated.get('data', experiment.data.name)


def _classes(experiment: Experiment) -> str:
    lines = [
        f'{len(names)} classes of `{feature}`, in `class_names.json`: {", ".join(names[:10])}'
        + ', ...' * (len(names) > 10)
        for feature, names in experiment.facts.names.items()
        if names
    ]
    return '\n\n'.join(lines) + '\n' if lines else ''


def _in_python(experiment: Experiment, networks: int) -> str:
    """Code that builds the network and reads its variables; none for those of the user's own modules and ensembles."""
    provided = num_classes(experiment.checked, experiment.facts)
    spec = experiment.settings.model
    if config.problems(spec, models, path='model', provided=tuple(provided)) or networks > 1:
        return ''
    return f"""In Python, where `preprocessor_config.json` has the transforms and the normalization of its input:

```python
from pathlib import Path
from jaxcv import config, models, weights

model = config.build(config.load(Path('config.json')).model, models, provided={provided})
variables = weights.load_variables('model.safetensors')
```
"""
