"""Writers of metrics for experiment trackers: Weights & Biases and MLflow.

Both packages are optional, and imported by the function that needs them. A resumed run continues the run that the
tracker already has: `trackers.json` in the workdir keeps its id. Steps that a killed run wrote after its last
checkpoint are written once more, with the same numbers.
"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxcv.extras import required
from jaxcv.files import read_json, write_json
from jaxcv.training.writers import Writer, finite

IDS = 'trackers.json'
"""The file in the workdir that keeps the ids of the runs by the names of the trackers."""
PROJECT = 'jaxcv'
"""The project of W&B and the experiment of MLflow, where the environment names none."""
LONGEST = 500
"""Characters of a value of the config; older MLflow servers accept no more."""


def wandb_writer(folder: Path, *, config: Mapping[str, Any]) -> Writer:
    r"""Write numbers and images to Weights & Biases.

    W&B's own variables decide where they go: `WANDB_PROJECT` (by default `jaxcv`), `WANDB_ENTITY`, and `WANDB_MODE`;
    with `WANDB_MODE=offline` they stay in `folder/wandb`, until `wandb sync` uploads them. Every value is drawn over
    `step`, the step of the run, as W&B's own counter takes no step twice.

    Args:
        folder: the workdir; its name is the name of the run.
        config: of the run, shown beside it.

    Returns:
        A Writer of numbers and images.

    Raises:
        MissingExtraError: wandb is not installed.
        ValueError: W&B refuses the run, as without a login.

    Example:
        WANDB_MODE=offline python -m experiments.train --config=digits --workdir=runs/digits \
            --config.training.writers=jsonl,wandb
    """
    wandb = required('wandb')
    folder.mkdir(parents=True, exist_ok=True)
    found = _ids(folder).get('wandb') or secrets.token_hex(4)
    try:
        run = wandb.init(
            project=os.environ.get('WANDB_PROJECT', PROJECT),
            dir=str(folder),
            id=found,
            name=folder.absolute().name,
            resume='allow',
            config=dict(config),
        )
    except (wandb.Error, OSError) as error:
        raise ValueError(
            f'W&B refuses the run: {error}\nLog in (wandb login), or write offline (WANDB_MODE=offline)'
        ) from None
    run.define_metric('step', hidden=True)
    run.define_metric('*', step_metric='step')
    _keep_id(folder, 'wandb', found)
    return Writer(
        lambda step, scalars: run.log({'step': step, **finite(scalars)}),
        run.finish,
        lambda step, name, image: run.log({'step': step, name: wandb.Image(image)}),
    )


def mlflow_writer(folder: Path, *, config: Mapping[str, Any]) -> Writer:
    """Write numbers and images to MLflow.

    `MLFLOW_TRACKING_URI` names the server or store; without it that is the file `folder/mlflow.db`, which
    `mlflow ui --backend-store-uri sqlite:///folder/mlflow.db` shows. `MLFLOW_EXPERIMENT_NAME` is the experiment (by
    default `jaxcv`). The config is logged as parameters, `optimizer.learning_rate` and so on.

    Args:
        folder: the workdir; its name is the name of the run.
        config: of the run.

    Returns:
        A Writer of numbers and images.

    Raises:
        MissingExtraError: mlflow is not installed.
        ValueError: the server cannot be reached, or refuses the run.

    Example:
        python -m experiments.train --config=digits --workdir=runs/digits --config.training.writers=jsonl,mlflow
    """
    mlflow = required('mlflow')
    entities = required('mlflow.entities')
    folder.mkdir(parents=True, exist_ok=True)
    own = f'sqlite:///{folder.absolute() / "mlflow.db"}'
    place = os.environ.get('MLFLOW_TRACKING_URI', own)
    client = mlflow.MlflowClient(tracking_uri=place)
    try:
        run_id = _mlflow_run(client, folder, is_local=place == own, config=config)
    except mlflow.exceptions.MlflowException as error:
        raise ValueError(f'MLflow refuses the run at {place} (MLFLOW_TRACKING_URI): {error}') from None

    def write(step: int, scalars: Mapping[str, float]) -> None:
        now = mlflow.utils.time.get_current_time_millis()
        client.log_batch(
            run_id, metrics=[entities.Metric(name, value, now, step) for name, value in finite(scalars).items()]
        )

    def image(step: int, name: str, pixels: np.ndarray) -> None:
        client.log_image(run_id, pixels, key=name.replace('/', '_'), step=step)

    return Writer(write, lambda: client.set_terminated(run_id), image)


def _mlflow_run(client: Any, folder: Path, *, is_local: bool, config: Mapping[str, Any]) -> str:
    """The id of the run, which is made where the workdir has none yet."""
    if (run_id := _ids(folder).get('mlflow')) is not None:
        client.update_run(run_id, status='RUNNING')
        return run_id
    name = os.environ.get('MLFLOW_EXPERIMENT_NAME', PROJECT)
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        experiment_id = experiment.experiment_id
    else:  # the files of a local store belong in the workdir, and not into the current folder
        place = (folder.absolute() / 'mlflow').as_uri() if is_local else None
        experiment_id = client.create_experiment(name, artifact_location=place)
    run_id = client.create_run(experiment_id, run_name=folder.absolute().name).info.run_id
    for field, value in _flat(config).items():
        client.log_param(run_id, field, str(value)[:LONGEST])
    _keep_id(folder, 'mlflow', run_id)
    return run_id


def _flat(config: Mapping[str, Any], above: str = '') -> dict[str, Any]:
    """{'optimizer.learning_rate': value}; an empty section or list is left out."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f'{above}{name}.')
        elif value not in (None, [], ()):
            found[f'{above}{name}'] = value
    return found


def _ids(folder: Path) -> dict[str, str]:
    return read_json(folder / IDS) if (folder / IDS).is_file() else {}


def _keep_id(folder: Path, tracker: str, run_id: str) -> None:
    write_json(folder / IDS, {**_ids(folder), tracker: run_id})
