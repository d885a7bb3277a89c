"""The configs: each fits, has the steps and the parameters it should, and the public sets run on mocked data."""

import importlib
import json
from pathlib import Path

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds

from experiments import experiment as pieces
from experiments import train

CONFIGS = {
    # name: (classes, images, image shape, steps, parameters)
    'digits': (10, 1_200, (8, 8, 1), 562, 297_450),
    'cifar10_resnet': (10, 50_000, (32, 32, 3), 64_000, 269_722),
    'digits_transfer': (5, 100, (8, 8, 1), 250, 296_805),
    'imagenet_resnet50': (1_000, 1_281_167, (224, 224, 3), 112_603, 25_557_032),
    'digits_lite0': (10, 100, (64, 64, 3), 120, 3_383_818),
    'faces_lite0': (2, 100, (64, 64, 3), 120, 3_373_570),
    'folder': (2, 500, (224, 224, 3), 234, 11_177_538),
}


def load(name):
    return importlib.import_module(f'experiments.classification.{name}').get_config()


def test_every_config_is_listed_here():
    folder = Path(pieces.__file__).parent / 'classification'
    assert {path.stem for path in folder.glob('*.py')} - {'__init__', 'digits_space'} == set(CONFIGS)


@pytest.mark.parametrize('name', CONFIGS)
def test_a_config_fits(name):
    classes, size, shape, steps, parameters = CONFIGS[name]
    settings = load(name)
    pieces.check(settings)
    settings.unlock()
    settings.data.class_names, settings.data.train_size = [str(i) for i in range(classes)], size
    experiment = pieces.assemble(settings)
    assert experiment.num_steps == steps
    state = jax.eval_shape(pieces.state_factory(experiment, settings, {'image': np.zeros(shape, np.uint8)}))
    assert sum(x.size for x in jax.tree.leaves(state.params)) == parameters
    rates = [
        float(experiment.watch(state._replace(step=t))['learning_rate'])
        for t in np.linspace(0, steps - 1, 301).astype(int)
    ]
    assert max(rates) == pytest.approx(settings.optimizer.learning_rate, rel=1e-3)
    assert rates[-1] < max(rates) / 50


def test_the_cifar_config_trains_on_mocked_cifar10(tmp_path):
    settings = load('cifar10_resnet')
    settings.data.update({'data_dir': str(tmp_path), 'batch_size': 8, 'eval_batch_size': 8})
    settings.model.update({'depth': 8, 'width': 4})
    settings.training.update({'epochs': 1.0, 'log_every': 1})
    settings.schedule.steps = ['50%', '75%']
    with tfds.testing.mock_data(num_examples=16):
        settings.data.train_split = 'train[:100%]'
        train.train(settings, tmp_path / 'run')
    records = [json.loads(line) for line in (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()]
    assert np.isfinite([r['train/loss'] for r in records if 'train/loss' in r]).all()
    assert 'eval/top1' in records[-1]
