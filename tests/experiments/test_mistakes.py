"""Mistakes of newcomers, and the answer to each: one message with the remedy, exit code 2, and nothing is written."""

import contextlib
import os
import runpy
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import cv2
import numpy as np
import pytest

from experiments import __main__ as commands
from experiments import (
    describe,
    evaluate,
    export,
    faults,
    launch,
    look,
    predict,
    push,
    search,
    starting,
    summarize,
    train,
)
from experiments import list as listing
from experiments.run import workdir
from experiments.run.check import check
from experiments.run.exits import BAD_INPUT
from experiments.run.training import train as run
from jaxcv import extras, weights

SIZE = 16


def write_photos(folder, count):
    """Photos of cats and dogs."""
    rng = np.random.default_rng(0)
    for name in ('cat', 'dog'):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            cv2.imwrite(str(folder / name / f'{i}.png'), rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8))


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    """The folder that the commands are typed in: photos, some other files, and a trained workdir."""
    folder = tmp_path_factory.mktemp('home')
    write_photos(folder / 'photos' / 'train', 8)
    write_photos(folder / 'photos' / 'val', 2)
    write_photos(folder / 'flat', 12)
    write_photos(folder / 'few', 1)
    write_photos(folder / 'broken', 1)
    for file in (folder / 'broken').glob('*/*.png'):
        file.write_text('<html>')
    (folder / 'empty').mkdir()
    (folder / 'notes.txt').write_text('some words\n')
    (folder / 'labels.csv').write_text('picture,tags\nphotos/train/cat/0.png,cat\n')
    (folder / 'my_nets.py').write_text('def net(width):\n    return width\n')
    weights.save_variables({'params': {'head': {'bias': np.zeros(7)}}}, folder / 'other.safetensors')
    with contextlib.chdir(folder):
        config = launch.load_config(*launch.config_path(f'classification/folder:{SIZE}'))
        config.data.update({'data_dir': 'photos', 'batch_size': 8, 'eval_batch_size': 8})
        config.model = {'name': 'linear_classifier'}
        config.training.update({'epochs': 1.0, 'eval_every': 0, 'writers': ('jsonl',)})
        assert run(check(config), folder / 'run') == 0
    return folder


@pytest.fixture
def answer(home, command, monkeypatch):
    """answer(launcher, words) -> the one message, after the checks that all mistakes share."""
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, 'path', ['', *sys.path])
    monkeypatch.setattr(sys, 'dont_write_bytecode', True)

    def answered(launcher, words):
        before = sorted(home.rglob('*'))
        ended = command(launcher, *words)
        assert ended.code == BAD_INPUT, ended.err
        assert 'Traceback' not in ended.err
        assert ended.err.startswith('Error: '), ended.err
        assert ended.err.count('Error') == 1, ended.err
        assert sorted(home.rglob('*')) == before
        return ended.err.removeprefix('Error: ')

    return answered


def photos(folder='photos', *, form='', run='new'):
    """The words of a training."""
    small = ['data.batch_size=8', 'model=linear_classifier', 'training.epochs=1', 'training.eval_every=0']
    fields = [f'--config.{field}' for field in (f'data.data_dir={folder}', *small)]
    return [f'--config=classification/folder:{SIZE}{form}', f'--workdir={run}', *fields]


def csv(file):
    return ['--config=multi_label/csv', f'--config.data.data_dir={file}', '--workdir=new']


RUN = '--workdir=run'
MISTAKES = {
    # config and flags
    'no config': (train, ['--workdir=new'], 'give --config=NAME: new holds no config.json of an earlier run'),
    'a config that is not there': (train, ['--config=digitts', '--workdir=new'], 'no such config; there are: digits,'),
    'two configs of a name': (
        train,
        ['--config=csv', '--workdir=new'],
        'there are classification/csv and multi_label/csv; give one of these names',
    ),
    'no workdir': (train, ['--config=digits'], 'give --workdir=FOLDER'),
    'a file as workdir': (train, [*photos(), '--workdir', 'notes.txt/run'], 'Not a directory; give another --workdir'),
    'a field as flag': (train, [*photos(), '--learning_rate=0.1'], 'set the field of the config, --config.optimizer.'),
    'a flag misspelled': (train, [*photos(), '--resume_with_change'], 'did you mean resume_with_changes?'),
    'a field misspelled': (
        train,
        [*photos(), '--config.training.epoch=3'],
        "no argument 'epoch', did you mean epochs?",
    ),
    'a section misspelled': (train, [*photos(), '--config.trainig.epochs=3'], 'did you mean training?'),
    'a text for a number': (train, [*photos(), '--config.training.log_every=often'], "write '100 steps', '5 epochs'"),
    'a rate in words': (
        train,
        [*photos(), '--config.optimizer.learning_rate=fast'],
        "learning_rate must be a number such as 0.1, got 'fast': name what it follows in schedule, --config.",
    ),
    'no batch size': (train, [*photos(), '--config.data.eval_batch_size=0'], 'eval_batch_size must be positive, got 0'),
    'a tracker that is not there': (
        train,
        [*photos(), '--config.training.writers=jsonl,wandbb'],
        "must be 'jsonl', 'tensorboard', 'wandb' or 'mlflow', got 'wandbb', did you mean 'wandb'?",
    ),
    'half a profile': (train, [*photos(), '--profile=100'], 'expected FIRST:END, such as 100:110'),
    'an augmentation misspelled': (train, [*photos(), '--config.augment=random_flp'], 'did you mean random_flip or'),
    # data
    'no data': (train, ['--config=classification/folder', '--workdir=new'], 'needs data_dir: the folder that holds'),
    'a folder that is not there': (train, photos('nowhere'), 'nowhere is not there: there is no folder of that name; '),
    'a file as folder': (
        train,
        photos('notes.txt'),
        'notes.txt is a file, not a folder; it should hold train/<class>/',
    ),
    'an empty folder': (train, photos('empty'), 'empty is empty; it should hold train/<class>/*.jpg'),
    'no folders of splits': (
        train,
        photos('flat'),
        "all of it is 'train', so train on 'train[:80%]' and evaluate on 'train[80%:]'",
    ),
    'fewer photos than a batch': (train, photos('few', form=',flat'), 'lower batch_size or add data'),
    'broken photos': (train, photos('broken', form=',flat'), '--config.data.on_broken=skip'),
    'a split that is not there': (
        train,
        [*photos(), '--config.data.train_split=training'],
        "has no folder 'training'; there are: train, val",
    ),
    'more than all': (
        train,
        [*photos('flat', form=',flat'), '--config.data.eval_split=train[:180%]'],
        "'train[:180%]' has more than 100 %: write 'train', 'train[:80%]'",
    ),
    'a table without the columns': (
        train,
        csv('labels.csv'),
        "columns are: picture, tags; name those that hold them: data.options={'file': 'COLUMN', 'label': 'COLUMN'}",
    ),
    'a folder as table': (train, csv('photos'), 'photos has no table: it should hold train.csv, or give table=NAME'),
    'look at nothing': (look, ['--folder=seen'], 'give --config=NAME'),
    # models and weights
    'a model misspelled': (train, [*photos(), '--config.optimizer=adamm'], 'did you mean adam'),
    'other classes': (
        train,
        [*photos()[:-3], '--config.model=linear_classifier(num_classes=5)'],
        "num_classes is 5, but folder has 2 classes of 'label'; leave it out, the data set decides it",
    ),
    'weights of another model': (
        train,
        [*photos(), '--config.finetune.start_from=resnet50'],
        'are weights of resnet50, and the network is linear_classifier: take model.name=resnet50, or weights of',
    ),
    'weights that are not there': (
        train,
        [*photos(), '--config.finetune.start_from=resnet51'],
        "no published weights of 'resnet51', did you mean resnet50 or",
    ),
    'a file of another model': (
        predict,
        ['--weights=resnet18:other.safetensors', '--images=photos'],
        'None of its names is of resnet18: give a file of its weights, or the model of the file',
    ),
    'no file of weights': (predict, ['--weights=resnet18:no.pth', '--images=photos'], 'no file of weights no.pth'),
    'a model to summarize': (summarize, ['--model=resnet_18'], "no 'resnet_18' in jaxcv.models, did you mean resnet18"),
    # own code
    'no module': (train, [*photos(), '--use=my_net'], "there is no module 'my_net' in "),
    'a file as module': (
        train,
        [*photos(), '--use=my_nets.py'],
        'the name of the module and not its file, --use=my_nets',
    ),
    'a signature of its own': (
        train,
        [*photos()[:-3], '--use=my_nets', '--config.model=my_nets.net'],
        "net needs the argument 'width'. It is net(width)",
    ),
    'own code without its module': (
        train,
        [*photos()[:-3], '--config.model=her_nets.net'],
        "no module 'her_nets'; a module of your own joins by --use=her_nets",
    ),
    # trained runs
    'evaluate nothing': (evaluate, ['--checkpoint=best'], 'give --workdir=FOLDER'),
    'evaluate an empty folder': (evaluate, ['--workdir=empty'], 'is empty the workdir of a training run?'),
    'no such checkpoint': (
        evaluate,
        [RUN, '--checkpoint=7'],
        'no checkpoint of step 7 in run/checkpoints; there are [2]',
    ),
    'another config': (
        train,
        [*photos(run='run'), '--config.optimizer.learning_rate=0.3'],
        'Give another --workdir, the same config, or --resume_with_changes',
    ),
    'predict nothing': (predict, [RUN], 'give --images=photos, a folder, or '),
    'a pattern of nothing': (
        predict,
        [RUN, '--images=photos/val/*.jpg'],
        'no file matches (a pattern is quoted, so that',
    ),
    'a text as picture': (predict, [RUN, '--images=notes.txt'], 'a .txt is a list of files'),
    'pictures into the photos': (
        predict,
        [RUN, '--images=photos/val/cat', '--output=photos/val/cat'],
        'give --output=FOLDER, a new or empty one',
    ),
    'export into a file': (export, [RUN, '--out=notes.txt/model'], 'give a file in a folder that can be written to'),
    'export in no format': (export, [RUN, '--format=pt'], 'value should be one of <stablehlo|onnx>'),
    'export under another name': (export, [RUN, '--out=model.onnx'], 'give --format=onnx too, or a name in .stablehlo'),
    'share without a folder': (push, [RUN], 'give --folder=FOLDER, a new one'),
    'share into the photos': (push, [RUN, '--folder=photos'], 'give a new or empty folder'),
    'half a repository': (predict, ['--workdir=hf:nobody', '--images=photos'], 'expected USER/NAME'),
    # lists and searches
    'a name to describe': (describe, ['resnet_18'], "there is no 'resnet_18', did you mean resnet18"),
    'a list': (listing, ['modles'], "no list 'modles', did you mean models"),
    'a list without it': (listing, ['models', 'vit_huge'], 'python -m experiments.list models shows all'),
    'no space': (search, photos(), 'give --config=NAME and --space=NAME'),
    'no file of a space': (search, [*photos(), '--space=no.py'], '--space: no.py does not exist'),
}


@pytest.mark.parametrize(('launcher', 'words', 'message'), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_has_one_answer(answer, launcher, words, message):
    assert message in answer(launcher, words)


MISSING = {
    'tensorflow_datasets': (train, ['--config=digits', '--workdir=new'], 'data'),
    'grain': (train, photos(), 'data'),
    'tensorboardX': (train, photos(), 'launch'),
    'wandb': (train, [*photos(), '--config.training.writers=jsonl,wandb'], 'wandb'),
    'matplotlib': (train, photos(), 'viz'),
    'optuna': (search, [*photos(), '--space=digits_space'], 'search'),
    'huggingface_hub': (predict, ['--workdir=hf:me/digits', '--images=photos'], 'hub'),
    'jax2onnx': (export, [RUN, '--format=onnx'], 'onnx'),
}
"""Package that is not installed -> launcher, words, and the extra that the message names."""


@pytest.mark.parametrize('package', MISSING)
def test_a_missing_extra_has_one_answer(answer, monkeypatch, package):
    launcher, words, extra = MISSING[package]
    monkeypatch.setitem(sys.modules, package, None)
    assert f"the package {package} is not installed: pip install 'jaxcv[{extra}]'" in answer(launcher, words)


@pytest.mark.parametrize(
    ('study', 'module'),
    [('photos', 'skimage.data'), ('forest', 'sklearn.ensemble'), ('optimizers', 'matplotlib.figure')],
)
def test_a_study_without_an_extra_has_one_answer(monkeypatch, capfd, study, module):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(sys, 'argv', [study, '--help'])
    with pytest.raises(ModuleNotFoundError) as raised:
        runpy.run_path(str(launch.ROOT / 'studies' / f'{study}.py'))
    with pytest.raises(SystemExit) as ended:  # as `sys.excepthook`
        starting.show(raised.type, raised.value, raised.tb)
    assert ended.value.code == BAD_INPUT
    assert capfd.readouterr().err == f'Error: {extras.remedy(module.partition(".")[0])}\n'


@pytest.mark.parametrize(
    ('error', 'flags', 'shown'),
    [
        (ModuleNotFoundError("No module named 'absl'", name='absl'), (), 'source .venv/bin/activate'),
        (ModuleNotFoundError("No module named 'skimage'", name='skimage'), ('--traceback',), 'ModuleNotFoundError'),
        (ModuleNotFoundError("No module named 'jaxcv.no'", name='jaxcv.no'), (), 'ModuleNotFoundError'),
        (ImportError('a broken library'), (), 'ImportError: a broken library'),
    ],
)
def test_errors_while_a_launcher_is_imported(monkeypatch, capfd, error, flags, shown):
    monkeypatch.setattr(sys, 'argv', ['command', *flags])
    ending = pytest.raises(SystemExit) if shown.startswith('source') else contextlib.nullcontext()
    with ending:
        starting.show(type(error), error, None)
    assert shown in capfd.readouterr().err


@pytest.mark.slow
def test_a_process_without_scikit_image(tmp_path):
    (tmp_path / 'sitecustomize.py').write_text("import sys\nsys.modules['skimage'] = None\n")
    ended = subprocess.run(
        [sys.executable, '-m', 'experiments.studies.photos'],
        cwd=launch.ROOT.parent,
        env={**os.environ, 'PYTHONPATH': str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (BAD_INPUT, f'Error: {extras.remedy("skimage")}\n')


def test_a_pipe_that_nobody_reads_ends_a_list_quietly(command, monkeypatch):
    reader, writer = os.pipe()
    with open(writer, 'w') as output:
        monkeypatch.setattr(sys, 'stdout', output)
        assert not workdir.output_is_closed()
        os.close(reader)
        ended = command(listing, 'fields')
        assert (ended.code, ended.err) == (128 + signal.SIGPIPE, '')


def test_other_modules_that_are_missing_are_faults():
    for name in ('nowhere', None):
        error = ModuleNotFoundError('no module', name=name)
        assert faults.without_extra(error) is error
    for name in extras.EXTRAS:
        found = faults.without_extra(ModuleNotFoundError(f'No module named {name}.part', name=f'{name}.part'))
        assert launch._exit_code(found) == BAD_INPUT
        assert str(found) == extras.remedy(name)


def test_weights_without_a_network_and_a_file_as_cache(answer, home, monkeypatch):
    def no_network(*args, **options):
        raise urllib.error.URLError('Name or service not known')

    monkeypatch.setattr(urllib.request, 'urlopen', no_network)
    words = ['--weights=resnet50', '--images=photos']
    for cache, message in (
        ('cache', 'cannot be downloaded: Name or service not known. Without a network: download https://'),
        ('notes.txt', 'JAXCV_CACHE=notes.txt is a file: set it to the folder for downloaded weights'),
    ):
        monkeypatch.setenv('JAXCV_CACHE', cache)
        assert message in answer(predict, words)


def test_a_launcher_that_is_misspelled():
    assert commands.misspelled(['trian']) == (
        "there is no command 'trian', did you mean python -m experiments.train; python -m experiments lists all"
    )
    assert 'experiments.train;' in commands.misspelled(['train', '--config=digits'])
    assert commands.misspelled([]) == ''
