"""The comparison of two-stage detectors at smoke size."""

import json

import cv2
import pytest

from experiments.detection.digit_regions import NETWORKS
from experiments.studies import region_detectors, study

TINY = {'name': 'cifar_resnet', 'depth': 8, 'width': 4}


def test_every_network_has_a_name():
    assert region_detectors.NAMES.keys() == NETWORKS.keys()


def test_the_table_has_a_row_for_the_machines_on_the_features_of_the_same_network():
    parts = {'proposals': 0.1, 'features': 0.02, 'heads': 0.003}
    run = {'ap': 0.5, 'ap50': 0.9, 'ap75': 0.6, 'parts': parts, 'parameters': 1234, 'device': 'cpu'}
    machines = {'machines': {'ap': 0.6, 'ap50': 0.9, 'ap75': 0.7}}
    masks = {'mask_ap': 0.4, 'mask_ap75': 0.3}
    results = {'rcnn': [run | machines], 'mask_rcnn': [run | masks, run | masks | {'ap': 0.7}]}
    text = region_detectors.table(results)
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines() if line[:1] == '|']
    assert rows[0][-4:] == ['proposals, ms', 'features, ms', 'heads, ms', 'parameters']
    assert rows[2][:7] == ['R-CNN, softmax', '50.0', '90.0', '60.0', '', '', '50.0']
    assert rows[3][:7] == [region_detectors.MACHINES, '60.0', '90.0', '70.0', '', '', '60.0']
    assert rows[4][:7] == ['Mask R-CNN, RoIAlign', '60.0', '90.0', '60.0', '40.0', '30.0', '50.0, 70.0']
    assert rows[4][7:] == ['100.00', '20.00', '3.00', '1,234']
    assert 'Measured on cpu' in text


def test_a_network_that_is_not_there_is_told(command, tmp_path):
    ended = command(region_detectors, f'--workdir={tmp_path}', '--region_networks=faster_rcn')
    assert ended.code == 2
    assert "no 'faster_rcn', did you mean faster_rcnn or" in ended.err


@pytest.mark.slow
def test_the_table_and_its_resumption(data_dir, tmp_path, command, monkeypatch):
    """R-CNN with its machines, and a mask head; the table is made again from the small files alone."""
    models = {
        'rcnn': {**NETWORKS['rcnn'], 'backbone': TINY, 'size': 16, 'context': 2, 'widths': (8,)},
        'mask_rcnn': {
            **NETWORKS['mask_rcnn'],
            'backbone': TINY,
            'strides': (4,),
            'sizes': ((14.0, 28.0),),
            'features': 8,
            'widths': (8,),
            'mask_features': 8,
            'mask_depth': 1,
        },
    }

    def tiny(name):
        settings = get_config(name)
        settings.data.update({'data_dir': str(data_dir), 'train_split': 'train[:16]', 'eval_split': 'test[:8]'})
        settings.data.eval_batch_size = 4
        settings.model = models[name.partition(',')[0]]
        settings.finetune.start_from = None
        return settings

    get_config = region_detectors.get_config
    monkeypatch.setattr(region_detectors, 'get_config', tiny)
    flags = [f'--workdir={tmp_path}', '--region_networks=rcnn,mask_rcnn', '--region_epochs=2', '--region_seeds=0']
    ended = command(region_detectors, *flags, f'--region_proposals={tmp_path / "proposals"}')
    assert ended.code == 0, ended.err
    written = (tmp_path / 'table.md').read_text()
    assert written in ended.out
    result = json.loads((tmp_path / 'rcnn' / '0' / 'result.json').read_text())
    assert result['machines']['ap'] >= 0
    timed = json.loads((tmp_path / 'rcnn' / 'speed.json').read_text())
    assert timed['parts'].keys() == {'proposals', 'features', 'heads'}
    found = study.arrays(tmp_path / 'mask_rcnn' / '0' / 'objects.npz')
    assert found['masks'].shape == (4, 20, 96, 96)
    last = json.loads((tmp_path / 'mask_rcnn' / '0' / 'metrics.jsonl').read_text().splitlines()[-1])
    result = json.loads((tmp_path / 'mask_rcnn' / '0' / 'result.json').read_text())
    assert result['mask_ap'] == pytest.approx(last['eval/mask_ap'], abs=1e-6)
    for name in ('region_detectors', 'objects'):
        assert cv2.imread(str(tmp_path / f'{name}.png')).shape[1] > 400

    monkeypatch.setattr(region_detectors, 'train', None)
    assert command(region_detectors, *flags).code == 0  # the proposals lie in another folder now
    assert (tmp_path / 'table.md').read_text() == written
