"""Data as people type it: Python's and JSON's literals, bare words, lists and calls."""

import ast
import json

import pytest

from jaxcv.config import text

LITERALS = [
    "{'name': 'sgd', 'steps': [1, 2.5, None], 'inner': {'a': (True, False)}}",
    "[{'name': 'random_flip'}, {'name': 'cutout', 'size': 8}]",
    "'a, b: {c}'",
    '[[1, 2], [3]]',
    '{}',
    '[]',
    '-1e-3',
    "{'it\\'s': ']'}",
]


@pytest.mark.parametrize('literal', LITERALS)
def test_python_literals_are_read_as_python_reads_them(literal):
    expected = json.loads(json.dumps(ast.literal_eval(literal)))  # tuples as lists
    assert text.read(literal) == expected
    assert text.read(json.dumps(expected)) == expected


WORDS = {
    '{name: sgd, "nesterov": true, peak: null}': {'name': 'sgd', 'nesterov': True, 'peak': None},
    'adamw(weight_decay=0.05, betas=[0.9, .99])': {'name': 'adamw', 'weight_decay': 0.05, 'betas': [0.9, 0.99]},
    'adamw()': {'name': 'adamw'},
    'segmentation.fcn8s(backbone=resnet18(output_stride=8))': {
        'name': 'segmentation.fcn8s',
        'backbone': {'name': 'resnet18', 'output_stride': 8},
    },
    'train[:80%]': 'train[:80%]',
    'photos (1)': 'photos (1)',
    "l'été": "l'été",
    '10_000': 10000,
    '3e4': 30000.0,
    '1__0': '1__0',
    '1 epoch': '1 epoch',
    ' None ': None,
}


@pytest.mark.parametrize(('typed', 'value'), WORDS.items())
def test_words_without_quotes_are_read(typed, value):
    found = text.read(typed)
    assert found == value
    assert type(found) is type(value)


BROKEN = {
    "{'name': 'sgd'": 'lacks the closing }',
    '[1, 2': r'lacks the closing \]',
    '[1, 2))': 'closes a bracket that is not open',
    '{sgd}': "has no value: write {'key': value}",
    'adamw(0.05)': 'name each argument',
    "['a, b]": "lacks the closing '",
}


@pytest.mark.parametrize(('typed', 'message'), BROKEN.items())
def test_broken_text_says_what_is_missing(typed, message):
    with pytest.raises(ValueError, match=message):
        text.read(typed)


def test_nothing_is_run():
    assert text.read('__import__("os").abort()') == '__import__("os").abort()'
    with pytest.raises(ValueError, match='name each argument'):
        text.read('print(open)')
