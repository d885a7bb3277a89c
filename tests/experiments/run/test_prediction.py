"""Predictions for files of the user's."""

import functools
import json
import re

import cv2
import jax
import numpy as np
import pytest

from experiments.classification import digits
from experiments.embedding import digits_open_set
from experiments.run import prediction, workdir
from experiments.run.batches import zeros
from experiments.run.exits import BAD_INPUT
from jaxcv import presentation
from jaxcv.config import ConfigError
from jaxcv.data import transforms
from jaxcv.data.fields import read_disparity
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


def gallery_of(folder, people):
    for name, shades in people.items():
        (folder / name).mkdir(parents=True)
        for shade in shades:
            cv2.imwrite(str(folder / name / f'{shade}.png'), np.full((8, 8), shade, np.uint8))
    return str(folder)


@pytest.fixture
def recognize(tmp_path):
    """recognize(folder of people, *files, evaluated) -> exit code: the vector of a picture is its brightness."""
    settings = digits_open_set.get_config()
    example = {'image': np.zeros((8, 8, 1), np.uint8), 'label': np.int32(0)}
    one = assembled(settings, example, names={'label': list('01234')})
    task = one.task._replace(
        init=lambda key, batch: {'params': {}},
        predict=lambda variables, batch: {'embedding': batch['image'].mean((1, 2)) / 255, 'valid': batch['valid']},
    )
    ready = prediction.Ready(one._replace(task=task), task, lambda: {'params': {}})

    def run(known, *files, evaluated=None, shown=None):
        made = ready._replace(evaluated=evaluated or {})
        return prediction.predict_by(made, files, tmp_path / 'predicted', known=known, shown=shown)

    return run


def test_pictures_get_the_names_of_a_folder_of_people(recognize, tmp_path, capsys):
    people = gallery_of(tmp_path / 'people', {'Ann': [10, 20], 'Bob': [100]})
    (tmp_path / 'people' / 'Bob' / 'broken.jpg').write_bytes(b'no image')
    photos = gallery_of(tmp_path / 'photos', {'all': [24, 98, 200]})
    files = sorted((tmp_path / 'photos' / 'all').iterdir(), key=lambda path: int(path.stem))
    assert recognize(people, *files, evaluated={'verification_threshold': 0.1}) == BAD_INPUT
    said = capsys.readouterr()
    assert 'broken.jpg cannot be read' in said.err
    assert '1 of 4 known pictures could not be read' in said.err
    assert [line.rpartition('png  ')[2] for line in said.out.splitlines()[:3]] == [
        'Ann, distance 0.016',
        'Bob, distance 0.008',
        'unknown, the nearest is Bob at 0.392',
    ]
    rows = json.loads((tmp_path / 'predicted' / 'predictions.json').read_text())
    assert [row['name'] for row in rows] == ['Ann', 'Bob', 'unknown']
    assert (tmp_path / 'predicted' / 'predictions.png').exists()
    (tmp_path / 'people' / 'Bob' / 'broken.jpg').unlink()
    gallery_of(tmp_path / 'people', {'Zoe': [205]})  # a new person is a new folder
    assert recognize(people, *files, shown={'threshold': '0.1'}) == 0
    assert 'Zoe, distance 0.020' in capsys.readouterr().out
    for folder, options, message in (
        (people, {}, "--gallery: there is no threshold for 'unknown': evaluate first"),
        (photos + '/all', {}, 'should hold a folder of pictures for each name, and has none'),
        (photos + '/none', {}, 'there is no such folder'),
        (gallery_of(tmp_path / 'more', {'unknown': [1], 'Eve': []}), {}, 'the folder Eve has no pictures'),
        (str(tmp_path / 'more'), {}, 'nobody can be named unknown: rename that folder'),
        (people, {'shown': {'score': '1'}}, "--show: no option 'score'; there are: threshold=DISTANCE"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            recognize(folder, *files, **options)
    (tmp_path / 'people' / 'Zoe' / '205.png').write_bytes(b'no image')
    with pytest.raises(ConfigError, match='no picture can be read of Zoe'):
        recognize(people, *files)


def test_classes_are_not_compared(tmp_path):
    given = functools.partial(prediction.gallery_of, str(tmp_path))
    with pytest.raises(ConfigError, match='--gallery: the answers of this run are not compared'):
        given(presentation.labels(), ['image'])
    with pytest.raises(ConfigError, match='--gallery: the answers of this run are not compared'):
        given(presentation.pairs(), ['left', 'right'])


@pytest.fixture
def predict_pairs(tmp_path, monkeypatch):
    """predict_pairs(files) -> exit code: the disparity of a pixel is the red of the left view."""
    settings = digits.get_config()
    settings.model = {'name': 'linear_classifier'}
    settings.data.eval_transforms = [{'name': 'decode'}]
    one = assembled(
        settings, {'image': np.zeros((8, 8, 1), np.uint8), 'label': np.int32(0)}, names={'label': list('01')}
    )
    view = {'shape': [64, 64, 3], 'dtype': 'uint8'}
    specs = {**dict.fromkeys(('left', 'right'), view), 'disparity': {'shape': [64, 64], 'dtype': 'float32'}}
    task = one.task._replace(
        init=lambda key, batch: {'params': {}},
        predict=lambda variables, batch: {
            'disparity': batch['left'][..., 0] * np.float32(1) - 0 * batch['right'][..., 0],
            'valid': batch['valid'],
        },
        presentation=presentation.fields(field='disparity'),
    )
    experiment = one._replace(task=task, facts=one.facts._replace(names={}, example=specs, eval_example=specs))
    monkeypatch.setattr(prediction, 'assemble', lambda *arguments: experiment)
    monkeypatch.setattr(prediction, 'restore', lambda *arguments, **options: ({'params': {}}, 0))
    monkeypatch.setattr(prediction, 'evaluated_task', lambda *arguments, **options: task)
    workdir.save_config(one, tmp_path)
    checked = workdir.trained(tmp_path, None)
    return lambda files: prediction.predict(checked, tmp_path, 'last', files, tmp_path / 'predicted')


def test_pairs_are_predicted_and_written_as_files_of_fields(predict_pairs, tmp_path, capsys):
    for i in range(2):
        for name in ('left', 'right'):
            (tmp_path / 'pairs' / name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / 'pairs' / name / f'{i}.png'), np.full((40 + i, 70, 3), 10 + i, np.uint8))
    listed = {name: sorted((tmp_path / 'pairs' / name).iterdir()) for name in ('left', 'right')}
    assert predict_pairs(listed) == 0
    output = tmp_path / 'predicted'
    found = read_disparity(output / '1_disparity.pfm')
    assert (found.values == np.full((41, 70), 11)).all()
    assert cv2.imread(str(output / '1_disparity.png')).shape == (41, 70, 3)
    assert (output / 'predictions.png').exists()
    rows = json.loads((output / 'predictions.json').read_text())
    assert rows[0]['file'] == str(listed['left'][0])
    assert rows[0]['right'] == str(listed['right'][0])
    assert rows[0]['mean'] == 10
    assert 'disparity 10.0 to 10.0 pixels, mean 10.0' in capsys.readouterr().out
    # A folder of pairs is a folder for each of their images.
    assert predict_pairs({'image': [*listed['left'], *listed['right']]}) == 0


def test_pairs_that_do_not_belong_together(predict_pairs, tmp_path, capsys):
    for name, height in (('left/1', 8), ('left/2', 8), ('right/1', 9), ('right/2', 8), ('right/3', 8)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f'{name}.png'), np.zeros((height, 8, 3), np.uint8))
    left, right = ([tmp_path / f'{name}/{i}.png' for i in (1, 2, 3)] for name in ('left', 'right'))
    with pytest.raises(ConfigError, match=r'have left and right: give --left and --right, .* got image'):
        predict_pairs({'image': [tmp_path / 'other' / '1.png']})
    with pytest.raises(ConfigError, match='there are 2 of left, 3 of right'):
        predict_pairs({'left': left[:2], 'right': right})
    with pytest.raises(ConfigError, match='have one name and others not: 1, 3'):
        predict_pairs({'left': left[:2], 'right': right[1:]})
    assert predict_pairs({'left': left[:2], 'right': right[:2]}) == BAD_INPUT
    said = capsys.readouterr()
    assert 'right/1.png cannot be read: the left has (8, 8) pixels, its right (9, 8)' in said.err
