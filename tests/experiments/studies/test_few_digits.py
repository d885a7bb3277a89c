"""The study of regularizers at smoke size."""

import json

import cv2
import numpy as np
import pytest

from experiments.run.check import check
from experiments.run.training import train
from experiments.studies import few_digits
from jaxcv import config


@pytest.fixture
def settings(data_dir):
    """The baseline, with a linear classifier, 10 updates of 40 images."""
    settings = few_digits.baseline()
    settings.model = {'name': 'linear_classifier'}
    settings.data.update({'data_dir': str(data_dir), 'batch_size': 40})
    settings.training.epochs = 2.0
    return settings


METHODS = {
    'baseline': {},
    'SWA': {'average': {'name': 'swa', 'start': '50%'}, 'training.evaluate_averaged': True},
    'ensemble of 2': {'training.members': 2},
}


def test_every_method_is_a_config_that_fits():
    settings = few_digits.baseline()
    for change in few_digits.METHODS.values():
        check(few_digits.run_settings(settings, change, 3))
    assert few_digits.run_settings(settings, {}, 3).data.train_split == 'train[300:500]'
    seeds = [few_digits.run_settings(settings, {}, number).seed for number in range(10)]
    assert min(np.diff(seeds)) >= few_digits.MEMBERS  # the ensembles share no network


@pytest.mark.slow
def test_the_table_and_its_resumption(settings, tmp_path, capsys):
    assert few_digits.study(settings, tmp_path, runs=2, methods=METHODS) == 0
    shown = capsys.readouterr().out
    written = (tmp_path / 'table.md').read_text()
    assert written in shown
    lines = [[cell.strip() for cell in line.strip('|').split('|')] for line in written.splitlines()]
    assert [line[0] for line in lines] == ['method', lines[1][0], 'baseline', 'SWA', 'ensemble of 2']
    assert set(lines[1][0]) == {'-'}
    assert lines[4][-1] == 'training.members=2'
    assert lines[3][-1] == 'average=swa(start=50%); training.evaluate_averaged=True'
    assert len({len(line) for line in written.splitlines()}) == 1
    values = json.loads((tmp_path / 'baseline.json').read_text())
    assert len(values['top1']) == 2
    mean, error = 100 * np.mean(values['top1']), 50 * abs(np.subtract(*values['top1']))
    assert lines[2][1] == f'{mean:.2f} ± {error:.2f}'
    assert cv2.imread(str(tmp_path / 'few_digits.png')).shape[1] > 800

    # what is there is not run again, what is missing is
    (tmp_path / 'swa.json').unlink()
    values['top1'] = [0.25, 0.75]
    (tmp_path / 'baseline.json').write_text(json.dumps(values))
    assert few_digits.study(settings, tmp_path, runs=2, methods=METHODS) == 0
    assert 'baseline: 50.00 ± 25.00 %' in capsys.readouterr().out
    assert (tmp_path / 'swa.json').exists()

    with pytest.raises(config.ConfigError, match=r'another study(?s:.)*runs: 2 -> 3'):
        few_digits.study(settings, tmp_path, runs=3, methods=METHODS)
    described = json.loads((tmp_path / 'study.json').read_text())
    del described['config']['data']['on_broken'], described['config']['seed']  # as if they had come later
    described['config']['training']['best_mode'] = 'max'  # as earlier versions had it
    (tmp_path / 'study.json').write_text(json.dumps(described))
    assert few_digits.study(settings, tmp_path, runs=2, methods=METHODS) == 0
    with pytest.raises(config.ConfigError, match="no argument 'dropout'"):
        few_digits.study(settings, tmp_path / 'new', runs=2, methods={'dropout': {'model.dropout': 0.3}})
    assert not (tmp_path / 'new').exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    'change',
    [
        pytest.param(METHODS['ensemble of 2'], marks=pytest.mark.slow),
        {'average': {'name': 'snapshots', 'keep': 2, 'period': '50%'}, 'training.evaluate_averaged': True},
    ],
)
def test_a_run_is_what_train_makes_of_its_config(settings, change, tmp_path):
    change = {**change, 'augment': [{'name': 'mixup'}]}  # it draws
    each = [few_digits.run_settings(settings, change, number) for number in range(2)]
    values = few_digits.run(each, few_digits.read(each))
    told = {}
    each[1].training.save_every = 0
    assert train(check(each[1]), tmp_path, on_evaluation=lambda step, scalars: told.update(scalars)) == 0
    assert values['top1'][1] == pytest.approx(told['top1'], abs=2 / 597)
    assert values['loss'][1] == pytest.approx(told['loss'], rel=1e-4)
    assert values['loss'][0] != values['loss'][1]
