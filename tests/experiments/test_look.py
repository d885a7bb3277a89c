"""The data of a config, drawn before and after its transforms and counted; nothing is trained."""

import cv2
import numpy as np

from experiments import look
from jaxcv.data.fields import write_field

PAIRS = """
from experiments.base import base


def get_config():
    config = base()
    transforms = [{{'name': 'decode'}}, {{'name': 'keep', 'names': ['left', 'right', 'disparity', 'disparity_valid']}}]
    config.data.update({{'name': 'folder_pairs', 'data_dir': '{data_dir}', 'train_split': 'train', 'eval_split': None}})
    config.data.update({{'train_transforms': transforms, 'eval_transforms': transforms, 'batch_size': 2}})
    config.model = {{'name': 'stereo.dispnet', 'width': 0.05}}
    config.task = {{'name': 'stereo'}}
    config.loss = {{'name': 'multi_scale_disparity'}}
    config.augment = []
    config.optimizer = {{'name': 'sgd', 'learning_rate': 0.1}}
    return config
"""


def test_images_with_labels(command, tiny, tmp_path):
    ended = command(look, *tiny, "--config.augment=[{'name': 'random_shift', 'max_shift': 2}]", f'--folder={tmp_path}')
    assert ended.code == 0, ended.err
    lines = dict(line.split('  ', 1) for line in ended.out.splitlines() if '  ' in line)
    assert lines['images'].strip() == '1,200 (1,000 of them, at random, are counted)'
    assert lines['rows'].strip() == '8'
    assert sum(int(part.split()[1]) for part in lines['label'].split(', ')) == 1000
    before, after = (cv2.imread(str(tmp_path / f'{name}.png')) for name in ('before', 'after'))
    assert before.shape == after.shape
    assert before.shape[1] > 400
    assert np.mean(before != after) > 0.01


def test_pairs(command, tmp_path, data_dir):
    pairs = tmp_path / 'pairs' / 'train'
    for i, shift in enumerate((2, 4)):
        for name in ('left', 'right', 'disparity'):
            (pairs / name).mkdir(parents=True, exist_ok=True)
        for name in ('left', 'right'):
            cv2.imwrite(str(pairs / name / f'{i}.png'), np.full((32, 48, 3), 90 * shift // 2, np.uint8))
        write_field(pairs / 'disparity' / f'{i}', np.full((32, 48), shift, np.float32))
    path = tmp_path / 'pairs.py'
    path.write_text(PAIRS.format(data_dir=str(tmp_path / 'pairs')))
    ended = command(look, f'--config={path}', f'--folder={tmp_path}')
    assert ended.code == 0, ended.err
    lines = dict(line.split('  ', 1) for line in ended.out.splitlines() if '  ' in line)
    assert lines['disparity, pixels'].strip() == '2.0 to 4.0, mean 3.0'
    assert lines['known pixels'].strip() == '100.0 %'
    assert (tmp_path / 'before.png').exists()
    assert (tmp_path / 'after.png').exists()


def test_a_config_is_needed(command, tmp_path):
    ended = command(look, f'--folder={tmp_path}')
    assert ended.code == 2
    assert 'give --config=NAME' in ended.err
