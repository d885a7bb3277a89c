"""Cascades of OpenCV are read and written; files that are none are refused by one message."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from jaxcv.classical import cascade_xml
from jaxcv.classical.cascade import stumps
from jaxcv.classical.haar import HaarFeatures
from tests.opencv import needs_cascades

FOLDER = Path(cv2.data.haarcascades)
ROWS = [  # name, (width, height), stages, trees, nodes of a tree, tilted features, features
    ('eye', (20, 20), 24, 1066, 1, 0, 1066),
    ('eye_tree_eyeglasses', (20, 20), 30, 851, 3, 577, 2553),
    ('frontalcatface', (24, 24), 20, 1275, 1, 0, 1056),
    ('frontalcatface_extended', (24, 24), 20, 1184, 1, 274, 997),
    ('frontalface_alt', (20, 20), 22, 2135, 1, 0, 2135),
    ('frontalface_alt2', (20, 20), 20, 1047, 2, 0, 2094),
    ('frontalface_alt_tree', (20, 20), 47, 8468, 1, 0, 8468),
    ('frontalface_default', (24, 24), 25, 2913, 1, 0, 2913),
    ('fullbody', (14, 28), 30, 1464, 1, 201, 1464),
    ('lefteye_2splits', (20, 20), 20, 366, 2, 185, 732),
    ('license_plate_rus_16stages', (64, 16), 16, 91, 1, 0, 91),
    ('lowerbody', (19, 23), 27, 1221, 1, 110, 1221),
    ('profileface', (20, 20), 26, 2609, 1, 0, 2609),
    ('righteye_2splits', (20, 20), 20, 368, 2, 186, 736),
    ('russian_plate_number', (60, 20), 20, 212, 1, 7, 208),
    ('smile', (36, 18), 20, 569, 1, 117, 569),
    ('upperbody', (22, 18), 30, 2423, 1, 474, 2423),
]
QUICK = {'license_plate_rus_16stages', 'russian_plate_number', 'lefteye_2splits'}


@needs_cascades
@pytest.mark.parametrize('row', [pytest.param(row, marks=[pytest.mark.slow] * (row[0] not in QUICK)) for row in ROWS])
def test_the_cascades_of_opencv(row, tmp_path):
    """The old format and the new one; each comes back from the file that is written, and OpenCV loads that."""
    name, size, stages, trees, nodes, tilted, features = row
    cascade = cascade_xml.load(FOLDER / f'haarcascade_{name}.xml')
    assert tuple(cascade.size) == size
    assert len(cascade.stage_thresholds) == cascade.stage[-1] + 1 == stages
    assert cascade.feature.shape == (trees, nodes)
    assert (int(cascade.features.tilted.sum()), len(cascade.features.weights)) == (tilted, features)
    path = tmp_path / 'written.xml'
    cascade_xml.save(cascade, path)
    again = cascade_xml.load(path)
    assert all(map(np.array_equal, again[2:], cascade[2:]))
    assert all(map(np.array_equal, again.features, cascade.features))
    assert not cv2.CascadeClassifier(str(path)).empty()


@needs_cascades
def test_all_cascades_of_the_package_are_in_the_table():
    assert {f'haarcascade_{row[0]}.xml' for row in ROWS} == {path.name for path in FOLDER.glob('*.xml')}


@pytest.fixture(scope='module')
def text(tmp_path_factory):
    """A cascade of one stump and one feature that is not used, as XML."""
    boxes = np.array([[[1, 1, 6, 4], [1, 1, 3, 4], [0, 0, 0, 0]], [[0, 0, 8, 8], [2, 2, 4, 4], [0, 0, 0, 0]]], np.int32)
    features = HaarFeatures(boxes, np.array([[-1, 2, 0], [-1, 4, 0]], np.float32), np.array([False, False]))
    one = np.array([0])
    cascade = stumps(features, one, np.array([0.25]), np.array([[-1.0, 0.5]]), one, np.array([-0.75]), size=(8, 8))
    path = tmp_path_factory.mktemp('xml') / 'stump.xml'
    cascade_xml.save(cascade, path)
    assert len(cascade_xml.load(path).features.weights) == 1
    return path.read_text()


BOMB = '<!DOCTYPE z [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>\n<opencv_storage>'
FILE = '<!DOCTYPE z [<!ENTITY a SYSTEM "file:///etc/passwd">]>\n<opencv_storage>'
PAGE = '<html><body><p>Not found</p></body></html>'
NODE = '0 -1 0 2.5000000000000000e-01'
BAD = {
    'empty': (None, '', 'the file is empty'),
    'web page': (None, PAGE, r'web page \(HTML\)'),
    'web page with a type': (None, '<!DOCTYPE html>\n' + PAGE, r'web page \(HTML\)'),
    'web page that is not XML': (None, '<html><meta><br></html>', r'web page \(HTML\)'),
    'another format': (None, '%YAML:1.0\ncascade: 1', "not complete XML.*begins with '%YAML"),
    'bytes': (None, '\x00\x01\x02', 'not complete XML'),
    'another document': (None, '<svg><g/></svg>', 'should hold an element with <stages>, got <svg>'),
    'entity bomb': ('<opencv_storage>', BOMB, "document type, 'z'"),
    'outer entity': ('<opencv_storage>', FILE, "document type, 'z'"),
    'unknown entity': ('<stageType>BOOST', '<stageType>&a;', 'not complete XML: undefined entity'),
    'other features': ('HAAR', 'LBP', "<featureType> should be HAAR, got 'LBP'"),
    'other stages': ('BOOST', 'FOREST', "<stageType> should be BOOST, got 'FOREST'"),
    'no width': ('<width>8</width>', '', 'has no <width>'),
    'no size': ('<width>8', '<width>0', '3 to 1000 pixels on a side, got 0 x 8'),
    'huge size': ('<height>8', '<height>100000', 'got 8 x 100000'),
    'broken size': ('<width>8', '<width>8 8', 'should be one number, got 2'),
    'size smaller than rectangles': ('<width>8', '<width>5', '1 1 6 4 is not inside the window of 5 x 8'),
    'negative rectangle': ('1 1 6 4', '1 1 -6 4', 'feature 0: the rectangle 1 1 -6 4 is not inside'),
    'rectangle at a negative place': ('1 1 6 4', '-1 1 6 4', 'rectangle -1 1 6 4 is not inside'),
    'rectangle outside': ('1 1 6 4', '1 5 6 4', 'rectangle 1 5 6 4 is not inside'),
    'tilted rectangle outside': ('<tilted>0', '<tilted>1', 'tilted rectangle 1 1 6 4 is not inside'),
    'rectangle of four numbers': (
        '1 1 6 4 -1.0000000000000000e+00',
        '1 1 6 4',
        'has 5 numbers .x y width height weight., got 4',
    ),
    'half a pixel': ('1 1 6 4', '1 1 6.5 4', 'expected a whole number, got 6.5'),
    'unknown feature': (NODE, NODE.replace('0 2.5', '7 2.5'), 'stage 0, tree 0: feature 7 is none of the 1 features'),
    'negative feature': (NODE, NODE.replace('0 2.5', '-1 2.5'), 'feature -1 is none'),
    'loop': (NODE, '1 0 0 0.5 1 -2 0 0.5', 'are no tree'),
    'node of itself': (NODE, '0 0 0 0.5', 'are no tree'),
    'unknown node': (NODE, '3 -1 0 0.5', 'are no tree'),
    'node of five numbers': (NODE, NODE + ' 1', 'a node has 4 numbers'),
    'no numbers': (NODE, '', 'a node has 4 numbers'),
    'no leaf': ('5.0000000000000000e-01</leaf', '</leaf', '1 nodes and 1 leaves are no tree'),
    'unknown encoding': (
        '<?xml version="1.0"',
        '<?xml version="1.0" encoding="nope"',
        'not complete XML: unknown encoding',
    ),
    'negative size': ('<width>8', '<width>-8', 'got -8 x 8'),
    'long number': ('<width>8', '<width>' + '9' * 5000, "<width> should hold numbers, got '9{30}...'"),
    'number of Python': (NODE, '0 -1 0 1_0', "<internalNodes> should hold numbers, got '1_0'"),
    'another end': ('</features>', '</others>', 'not complete XML: mismatched tag'),
    'word': (NODE, '0 -1 0 half', "<internalNodes> should hold numbers, got 'half'"),
    'nan': (NODE, '0 -1 0 nan', 'finite numbers'),
    'overflow': (NODE, '0 -1 0 1e39', 'finite numbers'),
    'other count of stages': ('<stageNum>1', '<stageNum>2', '<stageNum> says 2, but there are 1'),
    'other count of trees': ('</maxWeakCount>\n<stageT', '1</maxWeakCount>\n<stageT', 'says 11, but there are 1'),
}


@pytest.mark.parametrize('kind', BAD)
def test_what_is_no_cascade_is_refused(text, tmp_path, kind):
    old, new, message = BAD[kind]
    assert old is None or text.count(old) >= 1
    path = tmp_path / 'bad.xml'
    path.write_text(new if old is None else text.replace(old, new, 1))
    with pytest.raises(ValueError, match=message) as raised:
        cascade_xml.load(path)
    assert str(raised.value).startswith(f'{path} is no cascade that can be read: ')
    assert '\n' not in str(raised.value)


def test_any_truncation_is_refused(text, tmp_path):
    path = tmp_path / 'truncated.xml'
    for end in range(0, len(text.rstrip()), 7):
        path.write_text(text[:end])
        with pytest.raises(ValueError, match='is no cascade that can be read'):
            cascade_xml.load(path)


@needs_cascades
def test_faults_in_the_old_format(tmp_path):
    whole = (FOLDER / 'haarcascade_license_plate_rus_16stages.xml').read_text()
    path = tmp_path / 'old.xml'
    for old, new, message in (
        ('<left_val>-9.5547717809677124e-001</left_val>', '', 'stage 0, tree 0: a node should have <left_val>'),
        ('32 2 8 6 -1.', '32 2 80 6 -1.', 'the rectangle 32 2 80 6 is not inside the window of 64 x 16'),
        ('32 2 8 6 -1.', '32 2 -8 6 -1.', 'the rectangle 32 2 -8 6 is not inside the window of 64 x 16'),
        ('64 16</size>', '10 16</size>', 'the rectangle 32 2 8 6 is not inside the window of 10 x 16'),
        ('<opencv_storage>', BOMB, "document type, 'z'"),
        ('64 16</size>', '64</size>', '<size> should be a width and a height, got 1 numbers'),
    ):
        path.write_text(whole.replace(old, new, 1))
        with pytest.raises(ValueError, match=message):
            cascade_xml.load(path)
    path.write_text(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match='not complete XML'):
        cascade_xml.load(path)


def test_an_opencv_without_cascades_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(cascade_xml, 'OPENCV', tmp_path)
    with pytest.raises(FileNotFoundError, match=r"comes without haarcascade_eye.xml; .* 'opencv-python-headless<5'"):
        cascade_xml.opencv_file('eye')


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none\.xml'):
        cascade_xml.load(tmp_path / 'none.xml')
