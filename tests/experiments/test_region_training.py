"""A detector with masks on photos of two orientations, each on its own canvas, killed and resumed."""

import json
import signal
import sys
import time

import cv2
import numpy as np
import pytest

from tests import kill_and_resume

CONFIG = """
from experiments.detection import coco


def get_config():
    config = coco.get_config('mask_rcnn')
    config.model = {{
        'name': 'detection.faster_rcnn',
        'backbone': {{'name': 'cifar_resnet', 'depth': 8, 'width': 4}},
        'strides': (4,),
        'neck': 'norm',
        'sizes': ((12.0, 20.0),),
        'ratios': (1.0,),
        'cells': 4.0,
        'pool_size': 3,
        'widths': (16,),
        'masks': 'plain',
        'mask_features': 4,
        'mask_depth': 1,
        'mask_pool_size': 4,
    }}
    config.finetune.update({{'into': '', 'rates': {{}}}})
    config.data.update({{'data_dir': {data!r}, 'train_split': 'train', 'eval_split': 'train'}})
    config.data.update({{'batch_size': 2, 'eval_batch_size': 2}})
    for specs in (config.data.train_transforms, config.data.eval_transforms):
        for spec in specs:
            own = {{'resize_sides': {{'long': 96}}, 'pack_masks': {{'size': 56}}, 'pad_boxes': {{'max_boxes': 4}}}}
            spec.update(own.get(spec['name'], {{}}))
            if spec['name'] == 'resize_sides':
                spec['short'] = 48
    config.task.update({{'anchors': 16, 'regions': 16, 'train_candidates': 64, 'train_proposals': 24}})
    config.task.update({{'proposal_candidates': 64, 'proposals': 16, 'most': 6}})
    config.schedule = {{'name': 'one_cycle'}}
    config.training.update({{'epochs': 3.0, 'log_every': 1, 'eval_every': 18, 'save_every': 3}})
    return config
"""


def photos(folder):
    """Twelve photos in COCO's folders, every third upright, with no to three objects."""
    rng = np.random.default_rng(0)
    (folder / 'train').mkdir(parents=True)
    (folder / 'annotations').mkdir()
    images, objects = [], []
    for number in range(12):
        h, w = (56, 40) if number % 3 == 0 else (40, 56)
        image = rng.integers(0, 90, (h, w, 3), dtype=np.uint8)
        for _ in range(number % 4):
            x, y = (int(rng.integers(0, side - 16)) for side in (w, h))
            cv2.rectangle(image, (x, y), (x + 15, y + 15), (250, 250, 250), -1)
            outline = [[x, y, x + 16, y, x + 16, y + 16, x, y + 16]]
            row = {'id': len(objects) + 1, 'image_id': number, 'category_id': 1, 'bbox': [x, y, 16, 16]}
            objects.append({**row, 'area': 256, 'iscrowd': 0, 'segmentation': outline})
        cv2.imwrite(str(folder / 'train' / f'{number}.png'), image)
        images.append({'id': number, 'file_name': f'{number}.png', 'height': h, 'width': w})
    content = {'images': images, 'annotations': objects, 'categories': [{'id': 1, 'name': 'square'}]}
    (folder / 'annotations' / 'instances_train.json').write_text(json.dumps(content))


@pytest.mark.slow
def test_a_killed_detector_ends_as_one_that_was_not(tmp_path, monkeypatch):
    monkeypatch.setenv('JAX_COMPILATION_CACHE_DIR', str(tmp_path / 'compiled'))  # three processes, the same programs
    photos(tmp_path / 'data')
    config = tmp_path / 'tiny.py'
    config.write_text(CONFIG.format(data=str(tmp_path / 'data')))

    def start(name):
        arguments = [sys.executable, '-m', 'experiments.train', f'--config={config}', f'--workdir={tmp_path / name}']
        return kill_and_resume.start(arguments, tmp_path / f'{name}.log')

    whole, broken = tmp_path / 'whole', tmp_path / 'broken'
    assert start('whole').wait() == 0, (tmp_path / 'whole.log').read_text()[-2000:]
    process = start('broken')
    while process.poll() is None and not kill_and_resume.steps(broken):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, (tmp_path / 'broken.log').read_text()[-2000:]
    assert kill_and_resume.steps(broken)[-1] < kill_and_resume.steps(whole)[-1]
    assert start('broken').wait() == 0, (tmp_path / 'broken.log').read_text()[-2000:]
    assert 'program 3' not in (tmp_path / 'whole.log').read_text()
    last = kill_and_resume.steps(whole)[-1]
    expected, found = (kill_and_resume.arrays(folder, last) for folder in (whole, broken))
    assert expected.keys() == found.keys()
    assert all(expected[name].tobytes() == found[name].tobytes() for name in expected)
    assert kill_and_resume.records(whole) == kill_and_resume.records(broken)
    assert 'compiled for it, program 2' in (tmp_path / 'whole.log').read_text()
    assert 'eval/mask_ap' in kill_and_resume.records(whole)[-1]
