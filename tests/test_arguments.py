"""Words and ranges in signatures are enforced in calls by hand, as in configs."""

import importlib
import inspect
import math
import pickle
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import config
from jaxcv.arguments import AtLeast1, Below1, Positive, Range, call_faults, checked, faults
from jaxcv.task import Metric, Unit
from jaxcv.types import Schedule

Features = Annotated[int, Range(1)] | Annotated[float, Range(0, 1, '(]')] | Literal['sqrt'] | None
Decay = Annotated[float | Schedule, Range(0, 1, '[)')]


@pytest.mark.parametrize(
    ('allowed', 'inside', 'outside'),
    [
        (Range(0, 1), (0, 0.5, 1), (-0.1, 1.1)),
        (Range(0, 1, '[)'), (0, 0.99), (1, math.inf)),
        (Range(0, 1, '(]'), (1e-300, 1), (0, -0.0)),
        (Range(0, 1, '()'), (0.5,), (0, 1)),
        (Range(0), (0, 1e300), (-1, math.inf)),
        (Range(), (-1e300, 7), (math.inf, -math.inf)),
    ],
)
def test_ranges(allowed, inside, outside):
    assert all(number in allowed for number in inside)
    assert not any(number in allowed for number in (*outside, math.nan, np.float32('nan')))


@pytest.mark.parametrize(
    ('value', 'hint'),
    [
        *((value, Below1) for value in (0, 0.5, np.float32(0.5), np.int64(0), jnp.ones(()), np.array(3.0))),
        *((value, Decay) for value in (0.5, lambda t: t)),
        *((value, Features) for value in (None, 'sqrt', 3, 0.5, np.int32(4), 1.0)),
        *((value, AtLeast1 | tuple[AtLeast1, AtLeast1]) for value in (3, (1, 2), [3, 4])),
        *((value, Sequence[Positive]) for value in ((), (0.5, 2), [1])),
        *((value, Literal[8, 16]) for value in (8, np.int64(16))),
        ({'stem': 0.1}, Mapping[str, Positive]),
        ('anything', str | Literal['best']),
        (7, Any),
        (True, bool | AtLeast1),
    ],
)
def test_values_that_pass(value, hint):
    assert faults('x', value, hint) == []


@pytest.mark.parametrize(
    ('value', 'hint', 'message'),
    [
        (1.5, Below1, 'x must be in [0, 1), got 1.5'),
        (np.float64(-1), Below1, 'x must be in [0, 1), got -1.0'),
        (math.nan, Below1, 'x must be in [0, 1), got nan'),
        (math.inf, Positive, 'x must be in (0, inf), got inf'),
        (0, AtLeast1, 'x must be in [1, inf), got 0'),
        (1.0, AtLeast1, 'x must be an int in [1, inf), got 1.0 (float)'),
        (True, AtLeast1, 'x must be an int in [1, inf), got True (bool)'),
        (True, Below1, 'x must be a number in [0, 1), got True (bool)'),
        (None, AtLeast1, 'x must be an int in [1, inf), got None'),
        ('5 epochs', AtLeast1, "x must be an int in [1, inf), got '5 epochs' (str)"),
        (1.0, Decay, 'x must be in [0, 1), got 1.0'),
        ('cosine', Decay, "x must be a number in [0, 1) or Callable, got 'cosine' (str)"),
        ('SAME', int | Literal['same'], "x must be an int or 'same', got 'SAME', did you mean 'same'?"),
        ('evrything', Literal['present', 'all'], "x must be 'present' or 'all', got 'evrything'"),
        (9, Literal[8, 16, 32], 'x must be 8, 16 or 32, got 9'),
        (True, Literal[1, 3], 'x must be 1 or 3, got True'),
        (8.0, Literal[8, 16], 'x must be 8 or 16, got 8.0'),
        (None, Literal['a', 'b'], "x must be 'a' or 'b', got None"),
        (1.5, Features, "x must be an int in [1, inf), a number in (0, 1], 'sqrt' or None, got 1.5"),
        ((2, 0), tuple[AtLeast1, AtLeast1], 'x[1] must be in [1, inf), got 0'),
        ((2,), tuple[AtLeast1, AtLeast1], 'x must be a sequence of 2 items, each an int in [1, inf), got (2,) (tuple)'),
        ((2, 3), AtLeast1, 'x must be an int in [1, inf), got (2, 3) (tuple)'),
        ({'a': -1}, Mapping[str, Positive], "x['a'] must be in (0, inf), got -1"),
    ],
)
def test_values_that_do_not(value, hint, message):
    assert faults('x', value, hint) == [message]


@checked
def blend(image: Any, *, share: Below1 = 0.5, steps: Sequence[AtLeast1] = (), form: Literal['a', 'b'] = 'a') -> Any:
    """Return the image, but of the share 0.25."""
    if isinstance(share, float) and share == 0.25:
        raise RuntimeError('the body runs')
    return image


def test_all_faults_of_a_call_are_said_before_its_body_runs():
    with pytest.raises(ValueError, match=r'^blend: share must be .* got 2; steps\[1\] .* got 0; form must .* got .c.$'):
        blend(1, share=2, steps=(3, 0), form='c')
    with pytest.raises(RuntimeError, match='the body runs'):
        blend(1, share=0.25)
    with pytest.raises(TypeError, match='share_'):
        blend(1, share_=0.25)
    assert blend(image=1, share=0, steps=[1]) == 1
    assert call_faults(blend, {'form': 'c'}) == ["form must be 'a' or 'b', got 'c'"]


def test_a_checked_function_keeps_its_signature_and_place():
    assert list(inspect.signature(blend).parameters) == ['image', 'share', 'steps', 'form']
    assert typing.get_type_hints(blend)['share'] is float
    assert 'share: Annotated[float, Range [0, 1)] = 0.5' in str(inspect.signature(blend)).replace('typing.', '')
    assert pickle.loads(pickle.dumps(blend)) is blend


def test_traced_numbers_pass():
    np.testing.assert_array_equal(jax.jit(lambda x, share: blend(x, share=share))(jnp.ones(2), 3.0), 1)


@checked
class Layer(nn.Module):
    width: AtLeast1
    padding: Literal['same', 'valid'] = 'same'

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x)


@checked
class Option(NamedTuple):
    better: Literal['max', 'min']
    rise: Annotated[float | Callable, Range(0)] = 0.0


def test_constructors_of_modules_and_of_named_tuples_are_checked():
    assert Layer(2).clone(width=3).init_with_output(jax.random.key(0), jnp.ones((1, 2)))[0].shape == (1, 3)
    assert pickle.loads(pickle.dumps(Option('max', 1.0))) == Option(better='max', rise=1)
    for make in (lambda: Layer(0, 'SAME'), lambda: Layer(2).clone(width=0, padding='SAME')):
        with pytest.raises(ValueError, match=r"^Layer: width must .* got 0; padding must .* did you mean 'same'\?$"):
            make()
    with pytest.raises(
        ValueError, match=r"^Option: better must be 'max' .* did you mean 'max'\?; rise must be .* got -1"
    ):
        Option('maximum', rise=-1)


def test_units_and_metrics_are_checked():
    with pytest.raises(
        ValueError, match="Unit: better must be 'max', 'min' or None, got 'maximum', did you mean 'max'"
    ):
        Unit('%', 'maximum')
    with pytest.raises(ValueError, match="Metric: where must be 'device' or 'host', got 'cpu'"):
        Metric(measure=max, compute=dict, units={}, where='cpu')


def test_configs_have_the_same_rules():
    found = config.call_problems(blend, {'share': 1.5, 'steps': [0], 'form': 'B'}, path='augment[0]', bound=True)
    assert found == [
        'augment[0]: share must be in [0, 1), got 1.5',
        'augment[0]: steps[0] must be in [1, inf), got 0',
        "augment[0]: form must be 'a' or 'b', got 'B', did you mean 'b'?",
    ]

    def own(*, count: int = 1, rate: float = 0.0, flag: bool = False, either: int | bool = 0) -> None: ...

    assert config.call_problems(own, {'count': 2, 'rate': 1, 'flag': True, 'either': True}) == []
    found = config.call_problems(own, {'count': True, 'rate': False})
    assert found == ['count must be int, got True (bool)', 'rate must be float, got False (bool)']


PACKAGES = [
    *('augment', 'classical', 'data', 'data.transforms', 'losses', 'metrics', 'models', 'nn', 'ops', 'optim', 'tasks'),
    *('presentation', 'training', 'viz', 'weights'),
]


def public(module: Any) -> dict[str, Any]:
    """The functions and Linen modules that `__all__` lists, in the modules that it lists too."""
    found = {}
    for name in module.__all__:
        member = getattr(module, name)
        if inspect.ismodule(member):
            found |= public(member)
        elif inspect.isroutine(member) or (inspect.isclass(member) and issubclass(member, nn.Module)):
            found[f'{module.__name__}.{name}'.removeprefix('jaxcv.')] = member
    return found


def parts(hint: Any) -> list[Any]:
    """The hint and all within it, the metadata of `Annotated` too."""
    inner = [*typing.get_args(hint)] if typing.get_origin(hint) is not Literal else []
    inner += getattr(hint, '__metadata__', ())
    return [hint, *(part for item in inner for part in parts(item))]


PUBLIC = {k: v for name in PACKAGES for k, v in public(importlib.import_module(f'jaxcv.{name}')).items()}


@pytest.mark.parametrize('name', PUBLIC)
def test_every_public_function_refuses_unknown_words_and_numbers_out_of_range(name):
    """`@checked` is above it: the message comes even before that of the arguments that are not there."""
    function = PUBLIC[name]
    hints = typing.get_type_hints(function.__init__ if inspect.isclass(function) else function, include_extras=True)
    hints.pop('return', None)
    for parameter, hint in hints.items():
        within = parts(hint)
        wrong = []
        if any(typing.get_origin(part) is Literal for part in within) and str not in within:
            wrong.append('no such word')
        if any(isinstance(part, Range) for part in within):
            wrong.append(math.nan)
        for value in wrong:
            with pytest.raises(ValueError, match=rf'{parameter} must be .* got '):
                function(**{parameter: value})


def test_the_guard_finds_words_and_ranges():
    found = {'losses.dice', 'models.segmentation.unet', 'models.resnet18', 'nn.ConvNorm', 'training.compile_step'}
    assert found <= PUBLIC.keys()
    assert len(PUBLIC) > 150
