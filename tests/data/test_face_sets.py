"""Files of face recognition: written by hand, byte for byte, and round trips."""

import pickle
import struct

import numpy as np
import pytest

from jaxcv import data
from jaxcv.data import face_sets

MAGIC = struct.pack('<I', 0xCED7230A)


def record(payload, flag=0):
    return MAGIC + struct.pack('<I', flag << 29 | len(payload)) + payload + bytes(-len(payload) % 4)


def write(root, records):
    offsets = np.cumsum([0, *map(len, records)])
    (root / 'train.rec').write_bytes(b''.join(records))
    (root / 'train.idx').write_text(''.join(f'{key}\t{offset}\n' for key, offset in enumerate(offsets[:-1])))
    return root


def image(label, content, number=0):
    return struct.pack('<IfQQ', 0, label, number, 0) + content


def test_insightfaces_records_are_read(tmp_path):
    """Record 0 bounds the images; those after list the identities; labels may stand after the header."""
    head = struct.pack('<IfQQff', 2, 0.0, 0, 0, 4.0, 6.0)
    several = struct.pack('<IfQQff', 2, 0.0, 2, 0, 5.0, 0.0) + b'two'
    identity = struct.pack('<IfQQff', 2, 0.0, 4, 0, 1.0, 3.0)
    rows = [head, image(3.0, b'one!'), several, image(16777216.0, b'x'), identity, identity]
    source = data.source('recordio', split='train', data_dir=write(tmp_path, list(map(record, rows))))
    assert source.size == 3
    assert [source.read(i) for i in range(3)] == [
        {'image': b'one!', 'label': 3},
        {'image': b'two', 'label': 5},
        {'image': b'x', 'label': 2**24},
    ]
    assert source.where(1) == f'{tmp_path}/train.rec[2]'


def test_records_without_a_header_and_in_parts(tmp_path):
    """A payload that has the magic number is stored in parts without it."""
    parted = image(1.0, b'abcdefgh') + MAGIC + b'ijk'
    parts = record(parted[: -3 - 4], 1) + record(b'ijk', 3)
    source = face_sets.recordio('train', write(tmp_path, [record(image(0.0, b'first')), parts]))
    assert [source.read(i)['image'] for i in range(2)] == [b'first', b'abcdefgh' + MAGIC + b'ijk']


def test_records_round_trip(tmp_path):
    images = [b'', b'a', b'abcd' * 3, MAGIC + b'x' + MAGIC, 2 * MAGIC, b'12' + MAGIC + b'34']
    face_sets.write_recordio(tmp_path / 'val', images, range(6))
    source = data.source('recordio', split='val', data_dir=tmp_path)
    assert [source.read(i) for i in range(source.size)] == [{'image': x, 'label': i} for i, x in enumerate(images)]
    assert b'abcd' * 3 in (tmp_path / 'val.rec').read_bytes()
    with pytest.raises(ValueError, match='whole from 0 to 16,777,216: got 16777217'):
        face_sets.write_recordio(tmp_path / 'val', [b'x'], [2**24 + 1])


def test_the_pairs_of_a_bin_beside_the_records_are_a_split(tmp_path):
    content = ([bytes([i]) for i in range(40)], [True, False] * 10)
    (tmp_path / 'cfp_fp.bin').write_bytes(pickle.dumps(content))
    source = data.source('recordio', split='cfp_fp', data_dir=tmp_path)
    assert source.size == 40
    assert source.read(7) == {'image': b'\x07', 'pair': 3, 'same': False, 'fold': 1}
    assert source.where(7) == f'{tmp_path}/cfp_fp.bin[7]'


def test_damaged_records(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no .*train.rec and no .*train.idx'):
        face_sets.recordio('train', tmp_path)
    write(tmp_path, [record(image(0.0, b'first')), record(image(0.0, b'second'))[:-20], b'nothing'])
    source = face_sets.recordio('train', tmp_path)
    with pytest.raises(ValueError, match='record at byte 40 is cut off'):
        source.read(1)
    with pytest.raises(ValueError, match='there is no record at byte 60'):
        source.read(2)
    (tmp_path / 'train.idx').write_text('one two\n')
    with pytest.raises(ValueError, match='is no index'):
        face_sets.recordio('train', tmp_path)


class Harmful:
    """An object whose pickle would run code."""

    def __reduce__(self):
        return print, ('run',)


def test_pairs_of_a_bin_run_no_code(tmp_path, capsys):
    path = tmp_path / 'lfw.bin'
    path.write_bytes(pickle.dumps(([b'1', b'2', b'3', b'4'], [True, False])))
    pairs = face_sets.read_pairs_bin(path)
    assert pairs.images == [b'1', b'2', b'3', b'4']
    assert pairs.same.tolist() == [True, False]
    # As Python 2 wrote it: strings.
    path.write_bytes(b"((lp0\nS'a'\np1\naS'b'\np2\na(lp3\nI01\natp4\n.")
    assert face_sets.read_pairs_bin(path).images == [b'a', b'b']
    for content, message in (
        (([Harmful(), b'2'], [True]), 'it names builtins.print, which could run code'),
        (([b'1'], [True]), 'a list of 2 n images and one of n booleans'),
        ((['1', '2'], [True]), 'should be encoded, bytes, got str'),
    ):
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(ValueError, match=message):
            face_sets.read_pairs_bin(path)
    path.write_bytes(b'no pickle')
    with pytest.raises(ValueError, match='no file of pairs'):
        face_sets.read_pairs_bin(path)
    assert 'run' not in capsys.readouterr().out


def test_the_pairs_of_lfw_keep_their_folds(tmp_path):
    for name, count in (('Ann', 3), ('Bob_C', 2)):
        (tmp_path / name).mkdir()
        for i in range(1, count + 1):
            (tmp_path / name / f'{name}_{i:04d}.jpg').touch()
    fold = 'Ann\t1\t3\nAnn\t2\tBob_C\t1\n'
    listed = tmp_path / 'pairs.txt'
    listed.write_text(f'2\t1\n{fold}Bob_C\t1\t2\nBob_C\t2\tAnn\t1\n')
    pairs = face_sets.lfw_pairs(listed, tmp_path)
    assert pairs.same.tolist() == [True, False, True, False]
    assert pairs.folds.tolist() == [0, 0, 1, 1]
    assert [[file.name for file in pair] for pair in pairs.files[:2]] == [
        ['Ann_0001.jpg', 'Ann_0003.jpg'],
        ['Ann_0002.jpg', 'Bob_C_0001.jpg'],
    ]
    (tmp_path / 'Ann' / 'Ann_0001.jpg').unlink()
    with pytest.raises(FileNotFoundError, match=r'1 of 5 images that .* names are missing, such as .*Ann_0001.jpg'):
        face_sets.lfw_pairs(listed, tmp_path)
    for text, message in (
        (f'3\t1\n{fold}', '3 folds of 1 pairs of each kind are 6 lines, got 2'),
        ('ten\n', 'the first line should be'),
        ('1\t1\nAnn\t1\t3\nAnn\t2\tAnn\t3\n', r"line 3: it should be 'name i j'"),
        ('1\t1\nAnn\t1\t3\nAnn\t2\n', r"line 3: it should be 'name i j'"),
    ):
        listed.write_text(text)
        with pytest.raises(ValueError, match=message):
            face_sets.lfw_pairs(listed, tmp_path)
