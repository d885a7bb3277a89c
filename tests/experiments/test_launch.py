"""The launchers: a trained, evaluated, resumable classifier; data and configs that do not fit."""

import io
import json
import shutil
import types

import cv2
import jax
import numpy as np
import pytest
from absl import logging

from experiments import evaluate, launch, predict, train
from experiments.classification import digits
from experiments.run.check import check
from experiments.run.exits import BAD_INPUT, FAULT, NOT_FINITE
from experiments.run.search.space import apply
from experiments.run.training import train as train_checked
from jaxcv import augment


def test_train_evaluate_predict_and_resume(command, tiny, tmp_path):
    workdir = tmp_path / 'run'
    trained = command(train, *tiny, f'--workdir={workdir}', '--config.training.eval_every=20')
    assert trained.code == 0, trained.err
    assert '1,200 images, 10 classes' in trained.out
    assert 'GFLOP' in trained.out
    assert {p.name for p in workdir.iterdir()} >= {
        'checkpoints',
        'config.json',
        'learning_curves.png',
        'metrics.jsonl',
        'tensorboard',
    }
    records = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
    assert {'train/loss', 'learning_rate', 'images_per_second', 'epoch'} <= records[0].keys()
    assert records[-1]['step'] == 38
    assert records[-1]['eval/top1'] > 0.5

    evaluated = command(evaluate, f'--workdir={workdir}', '--checkpoint=best')  # the workdir alone is enough
    assert evaluated.code == 0, evaluated.err
    assert 'digits, test: 597 images' in evaluated.out
    written = json.loads((workdir / 'evaluation.json').read_text())
    best = max(r['eval/top1'] for r in records if 'eval/top1' in r)
    assert written['top1'] == pytest.approx(best)
    for name in ('confusion_matrix.png', 'predictions.png'):
        assert cv2.imread(str(workdir / name)).shape[1] > 400

    photos = tmp_path / 'photos'
    photos.mkdir()
    rng = np.random.default_rng(0)
    cv2.imwrite(str(photos / 'gray.png'), rng.integers(0, 256, (8, 8), np.uint8))
    cv2.imwrite(str(photos / 'color.png'), rng.integers(0, 256, (8, 8, 3), np.uint8))
    (photos / 'broken.png').write_bytes(b'no image')
    predicted = command(predict, f'--workdir={workdir}', f'--images={photos}/*.png')
    assert predicted.code == BAD_INPUT, predicted.err
    assert len(json.loads((workdir / 'predicted' / 'predictions.json').read_text())) == 2
    assert 'broken.png' in predicted.err
    assert '1 of 3 files' in predicted.err

    again = command(train, *tiny, f'--workdir={workdir}', '--config.training.eval_every=20')
    assert again.code == 0, again.err
    assert 'This run is complete' in again.out
    assert len((workdir / 'metrics.jsonl').read_text().splitlines()) == len(records)

    other = command(train, *tiny, f'--workdir={workdir}', '--config.optimizer.learning_rate=0.5')
    assert other.code == BAD_INPUT
    assert 'holds a run of another config' in other.err
    assert 'optimizer.learning_rate: 0.1 -> 0.5' in other.err
    assert 'Traceback' not in other.err


@pytest.mark.slow
def test_other_data_and_a_longer_run(command, tiny, tmp_path):
    workdir = tmp_path / 'run'
    assert command(train, *tiny, f'--workdir={workdir}').code == 0
    # a field that does not matter may change; data of --config counts, its optimizer does not
    assert command(train, *tiny, f'--workdir={workdir}', '--config.training.eval_every=10').code == 0
    arguments = ['--config.optimizer.clip_norm=1.0', '--config.data.eval_split=train']
    evaluated = command(evaluate, *tiny, f'--workdir={workdir}', *arguments)
    assert evaluated.code == 0, evaluated.err
    assert 'digits, train: 1,200 images' in evaluated.out

    changed = [*tiny, f'--workdir={workdir}', '--config.optimizer.learning_rate=0.5', '--config.training.epochs=1.5']
    longer = command(train, *changed, '--resume_with_changes')
    assert longer.code == 0, longer.err
    assert 'resumed with changes' in longer.out
    assert '38 to 56' in longer.out


WRONG = {
    # changed fields of the config: the message
    'model': ({'model.name': 'resnet81'}, "model: no 'resnet81' in jaxcv.models, did you mean resnet18"),
    'optimizer': (
        {'optimizer.name': 'adamm'},
        "optimizer: no 'adamm' in jaxcv.optim.optimizers, did you mean adam",
    ),
    'argument': ({'optimizer.momentum': 0.9}, "nesterov has no argument 'momentum'"),
    'field': ({'training.epoch': 3}, "no argument 'epoch', did you mean epochs?"),
    'section': ({'optimiser': {}}, "there is no section 'optimiser', did you mean optimizer?"),
    'type': ({'optimizer.decoupled': 3}, 'decoupled must be'),
    'choice': ({'training.mode': 'tpu'}, "mode must be 'jit' or 'pmap', got 'tpu'"),
    'range': ({'training.epochs': -1.0}, 'training.epochs must be positive, got -1'),
    'seed': ({'seed': -1}, 'seed must be an int of at least 0, got -1'),
    'not finite': ({'training.epochs': float('nan')}, 'training.epochs must be positive, got nan'),
    'learning rate': ({'optimizer.learning_rate': -0.1}, 'learning_rate must be in (0, inf), got -0.1'),
    'best metric': ({'training.best_metric': 'accuracy'}, "no metric 'accuracy'"),
    'masks of digits': (
        {'task': {'name': 'segmentation'}, 'model': {'name': 'segmentation.unet', 'width': 2, 'depth': 1}},
        "segmentation needs the 'mask' of each image, but the examples have image, label",
    ),
    'ranked by an array': (
        {'training.best_metric': 'confusion'},
        "training.best_metric: 'confusion' is not one number; there are: loss, top1, top5, calibration_error",
    ),
    'evaluation split': ({'data.eval_split': 'tset'}, "digits has no split 'tset'"),
    'data set': ({'data.name': 'cifar11'}, "tfds has no data set 'cifar11'"),
    'split': ({'data.train_split': 'trian'}, "digits has no split 'trian'"),
    'batch size': ({'data.batch_size': 4000}, 'a batch of 4,000 is larger than the data set of 1,200'),
    'devices': ({'data.batch_size': 12}, 'make the batch size a multiple of 8, the devices (8)'),
    'micro-batches': ({'training.accumulate': 5}, 'batch_size 32 is no multiple of training.accumulate 5'),
    'depth': ({'model': {'name': 'cifar_resnet', 'depth': 9}}, 'depth of a cifar_resnet is 6n+2, not 9'),
    'classes': (
        {'model': {'name': 'linear_classifier', 'num_classes': 3}},
        'num_classes is 3, but digits has 10',
    ),
    'duration': (
        {'schedule': {'name': 'multi_step', 'steps': ['3 epoch', '60%'], 'warmup_steps': '5 epoches'}},
        "schedule: '5 epoches' is no duration: write '100 steps', '5 epochs'",
    ),
    'average': ({'average.name': 'polyack'}, "average: no 'polyack' in jaxcv.optim.averaging, did you mean polyak?"),
    'a step as an average': (
        {'average': {'name': 'sgd', 'learning_rate': 1.0}},
        "average: no 'sgd' in jaxcv.optim.averaging, there are: polyak, snapshots, swa",
    ),
    'an average as a schedule': ({'schedule': {'name': 'polyak'}}, "schedule: no 'polyak' in jaxcv.optim.schedules"),
    'other cycles': (
        {
            'schedule': {'name': 'cosine_restarts', 'period': 5},
            'average': {'name': 'snapshots', 'keep': 2, 'period': 4},
        },
        'average.period is 4, but the cycles of the schedule have 5',
    ),
    'patience for nothing': (
        {'training.patience': 3, 'training.eval_every': 0},
        'set training.eval_every and data.eval_split',
    ),
    'an option that makes no sense': ({'optimizer.weight_decay': -1.0}, 'optimizer: weight_decay must be in [0, inf)'),
    'an average longer than the run': ({'average': {'name': 'swa', 'start': '150%'}}, "'150%' is longer than the run"),
    'an average after the run': (
        {'average': {'name': 'polyak', 'start': 10**6}},
        'start must be less than total_steps',
    ),
    'nothing averaged': ({'training.evaluate_averaged': True}, 'nothing is averaged, set average'),
    'layer': ({'finetune.rates': {'stem': 0.1}}, "rates, frozen_until: no layer 'stem'; the parameters have head"),
    'view': ({'views': {'name': 'crop', 'size': 8}}, "views: no 'crop' in jaxcv.augment.views, did you mean crops"),
    'start': ({'finetune.start_from': '/nowhere'}, 'finetune.start_from: /nowhere holds no checkpoints'),
    'class': ({'data.classes': ['0', 'ten']}, "no class 'ten'"),
    'members': (
        {'training.mode': 'pmap', 'training.members': 2},
        "are trained with training.mode 'jit'",
    ),
    'pmap with fsdp': ({'training.mode': 'pmap', 'training.sharding': 'fsdp'}, "use mode 'jit' for FSDP"),
}


def settings(data_dir, changes):
    """The config of `tiny`, with changes."""
    small = {
        'data.data_dir': str(data_dir),
        'data.batch_size': 32,
        'model': {'name': 'linear_classifier'},
        'augment': [],
        'training.epochs': 1.0,
    }
    return apply(digits.get_config(), {**small, **changes})


@pytest.mark.parametrize(('changes', 'message'), WRONG.values(), ids=WRONG.keys())
def test_wrong_input_is_one_message_before_training(data_dir, tmp_path, changes, message):
    with pytest.raises((ValueError, OSError)) as caught:
        train_checked(check(settings(data_dir, changes)), tmp_path / 'run')
    assert launch._exit_code(caught.value) == BAD_INPUT
    assert message in str(caught.value)
    assert not (tmp_path / 'run').exists()


def test_all_problems_of_a_config_are_said_at_once(data_dir):
    changes = {'optimizer.decoy': 1, 'training.mode': 'tpu', 'schedule.name': 'two_cycle'}
    with pytest.raises(ValueError, match='3 problems in the config'):
        check(settings(data_dir, changes))


def test_an_unwritable_workdir_is_told_before_training(command, tiny, tmp_path):
    (tmp_path / 'file').write_text('')
    ended = command(train, *tiny, f'--workdir={tmp_path / "file" / "run"}')
    assert ended.code == BAD_INPUT
    assert 'cannot be written to' in ended.err


def test_a_full_disk_is_told_before_training(command, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: shutil._ntuple_diskusage(10, 10, 0))
    ended = command(train, *tiny, f'--workdir={tmp_path / "run"}')
    assert ended.code == BAD_INPUT
    assert 'MB free, but the checkpoints will take' in ended.err


def test_a_loss_that_is_not_finite_ends_with_code_3(command, tiny, tmp_path):
    workdir = tmp_path / 'run'
    ended = command(
        train,
        *tiny,
        f'--workdir={workdir}',
        '--config.optimizer.learning_rate=1e38',
        '--config.schedule.name=constant',
    )
    assert ended.code == NOT_FINITE, ended.err
    assert 'not finite at step' in ended.err
    assert 'Examples of the batch' in ended.err
    assert 'Traceback' not in ended.err
    assert [p for p in (workdir / 'checkpoints').iterdir() if p.name.isdigit()]


@pytest.fixture
def photos(tmp_path):
    """A folder data set of the user's own, with every kind of file that cameras and scanners make."""
    rng = np.random.default_rng(0)
    for split, count in (('train', 8), ('val', 3)):
        for name in ('cat', 'dog'):
            folder = tmp_path / 'photos' / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                cv2.imwrite(str(folder / f'{i}.jpg'), rng.integers(0, 256, (20 + i, 30, 3), np.uint8))
    train = tmp_path / 'photos' / 'train'
    cv2.imwrite(str(train / 'cat' / 'gray.png'), rng.integers(0, 256, (17, 23), np.uint8))
    cv2.imwrite(str(train / 'cat' / 'deep.png'), rng.integers(0, 65536, (17, 23, 3), np.uint16))
    cv2.imwrite(str(train / 'dog' / 'one.png'), rng.integers(0, 256, (1, 1, 3), np.uint8))
    return tmp_path / 'photos'


def folder_arguments(photos):
    return [
        f'--config={launch.__file__.replace("launch.py", "classification/folder.py")}',
        f'--config.data.data_dir={photos}',
        '--config.data.batch_size=8',
        '--config.model={"name": "linear_classifier"}',
        '--config.training.epochs=1.0',
        "--config.data.train_transforms=[{'name': 'decode'}, {'name': 'random_resized_crop', 'size': 16}]",
        "--config.data.eval_transforms=[{'name': 'decode'}, {'name': 'resize_short_side', 'size': 18},"
        " {'name': 'center_crop', 'size': 16}]",
    ]


def test_a_folder_of_ones_own_trains(command, photos, tmp_path):
    ended = command(train, *folder_arguments(photos), f'--workdir={tmp_path / "run"}')
    assert ended.code == 0, ended.err
    assert '19 images, 2 classes' in ended.out


def test_other_classes_than_those_of_the_training_are_told(command, photos, tmp_path):
    workdir = tmp_path / 'run'
    assert command(train, *folder_arguments(photos), f'--workdir={workdir}').code == 0
    assert command(evaluate, f'--workdir={workdir}').code == 0
    shutil.copytree(photos / 'train' / 'cat', photos / 'train' / 'bird')
    ended = command(evaluate, f'--workdir={workdir}')
    assert ended.code == BAD_INPUT
    assert 'has the classes bird, cat, dog, but the run was trained on cat, dog' in ended.err


def test_a_broken_image_is_named_or_skipped(command, photos, tmp_path):
    whole = (photos / 'train' / 'dog' / '3.jpg').read_bytes()
    (photos / 'train' / 'dog' / '3.jpg').write_bytes(whole[: len(whole) // 2])
    arguments = [*folder_arguments(photos), '--config.training.epochs=3.0']
    ended = command(train, *arguments, f'--workdir={tmp_path / "a"}')
    assert ended.code == BAD_INPUT, ended.err
    assert 'dog/3.jpg' in ended.err
    assert '1 of the 19 files' in ended.err
    ended = command(train, *arguments, f'--workdir={tmp_path / "b"}', '--config.data.on_broken=skip')
    assert ended.code == 0, ended.err
    records = [json.loads(line) for line in (tmp_path / 'b' / 'metrics.jsonl').read_text().splitlines()]
    assert max(record.get('skipped_images', 0) for record in records) > 0


def test_a_missing_or_empty_folder_is_told(command, photos, tmp_path):
    for split in ('train', 'val'):
        for image in (photos / split / 'cat').iterdir():
            image.unlink()
    for place, message in ((tmp_path / 'nowhere', 'nowhere'), (photos, 'cat')):
        ended = command(train, *folder_arguments(place), f'--workdir={tmp_path / "run"}')
        assert ended.code == BAD_INPUT
        assert message in ended.err


def test_an_error_of_a_library_is_one_message_with_its_phase(command, tiny, tmp_path, monkeypatch):
    class Broken(dict):
        def __getitem__(self, name):
            raise RuntimeError('INTERNAL: no such kernel\n' + 'a line of the library\n' * 80)

    def failing(checked, folder, **options):
        augment.random_flip(jax.random.key(0), Broken(image=np.zeros((1, 2, 2, 3), np.float32)))

    monkeypatch.setattr(train, 'train', failing)
    ended = command(train, *tiny, f'--workdir={tmp_path}')
    assert ended.code == FAULT
    assert ended.err.startswith('Error: augmenting a batch failed: RuntimeError: INTERNAL: no such kernel\n(in ')
    assert ended.err.endswith('--traceback shows the stack trace)\n')
    assert ended.err.count('\n') == 2


def test_a_warning_is_a_line_of_its_own_words(command, monkeypatch):
    """Without the time and the place of absl's."""
    written = io.StringIO()
    monkeypatch.setattr(logging.get_absl_handler().python_handler, 'stream', written)
    launcher = types.SimpleNamespace(main=lambda: logging.warning('a photo is left out'), USES=())
    assert command(launcher, '--notraceback').code == 0
    assert written.getvalue() == 'WARNING: a photo is left out\n'
