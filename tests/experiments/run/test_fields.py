"""A field is declared once: defaults, checks, the rule of resumption and the list of fields read the declaration."""

from typing import Annotated, NamedTuple

import pytest

from experiments import list as listing
from experiments.classification import digits
from experiments.run import fields
from experiments.run.check import check
from experiments.run.fields import About
from experiments.run.workdir import with_defaults
from jaxcv.arguments import Range
from jaxcv.config import ConfigError


@pytest.fixture
def with_a_new_field(monkeypatch):
    """`training` with two more fields."""

    class Training(NamedTuple):
        warmth: Annotated[int, About('how warm', within=Range(0), may_change=True)] = 3
        cold: Annotated[float | None, About('how cold', within=Range(0, ends='()'))] = None

    declared = {**fields.SECTIONS, 'training': Training}
    monkeypatch.setattr(fields, 'SECTIONS', declared)


def test_a_new_field_is_everywhere(with_a_new_field):
    base = fields.base()
    assert base.training.to_dict() == {'warmth': 3, 'cold': None}
    base.training.cold = 1.5  # a None knows its type
    with pytest.raises(TypeError):
        base.training.cold = 'much'
    assert fields.may_change('training.warmth')
    assert not fields.may_change('training.cold')
    rows = {row[0]: row[1:] for row in listing.field_rows()}
    assert rows['training.warmth'] == ('int', '3', 'how warm')
    assert rows['training.cold'] == ('float | None', 'None', 'how cold')


RANGES = {
    'data.batch_size': (0, 'data.batch_size must be positive, got 0'),
    'data.threads': (0, 'data.threads must be positive, got 0'),
    'training.keep_last': (0, 'training.keep_last must be positive, got 0'),
    'training.patience': (-1, 'training.patience must be at least 0, got -1'),
    'training.epochs': (float('inf'), 'training.epochs must be positive, got inf'),
}


def test_ranges_are_checked_all_at_once():
    settings = digits.get_config()
    for path, (value, _) in RANGES.items():
        section, name = path.split('.')
        settings[section][name] = value
    with pytest.raises(ConfigError) as caught:
        check(settings)
    for _, message in RANGES.values():
        assert message in str(caught.value)


def test_every_field_has_a_line_of_text():
    for row in listing.field_rows():
        assert row[-1], row[0]
        assert len(row[-1]) < 200, row[0]


def test_sections_and_their_parts_may_change_or_not():
    assert fields.may_change('views.scales[0]')
    assert fields.may_change('data.eval_transforms[1].size')
    assert not fields.may_change('data.train_transforms[1].size')
    assert not fields.may_change('seed')
    assert not fields.may_change('training.epochs')


def test_a_config_of_an_earlier_version_is_read():
    earlier = digits.get_config().to_dict()
    earlier['data'].update({'class_names': ['0', '1'], 'mask_classes': [], 'train_size': 7, 'image_shape': [8, 8, 1]})
    earlier['training'].update({'best_metric': 'top1', 'best_mode': 'max'})
    del earlier['finetune']['into']
    now = with_defaults(earlier)
    assert now['data']['class_names'] == {}
    assert now['finetune']['into'] == ''
    assert now['training']['best_metric'] == 'top1'
    assert not {'train_size', 'image_shape', 'mask_classes'} & now['data'].keys()
    earlier['data']['mask_classes'] = ['ground', 'thing']
    assert with_defaults(earlier)['data']['class_names'] == {'mask': ['ground', 'thing']}
