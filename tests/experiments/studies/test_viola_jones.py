"""The faces and photos of packages, and the study's table and figures."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import viola_jones as launcher
from experiments.studies import cascade_roc, face_windows, viola_jones
from jaxcv.classical import haar_enumeration
from jaxcv.classical.cascade import score_windows
from jaxcv.classical.cascade_checkpoints import Stage
from jaxcv.classical.cascade_detector import Detections
from jaxcv.classical.cascade_training import Progress, Trained, to_cascade
from jaxcv.classical.photo_windows import photo_windows
from tests.opencv import needs_cascades


def test_faces_of_each_part_are_of_different_people():
    faces = face_windows.faces()
    assert [len(part) for part in faces] == [1440, 160, 160]
    for part in faces:
        assert part.shape[1:] == (24, 24)
        assert part.dtype == np.uint8
        np.testing.assert_array_equal(part[4::8], part[::8, :, ::-1])  # the mirror images
        np.testing.assert_array_equal(part[1::8, :, :-1], part[::8, :, 1:])  # a pixel to the right
    inner = [{patch.tobytes() for patch in part[::8]} for part in (faces.train[:480], *faces[1:])]
    assert len(set.union(*inner)) == 100
    assert (faces.train[::8].mean(axis=(1, 2))[:60] - faces.train[::8].mean(axis=(1, 2))[60:120]).std() < 5  # turned
    photos = [face_windows.photo(name) for name in (*face_windows.PHOTOS, face_windows.TEST_PHOTO)]
    assert all(photo.ndim == 2 and min(photo.shape) >= 150 for photo in photos)


@pytest.fixture(scope='module')
def trained():
    """Two stages of two stumps and of one, written by hand: dark eyes above bright cheeks."""
    features = haar_enumeration.all_features(kinds=('two_rows',), step=4)
    eyes = np.flatnonzero((features.boxes[:, 0] == [4, 4, 16, 8]).all(axis=1)).tolist()
    stage = Stage(
        np.array([*eyes, 0], np.int32),
        np.zeros(2, np.float32),
        np.array([-1, -1], np.int32),
        np.array([2.0, 1.0], np.float32),
        np.array([0.1, 0.3], np.float32),
        np.float32(1.5),
        0.975,
        0.4,
        400,
        1.0,
    )
    second = stage._replace(**{name: getattr(stage, name)[:1] for name in Stage._fields[:5]})
    stages = (stage, second._replace(threshold=np.full(1, 0.1, np.float32), windows=10, detection=0.95))
    return Trained(to_cascade(features, stages, size=(24, 24)), stages, 'the goal is reached', 1000)


def check_curve(judged):
    """The curve of all thresholds goes through the points of the stages; the sums of votes are those of all stages."""
    found = judged.cascade
    assert (np.diff(found.false) >= 0).all()
    assert (np.diff(found.kept) >= 0).all()
    for kept, false in zip(judged.kept, judged.false / found.windows, strict=True):
        here = np.isclose(found.false, false)
        assert np.isclose(found.kept[here], kept).any()
    assert len(found.false) == 4 + 1  # the first stage has four sums of votes; the second splits the largest
    assert judged.vote.windows == found.windows  # few windows: all of them
    rows = [line.strip('|').split('|') for line in cascade_roc.table(judged).split('\n')[2:]]
    assert [float(row[0]) for row in rows] == list(cascade_roc.RATES)
    assert [row[2].strip() == '-' for row in rows] == [0 < rate < 1 / found.windows for rate in cascade_roc.RATES]


def test_costs_and_table(trained, tmp_path, capsys):
    photo = photo_windows([face_windows.photo(face_windows.TEST_PHOTO)[60:130, 180:260]])
    costs = viola_jones.costs(trained.cascade, photo)
    left = costs['left']
    assert left[0] == len(photo.corner) > left[1] > left[2] > 0
    mean = f'{2 + left[1] / left[0]:.1f} of 3 features'
    assert viola_jones.features_line(trained.cascade, left).startswith(mean)
    faces = face_windows.faces().test
    judged = cascade_roc.judge(trained.cascade, faces, photo)
    assert judged.kept[0] == 1 >= judged.kept[1] >= judged.kept[2] > 0
    assert (judged.false <= left).all()
    passed = np.asarray(jax.jit(lambda part: score_windows(part, trained.cascade).passed)(jnp.asarray(faces)))
    np.testing.assert_array_equal(judged.kept, [(passed >= stage).mean() for stage in range(3)])
    check_curve(judged)
    table = viola_jones.table(trained, judged, costs)
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in table.split('\n')]
    assert rows[2][:3] + rows[2][4:-1] == ['1', '2', '97.5', '400', '40', '1']
    assert rows[3][:3] + rows[3][4:-1] == ['2', '1', '95.0', '10', '1', '1']
    assert [float(row[-1]) for row in rows[2:]] == (1000 * costs['seconds']).round().tolist()
    inside_and_out = np.array([[180, 70, 270, 160], [0, 0, 30, 30]])
    grouped = Detections(inside_and_out, np.array([9, 5]), np.array([7.5, 3.0]))
    lines = viola_jones.summary(trained, judged, costs, grouped)
    assert lines['this cascade'].startswith(mean)
    assert lines['grouped'] == '2 groups of more than 3 windows, 1 of them not at the face'
    viola_jones.progress(Progress(0, 2, 0.975, 0.4, 400, 1.0))
    assert capsys.readouterr().out == (
        'stage 1: 2 stumps, held-out faces 97.5 %, other windows 40.0 %, 1 s; 400 windows of the photos are left\n'
    )

    figures = {
        'features': viola_jones.first_features(trained.cascade, faces.mean(axis=0) / 255),
        'stages': viola_jones.stages({'training': [1000, 400, 10], 'astronaut': left}),
        'roc': cascade_roc.figure(judged),
        'detections': viola_jones.detections(np.zeros((300, 300), np.uint8), {'groups': grouped}),
    }
    for name, figure in figures.items():
        path = viola_jones.viz.save(figure, tmp_path / f'{name}.png')
        assert cv2.imread(str(path)).std() > 10


@needs_cascades
@pytest.mark.slow
def test_the_study_trains_and_goes_on_from_its_stages(tmp_path, capsys):
    goals = viola_jones.Goals(detection=0.98, false_positives=0.5, stages=2, stumps=10)
    photos = face_windows.PHOTOS[1:3]
    assert viola_jones.study(tmp_path, goals, photos, step=4, negatives=200, seed=0) == 0
    out = capsys.readouterr().out
    assert 'stage 2: ' in out
    assert '2,913 features for a window' in out
    assert len(list((tmp_path / 'stages').glob('stage_*.npz'))) == 2
    assert cv2.CascadeClassifier(str(tmp_path / 'cascade.xml')).getOriginalWindowSize() == (24, 24)
    names = {f'{name}.png' for name in ('features', 'stages', 'roc', 'detections')}
    assert {path.name for path in tmp_path.glob('*.png')} == names
    with pytest.raises(ValueError, match='negatives 200, now 300'):
        viola_jones.study(tmp_path, goals, photos, step=4, negatives=300, seed=0)


def test_flags_are_checked(command, tmp_path):
    ended = command(viola_jones, f'--workdir={tmp_path}', '--negatives=3')
    assert ended.code == 2
    assert 'negatives' in ended.err
    ended = command(launcher, f'--workdir={tmp_path}', '--train', '--cascade=eye')
    assert ended.code == 2
    assert '--train trains a cascade of its own: leave --cascade=eye out' in ended.err
    assert not list(tmp_path.iterdir())
