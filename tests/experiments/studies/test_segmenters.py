"""The comparison of segmenters at smoke size."""

import json

import cv2
import numpy as np
import pytest

from experiments import launch
from experiments.studies import segmenters


@pytest.mark.slow
def test_the_table_and_its_resumption(data_dir, tmp_path, command, monkeypatch):
    """A forest and a network with an auxiliary head, both tiny; what is there is not run again."""
    network = {
        'name': 'segmentation.pspnet',
        'backbone': {'name': 'cifar_resnet', 'depth': 8, 'width': 4},
        'features': 8,
        'aux_head': True,
    }

    def tiny(name='pspnet'):
        settings = get_config(name)
        transforms = [*settings.data.train_transforms[:-1], {'name': 'resize', 'size': 24}]
        settings.data.update({'data_dir': str(data_dir), 'train_split': 'train[:32]', 'eval_split': 'test[:16]'})
        settings.data.update({'train_transforms': transforms, 'eval_transforms': transforms, 'eval_batch_size': 16})
        settings.model = network
        settings.finetune.start_from = None
        return settings

    get_config = segmenters.get_config
    monkeypatch.setattr(segmenters, 'get_config', tiny)
    methods = ['forest', 'pspnet']
    flags = f'--workdir={tmp_path}', '--methods=forest,pspnet', '--network_epochs=0.5'
    ended = command(segmenters, *flags)
    assert ended.code == 0, ended.err
    written = (tmp_path / 'table.md').read_text()
    assert written in ended.out
    lines = [[cell.strip() for cell in line.strip('|').split('|')] for line in written.splitlines()]
    assert lines[0] == ['', 'mean IoU, %', 'boundary F, %', 'parameters', 'images a second']
    assert [line[0] for line in lines[2:]] == ['random forest', 'PSPNet']
    found = {name: json.loads((tmp_path / name / 'result.json').read_text()) for name in methods}
    last = json.loads((tmp_path / 'pspnet' / 'metrics.jsonl').read_text().splitlines()[-1])
    assert found['pspnet']['mean_iou'] == pytest.approx(last['eval/mean_iou'], abs=1e-6)
    assert found['pspnet']['boundary_f_score'] == pytest.approx(last['eval/boundary_f_score'], abs=1e-6)
    for line, name in zip(lines[2:], methods, strict=True):
        assert line[1] == f'{100 * found[name]["mean_iou"]:.1f}'
        assert line[3] == f'{found[name]["parameters"]:,}'
        assert np.load(tmp_path / name / 'masks.npy').shape == (5, 24, 24)
    assert cv2.imread(str(tmp_path / 'segmenters.png')).shape[1] > 400

    monkeypatch.setattr(segmenters, 'train', None)
    monkeypatch.setattr(segmenters, 'quality', None)
    assert command(segmenters, *flags, '--time_again').code == 0
    again = (tmp_path / 'table.md').read_text()
    monkeypatch.setattr(segmenters, 'predictor', lambda name, own: pytest.fail('made again'))
    assert command(segmenters, *flags).code == 0
    assert (tmp_path / 'table.md').read_text() == again
    assert [line.split('|')[:5] for line in again.splitlines()] == [
        line.split('|')[:5] for line in written.splitlines()
    ]
    speeds = [json.loads((tmp_path / name / 'speed.json').read_text())['images_per_second'] for name in methods]
    assert [line.split('|')[5].strip() for line in again.splitlines()[2:]] == [f'{speed:.0f}' for speed in speeds]


def test_a_method_that_is_not_there_is_told(command, tmp_path):
    ended = command(segmenters, f'--workdir={tmp_path}', '--methods=forest,fcn8')
    assert ended.code == launch.BAD_INPUT
    assert "--methods: no 'fcn8', did you mean fcn8s" in ended.err
