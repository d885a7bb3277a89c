"""Durations in every unit."""

import pytest

from jaxcv import optim

CLOCK = optim.Clock(total_steps=2000, steps_per_epoch=9.375, batch_size=128)


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
    assert optim.in_updates(duration, clock=CLOCK) == updates


@pytest.mark.parametrize(
    'duration',
    ['5 epoches', '5', 'five epochs', '-5 epochs', '5.5.5 epochs', '1,5 epochs', '12,00 examples', '5 %%', ''],
)
def test_what_is_no_duration(duration):
    with pytest.raises(ValueError, match='is no duration'):
        optim.in_updates(duration, clock=CLOCK)


def test_inside_a_config():
    spec = {'name': 'momentum', 'form': 'notes', 'decay': {'name': 'x', 'period': '10%'}, 'steps': ('1 epoch', 3)}
    assert optim.with_updates(spec, clock=CLOCK) == {
        'name': 'momentum',
        'form': 'notes',
        'decay': {'name': 'x', 'period': 200},
        'steps': [9, 3],
    }
