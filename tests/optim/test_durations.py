"""Durations in every unit."""

import inspect
import typing
from collections.abc import Mapping, Sequence

import pytest

from jaxcv import config, optim
from jaxcv.optim.durations import Clock, Updates, durations_in_updates, in_updates, is_duration, value_in_updates
from jaxcv.optim.schedules import momentum

CLOCK = Clock(total_steps=2000, steps_per_epoch=9.375, batch_size=128)


@pytest.mark.parametrize(
    ('duration', 'updates'),
    [
        (17, 17),
        (17.4, 17),
        ('1 step', 1),
        ('250 steps', 250),
        ('2 epochs', 19),
        ('0.5 epochs', 5),
        ('1epoch', 9),
        ('64000 examples', 500),
        ('64,000 examples', 500),
        ('30%', 600),
        ('12.5 %', 250),
    ],
)
def test_units(duration, updates):
    assert in_updates(duration, clock=CLOCK) == updates


@pytest.mark.parametrize(
    'duration',
    ['5 epoches', '5', 'five epochs', '-5 epochs', '5.5.5 epochs', '1,5 epochs', '12,00 examples', '5 %%', ''],
)
def test_what_is_no_duration(duration):
    with pytest.raises(ValueError, match='is no duration'):
        in_updates(duration, clock=CLOCK)


@pytest.mark.parametrize('duration', ['150%', '100.1 %', '1,000%'])
def test_a_share_is_of_the_run(duration):
    with pytest.raises(ValueError, match='is longer than the run: write 100% at most'):
        in_updates(duration, clock=CLOCK)


def test_inside_a_config():
    """By the signatures, also of a spec inside a spec: period and steps are durations."""
    decay = {'name': 'cosine_restarts', 'period': '10%', 'peak': '10%'}
    spec = {'name': 'momentum', 'form': 'notes', 'decay': decay, 'weight_decay': '1 step', 'start_from': '2024-run'}
    assert durations_in_updates(spec, optim.optimizers, clock=CLOCK) == {**spec, 'decay': {**decay, 'period': 200}}
    steps = {'name': 'multi_step', 'steps': ['1 epoch', 3], 'warmup_steps': '1 epoch', 'factor': 0.1}
    assert durations_in_updates(steps, optim.schedules, clock=CLOCK) == {**steps, 'steps': (9, 3), 'warmup_steps': 9}


def test_a_duration_for_another_parameter_fails_its_type_check():
    spec = {'name': 'exponential', 'peak': 0.1, 'factor': '5 epochs', 'every': '5 epochs'}
    found = config.problems(durations_in_updates(spec, optim.schedules, clock=CLOCK), optim.schedules)
    assert len(found) == 1
    assert "factor must be a number in (0, 1], got '5 epochs'" in found[0]


def test_what_a_config_gets_wrong_is_left_to_its_checks():
    for spec in ({}, {'name': 'no_such'}, {'name': 'step', 'evry': '5 epochs'}, {'name': {}}):
        assert durations_in_updates(spec, optim.schedules, clock=CLOCK) == spec
    with pytest.raises(ValueError, match="'5 epoches' is no duration"):
        durations_in_updates({'name': 'step', 'every': '5 epoches'}, optim.schedules, clock=CLOCK)


@pytest.mark.parametrize(
    ('annotation', 'value', 'expected'),
    [
        (Updates, '1 epoch', 9),
        (Updates, 3, 3),
        (Updates | None, '1 epoch', 9),
        (Updates | None, None, None),
        (Sequence[Updates], ['1 epoch'], (9,)),
        (Mapping[str, Updates], {'stem': '1 epoch', 'head': 0}, {'stem': 9, 'head': 0}),
        (str | None, '1 epoch', '1 epoch'),
        (Mapping[str, float], {'stem': '1 epoch'}, {'stem': '1 epoch'}),
        (int, '1 epoch', '1 epoch'),
    ],
)
def test_annotations(annotation, value, expected):
    assert value_in_updates(value, annotation, clock=CLOCK) == expected


def test_every_duration_of_the_registries_is_declared():
    """All parameters in updates that the three registries have, so that none is forgotten."""
    named = {'total_steps', 'warmup_steps', 'every', 'steps', 'period', 'window', 'start'}
    found = set()
    for package in (optim.optimizers, optim.schedules, momentum, optim.averaging):
        for name in package.__all__:
            hints = typing.get_type_hints(inspect.unwrap(getattr(package, name)), include_extras=True)
            declared = {
                parameter for parameter, hint in hints.items() if any(map(is_duration, (hint, *typing.get_args(hint))))
            }
            assert declared == hints.keys() & named, name
            found |= {f'{name}.{parameter}' for parameter in declared}
    assert {'multi_step.steps', 'polyak.start', 'one_cycle_momentum.total_steps', 'reduce_on_plateau.window'} <= found
