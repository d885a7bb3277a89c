"""Modules of the user's own: imported by name from the current folder; what is wrong with them is one message."""

import re
import sys

import pytest

from experiments.classification import digits
from experiments.run.check import check
from experiments.run.contracts import made_problems
from experiments.run.own_code import imported
from experiments.run.workdir import USED, check_used, used_by
from jaxcv import config, models, optim
from jaxcv.config import ConfigError
from jaxcv.files import write_json

GOOD = '''
"""Losses of my own."""
import functools

class Net: ...

def net(): return Net()

def loss(logits, labels, *, gamma=2.0): return gamma

def _hidden(): ...

number = 3
'''
FILES = {
    'own_good.py': GOOD,
    'own_raises.py': 'x = 1\nraise ValueError("no data here")\n',
    'own_exits.py': 'import sys\nsys.exit(3)\n',
    'own_needs.py': 'import no_such_package_x\n',
    'own_syntax.py': 'def f(:\n',
    'own_all.py': '__all__ = ["net", "gone"]\ndef net(): ...\n',
    'losses.py': 'def loss(logits, labels): ...\n',
    'json.py': '',
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with modules, which is the current one."""
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend('')
    yield tmp_path
    for name in FILES:
        if name.startswith('own_'):
            sys.modules.pop(name.removesuffix('.py'), None)


WRONG = {
    'own_raises': 'own_raises.py, line 2: ValueError: no data here',
    'own_exits': "own_exits.py, line 2: it ends the program when it is imported: put what runs under if __name__ == '",
    'own_needs': "own_needs.py, line 1: ModuleNotFoundError: No module named 'no_such_package_x'",
    'own_syntax': 'own_syntax.py, line 1: SyntaxError',
    'own_all': "its __all__ lists 'gone', which it does not define",
    'own_god': "there is no module 'own_god' in .*, did you mean own_good",
    'own_good.py': 'give the name of the module and not its file, --use=own_good',
    './own_good.py': 'give the name of the module and not its file, --use=own_good',
    '/home/me/own_good.py': '--use=own_good, from the folder that it is in',
    'own_good,own_all': 'give the option once for each module, --use=own_good --use=own_all',
    'own_good:net': 'give the name of the module alone, --use=own_good',
    'losses': 'in a config this means jaxcv.losses; put your module in a package, --use=my_project.losses',
    'json': 'has this name too, and is imported in place of json.py: rename it',
    '': 'name a module, --use=my_project.models',
}


@pytest.mark.parametrize(('name', 'message'), WRONG.items(), ids=map(repr, WRONG))
def test_a_module_that_cannot_be_used_is_one_message(folder, name, message):
    with pytest.raises(ConfigError, match=message) as caught:
        imported([name])
    assert len(str(caught.value).splitlines()) == 1


def test_all_modules_are_reported_at_once_and_a_function_is_no_module(folder):
    with pytest.raises(ConfigError, match='2 problems') as caught:
        imported(['own_raises', 'own_good', 'own_good.net'])
    assert 'own_good.net is a function: give the name of its module, --use=own_good' in str(caught.value)


NAMES = {
    'own_good.Net': 'own_good.Net is a class: name a function that makes one',
    'own_good.nett': 'did you mean own_good.net',
    'own_good._hidden': 'own_good._hidden is not public, as its name begins with _',
    'own_good.number': 'own_good.number is no function, but int',
    'own_good:net': "in a module of your own 'own_good.net'",
    'net': r'did you mean own_good.net\?',
    'other.net': 'a module of your own joins by --use=other',
    'jaxcv.models.resnet18': r'did you mean resnet18\?',
}


@pytest.mark.parametrize(('name', 'message'), NAMES.items(), ids=NAMES)
def test_a_name_that_a_module_does_not_offer_says_why(folder, name, message):
    spec = {'name': name} if ':' not in name else name
    (problem,) = config.problems(spec, models, registries=imported(['own_good']))
    assert re.search(message, problem)


def test_a_workdir_remembers_the_modules_that_its_config_names(folder):
    settings = digits.get_config()
    settings.loss = 'own_good.loss(gamma=3)'
    used = used_by(check(settings, imported(['own_good', 'optax'])))
    assert used == ['own_good']
    write_json(folder / 'config.json', {'found': {USED: used}})
    check_used(folder, ['own_good', 'optax'])
    with pytest.raises(ConfigError, match=r'was trained with functions of your own: add --use=own_good$'):
        check_used(folder, ['optax'])


def test_optax_is_named_in_the_optimizer_and_the_schedule():
    settings = digits.get_config()
    settings.optimizer = 'optax.adamw(learning_rate=1e-3)'  # it has annotations that only type checkers can read
    settings.schedule = 'optax.constant_schedule(value=0.1)'
    found = check(settings, imported(['optax'])).settings
    assert found.optimizer.to_dict() == {'name': 'optax.adamw', 'learning_rate': 1e-3}


class NoTrain:
    init = apply = None

    def __call__(self, images): ...


MADE = {
    ('model', 'NoneType, not a Linen module'): None,
    ('model', 'returns the class NoTrain: call it'): NoTrain,
    ('model', "NoTrain.__call__ of mine.net has no argument 'train'"): NoTrain(),
    ('task', 'returns dict, not a Task'): {},
    ('optimizer', 'returns float, not an optax transformation'): 0.1,
}


@pytest.mark.parametrize(('expected', 'made'), MADE.items(), ids=[text for _, text in MADE])
def test_a_function_that_returns_something_else_is_told(expected, made):
    section, message = expected
    (problem,) = made_problems(section, 'mine.net', made)
    assert message in problem


def test_what_jaxcv_makes_is_right():
    assert not list(made_problems('model', 'linear_classifier', models.linear_classifier(num_classes=2)))
    assert not list(made_problems('optimizer', 'sgd', optim.sgd(learning_rate=0.1)))
