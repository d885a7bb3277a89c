"""The launchers with a segmenter: masks in, masks out."""

import json
import shutil

import cv2
import jax
import numpy as np
import pytest

from experiments import evaluate, export, launch, predict, train
from experiments.run import batches as opening
from experiments.run import prediction, workdir
from experiments.run.assemble import check_evaluation
from experiments.run.check import check
from experiments.run.exits import BAD_INPUT
from experiments.run.search.space import apply
from experiments.run.training import train as train_checked
from experiments.segmentation import digit_scenes, folder
from tests.experiments.facts import assembled
from tests.training.test_writers import events

SIZE = 16
CLASSES = ['ground', 'red', 'blue']
CONFIG = launch.__file__.replace('launch.py', 'segmentation/folder.py')


def scene(rng, height, width):
    """A gray photo with a red box on the left and a blue one on the right, and its mask; row 0 is of no class."""
    image, mask = rng.integers(90, 130, (height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
    for number, color, start in ((1, (250, 0, 0), 0), (2, (0, 0, 250), width // 2)):
        top, left = rng.integers(0, height // 3), start + rng.integers(0, width // 6)
        image[top : top + height // 2, left : left + width // 3] = color
        mask[top : top + height // 2, left : left + width // 3] = number
    mask[0] = 255
    return image, mask


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """A folder of images and masks of one's own."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp('scenes')
    for split, count in (('train', 16), ('val', 9)):
        for kind in ('images', 'masks'):
            (folder / split / kind).mkdir(parents=True)
        for i in range(count):
            image, mask = scene(rng, 20 + i, 24)
            cv2.imwrite(str(folder / split / 'images' / f'{i}.png'), image[..., ::-1])
            cv2.imwrite(str(folder / split / 'masks' / f'{i}.png'), mask)
    (folder / 'classes.txt').write_text('\n'.join(CLASSES))
    return folder


def smoke(scenes):
    """Fields of folder.py at smoke size."""
    masks = [{'name': 'decode'}, {'name': 'decode_mask'}]
    return {
        'data.data_dir': str(scenes),
        'data.batch_size': 8,
        'data.eval_batch_size': 8,
        'data.train_transforms': [*masks, {'name': 'random_resized_crop', 'size': SIZE, 'area': (0.5, 1.0)}],
        'data.eval_transforms': [*masks, {'name': 'resize', 'size': SIZE}],
        'model': {'name': 'segmentation.unet', 'width': 4, 'depth': 1},
        'task': {'name': 'segmentation', 'mean': [0.5] * 3, 'std': [0.2] * 3},
        'optimizer': {'name': 'adam', 'learning_rate': 0.03},
        'finetune.into': '',
        'finetune.rates': {},
        'training.epochs': 30.0,
    }


def arguments(scenes):
    """The flags for them."""
    return [f'--config={CONFIG}', *(f'--config.{name}={value}' for name, value in smoke(scenes).items())]


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    """Photos of other sizes than the training's, as RGB by their file's stem; and a broken file."""
    rng, folder = np.random.default_rng(1), tmp_path_factory.mktemp('photos')
    images = {stem: scene(rng, *size)[0] for stem, size in (('small', (9, 30)), ('large', (33, 41)))}
    for stem, image in images.items():
        cv2.imwrite(str(folder / f'{stem}.png'), image[..., ::-1])
    (folder / 'broken.png').write_bytes(b'no image')
    return folder, images


def test_train_evaluate_predict_and_export(command, scenes, photos, tmp_path):
    workdir = tmp_path / 'run'
    flags = [*arguments(scenes), f'--workdir={workdir}']
    trained = command(train, *flags)
    assert trained.code == 0, trained.err
    assert 'folder_masks: 16 images, 3 classes' in trained.out
    assert 'segmentation.unet' in trained.out
    records = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
    last = records[-1]
    assert last['step'] == 60
    assert {'eval/loss', 'eval/mean_iou', 'eval/pixel_accuracy', 'eval/boundary_f_score'} <= last.keys()
    assert 'eval/class_iou' not in last  # an array is no scalar
    assert last['eval/mean_iou'] > 0.6
    (path,) = (workdir / 'tensorboard').iterdir()
    ((step, shown),) = [(e.step, v.image) for e in events(path) for v in e.summary.value if v.tag == 'eval/predictions']
    assert step == 60
    assert cv2.imdecode(np.frombuffer(shown.encoded_image_string, np.uint8), cv2.IMREAD_COLOR).std() > 10

    again = command(train, *flags)
    assert again.code == 0, again.err
    assert 'This run is complete' in again.out
    assert len((workdir / 'metrics.jsonl').read_text().splitlines()) == len(records)

    evaluated = command(evaluate, f'--workdir={workdir}')
    assert evaluated.code == 0, evaluated.err
    table = dict(line.split('  ', 1) for line in evaluated.out.splitlines() if '  ' in line)
    assert table['data'].strip() == 'folder_masks, val: 9 images'
    shares = [part.split() for part in table['class_iou'].strip().removesuffix(' %').split(', ')]
    assert [name for name, _ in shares] == CLASSES
    assert np.mean([float(share) for _, share in shares]) == pytest.approx(100 * last['eval/mean_iou'], abs=0.1)
    written = json.loads((workdir / 'evaluation.json').read_text())
    assert (written['step'], written['split']) == (60, 'val')
    assert written['mean_iou'] == pytest.approx(last['eval/mean_iou'], abs=1e-6)
    assert list(written['class_iou']) == CLASSES
    assert np.mean(list(written['class_iou'].values())) == pytest.approx(written['mean_iou'], abs=1e-6)
    for name in ('confusion_matrix.png', 'predictions.png', 'learning_curves.png'):
        assert cv2.imread(str(workdir / name)).shape[1] > 400

    predict_photos(command, workdir, *photos)
    flags = [*arguments(scenes), f'--workdir={workdir}', f'--images={photos[0]}/small.png']  # the config beside it
    predicted = command(predict, *flags, f'--output={tmp_path / "small"}')
    assert predicted.code == 0, predicted.err

    exported = command(export, f'--workdir={workdir}')
    assert exported.code == 0, exported.err
    assert f'image uint8 [n {SIZE} {SIZE} 3] -> mask int32 [n {SIZE} {SIZE}]' in exported.out
    call = jax.export.deserialize((workdir / 'model.stablehlo').read_bytes()).call

    settings = json.loads((workdir / 'config.json').read_text())
    del settings['found']  # as an earlier version wrote it
    settings['data'].update({'class_names': CLASSES, 'mask_classes': [], 'train_size': 16, 'image_shape': [16, 16, 3]})
    settings['training'].update({'best_metric': 'mean_iou', 'best_mode': 'max'})
    (workdir / 'config.json').write_text(json.dumps(settings))
    flags = f'--workdir={workdir}', f'--images={scenes}/val/images/*.png', f'--output={tmp_path / "val"}'
    predicted = command(predict, *flags)
    assert predicted.code == 0, predicted.err
    assert_as_evaluated(call, workdir, written, tmp_path / 'val')


def predict_photos(command, workdir, folder, images):
    predicted = command(predict, f'--workdir={workdir}', f'--images={folder}/*.png')
    assert predicted.code == BAD_INPUT, predicted.err
    assert 'broken.png cannot be read' in predicted.err
    assert '1 of 3 files could not be read' in predicted.err
    output = workdir / 'predicted'
    assert {path.name for path in output.iterdir()} == {
        *('predictions.json', 'predictions.png'),
        *(f'{stem}_{kind}.png' for stem in images for kind in ('mask', 'overlay')),
    }
    rows = {row['file']: row['shares'] for row in json.loads((output / 'predictions.json').read_text())}
    assert rows.keys() == {f'{folder}/{stem}.png' for stem in images}
    for stem, image in images.items():
        mask = cv2.imread(str(output / f'{stem}_mask.png'), cv2.IMREAD_UNCHANGED)
        assert (mask.dtype, mask.shape) == (np.uint8, image.shape[:2])
        assert cv2.imread(str(output / f'{stem}_overlay.png')).shape == image.shape
        shares = {share['class']: share['share'] for share in rows[f'{folder}/{stem}.png']}
        assert sum(shares.values()) == pytest.approx(1, abs=2e-4)
        expected = {name: np.mean(mask == number) for number, name in enumerate(CLASSES)}
        assert shares == pytest.approx({name: share for name, share in expected.items() if share}, abs=1e-4)
        # what the photo shows: a box of each colour
        for number, channel in ((1, 0), (2, 2)):
            assert np.mean(mask[image[..., channel] == 250] == number) > 0.5


def assert_as_evaluated(call, folder, written, predicted):
    """That an exported segmenter gives, of the evaluation images, the masks that the evaluation counted.

    And that those predicted of their files are the same, but as large as the files.
    """
    evaluation = opening.open_evaluation(workdir.trained(folder, None))
    right = labelled = 0
    for batch in evaluation.batches:
        masks = np.asarray(call(batch['image'])['mask'])
        assert (masks.dtype, masks.shape) == (np.int32, batch['mask'].shape)
        for i in np.flatnonzero(batch['valid']):
            mask = cv2.imread(str(predicted / f'{batch["index"][i]}_mask.png'), cv2.IMREAD_UNCHANGED)
            assert mask.shape == (20 + batch['index'][i], 24)
            same_size = cv2.resize(masks[i], mask.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
            assert np.mean(mask == same_size) > 0.99
        known = (batch['mask'] != 255) & batch['valid'][:, None, None]
        right, labelled = right + np.sum(known & (masks == batch['mask'])), labelled + known.sum()
    assert right / labelled == pytest.approx(written['pixel_accuracy'], abs=1e-6)


WRONG = {
    'network': ({'model': {'name': 'segmentation.unt'}}, "model: no 'segmentation.unt' in jaxcv.models, did you"),
    'backbone': (
        {'model': {'name': 'segmentation.fcn8s', 'backbone': {'name': 'resnet18', 'output_strid': 8}}},
        "model.backbone: resnet18 has no argument 'output_strid', did you mean output_stride?",
    ),
    'no backbone': ({'model': {'name': 'segmentation.fcn8s'}}, "fcn8s needs the argument 'backbone'"),
    'auxiliary heads': (
        {
            'model': {'name': 'segmentation.pspnet', 'backbone': {'name': 'cifar_resnet', 'depth': 8}},
            'task.auxiliary_weights': [0.4],
        },
        'aux_head=True',
    ),
    'metric': ({'training.best_metric': 'top1'}, "training.best_metric: no metric 'top1'"),
    'a metric that is an array': (
        {'training.best_metric': 'class_iou'},
        "training.best_metric: 'class_iou' is not one number; there are: loss, mean_iou",
    ),
    'no auxiliary heads': ({'task.auxiliary_weights': [0.4]}, 'task: auxiliary_weights: UNet has no auxiliary'),
    'classifier': (
        {'model': {'name': 'cifar_resnet', 'depth': 8, 'width': 2}},
        'the model is no segmenter: it gives logits of shape (8, 3), not [n h w classes]',
    ),
    'labels': (
        {'task': {'name': 'classification'}, 'model': {'name': 'cifar_resnet', 'depth': 8, 'width': 2}},
        "classification needs the 'label' of each image, but the examples have image, mask",
    ),
    'part': ({'finetune.into': 'encoder'}, 'finetune.into: model.encoder is no network; the model has none'),
    'one class': ({'data.class_names': {'mask': ['ground']}}, 'the mask has class 2, but there are 1, 0..0'),
    'class names': ({'data.class_names': {'mask': ['ground', 'red']}}, 'the mask has class 2, but there are 2'),
    'views': ({'views': {'name': 'crops', 'size': 8}}, 'need views with an inverse'),
    'masks': (
        {
            'data.eval_transforms': [
                {'name': 'decode'},
                {'name': 'keep', 'names': ['image']},
                {'name': 'resize', 'size': 8},
            ]
        },
        "data.eval_transforms: they leave no 'mask', but image",
    ),
    'split': ({'data.eval_split': 'test'}, 'test'),
}


@pytest.mark.parametrize(('changes', 'message'), WRONG.values(), ids=WRONG.keys())
def test_what_does_not_fit_is_one_message_before_training(scenes, tmp_path, changes, message):
    settings = apply(folder.get_config(), {**smoke(scenes), **changes})
    with pytest.raises((ValueError, OSError)) as caught:
        train_checked(check(settings), tmp_path / 'run')
    assert launch._exit_code(caught.value) == BAD_INPUT
    assert message in str(caught.value)


def test_a_folder_without_class_names_is_told(command, scenes, tmp_path):
    shutil.copytree(scenes, tmp_path / 'scenes')
    (tmp_path / 'scenes' / 'classes.txt').unlink()
    ended = command(train, *arguments(tmp_path / 'scenes'), f'--workdir={tmp_path / "run"}')
    assert ended.code == BAD_INPUT, ended.err
    assert 'classes.txt' in ended.err


@pytest.fixture
def run_folder(tmp_path):
    """The workdir of a run, as far as predictions need it before they read the weights."""
    settings = digit_scenes.get_config('unet')
    example = {'image': np.zeros((SIZE, SIZE, 3), np.uint8), 'mask': np.zeros((SIZE, SIZE), np.int32)}
    path = tmp_path / 'run'
    path.mkdir()
    workdir.save_config(assembled(settings, example, names={'mask': CLASSES}, train_size=8), path)
    return path


def test_two_photos_of_one_name_are_told(command, run_folder, photos, tmp_path):
    shutil.copytree(photos[0], tmp_path / 'photos')
    shutil.copy(tmp_path / 'photos' / 'small.png', tmp_path / 'photos' / 'small.webp')
    ended = command(predict, f'--workdir={run_folder}', f'--images={tmp_path}/photos/*')
    assert ended.code == BAD_INPUT
    assert 'small.png and' in ended.err
    assert 'would be one file' in ended.err
    assert not (run_folder / 'predicted').exists()


@pytest.mark.parametrize('where', ['photos', 'masks'])
def test_nothing_is_written_over(command, run_folder, photos, tmp_path, where):
    shutil.copytree(photos[0], tmp_path / 'photos')
    (tmp_path / 'masks').mkdir()
    mine = tmp_path / where / 'small_mask.png'
    mine.write_bytes(b'mine')
    images = f'--images={tmp_path}/photos/small.png'
    for _ in range(2):
        ended = command(predict, f'--workdir={run_folder}', images, f'--output={tmp_path / where}')
        assert ended.code == BAD_INPUT
        assert 'holds files of yours' in ended.err
        assert mine.read_bytes() == b'mine'
        if where == 'photos':  # not even where an earlier version has written already
            (tmp_path / where / 'predictions.json').write_text('[{"file": "small.png"}]')


def test_what_cannot_be_written_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, 'imwrite', lambda path, image: False)
    with pytest.raises(OSError, match=r'small_mask\.png cannot be written'):
        prediction._save_pictures(tmp_path, tmp_path / 'photos' / 'small.jpg', {'mask': np.zeros((2, 2), np.uint8)})


def test_photos_are_seen_as_large_as_evaluated():
    sides = [{'name': 'decode'}, {'name': 'resize_short_side', 'size': 12}, {'name': 'center_crop', 'size': 8}]
    example = {'image': np.zeros((8, 8, 3), np.uint8), 'mask': np.zeros((8, 8), np.int32)}

    def shape(transforms, scale=None):
        settings = apply(digit_scenes.get_config('unet'), {'data.eval_transforms': transforms})
        experiment = assembled(settings, example, names={'mask': CLASSES})
        options = prediction._options(experiment, 1, scale)
        return options.resize({'image': np.zeros((24, 60, 3), np.uint8)})['image'].shape

    assert shape(sides) == (12, 30, 3)  # not cut
    assert shape(sides[:1]) == (24, 60, 3)
    assert shape(sides, 1.5) == (36, 90, 3)


def test_what_can_be_evaluated_passes(scenes):
    example = {'image': np.zeros((SIZE, SIZE, 3), np.uint8), 'mask': np.zeros((SIZE, SIZE), np.int32)}
    for changes in ({'views': {'name': 'flips'}}, {'data.eval_split': None}):
        settings = apply(folder.get_config(), {**smoke(scenes), **changes})
        check_evaluation(assembled(settings, example, names={'mask': CLASSES}))


def test_masks_in_black_and_white_are_told(scenes, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr('experiments.run.batches.logging.warning', said.append)
    shutil.copytree(scenes, tmp_path / 'scenes')
    for path in (tmp_path / 'scenes' / 'train' / 'masks').iterdir():
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), np.where(mask == 1, 255, 0).astype(np.uint8))
    settings = apply(folder.get_config(), {**smoke(scenes), 'data.data_dir': str(tmp_path / 'scenes')})
    settings.training.epochs = 0.5
    train_checked(check(settings), tmp_path / 'run')
    assert said[0].startswith('the first 16 masks hold 0 and 255 only')
