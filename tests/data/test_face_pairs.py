"""Folders of people with lists of pairs: LFW's layout, and lists that are drawn."""

import itertools

import numpy as np
import pytest

from jaxcv import data
from jaxcv.data import face_pairs


def people(root, counts, name='{name}_{i:04d}.jpg'):
    for person, count in counts.items():
        (root / person).mkdir(parents=True, exist_ok=True)
        for i in range(1, count + 1):
            (root / person / name.format(name=person, i=i)).write_bytes(f'{person} {i}'.encode())
    return root


def test_the_lists_of_lfw(tmp_path):
    people(tmp_path / 'lfw_funneled', {'Bob_C': 2, 'Ann': 3})
    (tmp_path / 'pairs.txt').write_text('1\t1\nAnn\t1\t3\nAnn\t2\tBob_C\t1\n')
    (tmp_path / 'peopleDevTrain.txt').write_text('2\nBob_C\t2\nAnn\t1\n')
    pairs = data.source('folder_faces', split='pairs', data_dir=tmp_path)
    assert [pairs.read(i)['image'] for i in range(4)] == [b'Ann 1', b'Ann 3', b'Ann 2', b'Bob_C 1']
    assert [bool(pairs.read(i)['same']) for i in range(4)] == [True, True, False, False]
    assert pairs.where(1) == str(tmp_path / 'lfw_funneled' / 'Ann' / 'Ann_0003.jpg')
    assert pairs.names == {}
    train = data.source('folder_faces', split='peopleDevTrain', data_dir=tmp_path)
    assert train.names == {'label': ('Ann', 'Bob_C')}
    assert [train.read(i) for i in range(3)] == [
        {'image': b'Ann 1', 'label': 0},
        {'image': b'Bob_C 1', 'label': 1},
        {'image': b'Bob_C 2', 'label': 1},
    ]
    assert data.source('folder_faces', split='lfw_funneled', data_dir=tmp_path).size == 5
    (tmp_path / 'people.txt').write_text('2\n1\nAnn\t1\n1\nAnn\t2\n')
    (tmp_path / 'wrong.txt').write_text('2\nAnn\tmany\n')
    (tmp_path / 'more.txt').write_text('1\nAnn\t5\n')
    (tmp_path / 'none.txt').write_text('1\nAnn 1\n')
    for split, error, message in (
        ('people', ValueError, "line 5: it should be 'name count', each name once"),
        ('wrong', ValueError, "line 2: it should be 'name count'"),
        ('more', FileNotFoundError, '2 of 5 images that .*more.txt names are missing, such as .*Ann_0004.jpg'),
        ('none', ValueError, "none.txt has no lines 'name count' or 'name i j' with tabs"),
        (
            'test',
            FileNotFoundError,
            "neither a folder 'test' nor a list test.txt; .* lfw_funneled, and the lists more,",
        ),
    ):
        with pytest.raises(error, match=message):
            data.source('folder_faces', split=split, data_dir=tmp_path)


def test_a_list_is_drawn_once_and_written_down(tmp_path, capsys):
    counts = {'Ann': 5, 'Bob': 4, 'Eve': 1, '7': 3}
    root = people(tmp_path / 'test', counts, name='{i}.png')
    with pytest.raises(FileNotFoundError, match=r'python -m jaxcv.data.face_pairs .*test draws one'):
        data.source('folder_faces', split='test_pairs', data_dir=tmp_path)
    assert face_pairs.main([str(root), '--folds=3', '--pairs=4', '--seed=1']) == 0
    assert '24 pairs in 3 folds, seed 1' in capsys.readouterr().out
    source = data.source('folder_faces', split='test_pairs', data_dir=tmp_path)
    rows = [source.read(i) for i in range(source.size)]
    assert [int(row['fold']) for row in rows[::16]] == [0, 1, 2]
    assert [bool(row['same']) for row in rows[:16:2]] == [True] * 4 + [False] * 4
    found = [tuple(row['image'].decode() for row in rows[i : i + 2]) for i in range(0, 48, 2)]
    assert len({frozenset(pair) for pair in found}) == 24
    assert all((a.split()[0] == b.split()[0]) == row['same'] for (a, b), row in zip(found, rows[::2], strict=True))
    listed = (tmp_path / 'test_pairs.txt').read_text()
    assert face_pairs.main([str(root)]) == 2  # what is there stays
    assert 'measures belong to it' in capsys.readouterr().err
    (tmp_path / 'test_pairs.txt').unlink()
    face_pairs.write_pairs(root, folds=3, pairs=4, seed=1)
    assert (tmp_path / 'test_pairs.txt').read_text() == listed
    (tmp_path / 'test_pairs.txt').unlink()
    with pytest.raises(ValueError, match='test has 19 pairs of one person, and the folds need 3,000: lower --pairs'):
        face_pairs.write_pairs(root)


@pytest.mark.parametrize('of_one', [True, False])
def test_pairs_of_large_sets_are_drawn_alike(of_one, monkeypatch, tmp_path):
    monkeypatch.setattr(face_pairs, '_LISTED', 0)
    labels = np.repeat(np.arange(3), [4, 2, 1])
    drawn = [
        tuple(pair)
        for seed in range(300)
        for pair in face_pairs._draw(np.random.default_rng(seed), labels, 3, of_one=of_one, folder=tmp_path).tolist()
    ]
    every = [(i, j) for i, j in itertools.combinations(range(7), 2) if (labels[i] == labels[j]) == of_one]
    assert {*drawn} == {*every}
    counts = [drawn.count(pair) for pair in every]
    expected = 900 / len(every)
    assert max(abs(count - expected) for count in counts) < 5 * expected**0.5
