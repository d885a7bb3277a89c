"""The study of open-set digits at smoke size."""

import cv2
import numpy as np
import pytest

from experiments.embedding.digits_open_set import LOSSES, get_config
from experiments.run.check import check
from experiments.run.search import space
from experiments.studies import open_set
from jaxcv.files import read_json

ROWS = ('pixels', 'lda', 'untrained', 'arcface')


def test_every_loss_is_a_config_that_fits():
    assert set(open_set.NAMES) == {open_set.PIXELS, open_set.LINEAR, open_set.UNTRAINED, *LOSSES}
    for name in LOSSES:
        check(get_config(name))
        check(space.apply(get_config(name), open_set.IN_THE_PLANE))


def test_quarter_turns_are_identities_of_their_own():
    image = np.arange(40 * 4).reshape(40, 2, 2, 1)
    batch = {'image': image, 'label': np.arange(40) % 5, 'valid': np.ones(40, bool)}
    found = open_set.turned(batch, np.random.default_rng(0), 5)
    quarters, digits = np.divmod(found['label'], 5)
    assert digits.tolist() == batch['label'].tolist()
    assert set(quarters) == {0, 1, 2, 3}
    once = np.flatnonzero(quarters == 1)[0]
    assert found['image'][once, ..., 0].tolist() == [[image[once, 0, 1, 0], image[once, 1, 1, 0]],
                                                    [image[once, 0, 0, 0], image[once, 1, 0, 0]]]  # fmt: skip


@pytest.mark.slow
def test_the_table_and_the_figure(data_dir, tmp_path, capsys):
    each = {name: get_config(name if name in LOSSES else 'softmax') for name in ROWS}
    for settings in each.values():
        settings.data.data_dir = str(data_dir)
        settings.model.backbone.width = 8
        settings.training.epochs = 1.0
    assert open_set.study(each, tmp_path, runs=2) == 0
    written = (tmp_path / 'table.md').read_text()
    assert written in capsys.readouterr().out
    lines = [[cell.strip() for cell in line.strip('|').split('|')] for line in written.splitlines()]
    assert [line[0] for line in lines[2:]] == [open_set.NAMES[name] for name in ROWS]
    pixels, linear = (read_json(tmp_path / name / '0.json') for name in ('pixels', 'lda'))
    assert linear['map_at_r'] < pixels['map_at_r'] < pixels['seen_map_at_r'] < linear['seen_map_at_r']
    values = read_json(tmp_path / 'arcface' / '1.json')
    assert set(open_set.COLUMNS) <= set(values)
    assert 0.2 < values['map_at_r'] == values['curve'][-1][0] <= 1
    assert values['steps'][0] == 0
    assert values['steps'][-1] == 15  # 592 images in batches of 40
    plane = read_json(tmp_path / 'arcface' / 'plane.json')
    assert np.shape(plane['points']) == (597, 2)
    assert np.bincount(plane['digits']).tolist() == [61, 62, 68, 53, 65, 63, 62, 49, 54, 60]
    assert plane['seen'] == sum([61, 62, 68, 53, 65])
    for figure in ('open_set', 'learning_curves'):
        assert cv2.imread(str(tmp_path / f'{figure}.png')).shape[1] > 400
