"""The data of a run: the classes of its splits are compared, and their difference is told."""

import numpy as np
import pytest

from experiments.run.batches import EvaluationData, TrainingData, facts_of
from jaxcv.config import ConfigError
from jaxcv.data import Source


def of_classes(*names):
    return Source(1, lambda index: {}, str, {'box_labels': names})


@pytest.mark.parametrize(
    ('found', 'difference'),
    [
        (('cat',), 'cat, not cat, dog; missing: dog'),
        (('cat', 'dgo'), 'cat, dgo, not cat, dog; more: dgo; missing: dog'),
        (('dog', 'cat'), 'dog, cat, not cat, dog; the same in another order'),
        ((), 'none, not cat, dog; missing: cat, dog'),
    ],
)
def test_splits_of_other_classes_are_told_with_the_difference(found, difference):
    example = {'label': np.zeros(1)}
    training = TrainingData(of_classes('cat', 'dog'), example)
    assert facts_of(training, EvaluationData(of_classes('cat', 'dog'), None, example)).names == {
        'box_labels': ['cat', 'dog']
    }
    with pytest.raises(
        ConfigError, match=f'the evaluation split has other classes than the training split: {difference}$'
    ):
        facts_of(training, EvaluationData(of_classes(*found), None, example))
