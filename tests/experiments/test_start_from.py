"""A segmenter that starts from a trained backbone, and networks of stereo pairs."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from experiments.run.assemble import state_factory
from experiments.run.check import check
from experiments.run.search.space import apply
from experiments.run.start_from import given_variables, normalization_differs
from experiments.run.training import train
from experiments.segmentation import folder
from experiments.stereo import kitti
from jaxcv import config, models, paths, training, weights
from tests.experiments.facts import assembled

TINY = {'name': 'cifar_resnet', 'depth': 8, 'width': 4}
FCN = {'name': 'segmentation.fcn8s', 'backbone': TINY}


@pytest.mark.parametrize(('source', 'mean', 'std', 'right'), [
    ('insightface', [0.5] * 3, [0.5] * 3, True),
    ('facenet_pytorch', [0.5] * 3, [0.50196] * 3, True),
    ('facenet_pytorch', [0.5] * 3, [0.5] * 3, False),
    ('insightface', None, None, False),
    ('insightface', [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], False),
    ('torchvision', None, None, True),
])  # fmt: skip
def test_faces_that_are_normalized_otherwise_than_for_the_weights_are_told(source, mean, std, right):
    warning = normalization_differs(ConfigDict({'mean': mean, 'std': std}), None, source)
    assert warning == '' if right else 'task.mean=[0.5, 0.5, 0.5]' in warning


@pytest.fixture(scope='module')
def classifier(tmp_path_factory):
    """The workdir of a tiny classifier of 7 classes that nobody has trained, and its variables."""
    workdir = tmp_path_factory.mktemp('classifier')
    model = models.cifar_resnet(depth=8, width=4, num_classes=7)
    return workdir, saved(workdir, model, (1, 16, 16, 3), 'top1', folder.get_config())


def saved(workdir, model, shape, best, settings):
    """Random variables of a network, which are the checkpoint of a workdir now."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(shape))
    rng = np.random.default_rng(2)
    variables = jax.tree.map(lambda x: jnp.asarray(rng.uniform(0.5, 1.5, x.shape), x.dtype), shapes)
    store = training.checkpoints(workdir / 'checkpoints', best_metric=best)
    step, rest = jnp.ones((), jnp.int32), {'batch_stats': variables['batch_stats']}
    store.save(1, training.TrainState(step, variables['params'], rest, {}, jax.random.key(0), step > 0))
    store.close()
    config.save(settings, workdir / 'config.json')
    return variables


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """Eight images and masks of one's own."""
    rng, root = np.random.default_rng(0), tmp_path_factory.mktemp('scenes')
    for kind, shape in (('images', (16, 16, 3)), ('masks', (16, 16))):
        (root / 'train' / kind).mkdir(parents=True)
        for i in range(8):
            cv2.imwrite(str(root / 'train' / kind / f'{i}.png'), rng.integers(0, 2, shape, np.uint8))
    (root / 'classes.txt').write_text('ground\nred\nblue')
    return root


def run(settings):
    """The experiment of a config of 3 classes."""
    example = {'image': np.zeros((16, 16, 3), np.uint8), 'mask': np.zeros((16, 16), np.int32)}
    return assembled(settings, example, names={'mask': ['ground', 'red', 'blue']})


def small(model, **finetune):
    settings = folder.get_config()
    settings.model = model
    settings.task = {'name': 'segmentation'}
    settings.finetune.update(finetune)
    return settings


def assert_backbone(variables, expected):
    """That the backbone is the trained network without its head, entry by entry."""
    found = {
        name.replace('/backbone/', '/'): value for name, value in paths.flat(variables).items() if '/backbone/' in name
    }
    kept = {name: value for name, value in paths.flat(expected).items() if '/head/' not in name}
    assert found.keys() == kept.keys()
    for name, value in kept.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_a_trained_classifier_becomes_the_backbone(classifier):
    workdir, trained = classifier
    experiment = run(small(FCN, start_from=str(workdir)))
    given = given_variables(experiment)
    assert set(given['params']) == {'backbone'}
    assert_backbone(given, trained)
    state = training.create_state(state_factory(experiment), training.make_mesh(), given)
    assert_backbone(state.variables, trained)
    # the rest of the network is new
    assert set(state.params) > {'backbone'}
    assert not np.any(state.params['score4']['kernel'])


def test_a_file_of_weights_becomes_a_dilated_backbone(tmp_path):
    rng = np.random.default_rng(3)
    shapes = weights.loading.shapes('resnet18', num_classes=7)
    published = jax.tree.map(lambda x: rng.uniform(0.5, 1.5, x.shape).astype(np.float32), shapes)
    weights.save('resnet18', published, tmp_path / 'resnet18.safetensors')
    model = {'name': 'segmentation.deeplabv3', 'backbone': {'name': 'resnet18', 'output_stride': 8}}
    start = small(model, start_from=str(tmp_path / 'resnet18.safetensors'))
    assert_backbone(given_variables(run(start)), published)


def of_pairs(model, **finetune):
    settings = kitti.get_config()
    settings.model = model
    settings.finetune.update(finetune)
    views = dict.fromkeys(('left', 'right'), np.zeros((16, 16, 3), np.uint8))
    truth = {'disparity': np.zeros((16, 16), np.float32), 'disparity_visible': np.ones((16, 16), bool)}
    return assembled(settings, {**views, **truth}, names={})


def test_a_network_of_pairs_starts_from_a_run_or_its_part_from_one_of_single_images(classifier, tmp_path):
    gcnet = {'disparities': 32, 'width': 2, 'blocks': 1}
    trained = saved(tmp_path, models.stereo.gcnet(**gcnet), (1, 32, 32, 6), 'epe', kitti.get_config())
    given = given_variables(of_pairs({'name': 'stereo.gcnet', **gcnet}, start_from=str(tmp_path)))
    jax.tree.map(np.testing.assert_array_equal, given, trained)
    # The network inside is that of one view, whatever the whole one makes of both.
    workdir, trained = classifier
    part = {'start_from': str(workdir), 'into': 'backbone', 'new': ['head']}
    assert_backbone(given_variables(of_pairs({**FCN, 'num_classes': 2}, **part)), trained)


def test_a_whole_segmenter_starts_from_a_file_of_weights(tmp_path):
    """Here of one array, so all that the others lack is said."""
    weights.save('resnet18', {'params': {'head': {'bias': np.zeros(2, np.float32)}}}, tmp_path / 'x.safetensors')
    settings = small({'name': 'segmentation.fcn_resnet50'}, start_from=str(tmp_path / 'x.safetensors'), into='')
    settings.finetune.rates = {}
    with pytest.raises(config.ConfigError, match=r'as segmentation\.fcn_resnet50 ') as caught:
        given_variables(run(settings))
    _, counts, first, *_ = str(caught.value).splitlines()
    assert counts == '266 arrays do not fit: 1 left over, 265 missing; 0 of 265 fit'
    assert first == '  fc.bias (2,) has no place'


@pytest.mark.slow
def test_weights_for_rgb_start_a_gray_network_when_asked(tmp_path):
    """Averaged ones beside raw ones, under a prefix, and the first convolution summed."""
    rng = np.random.default_rng(3)
    shapes = weights.loading.shapes('resnet18', num_classes=7)
    raw, averaged = (
        weights.to_state_dict(
            'resnet18', jax.tree.map(lambda x: rng.uniform(0.5, 1.5, x.shape).astype(np.float32), shapes)
        )
        for _ in range(2)
    )
    both = {f'model.{name}': x for name, x in raw.items()} | {f'ema.{name}': x for name, x in averaged.items()}
    weights.files.write_state_dict(both, tmp_path / 'x.safetensors')
    model = {'name': 'segmentation.deeplabv3', 'backbone': {'name': 'resnet18'}}
    example = {'image': np.zeros((16, 16, 1), np.uint8), 'mask': np.zeros((16, 16), np.int32)}

    def given(**finetune):
        settings = small(model, start_from=str(tmp_path / 'x.safetensors'), **finetune)
        variables = given_variables(assembled(settings, example, names={'mask': ['ground', 'red', 'blue']}))
        return variables['params']['backbone']['stem']['conv']['kernel'].transpose(3, 2, 0, 1)

    with pytest.raises(config.ConfigError, match='sum_channels=True sums its filters'):
        given()
    for finetune, expected in (({}, raw), ({'averaged': True}, averaged)):
        found = given(sum_channels=True, **finetune)
        np.testing.assert_allclose(found, expected['conv1.weight'].sum(1, keepdims=True), rtol=1e-6)


WRONG = {
    'into': ({'finetune.into': 'bakbone'}, ['finetune.into: model.bakbone is no network; the model has backbone']),
    'into what is no network': (
        {'finetune.into': 'width', 'model': {'name': 'segmentation.unet', 'width': 4, 'depth': 1}},
        ['finetune.into: model.width is no network; the model has none inside'],
    ),
    'wider': (
        {'model': {'name': 'segmentation.fcn8s', 'backbone': {**TINY, 'width': 8}}},
        [
            'finetune.start_from: the trained network and this one differ in more than the new layers (head):',
            'stage1/block1/conv1/kernel: (3, 3, 4, 4) in the trained network, (3, 3, 8, 8) in this one',
            'stem/bn/scale: (4,)',
        ],
    ),
    'layer': ({'finetune.new': ['haed']}, ["finetune.start_from: new: no layer 'haed'; the network has"]),
    'nothing there': ({'finetune.start_from': '/nowhere'}, ['finetune.start_from: /nowhere holds no checkpoints']),
}


@pytest.mark.parametrize(('changes', 'messages'), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_started_from_is_one_message(scenes, classifier, tmp_path, changes, messages):
    fields = {
        'data.data_dir': str(scenes),
        'data.batch_size': 8,
        'data.eval_split': 'train',
        'data.train_transforms': [{'name': 'decode'}, {'name': 'decode_mask'}],
        'model': FCN,
        'task': {'name': 'segmentation'},
        'finetune.rates': {},
        'finetune.start_from': str(classifier[0]),
        **changes,
    }
    with pytest.raises(config.ConfigError) as caught:
        train(check(apply(folder.get_config(), fields)), tmp_path / 'run')
    assert str(caught.value).startswith('finetune.')
    for message in messages:
        assert message in str(caught.value)
    assert not (tmp_path / 'run' / 'config.json').exists()
