"""A value takes the form of its type, by one rule."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import pytest

from jaxcv import augment, config, models, optim
from jaxcv.config import Text, fitted, fitted_spec

UPDATES = Annotated[int, 'updates']
FITS = [
    *((nothing, kind, None) for nothing in ('None', 'none', 'null', '') for kind in (int | None, str | None)),
    ('', float | Sequence[float] | None, None),
    ('None', int, None),  # refused afterwards, by its type
    ('', Sequence[str], []),
    ('', Mapping[str, float], {}),
    ('none', Literal['none', 'all'] | None, 'none'),  # a word that is there
    *((word, bool, True) for word in ('True', 'true', 'yes', 'on', '1')),
    *((word, bool, False) for word in ('False', 'false', 'no', 'OFF', '0')),
    *((word, int, 30000) for word in ('30000', '3e4', '30_000', '30,000', '30000.0')),
    ('0.5', int, '0.5'),
    ('1' * 30, int, int('1' * 30)),
    ('1e-3', float, 0.001),
    ('5', float, 5.0),
    ('5', int | float, 5),
    ('many', float, 'many'),
    ('123', str, '123'),
    ("'123'", str, "'123'"),  # as it stands in a file
    (Text("'123'"), str, '123'),  # as it was typed
    ('12', int | Literal['last', 'best'], 12),
    ('best', int | Literal['last', 'best'], 'best'),
    ('8', Literal[8, 16], 8),
    ('0,1', Sequence[str], ['0', '1']),
    ('cat', Sequence[str], ['cat']),
    ("['a, b', c]", Sequence[str], ['a, b', 'c']),
    ('[None, dog]', Sequence[str], ['None', 'dog']),
    ('8,16', tuple[int, int], [8, 16]),
    ('8,16', int | tuple[int, int], [8, 16]),
    ('8', int | tuple[int, int], 8),
    ('0.1,0.2', float | Sequence[float] | None, [0.1, 0.2]),
    ('1,x', Sequence[int], [1, 'x']),
    ('x', Sequence[int], 'x'),
    ('50%,75%', Sequence[UPDATES], ['50%', '75%']),
    ('50%', Sequence[UPDATES], ['50%']),
    ('[50%, 3]', Sequence[UPDATES], ['50%', 3]),
    ('100', UPDATES, 100),
    ('1 epoch', UPDATES, '1 epoch'),
    ("{stem: 0.1, '*': 0}", Mapping[str, float], {'stem': 0.1, '*': 0.0}),
    ({'stem': '0.1'}, Mapping[str, float], {'stem': 0.1}),
    (64.0, int, 64),
    (64.5, int, 64.5),
    (64.0, int | float, 64.0),
    (True, int, True),
    (['1', 2.0], Sequence[int], [1, 2]),
    (Text('0.5'), Any, 0.5),
    ('0.5', Any, '0.5'),
]


@pytest.mark.parametrize(('value', 'kind', 'expected'), FITS)
def test_a_value_takes_the_form_of_its_type(value, kind, expected):
    found = fitted(value, kind)
    assert found == expected
    assert type(found) is type(expected)
    assert fitted(found, kind) == found  # once is enough


SPECS = {
    'random_flip': [{'name': 'random_flip'}],
    'random_flip,cutout(size=8)': [{'name': 'random_flip'}, {'name': 'cutout', 'size': 8}],
    '[random_flip, {name: cutout, size: 8}]': [{'name': 'random_flip'}, {'name': 'cutout', 'size': 8}],
    '': [],
}


@pytest.mark.parametrize(('typed', 'specs'), SPECS.items())
def test_names_and_calls_stand_for_specs(typed, specs):
    assert fitted(typed, Sequence[Mapping], augment) == specs
    assert not [line for spec in specs for line in config.problems(spec, augment, bound=True)]


def test_a_name_in_an_argument_is_the_spec_of_its_package():
    schedule = Annotated[float | Callable[[Any], Any], optim.schedules]
    assert fitted('cosine', schedule) == {'name': 'cosine'}
    assert fitted('0.1', schedule) == 0.1
    spec = {'name': 'segmentation.fcn8s', 'backbone': 'resnet18', 'dtype': 'bfloat16', 'hidden_features': '16'}
    expected = {**spec, 'backbone': {'name': 'resnet18'}, 'hidden_features': 16}
    assert fitted_spec(spec, models) == expected
    assert not config.problems(expected, models)


def test_unknown_names_and_arguments_are_left_to_the_check():
    spec = {'name': 'adamm', 'decay': Text('0.9')}
    assert fitted_spec(spec, optim.optimizers) == {'name': 'adamm', 'decay': 0.9}
    assert len(config.problems(spec, optim.optimizers)) == 1
