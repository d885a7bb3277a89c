"""The study of transfer learning at smoke size."""

import json

import cv2
import jax
import jax.numpy as jnp
import pytest

from experiments.classification import digits_lite0, faces_lite0
from experiments.run.check import check
from experiments.run.training import train
from experiments.studies import transfer
from jaxcv import config as configs
from jaxcv import models, training


@pytest.fixture
def problems(data_dir, tmp_path):
    """The study's problems with 12 pixels and a tiny ResNet, which starts from a workdir that nobody has trained."""
    model = {'name': 'cifar_resnet', 'depth': 8, 'width': 4}
    start = models.cifar_resnet(depth=8, width=4, num_classes=3).init(jax.random.key(9), jnp.zeros((1, 12, 12, 3)))
    store = training.checkpoints(tmp_path / 'source' / 'checkpoints', best_metric='top1', better='max')
    step, rest = jnp.ones((), jnp.int32), {'batch_stats': start['batch_stats']}
    store.save(1, training.TrainState(step, start['params'], rest, {}, jax.random.key(0), step > 0))
    store.close()
    source = digits_lite0.get_config('scratch')
    source.training.update({'best_metric': 'top1', 'best_mode': 'max'})  # as a version before the facts wrote it
    configs.save(source, tmp_path / 'source' / 'config.json')

    def tiny(get_config):
        def changed(how):
            settings = get_config(how)
            transforms = [{'name': 'decode', 'channels': 3}, {'name': 'resize', 'size': 12}]
            settings.data.update({'train_transforms': transforms, 'eval_transforms': transforms})
            settings.data.update({'data_dir': str(data_dir), 'eval_split': 'test[:60]', 'batch_size': 16})
            settings.model = model
            if how != 'scratch':
                settings.finetune.start_from = str(tmp_path / 'source')
            return settings

        return changed

    return {
        'faces': transfer.PROBLEMS['faces']._replace(get_config=tiny(faces_lite0.get_config), images=(20,)),
    }


def test_the_table_and_the_picture_of_runs_that_are_done(data_dir, tmp_path, capsys, monkeypatch):
    def small(how):
        settings = faces_lite0.get_config(how)
        settings.data.data_dir = str(data_dir)
        return settings

    problems = {'faces': transfer.PROBLEMS['faces']._replace(get_config=small)}
    monkeypatch.setattr(transfer, 'runner', None)  # nothing is left to run
    for images in (100, 20):
        for place, how in enumerate(transfer.METHODS):
            for number in range(2):
                values = {'top1': 0.5 + 0.1 * place + 0.02 * number, 'loss': 0.0, 'train_top1': 1.0, 'seconds': 1.0}
                (tmp_path / f'faces_{images}_{how}_{number}.json').write_text(json.dumps(values))
    assert transfer.study(tmp_path, runs=2, updates=4, problems=problems) == 0
    written = (tmp_path / 'table.md').read_text()
    assert written in capsys.readouterr().out
    lines = [[cell.strip() for cell in line.strip('|').split('|')] for line in written.splitlines()]
    assert lines[0] == ['test accuracy, %', '100 patches, faces or not', '20 patches, faces or not']
    assert [line[0] for line in lines[2:]] == list(transfer.METHODS.values())
    assert [line[2] for line in lines[2:]] == ['51.0 ± 1.0', '61.0 ± 1.0', '71.0 ± 1.0']
    assert cv2.imread(str(tmp_path / 'transfer.png')).shape[1] > 800

    with pytest.raises(configs.ConfigError, match=r'another study(?s:.)*epochs: 0.8 -> 1.6'):
        transfer.study(tmp_path, runs=2, updates=8, problems=problems)


@pytest.mark.slow
def test_a_run_is_what_train_makes_of_its_config(problems, tmp_path, capsys):
    """On 8 devices, whose batches are multiples of 8."""
    assert transfer.study(tmp_path / 'study', runs=2, updates=4, problems=problems) == 0
    assert '20 patches, faces or not, fine-tuned: ' in capsys.readouterr().out
    settings = transfer.run_settings(problems['faces'], 'finetune', 20, 1, updates=4)
    assert settings.data.train_split == 'train[20:40]'
    told = {}
    assert train(check(settings), tmp_path / 'run', on_evaluation=lambda step, scalars: told.update(scalars)) == 0
    values = json.loads((tmp_path / 'study' / 'faces_20_finetune_1.json').read_text())
    assert values['top1'] == pytest.approx(told['top1'], abs=1 / 60)
    assert values['loss'] == pytest.approx(told['loss'], rel=1e-3)
