"""A third task moves in: the launchers train, evaluate, predict and export a user's module as it is."""

import json
from pathlib import Path

import cv2
import jax
import numpy as np

from experiments import evaluate, export, predict, train
from experiments.run.exits import BAD_INPUT
from jaxcv import data

CONFIG = str(Path(__file__).parent / 'config.py')
USE = '--use=tests.experiments.third_task.counting'


def test_the_launchers_run_a_users_task(command, data_dir, tmp_path, monkeypatch):
    workdir = tmp_path / 'run'
    arguments = [f'--config={CONFIG}', USE, f'--workdir={workdir}', f'--config.data.data_dir={data_dir}']
    trained = command(train, *arguments)
    assert trained.code == 0, trained.err
    records = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
    assert records[-1]['eval/median_error'] < 4  # of some 20 bright pixels

    evaluated = command(evaluate, f'--workdir={workdir}', USE, '--checkpoint=best')
    assert evaluated.code == 0, evaluated.err
    assert ' pixels' in evaluated.out
    written = json.loads((workdir / 'evaluation.json').read_text())
    assert written['median_error'] == records[-1]['eval/median_error']
    assert cv2.imread(str(workdir / 'predictions.png')).std() > 10

    monkeypatch.setattr(data, 'source', None)  # neither prediction nor export opens the data set
    photo = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    (tmp_path / 'photos').mkdir()
    cv2.imwrite(str(tmp_path / 'photos' / 'a.png'), photo)
    predicted = command(predict, f'--workdir={workdir}', USE, f'--images={tmp_path}/photos/*.png')
    assert predicted.code == 0, predicted.err
    ((row),) = json.loads((workdir / 'predicted' / 'predictions.json').read_text())

    exported = command(export, f'--workdir={workdir}', USE)
    assert exported.code == 0, exported.err
    assert 'image uint8 [n 8 8 1] -> count float32 [n]' in exported.out
    call = jax.export.deserialize((workdir / 'model.stablehlo').read_bytes()).call
    np.testing.assert_allclose(call(photo[None, ..., None])['count'], [row['count']], rtol=1e-4)


def test_what_cannot_be_averaged_is_refused_before_training(command, data_dir, tmp_path):
    arguments = [f'--config={CONFIG}', USE, f'--workdir={tmp_path}/run', f'--config.data.data_dir={data_dir}']
    for option in ('--config.training.members=2', "--config.views={'name': 'flips'}"):
        ended = command(train, *arguments, option)
        assert ended.code == BAD_INPUT, ended.err
        assert 'cannot be averaged' in ended.err
    assert not (tmp_path / 'run').exists()


def test_without_use_the_module_is_not_imported(command, data_dir, tmp_path):
    ended = command(train, f'--config={CONFIG}', f'--workdir={tmp_path}/run', f'--config.data.data_dir={data_dir}')
    assert ended.code == BAD_INPUT
    assert '--use=tests.experiments.third_task.counting' in ended.err
