"""k nearest neighbours and random forests on the digits, next to scikit-learn's."""

import cv2
import pytest

from experiments import launch
from experiments.studies import forest, knn


def cells(text):
    """The cells of a Markdown table, without the head."""
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines()[2:]]


def test_knn_reaches_what_its_docstring_says(data_dir, tmp_path, capsys):
    """Through tfds and PNG and back, the pixels are scikit-learn's 0 to 16 again."""
    assert knn.study(tmp_path, [3, 10], data_dir=data_dir) == 0
    written = (tmp_path / 'table.md').read_text()
    assert written in capsys.readouterr().out
    assert cells(written) == [['3', '98.83', '98.83', '597 of 597'], ['10', '97.65', '97.65', '597 of 597']]
    assert cv2.imread(str(tmp_path / 'mistakes.png')).std() > 10


def test_a_forest_of_one_tree(data_dir, tmp_path):
    assert forest.study(tmp_path, [1], seeds=1, data_dir=data_dir) == 0
    ((trees, accuracy, out_of_bag, reference),) = cells((tmp_path / 'table.md').read_text())
    assert trees == '1'
    assert 70 < float(accuracy) < 82
    assert 70 < float(reference) < 82
    assert 70 < float(out_of_bag) < 82
    assert cv2.imread(str(tmp_path / 'mistakes.png')).std() > 10


@pytest.mark.parametrize(('study', 'flag'), [(knn, '--k=0'), (knn, '--k=1200000'), (forest, '--trees=1.5')])
def test_wrong_numbers(command, data_dir, tmp_path, monkeypatch, study, flag):
    monkeypatch.setenv('TFDS_DATA_DIR', str(data_dir))
    ended = command(study, f'--workdir={tmp_path}', flag)
    assert ended.code == launch.BAD_INPUT
    assert flag.partition('=')[0] in ended.err
