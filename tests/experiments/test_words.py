"""The words of a command line, as people, shells and web pages write them."""

import pytest

from experiments.words import parted, repeated, surplus
from jaxcv.config import ConfigError

FIELDS = {
    ('--config.seed=3',): [('seed', '3')],
    ('-config.seed=3',): [('seed', '3')],
    ('--config.seed', '3'): [('seed', '3')],
    ('--config.optimizer.l1', '-0.1'): [('optimizer.l1', '-0.1')],
    ('--config.data.eval_split=',): [('data.eval_split', '')],
    ('--config.model={"name": "a=b"}',): [('model', '{"name": "a=b"}')],
    ('--config.training.evaluate_averaged',): [('training.evaluate_averaged', 'true')],
    ('--config.optimizer.decoupled', '--workdir=x'): [('optimizer.decoupled', 'true')],
    ('--noconfig.optimizer.decoupled',): [('optimizer.decoupled', 'false')],
    ('--config.augment[0].size=2',): [('augment[0].size', '2')],
}


@pytest.mark.parametrize(('words', 'fields'), FIELDS.items())
def test_fields_of_the_config(words, fields):
    assert parted(words).fields == fields


def test_all_other_words_stay():
    words = ['--config', 'digits', '--workdir=my runs/[a]', '-averaged', '--use=a', "--images='photos/*.jpg'"]
    assert parted(words).flags == [*words[:-1], '--images=photos/*.jpg']  # quotes that a shell of Windows leaves


WRONG = {
    '\u2013\u2013workdir=x': 'as web pages write it: type --workdir=x',
    '\u2014config=digits': 'as web pages write it: type --config=digits',
    '-\u2013config=digits': 'as web pages write it: type --config=digits',
    '\u2212\u2212config.seed=1': 'as web pages write it: type --config.seed=1',
    '--workdir=\u201cx\u201d': 'its quotes are typographic',
    '--config.schedule=\u2018cosine\u2019': 'its quotes are typographic',
    '-- --config.seed=1': "nothing may follow '--': --config.seed=1",
    '--config.seed = 3': 'write --config.seed=VALUE, without spaces around the =',
    '--config.seed': 'has no value: write --config.seed=VALUE',
    '--config.training.epochs --workdir=x': 'has no value: write --config.training.epochs=VALUE',
    '--noconfig.optimizer.decoupled=1': 'write --config.optimizer.decoupled=1 or --noconfig.optimizer.decoupled',
}


@pytest.mark.parametrize(('line', 'message'), WRONG.items())
def test_traces_of_shells_and_web_pages_are_named(line, message):
    with pytest.raises(ConfigError) as caught:
        parted(line.split())
    assert message in str(caught.value)


SURPLUS = {
    ('seed=5',): 'did you mean --config.seed=5?',
    ('training.epochs=5',): 'did you mean --config.training.epochs=5?',
    ('augment[0].size=5',): r'did you mean --config.augment[0].size=5?',
    ('workdir=x', '--use=a'): 'did you mean --workdir=x?',
    ('digits',): 'did you mean --config=digits?',
    ('--config.training.eval_every=1', 'epoch'): 'quote a value with spaces: --config.training.eval_every="1 epoch"',
    ('--resume_with_changes', 'True'): 'did you mean --resume_with_changes=True?',
    ('surplus',): 'unknown arguments: surplus',
}


@pytest.mark.parametrize(('words', 'message'), SURPLUS.items())
def test_words_that_are_left_over_are_explained(words, message):
    left = words[next(i for i, word in enumerate(words) if not word.startswith('-')) :]
    assert message in surplus(left, words, ['config', 'workdir', 'resume_with_changes'], ['digits'])


def test_a_pattern_that_the_shell_has_replaced_is_named(tmp_path):
    photos = [str(tmp_path / name) for name in 'abc']
    for photo in photos:
        open(photo, 'w').close()
    words = [f'--images={photos[0]}', *photos[1:]]
    assert 'quote a pattern' in surplus(photos[1:], words, ['images'], [])


def test_the_last_of_two_values_counts_and_is_named():
    words = parted(['--workdir=a', '--config.seed=1', '--workdir=b', '--config.seed=2', '--use=a', '--use=b'])
    assert repeated(words, several=['use']) == [
        '--config.seed=2 counts, and not --config.seed=1',
        '--workdir=b counts, and not --workdir=a',
    ]
    assert repeated(parted(['--config.seed=1', '--config.seed=1'])) == []
