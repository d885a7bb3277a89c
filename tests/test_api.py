"""What a public function must look like: documented, its key first, its arrays positional, its options by keyword."""

import importlib
import inspect
import re
import types
import typing
from collections.abc import Mapping, Sequence

import jaxtyping
import pytest

from jaxcv.types import Batch

ARRAYS = ('losses', 'augment', 'ops', 'classical')  # functions of arrays
VIEWS = 'jaxcv.augment.views'
OF_NUMBERS = (  # modules of functions that make coders, anchors and detectors, train them, or read files
    'jaxcv.ops.box_coders',
    'jaxcv.ops.anchors',
    'jaxcv.classical.cascade_detector',
    'jaxcv.classical.cascade_training',
    'jaxcv.classical.cascade_xml',
)
# Functions that make functions; but for the last two, what a config may name.
FACTORIES = ('metrics', 'models', 'optim', 'tasks', 'tasks.combined', 'presentation')
SAME_AS = re.compile(r'^Args, Returns and Raises: as in `(\w+)`\.$', re.MULTILINE)
BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def public(module):
    """(name, function) of all that `__all__` lists, in the modules that it lists too."""
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.ismodule(thing):
            yield from public(thing)
        elif callable(thing) and not inspect.isclass(thing):
            yield f'{module.__name__}.{name}', thing


FUNCTIONS = [pair for part in (*ARRAYS, *FACTORIES) for pair in public(importlib.import_module(f'jaxcv.{part}'))]
OF_ARRAYS = [
    pair
    for pair in FUNCTIONS
    if pair[0].split('.')[1] in ARRAYS and not pair[0].startswith(VIEWS)  # which are factories
    if pair[1].__module__ not in OF_NUMBERS
]


def names(pairs):
    return [name.removeprefix('jaxcv.') for name, _ in pairs]


def is_array(annotation):
    """Jaxtyping's arrays, and unions, tuples, sequences, mappings, NamedTuples and batches that hold nothing else."""
    if annotation == Batch:
        return True
    if typing.get_origin(annotation) is Mapping:
        return is_array(typing.get_args(annotation)[1])
    if typing.get_origin(annotation) is Sequence:
        return all(is_array(part) for part in typing.get_args(annotation))
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, tuple):
        return all(is_array(part) for part in typing.get_args(annotation) if part not in (None, type(None), ...))
    if inspect.isclass(annotation) and issubclass(annotation, tuple) and hasattr(annotation, '_fields'):
        return all(is_array(field) for field in annotation.__annotations__.values())
    return inspect.isclass(annotation) and issubclass(annotation, jaxtyping.AbstractArray)


def signature(function):
    return inspect.signature(function)


def is_variant(function):
    """Whether it is made by `jaxcv.models.variants.variant`, which gives it a signature of its own."""
    return '__signature__' in vars(function)


def sections(docstring):
    """{'': what comes first, 'Args': ..., 'Returns': ..., ...}."""
    parts = re.split(r'^(Args|Returns|Raises|Example):(?:$| )', inspect.cleandoc(docstring), flags=re.MULTILINE)
    return {'': parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def test_every_package_lists_what_is_public():
    found = set(names(FUNCTIONS))
    assert {'losses.hinge', 'metrics.top_k_accuracy', 'augment.random_flip', 'classical.knn.predict'} <= found
    assert len(found) == len(FUNCTIONS)


@pytest.mark.parametrize(('name', 'function'), FUNCTIONS, ids=names(FUNCTIONS))
def test_docstring(name, function):
    assert function.__doc__, 'no docstring'
    parts = sections(function.__doc__)
    if same := SAME_AS.search(parts['']):
        parts = {**sections(getattr(importlib.import_module(name.rpartition('.')[0]), same[1]).__doc__), **parts}
    assert parts[''].strip().partition('\n')[0].endswith(('.', ':')), 'the first line is a sentence'
    assert parts.get('Returns', '').strip(), 'says nothing of what it returns'
    if not is_variant(function):  # its family has the example
        assert '>>> ' in parts.get('Example', ''), 'has no example'
    documented = re.findall(r'^    (\w+): ', parts.get('Args', ''), flags=re.MULTILINE)
    parameters = list(signature(function).parameters)
    assert documented == parameters, f'Args describe {documented}, the parameters are {parameters}'
    if 'raise ' in inspect.getsource(inspect.unwrap(function)):
        assert 'Raises' in parts, 'does not say what it raises'


@pytest.mark.parametrize(('name', 'function'), FUNCTIONS, ids=names(FUNCTIONS))
def test_arguments(name, function):
    """No default by position, so that no option can be; every argument and the result has a type."""
    parameters = signature(function).parameters
    assert 'key' not in list(parameters)[1:], 'key comes first'
    for parameter in parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty, f'{parameter.name} has no type'
        assert parameter.kind in (*BY_POSITION, inspect.Parameter.KEYWORD_ONLY), f'{parameter} hides its names'
        if parameter.kind in BY_POSITION:
            assert parameter.default is inspect.Parameter.empty, f'{parameter.name} is an option: by keyword only'
    assert signature(function).return_annotation is not inspect.Signature.empty, 'has no return type'


@pytest.mark.parametrize(('name', 'function'), OF_ARRAYS, ids=names(OF_ARRAYS))
def test_functions_of_arrays(name, function):
    """Arrays are positional, unless they may be left out, and nothing else is; their shapes stand in the signature."""
    of_arrays = signature(function)
    for parameter in of_arrays.parameters.values():
        by_position = parameter.kind in BY_POSITION
        of_array = is_array(parameter.annotation) and parameter.default is inspect.Parameter.empty
        assert of_array == by_position, f'{parameter}: arrays by position, options by keyword'
    assert is_array(of_arrays.return_annotation), f'the result {of_arrays.return_annotation} states no shape'
