"""The fields of a config as they are given: by one rule for a command line, a search, a config file and JSON."""

import re
import types
import typing

import pytest
from ml_collections import ConfigDict

from experiments.classification import digits
from experiments.run import fields
from experiments.run.check import check
from experiments.run.overrides import Swap, described, fitted, overridden
from experiments.run.search.space import apply
from jaxcv.config import ConfigError, Text
from jaxcv.optim.durations import Updates

FIELDS = [field for section in fields.SECTIONS for field in fields.declared(section)]
MAY_BE_NONE = [field.path for field in FIELDS if types.NoneType in typing.get_args(field.type)]
MAY_NOT = [field.path for field in FIELDS if field.path not in MAY_BE_NONE]
OPTIONAL = [name for name, part in fields.SECTIONS.items() if isinstance(part, fields.Part) and part.optional]


def typed(**values):
    """The digits' config with fields as they are typed."""
    texts = {path.replace('__', '.'): Text(text) for path, text in values.items()}
    return overridden(digits.get_config(), texts)[0]


def at(settings, path):
    section, _, name = path.partition('.')
    return settings[section][name] if name else settings[section]


@pytest.mark.parametrize('nothing', ['None', 'none', 'null', ''])
def test_nothing_is_none_in_every_field_that_may_be_none(nothing):
    assert {'finetune.start_from', 'data.seed', 'data.data_dir', 'data.eval_split'} < set(MAY_BE_NONE)
    given = dict.fromkeys(MAY_BE_NONE, nothing)
    by_command_line, _ = overridden(digits.get_config(), {path: Text(text) for path, text in given.items()})
    by_search = apply(digits.get_config(), given)
    in_a_file = digits.get_config()
    for path, text in given.items():
        if 'str' in str(fields.SECTIONS[path.partition('.')[0]].__annotations__[path.partition('.')[2]]):
            in_a_file[path.partition('.')[0]][path.partition('.')[2]] = text  # others a file writes as None itself
    for settings in (by_command_line, by_search, check(in_a_file).settings):
        assert [at(settings, path) for path in MAY_BE_NONE] == [None] * len(MAY_BE_NONE)


def test_none_where_it_may_not_be_is_said_once_for_each():
    settings, _ = overridden(digits.get_config(), dict.fromkeys(MAY_NOT, Text('None')))
    with pytest.raises(ConfigError) as caught:
        check(settings)
    lines = str(caught.value).splitlines()[1:]
    for path in MAY_NOT:
        said = re.compile(rf'\b{path.partition(".")[2]}( must be|:)')
        assert sum(said.search(line) is not None for line in lines) == 1, path
    assert len(lines) == len(MAY_NOT)
    with pytest.raises(ConfigError, match=r'schedule: expected .* or .*, got None'):
        check(typed(schedule='None'))


def test_sections_that_may_be_nothing_are_nothing():
    settings = typed(**dict.fromkeys(OPTIONAL, 'None'), augment='none')
    assert [settings[name].to_dict() for name in OPTIONAL] == [{}] * len(OPTIONAL)
    assert settings.augment == []
    check(settings)


IN_PLACE_OF_DICTS = {
    'schedule': ('cosine', {'name': 'cosine'}),
    'augment': ('random_flip', [{'name': 'random_flip'}]),
    'model': ('resnet18', {'name': 'resnet18'}),
    'loss': ('focal', {'name': 'focal'}),
    'average': ('swa(start=50%)', {'name': 'swa', 'start': '50%'}),
    'views': ('flips', {'name': 'flips'}),
    'optimizer': (
        'adamw(weight_decay=0.05)',
        {'name': 'adamw', 'weight_decay': 0.05, 'learning_rate': 0.1},
    ),
}


@pytest.mark.parametrize(('section', 'given'), IN_PLACE_OF_DICTS.items(), ids=IN_PLACE_OF_DICTS)
def test_a_name_or_a_call_stands_for_a_dict(section, given):
    text, expected = given
    for settings in (typed(**{section: text}), apply(digits.get_config(), {section: text})):
        assert check(settings).settings.to_dict()[section] == expected


def test_a_config_file_may_write_names_and_durations():
    settings = digits.get_config()
    settings.schedule = 'cosine'
    settings.augment = 'random_flip,cutout(size=2)'
    settings.training.eval_every = '1 epoch'
    settings.training.epochs = '500 steps'
    settings.seed = '7'
    found = check(settings).settings
    assert found.schedule.to_dict() == {'name': 'cosine'}
    assert found.augment == [{'name': 'random_flip'}, {'name': 'cutout', 'size': 2}]
    assert (found.training.eval_every, found.training.epochs, found.seed) == ('1 epoch', '500 steps', 7)
    check(ConfigDict(found.to_dict()))  # JSON has no types but its own


def test_another_name_keeps_what_both_functions_have_and_says_so():
    for values in ({'optimizer.name': 'adamw'}, {'optimizer': 'adamw'}):
        for later in ({}, {'optimizer.learning_rate': Text('1e-3')}):
            settings, swaps = overridden(digits.get_config(), {**later, **values})  # in whatever order
            rate = 0.001 if later else 0.1
            assert settings.optimizer.to_dict() == {'name': 'adamw', 'learning_rate': rate, 'weight_decay': 5e-4}
            kept = {'weight_decay': 5e-4} if later else {'learning_rate': 0.1, 'weight_decay': 5e-4}
            assert swaps == [Swap('optimizer', 'nesterov', 'adamw', kept, {'decay': 0.9})]
    assert described(swaps[0]).endswith(
        'adamw in place of nesterov, with weight_decay=0.0005 as before, without decay=0.9'
    )
    dict_given, swaps = overridden(digits.get_config(), {'optimizer': Text("{'name': 'adamw', 'learning_rate': 1.0}")})
    assert (dict_given.optimizer.to_dict(), swaps) == ({'name': 'adamw', 'learning_rate': 1.0}, [])
    assert overridden(digits.get_config(), {'optimizer.name': 'nesterov'})[1] == []
    unknown, _ = overridden(digits.get_config(), {'optimizer': 'adamm'})
    with pytest.raises(ConfigError, match=r"no 'adamm' in jaxcv.optim.optimizers, did you mean adam"):
        check(unknown)


def test_a_section_and_fields_inside_it_are_given_together():
    for model in ('resnet18', '{"name": "resnet18"}', "{'name': 'resnet18', 'num_classes': 3}", 'resnet18()'):
        settings = typed(model__num_classes='10', model=model)  # in whatever order
        assert settings.model.to_dict() == {'name': 'resnet18', 'num_classes': 10}
    settings, _ = overridden(digits.get_config(), {'augment[0].size': Text('4'), 'augment': Text('cutout,random_flip')})
    assert settings.augment == [{'name': 'cutout', 'size': 4}, {'name': 'random_flip'}]
    assert typed(average__rho='0.5', average='polyak(rho=0.9)').average.to_dict() == {'name': 'polyak', 'rho': 0.5}
    rates = typed(finetune__rates__stem='0.5', finetune__rates='{head: 1}').finetune.rates
    assert rates.to_dict() == {'head': 1.0, 'stem': 0.5}


def test_another_network_inside_another_keeps_what_both_have():
    settings = digits.get_config()
    settings.model = {'name': 'segmentation.fcn8s', 'backbone': {'name': 'resnet18', 'output_stride': 8}}
    settings, swaps = overridden(settings, {'model.backbone': 'resnet50', 'model.backbone.dropout': Text('0.1')})
    assert settings.model.backbone.to_dict() == {'name': 'resnet50', 'output_stride': 8, 'dropout': 0.1}
    assert [swap.path for swap in swaps] == ['model.backbone']


def test_items_of_lists_are_set_by_their_number():
    settings, _ = overridden(
        digits.get_config(), {'augment[0].max_shift': Text('2'), 'data.train_transforms[0].channels': Text('3')}
    )
    assert settings.augment[0]['max_shift'] == 2
    assert settings.data.train_transforms[0]['channels'] == 3
    for path, message in {
        'augment[1].size': 'augment has 1 item',
        'augment.size': r'augment is a list: number its items, augment\[0\].size',
        'seed.x': 'seed is 0, which has no fields',
        '..': 'this is no field',
    }.items():
        with pytest.raises(ConfigError, match=message):
            overridden(digits.get_config(), {path: Text('1')})


DURATIONS = [field for field in FIELDS if field.type == Updates]
BAD = ['1 epohc', '-3 epochs', '0 epochs', '1.5k steps', 'one epoch', '0.5', 'epochs', '5 %%', 'inf steps']


@pytest.mark.parametrize('duration', BAD)
def test_bad_durations_are_one_message_for_each_field(duration):
    assert len(DURATIONS) == 3
    settings, _ = overridden(
        digits.get_config(),
        {
            **{field.path: Text(duration) for field in DURATIONS},
            'finetune.frozen_until': {'stem': 'tomorrow'},
            'training.epochs': Text('50%'),
            'training.patience': Text('2 epochs'),
        },
    )
    with pytest.raises(ConfigError) as caught:
        check(settings)
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == len(DURATIONS) + 3, lines
    for path in (*(field.path for field in DURATIONS), 'finetune.frozen_until.stem', 'training.epochs'):
        assert sum(path in line for line in lines) == 1, path
    assert any('patience must be int' in line and 'evaluations' in line for line in lines)


def test_a_fraction_of_a_step_is_no_number_of_steps():
    settings = digits.get_config()
    settings.training.eval_every = 0.25  # as other tools write a quarter of an epoch
    with pytest.raises(ConfigError, match=r"eval_every: 0.25 is no number of steps: write '100 steps', '5 epochs'"):
        check(settings)


def test_paths_are_those_of_this_machine(monkeypatch):
    monkeypatch.setenv('HOME', '/home/me')
    settings = typed(data__data_dir='~/my photos/', finetune__start_from='$HOME/runs/[1]')
    assert settings.data.data_dir == '/home/me/my photos'
    assert settings.finetune.start_from == '/home/me/runs/[1]'
    assert typed(finetune__start_from='package:scikit-image').finetune.start_from == 'package:scikit-image'
    with pytest.raises(ConfigError) as caught:
        typed(data__data_dir='gs://bucket/x', finetune__start_from='s3://bucket/y')
    assert str(caught.value).count('is no local path') == 2


def test_text_that_cannot_be_read_is_said_for_every_field():
    with pytest.raises(ConfigError, match='2 problems') as caught:
        typed(model="{'name': 'resnet18'", augment='cutout(8)')
    assert 'lacks the closing }' in str(caught.value)
    assert 'name each argument, cutout(argument=value)' in str(caught.value)


def test_a_config_of_types_stays_as_it_is():
    assert fitted(digits.get_config()).to_dict() == digits.get_config().to_dict()
