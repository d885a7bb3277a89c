"""The launchers with a segmenter: masks in, masks out."""

import json
import shutil
import types

import cv2
import jax
import numpy as np
import pytest

from experiments import digit_scenes, evaluate, export, launch, predict, train
from experiments import experiment as pieces
from experiments.segmentation import folder
from jaxcv import config, data, tasks
from tests.training.test_logging import events

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
    trained = command(train.main, *flags)
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
    ((step, shown),) = [(e.step, v.image) for e in events(path) for v in e.summary.value if v.tag == 'eval/masks']
    assert step == 60
    assert cv2.imdecode(np.frombuffer(shown.encoded_image_string, np.uint8), cv2.IMREAD_COLOR).std() > 10

    again = command(train.main, *flags)
    assert again.code == 0, again.err
    assert 'This run is complete' in again.out
    assert len((workdir / 'metrics.jsonl').read_text().splitlines()) == len(records)

    evaluated = command(evaluate.main, f'--workdir={workdir}')
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
    predicted = command(predict.main, *flags, f'--output={tmp_path / "small"}')
    assert predicted.code == 0, predicted.err

    exported = command(export.main, f'--workdir={workdir}')
    assert exported.code == 0, exported.err
    assert f'uint8 [n {SIZE} {SIZE} 3] -> mask [n {SIZE} {SIZE}]' in exported.out
    mask_of = jax.export.deserialize((workdir / 'model.stablehlo').read_bytes()).call

    settings = json.loads((workdir / 'config.json').read_text())
    del settings['data']['image_shape']  # as an earlier version wrote it
    (workdir / 'config.json').write_text(json.dumps(settings))
    flags = f'--workdir={workdir}', f'--images={scenes}/val/images/*.png', f'--output={tmp_path / "val"}'
    predicted = command(predict.main, *flags)
    assert predicted.code == 0, predicted.err
    assert_as_evaluated(mask_of, workdir, written, tmp_path / 'val')


def predict_photos(command, workdir, folder, images):
    predicted = command(predict.main, f'--workdir={workdir}', f'--images={folder}/*.png')
    assert predicted.code == 0, predicted.err
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


def assert_as_evaluated(mask_of, workdir, written, predicted):
    """That an exported segmenter gives, of the evaluation images, the masks that the evaluation counted.

    And that those predicted of their files are the same, but as large as the files.
    """
    settings = config.load(workdir / 'config.json')
    fields = pieces.Data(**settings.data)
    right = labelled = 0
    for batch in pieces.eval_batches(fields, pieces.source(fields, 'val')):
        masks = np.asarray(mask_of(batch['image']))
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
    'network': (
        ["--config.model={'name': 'segmentation.unt'}"],
        "model: no 'segmentation.unt' in jaxcv.models, did you",
    ),
    'backbone': (
        ["--config.model={'name': 'segmentation.fcn8s', 'backbone': {'name': 'resnet18', 'output_strid': 8}}"],
        "model.backbone: resnet18 has no argument 'output_strid', did you mean output_stride?",
    ),
    'no backbone': (["--config.model={'name': 'segmentation.fcn8s'}"], "fcn8s needs the argument 'backbone'"),
    'auxiliary heads': (
        [
            "--config.model={'name': 'segmentation.pspnet', 'backbone': {'name': 'cifar_resnet', 'depth': 8}}",
            '--config.task.auxiliary_weights=[0.4]',
        ],
        'aux_head=True',
    ),
    'metric': (['--config.training.best_metric=top1'], "training.best_metric: no metric 'top1'"),
    'a metric that is an array': (
        ['--config.training.best_metric=class_iou'],
        "training.best_metric: 'class_iou' is not one number; there are: loss, mean_iou",
    ),
    'no auxiliary heads': (['--config.task.auxiliary_weights=[0.4]'], 'task: auxiliary_weights: UNet has no auxiliary'),
    'classifier': (
        ["--config.model={'name': 'cifar_resnet', 'depth': 8, 'width': 2}"],
        'the model is no segmenter: it gives logits of shape (8, 3), not [n h w classes]',
    ),
    'labels': (
        [
            "--config.task={'name': 'classification'}",
            "--config.model={'name': 'cifar_resnet', 'depth': 8, 'width': 2}",
            '--config.training.best_metric=top1',
        ],
        "classification needs the 'label' of each image, but the examples have image, mask",
    ),
    'part': (['--config.finetune.into=encoder'], 'finetune.into: model.encoder is no network; the model has none'),
    'one class': (["--config.data.mask_classes=['ground']"], 'masks have at least 2 classes'),
    'class names': (["--config.data.mask_classes=['ground', 'red']"], 'the mask has class 2, but there are 2'),
}


@pytest.mark.parametrize(('changes', 'message'), WRONG.values(), ids=WRONG.keys())
def test_what_does_not_fit_is_one_message_and_code_2(command, scenes, tmp_path, changes, message):
    ended = command(train.main, *arguments(scenes), f'--workdir={tmp_path / "run"}', *changes)
    assert ended.code == launch.BAD_INPUT, ended.err
    assert message in ended.err
    assert 'Traceback' not in ended.err


def test_a_folder_without_class_names_is_told(command, scenes, tmp_path):
    shutil.copytree(scenes, tmp_path / 'scenes')
    (tmp_path / 'scenes' / 'classes.txt').unlink()
    ended = command(train.main, *arguments(tmp_path / 'scenes'), f'--workdir={tmp_path / "run"}')
    assert ended.code == launch.BAD_INPUT, ended.err
    assert 'classes.txt' in ended.err


def test_two_photos_of_one_name_are_told(command, scenes, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(predict, '_variables', None)  # told before anything is read
    settings = digit_scenes.get_config('unet')
    settings.data.update({'class_names': CLASSES, 'train_size': 8, 'image_shape': [SIZE, SIZE, 3]})
    config.save(settings, tmp_path / 'config.json')
    shutil.copytree(photos[0], tmp_path / 'photos')
    shutil.copy(tmp_path / 'photos' / 'small.png', tmp_path / 'photos' / 'small.webp')
    ended = command(predict.main, f'--workdir={tmp_path}', f'--images={tmp_path}/photos/*')
    assert ended.code == launch.BAD_INPUT
    assert 'small.png and' in ended.err
    assert 'would be one file' in ended.err


@pytest.fixture
def workdir(tmp_path):
    """Of a run, as far as predictions ask before they read the weights."""
    settings = digit_scenes.get_config('unet')
    settings.data.update({'class_names': CLASSES, 'train_size': 8, 'image_shape': [SIZE, SIZE, 3]})
    folder = tmp_path / 'run'
    folder.mkdir()
    config.save(settings, folder / 'config.json')
    return folder


@pytest.mark.parametrize('where', ['photos', 'masks'])
def test_nothing_is_written_over(command, workdir, photos, tmp_path, where):
    shutil.copytree(photos[0], tmp_path / 'photos')
    (tmp_path / 'masks').mkdir()
    mine = tmp_path / where / 'small_mask.png'
    mine.write_bytes(b'mine')
    images = f'--images={tmp_path}/photos/small.png'
    for _ in range(2):
        ended = command(predict.main, f'--workdir={workdir}', images, f'--output={tmp_path / where}')
        assert ended.code == launch.BAD_INPUT
        assert 'holds files of yours' in ended.err
        assert mine.read_bytes() == b'mine'
        if where == 'photos':  # not even where an earlier version has written already
            (tmp_path / where / 'predictions.json').write_text('[{"file": "small.png"}]')


def test_what_cannot_be_written_is_told(command, workdir, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(predict, '_variables', lambda *args: {})
    monkeypatch.setattr(tasks, 'windowed', lambda *args, **options: lambda variables, image: image[..., 0] // 128)
    monkeypatch.setattr(cv2, 'imwrite', lambda path, image: False)
    ended = command(predict.main, f'--workdir={workdir}', f'--images={photos[0]}/small.png')
    assert ended.code == launch.BAD_INPUT
    assert 'small_mask.png cannot be written' in ended.err


def test_photos_are_seen_as_large_as_evaluated(monkeypatch):
    fields = pieces.Data(**digit_scenes.get_config('unet').data)
    sides = [{'name': 'decode'}, {'name': 'resize_short_side', 'size': 12}, {'name': 'center_crop', 'size': 8}]
    photo = np.zeros((24, 60, 3), np.uint8)
    assert predict._scaled(photo, fields._replace(eval_transforms=sides)).shape == (12, 30, 3)  # not cut
    assert predict._scaled(photo, fields._replace(eval_transforms=sides[:1])).shape == photo.shape
    monkeypatch.setattr(predict, 'SCALE', types.SimpleNamespace(value=1.5))
    assert predict._scaled(photo, fields._replace(eval_transforms=sides)).shape == (36, 90, 3)


UNEVALUATED = {
    'views': ({'views': {'name': 'crops', 'size': 8}}, 'needs views with an inverse'),
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


@pytest.mark.parametrize(('changes', 'message'), UNEVALUATED.values(), ids=UNEVALUATED.keys())
def test_what_no_evaluation_could_do_is_told_before_training(scenes, changes, message):
    settings = assembled(scenes, changes)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        pieces.check_evaluation(settings)


def test_what_can_be_evaluated_passes(scenes):
    pieces.check_evaluation(assembled(scenes, {'views': {'name': 'flips'}}))
    pieces.check_evaluation(assembled(scenes, {'data.eval_split': None}))


def assembled(scenes, changes):
    settings = folder.get_config()
    settings.unlock()
    settings.update_from_flattened_dict({**smoke(scenes), **changes})
    settings.data.update({'class_names': CLASSES, 'train_size': 16})
    return pieces.assemble(settings)


@pytest.mark.parametrize(
    ('white', 'transforms', 'warned'),
    [
        (255, [], True),
        (1, [], False),
        (255, [{'name': 'relabel', 'values': [0] + 254 * [255] + [1]}], False),
    ],
)
def test_masks_in_black_and_white_are_told(white, transforms, warned, monkeypatch):
    said = []
    monkeypatch.setattr(pieces.logging, 'warning', lambda text, *args: said.append(text % args))
    mask = np.zeros((4, 4), np.uint8)
    mask[1:3] = white
    masks = data.Source(3, lambda i: {'image': b'', 'mask': mask, 'seed': i}, str, {'mask': ('ground', 'thing')})
    settings = folder.get_config()
    settings.data.train_transforms = [{'name': 'decode'}, {'name': 'decode_mask'}, *transforms]
    assert pieces.resolve(settings, masks).data.class_names == ['ground', 'thing']
    assert bool(said) == warned
    for text in said:
        assert text.startswith('the first 3 masks hold 0 and 255 only')
        assert "{'name': 'relabel', 'values': [0] + 254 * [255] + [1]}" in text


def test_of_many_classes_the_worst_are_shown():
    names = [f'c{i}' for i in range(40)]
    shares = evaluate._class_iou({'class_iou': np.array([np.nan, *np.linspace(0.99, 0.01, 39)])}, names)
    assert shares['c0'] is None
    assert json.loads(json.dumps(shares))['c39'] == pytest.approx(0.01)
    line = evaluate._worst(shares)['class_iou']
    assert line.startswith('c39 1.0, c38 ')
    assert line.endswith(' % (the 30 worst of 39 classes)')
    assert line.count(',') == 29
    assert evaluate._worst(evaluate._class_iou({}, names)) == {}
