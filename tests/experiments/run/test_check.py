"""The check of a config: types, ranges, and fields that contradict one another, all at once."""

import pytest

from experiments.classification import digits
from experiments.run.check import check, training_in_updates
from experiments.run.fields import Training
from experiments.run.search.space import apply
from jaxcv.config import ConfigError
from jaxcv.optim.durations import Clock

WRONG = {
    'a bool for an int': ({'data.batch_size': True}, 'data.batch_size must be a number, got True'),
    'a bool for a seed': ({'seed': True}, 'seed must be an int of at least 0, got True'),
    'a string for a number': ({'data.batch_size': 'many'}, "batch_size must be int, got 'many' (str)"),
    'a float for an int': ({'data.batch_size': 64.5}, 'batch_size must be int, got 64.5 (float)'),
    'an int for a bool': ({'training.evaluate_averaged': 1}, 'evaluate_averaged must be bool, got 1 (int)'),
    'beyond 64 bits': ({'seed': 2**70}, 'seed must be from 0 to 2,147,483,647, got'),
    'a negative seed of the data': ({'data.seed': -1}, 'data.seed must be from 0 to 2,147,483,647, got -1'),
    'infinity': ({'training.epochs': 'inf'}, 'training.epochs must be positive, got inf'),
    'no number': ({'optimizer.learning_rate': 'nan'}, 'learning_rate must be in (0, inf), got nan'),
    'a type by another name': ({'model.dtype': 'bf16'}, "dtype must be 'float32' or 'bfloat16' or 'float16'"),
    'a value for a section': ({'data': 'cifar10'}, 'data has fields that are set one by one, --config.data.name=...'),
    'a number for functions': ({'augment': 7}, "augment must be a list, as in --config.augment='random_flip"),
    'a number for a function': ({'model': 3}, "model: expected {'name': function, **arguments}, in short"),
    'a field of another section': ({'training.batch_size': 8}, 'there is no training.batch_size, set data.batch_size'),
    'a field without its section': ({'batch_size': 8}, "there is no section 'batch_size', set data.batch_size"),
    'a schedule as a rate': ({'optimizer.learning_rate': 'constant'}, 'name what it follows in schedule'),
    'ranked by nothing': (
        {'training.best_metric': 'loss', 'data.eval_split': None},
        "training.best_metric 'loss': nothing is evaluated, set data.eval_split",
    ),
    'patience without the file it reads': (
        {'training.patience': 1, 'training.eval_every': 10, 'training.writers': ['tensorboard']},
        "training.patience counts the evaluations in metrics.jsonl: name 'jsonl' in training.writers",
    ),
    'patience without evaluation': (
        {'training.patience': 1, 'data.eval_split': None},
        'training.patience counts evaluations: set training.eval_every and data.eval_split',
    ),
    'seeds of several networks': ({'seed': 2**31 - 1, 'training.members': 2}, 'must be at most 2147483647'),
    'micro-batches': ({'training.accumulate': 100}, 'data.batch_size 64 is no multiple of training.accumulate 100'),
}


@pytest.mark.parametrize(('changes', 'message'), WRONG.values(), ids=WRONG.keys())
def test_what_can_only_go_wrong_is_one_message(changes, message):
    with pytest.raises(ConfigError) as caught:
        check(apply(digits.get_config(), changes))
    assert message in str(caught.value)


def test_all_mismatches_are_said_at_once():
    alone = [changes for changes, _ in WRONG.values() if not set(changes) & {'data', 'augment', 'model', 'batch_size'}]
    together = {path: value for changes in alone for path, value in changes.items()}
    with pytest.raises(ConfigError) as caught:
        check(apply(digits.get_config(), together))
    assert str(caught.value).count('\n  - ') >= len(together) - 4  # some contradict others, or are one problem


CLOCK = Clock(total_steps=200, steps_per_epoch=18.75, batch_size=64)


@pytest.mark.parametrize(
    ('duration', 'steps'),
    [('1 epoch', 19), ('2 epochs', 38), ('50%', 100), ('640 examples', 10), ('7 steps', 7), (3, 3)],
)
def test_durations_of_training_are_steps_once_the_data_are_there(duration, steps):
    found = training_in_updates(Training(eval_every=duration, save_every=duration, log_every=duration), CLOCK)
    assert (found.eval_every, found.save_every, found.log_every) == (steps,) * 3
    assert training_in_updates(Training(eval_every='0.001 epochs'), CLOCK).eval_every == 1  # and not 'at the end only'
