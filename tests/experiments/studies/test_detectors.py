"""The comparison of detectors at smoke size."""

import json

import cv2
import pytest

from experiments.detection.digit_scenes import NETWORKS
from experiments.studies import detectors, study


def test_every_network_has_a_name():
    assert detectors.NAMES.keys() == NETWORKS.keys()
    with pytest.raises(ValueError, match="there is no 'retinet'; there are: retinanet"):
        detectors.get_config('retinet')
    with pytest.raises(ValueError, match="there is no 'heavy'; there are: easy"):
        detectors.get_config('ssd,heavy')


def test_the_table_has_means_and_each_seed():
    runs = [dict.fromkeys(detectors.VALUES, ap) | {'parameters': 1234, 'images_per_second': 9} for ap in (0.5, 0.7)]
    text = detectors.table({'ssd': [run | {'device': 'cpu'} for run in runs]})
    head, _, row = (
        [cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines() if line[:1] == '|'
    )
    assert 'Images a second: cpu' in text
    assert head[:2] == ['', 'AP, %']
    assert head[-3:] == ['AP of the seeds, %', 'parameters', 'images a second']
    assert row == ['SSD', *['60.0'] * 5, '50.0, 70.0', '1,234', '9']


def test_a_method_that_is_not_there_is_told(command, tmp_path):
    ended = command(detectors, f'--workdir={tmp_path}', '--detectors=retinanet,ssdd')
    assert ended.code == 2
    assert "no 'ssdd', did you mean ssd?" in ended.err
    ended = command(detectors, f'--workdir={tmp_path}', '--detector_seeds=one')
    assert ended.code == 2
    assert '--detector_seeds: whole numbers' in ended.err


@pytest.mark.slow
def test_the_table_and_its_resumption(data_dir, tmp_path, command, monkeypatch):
    """A tiny network from two seeds; what is there is not run again."""
    network = {
        'name': 'detection.retinanet',
        'backbone': {'name': 'cifar_resnet', 'depth': 8, 'width': 4},
        'strides': (4,),
        'extra': 'none',
        'sizes': (10,),
        'octaves': 1,
        'features': 8,
        'depth': 1,
    }

    def tiny(name='retinanet'):
        settings = get_config(name)
        transforms = [*settings.data.train_transforms, {'name': 'resize', 'size': 32}]
        settings.data.update({'data_dir': str(data_dir), 'train_split': 'train[:32]', 'eval_split': 'test[:16]'})
        settings.data.update({'train_transforms': transforms, 'eval_transforms': transforms, 'eval_batch_size': 16})
        settings.model = network
        settings.finetune.start_from = None
        return settings

    get_config = detectors.get_config
    monkeypatch.setattr(detectors, 'get_config', tiny)
    flags = f'--workdir={tmp_path}', '--detectors=retinanet', '--detector_epochs=1', '--detector_seeds=0,1'
    ended = command(detectors, *flags)
    assert ended.code == 0, ended.err
    written = (tmp_path / 'table.md').read_text()
    assert written in ended.out
    for seed in ('0', '1'):
        own = tmp_path / 'retinanet' / seed
        last = json.loads((own / 'metrics.jsonl').read_text().splitlines()[-1])
        assert json.loads((own / 'result.json').read_text())['ap'] == pytest.approx(last['eval/ap'], abs=1e-6)
        assert study.arrays(own / 'boxes.npz')['boxes'].shape == (4, 20, 4)
    for name in ('detectors', 'boxes'):
        assert cv2.imread(str(tmp_path / f'{name}.png')).shape[1] > 400

    monkeypatch.setattr(detectors, 'train', None)
    assert command(detectors, *flags).code == 0
    assert (tmp_path / 'table.md').read_text() == written
