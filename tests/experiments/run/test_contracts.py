"""What functions of a user's task return is checked before the training."""

import re

import jax
import jax.numpy as jnp
import pytest

from experiments.run.contracts import augment_problems, loss_problems, metric_problems, prediction_problems, traced
from jaxcv.task import LossOutput, Metric

IMAGES, LABELS = jax.ShapeDtypeStruct((4, 8, 8, 3), jnp.float32), jax.ShapeDtypeStruct((4,), jnp.int32)
BATCH = {'image': IMAGES, 'label': LABELS}
STATE = {'batch_stats': {'mean': jnp.zeros(3)}}


def output(**changes):
    return LossOutput(jnp.zeros(()), jnp.ones(()), STATE, {'top1': jnp.zeros((), int)})._replace(**changes)


@pytest.mark.parametrize(
    ('after', 'problem'),
    [
        (None, 'returns NoneType, not the batch'),
        ({'image': IMAGES}, "loses 'label'"),
        ({**BATCH, 'image': IMAGES.update(shape=(4, 3, 8, 8))}, r"'image' becomes \(4, 3, 8, 8\) of \(4, 8, 8, 3\)"),
        ({**BATCH, 'image': IMAGES.update(shape=(8, 8, 3))}, "'image' has the shape .* of a batch of 4 examples"),
        ({**BATCH, 'image': IMAGES.update(dtype=jnp.uint8)}, "'image' becomes uint8"),
        ({**BATCH, 'image': IMAGES.update(shape=(4, 6, 6, 3)), 'soft': LABELS}, None),  # a crop, and a feature more
    ],
)
def test_an_augmentation_returns_a_batch(after, problem):
    found = list(augment_problems(after, BATCH))
    assert len(found) == (problem is not None)
    assert problem is None or re.search(problem, found[0])


@pytest.mark.parametrize(
    ('found', 'problem'),
    [
        (jnp.zeros(()), 'not LossOutput(total, weight, state, logs)'),
        (output(total=jnp.zeros(4)), 'total has the shape (4,): it is one number'),
        (output(weight=jnp.zeros(4)), 'weight has the shape (4,)'),
        (output(logs={'top1': jnp.zeros(4)}), 'top1 has the shape (4,)'),
        (output(total=jnp.zeros((), int)), 'total is int32'),
        (output(state={}), 'batch_stats/mean of the state is missing, and was (3,)'),
        (output(state={'batch_stats': {'mean': jnp.zeros(4)}}), 'is (4,), and was (3,)'),
        (output(), None),
    ],
)
def test_a_loss_returns_sums_and_the_state_it_was_given(found, problem):
    lines = list(loss_problems(found, STATE))
    assert len(lines) == (problem is not None)
    assert problem is None or problem in lines[0]


def test_predictions_and_metrics_have_the_axis_of_the_batch():
    valid = jnp.ones(4, bool)
    assert list(prediction_problems({'label': LABELS, 'valid': valid}, 4)) == []
    assert list(prediction_problems(LABELS, 4)) == ['predict returns ShapeDtypeStruct, not a dict of arrays']
    missing, wrong = prediction_problems({'label': jnp.zeros(3)}, 4)
    assert "no 'valid'" in missing
    assert 'label has the shape (3,), of a batch of 4 examples' in wrong
    rows = Metric(lambda predictions, batch: None, dict, {}, where='host')
    sums = Metric(lambda predictions, batch: None, dict, {}, merge=lambda a, b: jnp.stack([a, b]))
    assert list(metric_problems('rank', rows, {'score': valid}, 4)) == []
    assert 'metric rank: score has the shape ()' in next(metric_problems('rank', rows, {'score': jnp.zeros(())}, 4))
    assert 'merge changes the shapes' in next(metric_problems('rank', sums, jnp.zeros(3), 4))


def test_errors_of_a_users_function_name_it():
    with pytest.raises(ValueError, match=r"^task\.loss: KeyError: 'mask'"):
        traced('task.loss', lambda batch: batch['mask'], BATCH)
    with pytest.raises(ValueError, match=r'^augment: TypeError: '):
        traced('augment', lambda batch: batch['image'] + 'x', BATCH)
