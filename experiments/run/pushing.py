"""A trained network as a folder for the Hugging Face Hub: weights, config, preprocessing, class names, model card."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from experiments.run import shared, tables, workdir
from experiments.run.assemble import Experiment, assemble
from experiments.run.card import Card, model_card
from experiments.run.check import Checked
from experiments.run.evaluation import EVALUATION
from experiments.run.variables import restore, several
from experiments.run.workdir import say
from jaxcv import config, training, weights
from jaxcv.extras import MissingExtraError, required
from jaxcv.files import atomically, read_json, write_json

PRIVATE = ('data_dir', 'threads')
"""Fields of `data` that describe this machine."""


def push(
    checked: Checked,
    folder: Path,
    which: int | str,
    target: Path,
    *,
    averaged: bool | None = None,
    repo: str | None = None,
    private: bool = False,
    license: str | None = None,
) -> int:
    """Writes the folder, and uploads it where a repository is given.

    Args:
        checked: the config of the run.
        folder: the workdir.
        which: 'last', 'best' or a step.
        target: the folder to write: new, empty, or of an earlier call.
        averaged: whether the average is shared; None: as the config says.
        repo: USER/NAME on the Hub; None: nothing is uploaded.
        private: whether a repository that is made now can be read by its owner only.
        license: its identifier on the Hub, such as 'apache-2.0'; None: none is named.

    Returns:
        The exit code.

    Raises:
        ConfigError: the folder holds other files, there is no such network, or it could not be uploaded.
    """
    averaged = checked.training.evaluate_averaged if averaged is None else averaged
    _check_target(target)
    name = shared.checked_repo(repo) if repo else target.absolute().name
    experiment = assemble(checked, workdir.facts_of(folder, checked))
    mesh = training.make_mesh(jax.local_devices()[:1])
    trained_on = workdir.trained_on(folder, checked)
    variables, step = restore(experiment, folder, which, mesh, averaged=averaged, trained_on=trained_on)
    evaluated = evaluation_of(folder, step, averaged=averaged)
    count = jax.tree.leaves(variables['params'])[0].shape[0] if several(experiment, averaged=averaged) else 0
    network = {'step': step, 'averaged': averaged, 'networks': count or 1}
    content = public_config(workdir.content(experiment), network)
    parameters = sum(x.size for x in jax.tree.leaves(variables['params'])) // (count or 1)
    target.mkdir(parents=True, exist_ok=True)
    weights.save_variables(variables, target / shared.NETWORK)
    write_json(target / 'config.json', content)
    write_json(target / shared.PREPROCESSING, preprocessing(experiment))
    write_json(target / shared.CLASSES, {feature: list(names) for feature, names in experiment.facts.names.items()})
    (target / EVALUATION).unlink(missing_ok=True)
    if evaluated:
        write_json(target / EVALUATION, evaluated)
    else:
        say(
            f'Note: {folder} has no evaluation of this network, so the card has no results. For them: '
            + workdir.command('evaluate', f'--workdir={folder}', f'--checkpoint={which}')
        )
    if not license:
        say('Note: no licence is named, so nobody may use the network: --license=apache-2.0, mit, cc-by-4.0, ...')
    with atomically(target / shared.CARD) as unfinished:
        unfinished.write_text(model_card(experiment, Card(name, repo, license, evaluated, network, parameters)))
    say(tables.pairs({'network': f'step {step}, {parameters:,} parameters', 'written to': str(target)}))
    if repo is None:
        say(f'To upload it: {workdir.command("push", f"--workdir={folder}", f"--folder={target}", "--repo=USER/NAME")}')
        return 0
    return upload(target, repo, private=private)


def evaluation_of(folder: Path, step: int, *, averaged: bool) -> Mapping[str, Any]:
    """The content of evaluation.json if it is of this network; {} otherwise."""
    path = folder / EVALUATION
    found = read_json(path) if path.is_file() else {}
    return found if found.get('step') == step and bool(found.get('averaged')) == averaged else {}


def public_config(content: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """The content of config.json without paths of this machine, and with what is known about the network.

    Example:
        >>> content = {'data': {'data_dir': '/home/me/photos'}, 'finetune': {'start_from': '/home/me/runs/first'},
        ...            'training': {'evaluate_averaged': True}, 'found': {}}
        >>> public_config(content, {'step': 5, 'averaged': False})['finetune']
        {'start_from': 'first'}
    """
    start_from = content['finetune'].get('start_from')
    if start_from and Path(start_from).is_absolute():
        start_from = Path(start_from).name
    return {
        **content,
        'data': {name: None if name in PRIVATE else value for name, value in content['data'].items()},
        'finetune': {**content['finetune'], 'start_from': start_from},
        'training': {**content['training'], 'evaluate_averaged': network['averaged']},
        workdir.FOUND: {**content[workdir.FOUND], 'network': dict(network)},
    }


def preprocessing(experiment: Experiment) -> dict[str, Any]:
    """The transforms of the evaluation, the examples that they leave, and the task, which normalizes them."""
    settings = experiment.settings.to_dict()
    return {
        'transforms': settings['data']['eval_transforms'],
        'example': {
            name: spec for name, spec in experiment.facts.eval_example.items() if name not in ('valid', 'index')
        },
        'task': settings['task'],
    }


def upload(folder: Path, repo: str, *, private: bool = False) -> int:
    """Uploads a folder to a repository of the Hugging Face Hub, which is made where it is not there.

    Returns:
        The exit code.

    Raises:
        ConfigError: it cannot be uploaded; the folder stays as it is.
    """
    again = f'\nThe folder {folder} stays: the same command uploads it later, or `hf upload {repo} {folder}`'
    try:
        hub = required('huggingface_hub')
        api = hub.HfApi()
        api.create_repo(repo, exist_ok=True, private=private)
        api.upload_folder(folder_path=folder, repo_id=repo, allow_patterns=[*shared.FILES])
    except MissingExtraError as error:
        raise config.ConfigError(f'{error}{again}') from None
    except Exception as error:  # errors of HTTP, of the connection, of a token: of several libraries
        reason = str(error).strip().partition('\n')[0] or type(error).__name__
        raise config.ConfigError(
            f'{repo} cannot be uploaded: {reason}. It takes a network and a token that may write (hf auth login){again}'
        ) from None
    say(f'uploaded to https://huggingface.co/{repo}')
    return 0


def _check_target(target: Path) -> None:
    """Raises a ConfigError where a file of the user's could be written over."""
    others = sorted(path.name for path in target.iterdir() if path.name not in shared.FILES) if target.is_dir() else []
    is_ours = not target.exists() or (target.is_dir() and (not any(target.iterdir()) or shared.holds_network(target)))
    if not is_ours:
        raise config.ConfigError(
            f'--folder={target} holds other files' + f' ({", ".join(others[:5])})' * bool(others) + ': give a new or '
            'empty folder, or one of an earlier push'
        )
