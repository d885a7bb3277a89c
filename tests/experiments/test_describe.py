"""What a config may name, listed and described; and the help of all launchers."""

import ast
import importlib

import pytest
from absl import flags

from experiments import __main__ as commands
from experiments import describe, launch
from experiments import list as listing
from experiments.run.exits import BAD_INPUT
from experiments.run.listings import PARTS, part_rows, weight_rows
from jaxcv import weights

USE = '--use=tests.experiments.third_task.counting'
LISTED = {
    ('models', 'resnet18'): 'resnet18 11,689,512 ResNet-18; torchvision',
    ('weights', 'ssd300*'): 'ssd300_vgg16.coco_v1 torchvision',
    ('losses', 'focal', 'sigmoid'): 'sigmoid_focal Focal loss of independent sigmoids',
    ('optimizers', 'adamw'): 'adamw Adam with decoupled weight decay',
    ('augment', 'cutout'): 'cutout ',
    ('transforms', 'resize_short'): 'resize_short_side Resize so that the short side',
    ('metrics', 'verification'): 'verification Verification',
    ('configs', 'digits_lite0'): 'classification/digits_lite0 ',
    ('fields', 'PATIENCE'): 'training.patience int 0 evaluations',
    ('models', 'counting', USE): 'tests.experiments.third_task.counting.counter The model.',
}


@pytest.mark.parametrize(('words', 'line'), LISTED.items(), ids=[words[0] for words in LISTED])
def test_a_list_has_a_line_for_each(command, words, line):
    ended = command(listing, *words)
    assert ended.code == 0, ended.err
    assert line in ' '.join(ended.out.split())


def test_every_function_has_a_line_and_all_weights_are_listed():
    for part in PARTS:
        for row in part_rows(part):
            assert row[-1], row
    assert len(list(weight_rows())) == len(weights.PUBLISHED) + len(weights.PACKAGED)


DESCRIBED = {
    ('resnet18',): ['jaxcv.models.resnet18(', 'num_classes: int in [1, inf) = 1000', '--config.model=resnet18'],
    ('unet',): ['jaxcv.models.segmentation.unet('],
    ('random_flip',): ['jaxcv.augment.random_flip(', 'jaxcv.data.transforms.random_flip('],
    ('training.epochs',): ['training.epochs: float | duration = 1.0', 'A resumed run must not'],
    ('batch_size',): ['data.batch_size: int = 128'],
    ('optimizer',): ['adamw', 'an optax chain'],
    ('optimizer.weight_decay',): ['an argument of adagrad and'],
    ('data',): ['data.name: str'],
    ('jaxcv.ops.nms',): ['boxes: Float[', 'greedy non-maximum suppression'],
    ('jaxcv.task.Metric',): ["where: 'device' | 'host' = 'device'"],
    ('jaxcv.ops',): ['Pure functions of arrays', 'roi_align'],
    ('digits',): ['--config=classification/digits', 'scikit-learn'],
    ('ssd300_vgg16.coco_v1',): ['--weights=ssd300_vgg16.coco_v1', 'resize: 300'],
    ('optax.adamw', '--use=optax'): ['optax.adamw(', 'learning_rate: float'],
    ('counter', USE): ['third_task.counting.counter(', 'features: int = 8'],
}


@pytest.mark.parametrize(('words', 'texts'), DESCRIBED.items(), ids=[words[0] for words in DESCRIBED])
def test_anything_is_described_by_its_name(command, words, texts):
    ended = command(describe, *words)
    assert ended.code == 0, ended.err
    for text in texts:
        assert text in ended.out


UNKNOWN = {
    (describe, 'resnet81'): "there is no 'resnet81', did you mean resnet18",
    (describe, 'training.epoch'): 'did you mean training.epochs',
    (describe, 'jaxcv.ops.nmss'): 'did you mean jaxcv.ops.nms',
    (describe, 'losses.focl'): 'did you mean losses.focal',
    (describe, 'mine.net'): 'a module of your own joins by --use=mine',
    (describe, 'train'): "there is no 'train', but there is a command: python -m experiments.train --help",
    (describe, '--use=optax'): 'give a NAME',
    (listing, 'modles'): "no list 'modles', did you mean models",
    (listing, 'models', 'restnet'): "none of the models has 'restnet' in its line, did you mean resnet",
    (listing, '--use=optax'): 'name a list: models, ',
    (listing, 'models', '--config=digits'): '--config is no flag of',
}


@pytest.mark.parametrize(('words', 'message'), UNKNOWN.items(), ids=[' '.join(words[1:]) for words in UNKNOWN])
def test_unknown_names_are_answered_by_the_nearest(command, words, message):
    ended = command(*words)
    assert ended.code == BAD_INPUT
    assert message in ended.err
    assert 'Traceback' not in ended.err


def test_every_launcher_and_study_has_its_command_and_texts_of_its_flags():
    paths = [*launch.ROOT.glob('*.py'), *(launch.ROOT / 'studies').glob('*.py')]
    names = [row[0].removeprefix('python -m ') for row in commands.commands()]
    assert {'experiments.train', 'experiments.describe', 'experiments.studies.forest'} <= set(names)
    for path in paths:
        tree = ast.parse(path.read_text())
        name = '.'.join(path.relative_to(launch.ROOT.parent).with_suffix('').parts)
        if name in names:
            assert f'python -m {name}' in (ast.get_docstring(tree) or ''), name
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if ast.unparse(call.func).startswith('flags.DEFINE'):
                text = ast.unparse(call.args[-1])
                assert len(text) > 10, f'{name}: {ast.unparse(call)}'


@pytest.mark.slow
def test_help_of_every_launcher_shows_all_its_flags(command):
    for row in commands.commands():
        module = importlib.import_module(row[0].removeprefix('python -m '))
        shown = command(module, '--help')
        assert shown.code == 0
        own = [flag.name for flag in flags.FLAGS.flags_by_module_dict().get(module.__name__, [])]
        assert {f'--{flag}' for flag in (*module.USES, *own)} <= set(shown.out.split())
