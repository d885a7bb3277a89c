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
from jaxcv.config import ConfigError
from jaxcv.data import transforms
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


def test_files_that_cannot_be_read_are_named_and_the_others_predicted(predict, tmp_path, capsys):
    (tmp_path / 'broken.png').write_bytes(b'no image')
    (tmp_path / 'folder').mkdir()
    cv2.imwrite(str(tmp_path / 'whole.png'), np.zeros((8, 8, 3), np.uint8))
    files = [tmp_path / name for name in ('broken.png', 'folder', 'whole.png')]
    assert predict(*files) == BAD_INPUT
    said = capsys.readouterr()
    assert 'broken.png cannot be read' in said.err
    assert '2 of 3 files could not be read' in said.err
    rows = json.loads((tmp_path / 'predicted' / 'predictions.json').read_text())
    assert [row['file'] for row in rows] == [str(files[2])]


def needing(feature):
    """A transform of the user's that reads a feature."""
    return lambda example: {**example, 'weight': example[feature] * 2}


def test_transforms_that_need_a_truth_are_left_out_for_photos():
    steps = {
        'decode': transforms.decode(),
        'rename': transforms.rename(names={'label': 'sex'}),
        'decode_mask': transforms.decode_mask(),
        'relabel': transforms.relabel(values=[1, 0], feature='label'),
        'boxes': transforms.pad_boxes(max_boxes=3),
        'mine': needing('label'),
        'truth': transforms.keep(names=['label']),
        'resize': transforms.resize(size=4),
    }
    kept = prediction._of_pictures(list(steps.values()), (8, 8, 3))
    assert kept == [steps['decode'], steps['resize']]
    with pytest.raises(TypeError):
        prediction._of_pictures([lambda example: example['image'] + 'x'], (8, 8, 3))


def test_pictures_have_the_channels_that_files_have(tmp_path):
    settings = digits.get_config()
    settings.model = {'name': 'linear_classifier'}
    example = {'image': np.zeros((8, 8, 4), np.uint8), 'label': np.int32(0)}
    experiment = assembled(settings, example, names={'label': list('0123456789')})
    with pytest.raises(ConfigError, match='trained on images of 4 channels, and pictures have 1 or 3'):
        prediction._check_channels(experiment)


@pytest.mark.parametrize(('predict', 'code'), [({}, BAD_INPUT), ({'bits': 12}, 0)], indirect=['predict'])
def test_a_picture_is_decoded_as_those_of_the_evaluation(predict, code, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / '12_bits.png'), np.linspace(0, 4080, 64).reshape(8, 8).astype(np.uint16))
    assert predict(tmp_path / '12_bits.png') == code
    assert ("'bits': 12" in capsys.readouterr().err) == (code == BAD_INPUT)
