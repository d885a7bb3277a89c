"""The study of open-set digits at smoke size."""

import json

import cv2
import numpy as np
import pytest

from experiments.embedding.digits_open_set import LOSSES, get_config
from experiments.run.check import check
from experiments.run.search import space
from experiments.studies import open_set


def test_every_loss_is_a_config_that_fits():
    assert set(open_set.NAMES) == {open_set.PIXELS, *LOSSES}
    assert set(open_set.PLANE) <= set(LOSSES)
    for name in LOSSES:
        check(get_config(name))
        check(space.apply(get_config(name), open_set.IN_THE_PLANE))


@pytest.mark.slow
def test_the_table_and_the_figure(data_dir, tmp_path, capsys):
    each = {name: get_config(name) for name in ('hinge', 'arcface')}
    for settings in each.values():
        settings.data.data_dir = str(data_dir)
        settings.training.epochs = 1.0
    assert open_set.study(each, tmp_path, runs=2, plane=['arcface']) == 0
    written = (tmp_path / 'table.md').read_text()
    assert written in capsys.readouterr().out
    lines = [[cell.strip() for cell in line.strip('|').split('|')] for line in written.splitlines()]
    assert [line[0] for line in lines[2:]] == ['pixels, not trained', 'contrastive, margin 1', 'ArcFace']
    values = json.loads((tmp_path / 'arcface.json').read_text())
    assert all(len(values[column]) == 2 for column in open_set.COLUMNS)
    assert 0.2 < np.mean(values['map_at_r']) <= 1
    plane = json.loads((tmp_path / 'plane_arcface.json').read_text())
    assert np.shape(plane['points']) == (597, 2)
    assert np.bincount(plane['digits']).min() > 50
    assert cv2.imread(str(tmp_path / 'open_set.png')).shape[1] > 400
