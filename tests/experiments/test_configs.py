"""The configs: each fits, has the steps and the parameters it should, and the public sets run on mocked data."""

import importlib
import json

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow_datasets as tfds

from experiments import launch
from experiments.classification import folder as photos
from experiments.detection import coco, folder
from experiments.embedding import digits_open_set
from experiments.run import batches as opening
from experiments.run.assemble import state_factory
from experiments.run.check import check
from experiments.run.training import train
from experiments.segmentation import digit_scenes
from experiments.stereo import flying_chairs, moving_photos, scene_flow, shifted_photos
from tests.experiments.facts import assembled

CONFIGS = {
    # path: (classes, images, image shape, steps, parameters)
    'classification/digits': (10, 1_200, (8, 8, 1), 562, 297_450),
    'classification/cifar10_resnet': (10, 50_000, (32, 32, 3), 64_000, 269_722),
    'classification/digits_transfer': (5, 100, (8, 8, 1), 250, 296_805),
    'classification/imagenet_resnet50': (1_000, 1_281_167, (224, 224, 3), 112_603, 25_557_032),
    'classification/digits_lite0': (10, 100, (64, 64, 3), 120, 3_383_818),
    'classification/faces_lite0': (2, 100, (64, 64, 3), 120, 3_373_570),
    'classification/folder': (2, 500, (224, 224, 3), 234, 11_177_538),
    'classification/folder:flat,finetune,96': (2, 500, (96, 96, 3), 312, 3_373_570),
    'classification/csv': (2, 500, (224, 224, 3), 312, 3_373_570),
    'multi_label/csv': (2, 500, (224, 224, 3), 312, 3_373_570),
    # torchvision has 33,807,549 parameters for 81 outputs, with frozen norms; each is 9 anchors x (9 x 256 + 1)
    'detection/coco': (80, 118_287, (800, 1344, 3), 192_216, 33_807_549 - 20_745),
    'detection/coco:ssd300_vgg16': (80, 118_287, (300, 300, 3), 443_576, 34_305_206),
    # torchvision has 44,401,393 for 91 outputs, with frozen norms; each is a score and a box of 1,025 numbers, and a
    # mask of 257
    'detection/coco:mask_rcnn': (80, 118_287, (800, 1344, 3), 192_216, 44_401_393 - 10 * (5 * 1_025 + 257)),
    'detection/voc': (20, 5_011, (300, 300, 3), 37_582, 26_285_486),
    'detection/folder': (2, 500, (640, 640, 3), 1_562, 34_068_119 - 89 * 20_745),
    'detection/digit_scenes': (10, 1_000, (96, 96, 3), 1_500, 3_277_524),
    'detection/digit_regions:faster_rcnn_fpn': (10, 1_000, (96, 96, 3), 3_000, 4_003_349),
    'embedding/digits_open_set': (5, 592, (8, 8, 1), 888, 304_416),
    'embedding/digits_open_set:arcface': (5, 592, (8, 8, 1), 888, 304_416 + 5 * 64),
    # the published networks, and a class matrix of 512 numbers for each identity
    'embedding/faces_recordio': (93_431, 5_179_510, (112, 112, 3), 101_162, 43_590_848 + 93_431 * 512),
    'embedding/lfw': (10_575, 490_623, (160, 160, 3), 200_000, 7_456_304),
    'embedding/folder': (20, 400, (112, 112, 3), 625, 11_176_512 + 512 * 128 + 128),
    # the papers' counts
    'stereo/flying_chairs:flownet_s': (0, 22_232, (384, 512, 3), 600_000, 38_676_514),
    'stereo/flying_chairs': (0, 22_232, (384, 512, 3), 600_000, 39_175_298),
    'stereo/scene_flow:dispnet': (0, 35_454, (384, 768, 3), 1_000_000, 42_322_459),
    'stereo/scene_flow:dispnet_c': (0, 35_454, (384, 768, 3), 1_000_000, 42_174_107),
    'stereo/scene_flow': (0, 35_454, (256, 512, 3), 150_000, 2_847_201),
    'stereo/shifted_photos:dispnet': (0, 600, (128, 192, 3), 6_000, 2_655_115),
    'stereo/shifted_photos:dispnet_c': (0, 600, (128, 192, 3), 6_000, 2_654_891),
    'stereo/shifted_photos': (0, 600, (128, 192, 3), 3_000, 174_777),
    'stereo/moving_photos:flownet_s': (0, 600, (128, 192, 3), 6_000, 2_436_418),
    'stereo/moving_photos': (0, 600, (128, 192, 3), 6_000, 2_448_986),
    'stereo/kitti': (0, 160, (256, 512, 3), 50_000, 2_847_201),
    'segmentation/ade20k': (150, 20_210, (473, 473, 3), 126_312, 49_057_132),
    'segmentation/cityscapes': (19, 2_975, (713, 713, 3), 37_188, 48_956_262),
    # torchvision has 42,004,074 parameters for 21 classes; each class is 257 in the head and 257 in the auxiliary one
    'segmentation/folder': (2, 500, (480, 480, 3), 938, 42_004_074 - 19 * 2 * 257),
    # segmentation-models-pytorch has 24,436,369 for one class, which is 145
    'segmentation/pets': (3, 3_680, (256, 256, 3), 3_450, 24_436_369 + 2 * 145 + 2 * (64 + 64 + 128 + 256 + 512)),
    **{
        f'segmentation/digit_scenes:{network}': (
            11,
            1_000,
            (96, 96, 3),
            1_500 if network.startswith('fcn') else 3_000,
            parameters,
        )
        for network, parameters in {
            'fcn32s': 2_962_379,
            'fcn16s': 2_965_558,
            'fcn8s': 2_967_945,
            # segmentation-models-pytorch has 5,616,379: 412,160 of a layer that the decoder does not use, the stem's
            # 32 channels in place of a stage's 16 at stride 2, and no norms
            'unet': 5_616_379 - 412_160 - 16 * 9 * 32 + 2 * (16 + 24 + 40 + 112 + 320),
            'deeplabv3': 6_258_443,
            'deeplabv3_plus': 3_864_379,
            'pspnet': 4_062_230,
        }.items()
    },
}

STEADY = {
    'stereo/flying_chairs:flownet_s': 1 / 8,
    'stereo/flying_chairs': 1 / 8,
    'stereo/scene_flow:dispnet': 1 / 8,
    'stereo/scene_flow:dispnet_c': 1 / 8,
    'stereo/scene_flow': 1,
    'stereo/kitti': 1,
}
"""The schedules that do not end near 0 -> their last rate, as a share of the highest."""

FEATURES = {
    'classification': ['label'],
    'segmentation': ['mask'],
    'detection': ['box_labels', 'boxes', 'box_valid'],
    'embedding': ['label'],
    'multi_label': ['labels'],
}
PAIRS = {'stereo': ('left', 'right'), 'flow': ('image', 'next_image')}
FIELDS = {
    'stereo': lambda size: (
        {name: np.zeros(size, np.float32) for name in ('disparity', 'right_disparity')}
        | {'disparity_visible': np.ones(size, bool)}
    ),
    'flow': lambda size: {'flow': np.zeros((*size, 2), np.float32), 'flow_visible': np.ones(size, bool)},
}


def load(path):
    file, *argument = path.split(':')
    return importlib.import_module(f'experiments.{file.replace("/", ".")}').get_config(*argument)


def test_every_config_is_listed_here():
    assert set(launch.named_files()) == {path.partition(':')[0] for path in CONFIGS}
    networks = {path.partition(':')[2] for path in CONFIGS if path.startswith('segmentation/digit_scenes:')}
    assert networks == set(digit_scenes.NETWORKS)
    with pytest.raises(ValueError, match="no network 'fcn4s'; there are: fcn32s, "):
        digit_scenes.get_config('fcn4s')
    of_format = [folder.get_config(format).to_dict() for format in folder.FORMATS]
    assert [settings['data'].pop('name') for settings in of_format] == ['folder_coco', 'folder_voc', 'folder_yolo']
    assert of_format[0] == of_format[1] == of_format[2]
    scaled = coco.get_config('faster_rcnn,multi_scale').data.train_transforms[2]
    assert (scaled['draw'], len(scaled['short'])) == ('batch', 6)
    assert coco.get_config('faster_rcnn').data.train_transforms[2]['short'] == 800
    with pytest.raises(ValueError, match="no 'multi_scale' of ssd300_vgg16"):
        coco.get_config('ssd300_vgg16,multi_scale')
    for config, wrong in (
        (coco, "no network 'ssd'; there are: retinanet, "),
        (folder, "no format 'ssd'; there are: coco, "),
        (photos, "no 'ssd'; there are: flat, finetune, and a number of pixels"),
        (digits_open_set, "no loss 'ssd'; there are: softmax, "),
        (flying_chairs, "no network 'ssd'; there are: flownet_s, "),
        (moving_photos, "no network 'ssd'; there are: flownet_s, "),
        (scene_flow, "no network 'ssd'; there are: dispnet, "),
        (shifted_photos, "no network 'ssd'; there are: dispnet, "),
    ):
        with pytest.raises(ValueError, match=wrong):
            config.get_config('ssd')


def _after(state, count):
    """The shapes of a train state, whose counters of updates stand at a number."""

    def counted(x):
        return jnp.asarray(count, x.dtype) if x.shape == () and jnp.issubdtype(x.dtype, jnp.integer) else x

    return state._replace(step=jnp.asarray(count), opt_state=jax.tree.map(counted, state.opt_state))


SLOW = {'embedding/faces_recordio', 'embedding/lfw'}


@pytest.mark.parametrize('name', [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CONFIGS])
def test_a_config_fits(name):
    classes, size, shape, steps, parameters = CONFIGS[name]
    settings = load(name)
    kind = settings.task.name
    if kind in PAIRS:
        example = {one: np.zeros(shape, np.uint8) for one in PAIRS[kind]} | FIELDS[kind](shape[:2])
        names = {}
    else:
        feature, *others = FEATURES[name.partition('/')[0]]
        example = {'image': np.zeros(shape, np.uint8), feature: np.zeros(shape[:2] * (feature == 'mask'), np.int32)}
        if others:
            example = {**example, feature: np.zeros(3, np.int32), 'boxes': np.zeros((3, 4), np.float32)}
            example['box_valid'] = np.zeros(3, bool)
        if feature == 'labels':
            example = {**example, feature: np.zeros(classes, np.float32)}
        names = {feature: [str(i) for i in range(classes)]}
    experiment = assembled(settings, example, names=names, train_size=size)
    assert experiment.num_steps == steps
    state = jax.eval_shape(state_factory(experiment))
    assert sum(x.size for x in jax.tree.leaves(state.params)) == parameters
    rate_at = jax.vmap(lambda count: jnp.asarray(experiment.watch(_after(state, count))['learning_rate']))
    rates = jax.jit(rate_at)(np.linspace(0, steps - 1, 301).astype(int)).tolist()
    assert max(rates) == pytest.approx(settings.optimizer.learning_rate, rel=1e-3)
    if name in STEADY:
        assert rates[-1] == pytest.approx(STEADY[name] * max(rates))
    else:
        assert rates[-1] < max(rates) / 50


def test_the_cifar_config_trains_on_mocked_cifar10(tmp_path):
    settings = load('classification/cifar10_resnet')
    settings.data.update({'data_dir': str(tmp_path), 'batch_size': 8, 'eval_batch_size': 8})
    settings.model.update({'depth': 8, 'width': 4})
    settings.training.update({'epochs': 1.0, 'log_every': 1})
    settings.schedule.steps = ['50%', '75%']
    with tfds.testing.mock_data(num_examples=16):
        settings.data.train_split = 'train[:100%]'
        train(check(settings), tmp_path / 'run')
    records = [json.loads(line) for line in (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()]
    assert np.isfinite([r['train/loss'] for r in records if 'train/loss' in r]).all()
    assert 'eval/top1' in records[-1]


def fitted(source):
    """Mocks draw the size of a mask apart from its image's, and any number for a pixel; here they fit."""

    def read(index):
        example = source.read(index)
        size = example['image'].shape[1::-1]
        mask = cv2.resize(example['segmentation_mask'] % 4, size, interpolation=cv2.INTER_NEAREST)
        return {**example, 'segmentation_mask': mask[..., None]}

    return source._replace(read=read)


@pytest.mark.slow
def test_the_pets_config_trains_on_mocked_pets(tmp_path, monkeypatch):
    settings = load('segmentation/pets')
    settings.data.update({'data_dir': str(tmp_path), 'batch_size': 8, 'eval_batch_size': 8})
    for spec in (settings.data.train_transforms[-2], *settings.data.eval_transforms[-2:]):
        spec['size'] = 16
    settings.model.update({'backbone': {'name': 'cifar_resnet', 'depth': 8, 'width': 4}, 'decoder_features': (4, 4)})
    settings.training.epochs = 1.0
    opened = opening.open_source
    monkeypatch.setattr(opening, 'open_source', lambda fields, split, facts=None: fitted(opened(fields, split, facts)))
    with tfds.testing.mock_data(num_examples=8):
        assert train(check(settings), tmp_path / 'run') == 0
    *trained, last = [json.loads(line) for line in (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()]
    assert [record['step'] for record in trained] == [1]
    assert np.isfinite(trained[0]['train/loss'])
    assert 0 <= last['eval/mean_iou'] <= 1
    written = json.loads((tmp_path / 'run' / 'config.json').read_text())
    assert written['found']['names']['mask'] == ['animal', 'background', 'outline']
