"""Predictions for files of the user's."""

import functools
import json

import cv2
import jax
import numpy as np
import pytest

from experiments.classification import digits
from experiments.run import prediction, workdir
from experiments.run.batches import zeros
from experiments.run.exits import BAD_INPUT
from tests.experiments.facts import assembled


@pytest.fixture
def predict(tmp_path, monkeypatch, request):
    """predict(*files) -> exit code: by a linear classifier with random values."""
    settings = digits.get_config()
    settings.model = {'name': 'linear_classifier'}
    settings.data.eval_transforms = [
        {'name': 'decode', 'channels': 1, **getattr(request, 'param', {})},
        {'name': 'resize', 'size': 8},
    ]
    example = {'image': np.zeros((8, 8, 1), np.uint8), 'label': np.int32(0)}
    experiment = assembled(settings, example, names={'label': list('0123456789')})
    workdir.save_config(experiment, tmp_path)
    batch = zeros(experiment.facts.example)
    variables = jax.jit(functools.partial(experiment.task.init, batch=batch))(jax.random.key(0))
    monkeypatch.setattr(prediction, 'restore', lambda *arguments, **options: (variables, 0))
    checked = workdir.trained(tmp_path, None)
    return lambda *files: prediction.predict(checked, tmp_path, 'last', files, tmp_path / 'predicted')


def test_files_of_one_name_are_predicted_where_none_gets_pictures(predict, tmp_path):
    files = [tmp_path / folder / '1.png' for folder in ('cat', 'dog')]
    for i, path in enumerate(files):
        path.parent.mkdir()
        cv2.imwrite(str(path), np.full((9, 7, 3), 100 * i, np.uint8))
    assert predict(*files) == 0
    rows = json.loads((tmp_path / 'predicted' / 'predictions.json').read_text())
    assert [row['file'] for row in rows] == [str(path) for path in files]


def test_no_folder_is_made_where_no_file_can_be_read(predict, tmp_path, capsys):
    (tmp_path / 'broken.png').write_bytes(b'no image')
    assert predict(tmp_path / 'broken.png', tmp_path / 'missing.png') == BAD_INPUT
    assert '2 of 2 files could not be read' in capsys.readouterr().err
    assert not (tmp_path / 'predicted').exists()


@pytest.mark.parametrize(('predict', 'code'), [({}, BAD_INPUT), ({'bits': 12}, 0)], indirect=['predict'])
def test_a_picture_is_decoded_as_those_of_the_evaluation(predict, code, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / '12_bits.png'), np.linspace(0, 4080, 64).reshape(8, 8).astype(np.uint16))
    assert predict(tmp_path / '12_bits.png') == code
    assert ("'bits': 12" in capsys.readouterr().err) == (code == BAD_INPUT)
