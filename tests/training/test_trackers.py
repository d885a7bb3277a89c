"""Writers for experiment trackers, offline: where their packages are installed."""

import json
import math
import sys

import numpy as np
import pytest

from jaxcv import extras
from jaxcv.training import trackers

CONFIG = {'seed': 0, 'optimizer': {'name': 'adamw', 'learning_rate': 0.1}, 'augment': []}
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)


def written(make, folder):
    """A run that is killed after step 20, resumed from step 10, and ends at 30."""
    for steps in ((10, 20), (20, 30)):
        writer = make(folder, config=CONFIG)
        for step in steps:
            writer.write(step, {'train/loss': 1 / step, 'eval/ap_large': math.nan})
        writer.image(steps[-1], 'eval/predictions', PIXELS)
        writer.close()


@pytest.mark.parametrize('make', [trackers.wandb_writer, trackers.mlflow_writer])
def test_a_missing_package_is_named_with_its_extra(make, tmp_path, monkeypatch):
    name = make.__name__.removesuffix('_writer')
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(extras.MissingExtraError, match=rf"{name} is not installed: pip install 'jaxcv\[{name}\]'"):
        make(tmp_path / 'run', config=CONFIG)
    assert not (tmp_path / 'run').exists()


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore')
def test_wandb_offline(tmp_path, monkeypatch):
    pytest.importorskip('wandb')
    monkeypatch.setenv('WANDB_MODE', 'offline')
    monkeypatch.setenv('WANDB_SILENT', 'true')
    written(trackers.wandb_writer, tmp_path / 'run')
    (own,) = json.loads((tmp_path / 'run' / trackers.IDS).read_text()).values()
    runs = sorted((tmp_path / 'run' / 'wandb').glob('offline-run-*'))
    assert runs  # of one id, which `wandb sync` joins
    assert all(run.name.endswith(f'-{own}') for run in runs)
    content = b''.join(file.read_bytes() for run in runs for file in run.glob('*.wandb'))
    assert b'train/loss' in content
    assert b'optimizer' in content
    assert b'ap_large' not in content
    assert [file for run in runs for file in run.rglob('*.png')]


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore')
def test_mlflow_in_a_file(tmp_path, monkeypatch):
    mlflow = pytest.importorskip('mlflow')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('MLFLOW_TRACKING_URI', raising=False)
    written(trackers.mlflow_writer, tmp_path / 'run')
    client = mlflow.MlflowClient(tracking_uri=f'sqlite:///{tmp_path}/run/mlflow.db')
    experiment = client.get_experiment_by_name('jaxcv')
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == 'run'
    assert run.info.status == 'FINISHED'
    assert run.data.params == {'seed': '0', 'optimizer.name': 'adamw', 'optimizer.learning_rate': '0.1'}
    history = client.get_metric_history(run.info.run_id, 'train/loss')
    assert {(point.step, point.value) for point in history} == {(step, 1 / step) for step in (10, 20, 30)}
    assert 'eval/ap_large' not in run.data.metrics
    assert client.list_artifacts(run.info.run_id)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['run']  # nothing in the current folder
