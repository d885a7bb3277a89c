"""The data of a config, drawn before and after its transforms and counted; nothing is trained."""

import cv2
import numpy as np

from experiments import look


def test_images_with_labels(command, tiny, tmp_path):
    ended = command(look, *tiny, "--config.augment=[{'name': 'random_shift', 'max_shift': 2}]", f'--folder={tmp_path}')
    assert ended.code == 0, ended.err
    lines = dict(line.split('  ', 1) for line in ended.out.splitlines() if '  ' in line)
    assert lines['images'].strip() == '1,200 (the first 1,000 are counted)'
    assert lines['rows'].strip() == '8'
    assert sum(int(part.split()[1]) for part in lines['label'].split(', ')) == 1000
    before, after = (cv2.imread(str(tmp_path / f'{name}.png')) for name in ('before', 'after'))
    assert before.shape == after.shape
    assert before.shape[1] > 400
    assert np.mean(before != after) > 0.01


def test_a_config_is_needed(command, tmp_path):
    ended = command(look, f'--folder={tmp_path}')
    assert ended.code == 2
    assert 'give --config=NAME' in ended.err
