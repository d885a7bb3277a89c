"""The launcher of cascades: what it writes, and what it refuses."""

import json
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from experiments import viola_jones
from experiments.run.exits import BAD_INPUT
from jaxcv.classical import cascade_xml
from tests.opencv import needs_cascades


@pytest.fixture
def photos(tmp_path):
    """Two photos that are smaller than any window, so that nothing has to be compiled."""
    folder = tmp_path / 'photos'
    folder.mkdir()
    for name in ('a', 'b'):
        cv2.imwrite(str(folder / f'{name}.png'), np.full((12, 16, 3), 90, np.uint8))
    return folder


@needs_cascades
def test_every_photo_gets_a_row_and_a_picture(command, photos, tmp_path):
    workdir = tmp_path / 'run'
    ended = command(viola_jones, f'--images={photos}/*.png', '--cascade=eye', f'--workdir={workdir}')
    assert ended.code == 0, ended.err
    rows = json.loads((workdir / 'found.json').read_text())
    assert rows == [{'file': str(photos / name), 'objects': []} for name in ('a.png', 'b.png')]
    assert {path.name for path in workdir.iterdir()} == {'found.json', 'found.png', 'a_found.png', 'b_found.png'}
    assert cv2.imread(str(workdir / 'a_found.png')).shape == (12, 16, 3)


@needs_cascades
def test_a_photo_that_cannot_be_read_is_left_out(command, photos, tmp_path):
    (photos / 'b.png').write_bytes(b'no picture')
    ended = command(viola_jones, f'--images={photos}/*.png', '--cascade=eye', f'--workdir={tmp_path / "run"}')
    assert ended.code == BAD_INPUT
    assert 'b.png cannot be read' in ended.err
    assert len(json.loads((tmp_path / 'run' / 'found.json').read_text())) == 1


@needs_cascades
@pytest.mark.parametrize(
    ('flag', 'message'),
    [
        ('--cascade=frontalface_alt3', 'did you mean frontalface_alt'),
        ('--cascade=none/cascade.xml', 'no such file'),
        ('--cascade=page.xml', 'page.xml is no cascade that can be read: it is a web page (HTML)'),
        ('--images=none/*.jpg', 'there is no folder none'),
        ('--scale_factor=1', 'scale_factor must be in (1, inf), got 1'),
        ('--min_size=0', 'min_size'),
        ('--min_neighbors=-1', 'min_neighbors must be in [0, inf), got -1'),
        ('--eyes=2', "Unknown command line flag 'eyes'"),
        ('--haar_step=2', '--haar_step is an option of the training: give --train too'),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(command, monkeypatch, tmp_path, flag, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'page.xml').write_text('<html><body>404</body></html>')
    cascade = () if 'cascade' in flag else ('--cascade=license_plate_rus_16stages',)
    ended = command(viola_jones, '--workdir=run', *cascade, flag)
    assert ended.code == BAD_INPUT
    assert message in ended.err
    assert ended.err.count('\n') == 1
    assert not (tmp_path / 'run').exists()


def test_an_opencv_without_cascades_is_named(command, monkeypatch, tmp_path):
    monkeypatch.setattr(cascade_xml, 'OPENCV', tmp_path)
    ended = command(viola_jones, f'--workdir={tmp_path / "run"}')
    assert ended.code == BAD_INPUT
    assert "comes without cascades; give a file, or pip install 'opencv-python-headless<5'" in ended.err
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        (['--scale_factor=1', '--min_size=0'], 'scale_factor must be in (1, inf), got 1'),
        (['--images=photos'], 'b.png cannot be read'),
        (['--cascade=eye'], '--train trains a cascade of its own: leave --cascade=eye out'),
        (['--negatives=3'], 'negatives'),
        (['--workdir=file'], 'cannot be written to'),
    ],
)
def test_everything_is_checked_before_a_training(command, monkeypatch, photos, tmp_path, flags, message):
    """Options of the detector and photos too, which are needed only after it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(viola_jones.study, 'study', None)
    (photos / 'b.png').write_bytes(b'no picture')
    (tmp_path / 'file').touch()
    ended = command(viola_jones, '--train', '--workdir=run', *flags)
    assert ended.code == BAD_INPUT
    assert message in ended.err
    assert ('min_size' in ended.err) == ('--min_size=0' in flags)  # all faults at once
    assert not (tmp_path / 'run').exists()


TRAINING = """
from experiments import launch, viola_jones
from experiments.studies import face_windows
face_windows.PHOTOS = ('skimage/chelsea.png', 'skimage/clock_motion.png')
launch.launch(viola_jones.main, uses=viola_jones.USES)
"""
"""With two photos of the fifteen, for the sake of time."""


@needs_cascades
@pytest.mark.slow
def test_a_training_that_is_killed_ends_with_the_same_cascade(tmp_path):
    def start(workdir):
        options = ['--train', '--haar_step=4', '--negatives=200', '--most_stages=3', '--min_neighbors=4']
        return subprocess.Popen([sys.executable, '-c', TRAINING, *options, f'--workdir={workdir}'])

    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    assert start(whole).wait() == 0
    process = start(killed)
    while not (killed / 'stages' / 'stage_001.npz').exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not (killed / 'cascade.xml').exists()
    before = (killed / 'stages' / 'stage_001.npz').stat().st_mtime_ns
    assert start(killed).wait() == 0
    assert (killed / 'stages' / 'stage_001.npz').stat().st_mtime_ns == before
    assert (killed / 'cascade.xml').read_bytes() == (whole / 'cascade.xml').read_bytes()
    assert (killed / 'found.json').read_bytes() == (whole / 'found.json').read_bytes()
    assert {'astronaut_found.png', 'found.png', 'table.md', 'roc.png'} <= {path.name for path in killed.iterdir()}


@needs_cascades
@pytest.mark.slow
def test_the_astronauts_face(command, tmp_path):
    ended = command(viola_jones, '--cascade=haarcascade_frontalface_alt.xml', f'--workdir={tmp_path}')
    assert ended.code == 0, ended.err
    (row,) = json.loads((tmp_path / 'found.json').read_text())
    best = row['objects'][0]
    np.testing.assert_allclose(best['bbox'], [177, 66, 95, 95], atol=15)
    assert best['neighbors'] > 3
    assert best['score'] == max(found['score'] for found in row['objects'])
