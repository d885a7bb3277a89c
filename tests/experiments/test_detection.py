"""A detector by the launchers' commands: trained, shown, its photos and a video predicted, exported."""

import json

import cv2
import numpy as np
import pytest

from experiments import evaluate, export, predict, train
from jaxcv.data import video

MODEL = (
    "{'name': 'detection.retinanet', 'backbone': {'name': 'cifar_resnet', 'depth': 8, 'width': 4}, 'strides': (4,), "
    "'extra': 'none', 'sizes': (10,), 'octaves': 1, 'features': 8, 'depth': 1}"
)


@pytest.mark.slow
def test_a_detector_by_command(data_dir, tmp_path, command):
    run, photos = tmp_path / 'run', tmp_path / 'photos'
    photos.mkdir()
    rng = np.random.default_rng(0)
    for name, size in (('small', (20, 30)), ('large', (200, 150))):
        cv2.imwrite(str(photos / f'{name}.png'), rng.integers(0, 255, (*size, 3), np.uint8))
    with video.video_writer(photos / 'film.mp4', fps=10) as write:
        for _ in range(5):
            write(rng.integers(0, 255, (64, 96, 3), np.uint8))
    flags = [
        '--config=experiments/detection/digit_scenes.py:retinanet',
        f'--config.data.data_dir={data_dir}',
        '--config.data.train_split=train[:32]',
        '--config.data.eval_split=test[:16]',
        '--config.data.eval_batch_size=2',
        f'--config.model={MODEL}',
        '--config.finetune.start_from=None',
        '--config.task.least_score=0.001',
        '--config.training.epochs=1.0',
    ]
    ended = command(train, *flags, f'--workdir={run}')
    assert ended.code == 0, ended.err
    ended = command(evaluate, f'--workdir={run}')
    assert ended.code == 0, ended.err
    assert list(run.glob('**/precision_recall.png'))

    given = f'--workdir={run}', f'--images={photos}/*'

    def predicted(*flags):
        ended = command(predict, *given, '--show=score=0.0', *flags)
        assert ended.code == 0, ended.err
        written = json.loads((run / 'predicted' / 'predictions.json').read_text())
        return {row['file'].rpartition('/')[2]: row for row in written}

    objects = predicted()['small.png']['objects']
    assert objects
    for x, y, width, height in (found['bbox'] for found in objects):
        assert 0 <= x <= x + width <= 30.01
        assert 0 <= y <= y + height <= 20.01
    chosen = objects[0]['class']
    rows = predicted(f'--show=classes={chosen}')
    assert rows['small.png']['objects'] == [found for found in objects if found['class'] == chosen]
    assert {found['class'] for found in rows['large.png']['objects']} <= {chosen}
    assert rows['film.mp4']['frames'] == 5
    lines = (run / 'predicted' / 'film.jsonl').read_text().splitlines()
    assert [json.loads(line)['frame'] for line in lines] == list(range(5))
    assert video.open_video(run / 'predicted' / 'film_boxes.mp4').size == (64, 96)

    ended = command(predict, *given, '--show=scores=0.5')
    assert ended.code == 2
    assert "--show: no option 'scores', did you mean score" in ended.err
    ended = command(export, f'--workdir={run}')
    assert ended.code == 0, ended.err
    assert 'box_valid' in ended.out
