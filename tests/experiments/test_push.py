"""A shared network: its folder, its model card, and that it stands in place of a workdir; without a network."""

import contextlib
import json
import re
import shutil
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml

from experiments import evaluate, predict, train
from experiments import push as launcher
from experiments.classification import digits
from experiments.run import pushing, shared, start_from, workdir
from experiments.run.batches import zeros
from experiments.run.check import check
from experiments.run.fields import Facts
from experiments.run.training import train as run_of
from experiments.run.variables import restore
from jaxcv import config, extras, training, weights
from jaxcv.files import write_json
from tests.experiments.facts import assembled

EXAMPLE = {'image': np.zeros((8, 8, 1), np.uint8), 'label': np.int32(0)}
NAMES = {'label': ['cat', 'dog', 'Käfer']}


def settings(**fields):
    chosen = digits.get_config()
    chosen.model, chosen.augment = {'name': 'linear_classifier'}, ()
    chosen.data.data_dir = '/home/me/photos'
    chosen.update(fields)
    return chosen


def of(chosen):
    return assembled(chosen, EXAMPLE, names=NAMES)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A folder with random values at step 7 and their evaluation: (folder, variables)."""
    folder = tmp_path_factory.mktemp('digits')
    experiment = of(settings())
    variables = experiment.task.init(jax.random.key(0), zeros(experiment.facts.example))
    network = {'step': 7, 'averaged': False, 'networks': 1}
    write_json(folder / 'config.json', pushing.public_config(workdir.content(experiment), network))
    weights.save_variables(variables, folder / shared.NETWORK)
    write_json(
        folder / 'evaluation.json',
        {'step': 7, 'averaged': False, 'data': 'digits', 'split': 'test', 'top1': 0.5, 'loss': 0.25},
    )
    return folder, variables


@pytest.fixture
def folder(run, tmp_path):
    assert pushing.push(check(settings()), run[0], 'last', tmp_path / 'shared', license='mit') == 0
    return tmp_path / 'shared'


def equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_the_folder_and_its_card(run, folder):
    assert sorted(path.name for path in folder.iterdir()) == sorted(shared.FILES)
    text = (folder / shared.CARD).read_text()
    assert '/home' not in text + (folder / 'config.json').read_text()
    assert json.loads((folder / shared.CLASSES).read_text()) == NAMES
    head = yaml.safe_load(text.split('---\n')[1])
    assert head['pipeline_tag'] == 'image-classification'
    assert head['license'] == 'mit'
    (result,) = head['model-index'][0]['results']
    assert result['dataset'] == {'name': 'digits', 'type': 'digits', 'split': 'test'}
    assert {metric['type']: metric['value'] for metric in result['metrics']} == {'loss': 0.25, 'top1': 50.0}
    assert '| top1         | 50.00 % |' in text
    assert 'python -m experiments.evaluate --workdir=shared' in text
    (code,) = re.findall(r'```python\n(.*?)```', text, flags=re.DOTALL)
    found = {}
    with contextlib.chdir(folder):
        exec(code, found)
    assert found['model'].apply(found['variables'], jnp.zeros((2, 8, 8, 1))).shape == (2, 3)
    equal(found['variables'], run[1])


def test_it_stands_in_place_of_a_workdir(run, folder):
    checked = workdir.trained(folder, None)
    experiment = of(checked.settings)
    found, step = restore(experiment, folder, 'best', training.make_mesh(), averaged=False)
    assert step == 7
    equal(found, run[1])
    assert isinstance(workdir.facts_of(folder, checked), Facts)
    for which, averaged in ((6, False), ('last', True)):
        with pytest.raises(config.ConfigError, match='one network only, of step 7: leave out --checkpoint'):
            restore(experiment, folder, which, training.make_mesh(), averaged=averaged)
    other = assembled(settings(), {**EXAMPLE, 'image': np.zeros((9, 8, 1), np.uint8)}, names=NAMES)
    with pytest.raises(config.ConfigError, match=r'its network is not that of its config.json:\n.*params/head/kernel'):
        restore(other, folder, 'last', training.make_mesh(), averaged=False)
    with pytest.raises(config.ConfigError, match='is the folder of a shared network, and no workdir'):
        run_of(checked, folder)


def test_a_run_starts_from_it_and_from_the_hub(run, folder, tmp_path, monkeypatch):
    def snapshot_download(repo, *, revision, local_dir, allow_patterns):
        if repo != 'me/digits':
            raise errors.RepositoryNotFoundError
        shutil.copytree(folder, local_dir)

    names = ('RepositoryNotFoundError', 'RevisionNotFoundError', 'HfHubHTTPError', 'LocalEntryNotFoundError')
    hub, errors = types.ModuleType('huggingface_hub'), types.ModuleType('huggingface_hub.errors')
    hub.snapshot_download = snapshot_download
    vars(errors).update({name: type(name, (Exception,), {}) for name in names})
    monkeypatch.setitem(sys.modules, 'huggingface_hub', hub)
    monkeypatch.setitem(sys.modules, 'huggingface_hub.errors', errors)
    monkeypatch.setenv('JAXCV_CACHE', str(tmp_path / 'cache'))
    for place in (str(folder), 'hf:me/digits'):
        chosen = settings()
        chosen.finetune.update({'start_from': place, 'new': ()})
        equal(start_from.given_variables(of(chosen))['params'], run[1]['params'])
    with pytest.raises(config.ConfigError, match='hf:me/cats: there is no such repository'):
        shared.downloaded('hf:me/cats')
    with pytest.raises(config.ConfigError, match='expected USER/NAME'):
        shared.downloaded('hf:digits')
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    with pytest.raises(extras.MissingExtraError, match=r"pip install 'jaxcv\[hub\]'"):
        shared.downloaded('hf:me/digits')


def test_nothing_of_the_users_is_written_over_and_an_upload_that_fails_leaves_the_folder(run, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    with pytest.raises(config.ConfigError, match=r"'jaxcv\[hub\]'\nThe folder .* stays"):
        pushing.push(check(settings()), run[0], 'last', folder, repo='me/digits')
    assert (folder / shared.NETWORK).is_file()
    other = folder.parent / 'photos'
    other.mkdir()
    (other / 'cat.jpg').touch()
    with pytest.raises(config.ConfigError, match=r'holds other files \(cat.jpg\): give a new'):
        pushing.push(check(settings()), run[0], 'last', other)
    assert [path.name for path in other.iterdir()] == ['cat.jpg']


def test_the_command_says_what_it_lacks(command, run):
    ended = command(launcher, f'--workdir={run[0]}')
    assert ended.code == 2
    assert ended.err == 'Error: give --folder=FOLDER, a new one: what is shared is written there first\n'


@pytest.mark.slow
def test_a_trained_run_is_shared_and_evaluated_as_it_was(command, tiny, data_dir, tmp_path):
    workdir, place = tmp_path / 'run', tmp_path / 'shared'
    for launched, *arguments in (
        (train, *tiny, f'--workdir={workdir}', '--config.average=polyak'),
        (evaluate, f'--workdir={workdir}', '--averaged'),
        (launcher, f'--workdir={workdir}', f'--folder={place}', '--averaged'),
    ):
        assert command(launched, *arguments).code == 0
    measured = json.loads((place / 'evaluation.json').read_text())
    assert measured == json.loads((workdir / 'evaluation.json').read_text())
    shutil.rmtree(workdir)
    arguments = f'--workdir={place}', *(word for word in tiny if 'data_dir' in word or '--config=' in word)
    arguments = *arguments, "--config.model={'name': 'linear_classifier'}"
    ended = command(evaluate, *arguments)
    assert ended.code == 0, ended.err
    assert json.loads((place / 'evaluation.json').read_text()) == measured
    ended = command(predict, f'--workdir={place}', f'--images={place}/confusion_matrix.png')
    assert ended.code == 0, ended.err
