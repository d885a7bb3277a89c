"""What people type: flags, names of configs, values of fields; and one clear message for what does not fit."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments import evaluate, export, launch, predict, summarize, train
from experiments import list as listing
from experiments.run.exits import BAD_INPUT
from jaxcv import config

BAD_FLAGS = {
    'flag type': (['--config.data.batch_size=many'], "data: batch_size must be int, got 'many' (str)"),
    'no workdir': (['--workdir='], 'give --workdir=FOLDER'),
    'flag': (['--workdirr=x'], "Unknown command line flag 'workdirr', did you mean workdir?"),
    'word': (['surplus'], 'unknown arguments: surplus'),
    "another launcher's flag": (['--checkpoint=best'], '--checkpoint is no flag of experiments.train'),
    "a field's name": (
        ['--epochs=3'],
        'there is no flag --epochs: set the field of the config, --config.training.epochs',
    ),
    'a name of other tools': (['--lr=0.1'], 'set the field of the config, --config.optimizer.learning_rate=...'),
    "another launcher's flag, denied": (['--noaveraged'], '--averaged is no flag of experiments.train'),
    'a config': (['--config.optimizer.name=adamm'], "no 'adamm' in jaxcv.optim.optimizers, did you mean adam"),
    'own code': (['--use=no.such.module'], "--use=no.such.module: there is no module 'no' in "),
}


@pytest.mark.parametrize(('arguments', 'message'), BAD_FLAGS.values(), ids=BAD_FLAGS.keys())
def test_bad_flags_are_one_message_and_code_2(command, tiny, tmp_path, arguments, message):
    ended = command(train, *tiny, f'--workdir={tmp_path / "run"}', *arguments)
    assert ended.code == BAD_INPUT, ended.err
    assert message in ended.err
    assert 'Traceback' not in ended.err
    assert not (tmp_path / 'run').exists()


def test_a_missing_config_and_workdir_are_told(command, tmp_path):
    assert 'nope.py' in command(train, '--config=nope.py', f'--workdir={tmp_path}').err
    assert 'give --config=NAME' in command(train, f'--workdir={tmp_path}').err
    assert '--workdir' in command(train, '--config=digits').err
    assert 'the workdir of a training run?' in command(evaluate, f'--workdir={tmp_path}').err
    broken = tmp_path / 'broken.py'
    broken.write_text('def get_config():\n    return undefined\n')
    ended = command(train, f'--config={broken}', f'--workdir={tmp_path}')
    assert ended.code == BAD_INPUT
    assert "name 'undefined' is not defined" in ended.err


def test_help_shows_the_flags_of_the_launcher(command):
    shown = command(train, '--help')
    assert shown.code == 0
    assert {'--config', '--workdir', '--resume_with_changes', '--use'} <= set(shown.out.split())
    assert '--checkpoint' not in shown.out
    assert 'experiments.list fields' in shown.out
    assert '--images' in command(predict, '--help').out
    assert '--out\n' in command(export, '-h').out


def test_no_flags_at_all_are_answered_with_an_example(command):
    ended = command(train)
    assert ended.code == BAD_INPUT
    assert ended.err.rstrip().endswith('python -m experiments.train --config=digits --workdir=runs/digits')
    ended = command(summarize)
    assert ended.code == BAD_INPUT
    assert ended.err.rstrip().endswith('python -m experiments.summarize --model=resnet50')


NAMES = {
    'digits': ('classification/digits.py', ()),
    'classification/digits': ('classification/digits.py', ()),
    'segmentation/digit_scenes:fcn8s': ('segmentation/digit_scenes.py', ('fcn8s',)),
}


def test_a_config_is_found_by_its_name(command, tmp_path, monkeypatch):
    for name, (path, argument) in NAMES.items():
        assert launch.config_path(name) == (launch.ROOT / path, argument)
    assert launch.config_path('my/own.py:small') == (Path('my/own.py'), ('small',))
    (tmp_path / 'digits').mkdir()
    monkeypatch.chdir(tmp_path)  # a folder of this name is no config
    assert launch.config_path('digits')[0] == launch.ROOT / 'classification' / 'digits.py'
    (tmp_path / 'my:own.py').write_text('')  # this colon is the file's
    assert launch.config_path('my:own.py') == (Path('my:own.py'), ())
    ended = command(train, '--config=folder', f'--workdir={tmp_path}')
    assert ended.code == BAD_INPUT
    assert (
        'there are classification/folder and detection/folder and embedding/folder and segmentation/folder; give one '
        'of these names' in ended.err
    )
    ended = command(train, '--config=digit', f'--workdir={tmp_path}')
    assert ended.code == BAD_INPUT
    assert 'no such config; there are: digits, ' in ended.err


def test_names_in_place_of_dicts_are_swaps_that_are_said(command, tiny, tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(train, 'train', lambda checked, folder, **options: trained.append(checked.settings) or 0)
    arguments = ['--config.optimizer=adamw', '--config.optimizer.learning_rate', '1e-3', '--config.data.data_dir=None']
    ended = command(train, *tiny, f'--workdir={tmp_path}', *arguments, '--config.training.eval_every=1 epoch')
    assert ended.code == 0, ended.err
    assert 'optimizer: adamw in place of nesterov, with weight_decay=0.0005 as before, without decay=0.9' in ended.out
    assert trained[0].optimizer.to_dict() == {'name': 'adamw', 'learning_rate': 0.001, 'weight_decay': 5e-4}
    assert trained[0].data.data_dir is None
    assert '--config.data.data_dir=None counts, and not ' in ended.err
    twice = command(train, *tiny, f'--workdir={tmp_path}', '--config.model=resnet18(dtype=bf16)')
    assert (twice.code, twice.err.count('Error: ')) == (BAD_INPUT, 1)
    assert "dtype must be 'float32' or 'bfloat16' or 'float16', got 'bf16'" in twice.err


FILES = {
    'nothing': ('def get_config():\n    return None\n', 'must return a config, see base(), got NoneType'),
    'no_function': ('x = 1\n', 'must define get_config()'),
    'broken': ('def get_config(:\n', 'broken.py, line 1: SyntaxError'),
    'variant': ('def get_config(size):\n    return {}\n', 'it needs an argument, which is given after a colon'),
    'no_variant': ('def get_config():\n    return {}\n', "it takes no argument, but ':small' gives one"),
    'unknown_variant': ('def get_config(x="a"):\n    raise ValueError("no b")\n', 'line 2: ValueError: no b'),
}


@pytest.mark.parametrize(('name', 'file'), FILES.items(), ids=FILES)
def test_a_config_file_that_fails_is_one_message(name, file, tmp_path):
    path, (content, message) = tmp_path / f'{name}.py', file
    path.write_text(content)
    arguments = ['small'] if name == 'no_variant' else []
    with pytest.raises(config.ConfigError) as caught:
        launch.load_config(path, arguments)
    assert message in str(caught.value)


FLAGS = {
    'no value': (['--use'], '--use has no value: write --use=VALUE'),
    'a flag for a value': (['--use', '--config.seed=1'], '--use has no value'),
    'no local workdir': (['--workdir=gs://b/x'], 'gs://b/x is no local path'),
    'a section': (['--model=resnet18'], 'there is no flag --model: set the field of the config, --config.model'),
    'the seed': (['--seed=1'], 'set the field of the config, --config.seed=...'),
    'dashes': (['--batch-size=4'], 'did you mean --config.data.batch_size'),
    'a field without a config': (['--config=', '--config.seed=1'], '--config.data.data_dir sets a field of --config'),
    'left over': (['training.epochs=5'], 'did you mean --config.training.epochs=5?'),
    'a web page': (['\u2013\u2013use=x'], 'as web pages write it: type --use=x'),
}


@pytest.mark.parametrize(('arguments', 'message'), FLAGS.values(), ids=FLAGS.keys())
def test_what_people_type_is_explained(command, tiny, tmp_path, arguments, message):
    ended = command(train, *tiny, f'--workdir={tmp_path / "run"}', *arguments)
    assert ended.code == BAD_INPUT, ended.err
    assert message in ended.err
    assert 'Traceback' not in ended.err
    assert not (tmp_path / 'run').exists()


def test_help_and_the_list_of_fields_have_the_forms_of_values(command, capfd):
    assert 'a duration as "1 epoch"' in ' '.join(command(train, '--help').out.split())
    assert listing.main(['fields', 'eval_every']) == 0
    shown = capfd.readouterr().out
    assert "'100 steps', '1 epoch', '64000 examples', '10%' of the run" in shown
    assert 'int | duration' in shown


def test_a_checkpoint_is_a_word_or_a_step(monkeypatch):
    for text, which in {'last': 'last', 'best': 'best', '12': 12, '1_000': 1000, '2e3': 2000}.items():
        monkeypatch.setattr(launch, 'CHECKPOINT', SimpleNamespace(value=text))
        assert launch.which_checkpoint() == which
    for text in ('-1', '1.5', 'newest', '²', ''):
        monkeypatch.setattr(launch, 'CHECKPOINT', SimpleNamespace(value=text))
        with pytest.raises(config.ConfigError, match="must be 'last', 'best' or a step, got"):
            launch.which_checkpoint()


OPTIONS = {
    'a call': ['--model=resnet18(num_classes=7)'],
    'a dict': ['--model=resnet18', "--options={'num_classes': 7}"],
    'a dict of words': ['--model=resnet18', '--options={num_classes: 7}'],
}


@pytest.mark.parametrize('arguments', OPTIONS.values(), ids=OPTIONS)
def test_a_model_is_summarized_by_a_name_or_a_call(command, monkeypatch, arguments):
    built = []
    monkeypatch.setattr(summarize, 'summarize', lambda model, **sizes: built.append(model) or [])
    assert command(summarize, *arguments).code == 0
    assert built[0].num_classes == 7


def test_wrong_options_of_a_model_are_one_message(command):
    for arguments, message in (
        (['--model=resnet18', '--options=7'], "--options must be a dict, '{...}', got '7'"),
        (['--model=resnet18', '--options={num_clases: 7}'], "no argument 'num_clases', did you mean num_classes?"),
        (['--model=res net'], "--model must be a name or a call, 'resnet50(num_classes=10)', got 'res net'"),
        (['--model=resnet18(7)'], 'name each argument, resnet18(argument=value)'),
        (['--model=resnet18(dtype=bf16)'], "dtype must be 'float32' or 'bfloat16' or 'float16', got 'bf16'"),
        (['--model=resnet18', '--config.seed=1'], '--config is no flag of'),
    ):
        ended = command(summarize, *arguments)
        assert ended.code == BAD_INPUT
        assert message in ended.err
