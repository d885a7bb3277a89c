"""Classes follow their names: through transforms that rename or renumber features, and from one data set to another."""

import re

import numpy as np
import pytest

from jaxcv.data import Source, train_batches, transforms
from jaxcv.data.classes import class_values, same_names, with_classes_of

PEOPLE = Source(
    6,
    lambda i: {'image': np.zeros((2, 2, 3), np.uint8), 'label': i % 5, 'sex': i % 2, 'age': i},
    lambda i: f'people[{i}]',
    {'label': tuple('abcde'), 'sex': ('f', 'm')},
)


def test_names_follow_a_renamed_feature():
    renamed = transforms.rename(names={'label': 'sex'})
    assert transforms.names_after(PEOPLE.names, [renamed, transforms.decode()]) == {'label': ('f', 'm')}
    exchanged = transforms.rename(names={'label': 'sex', 'sex': 'label'})
    assert transforms.names_after(PEOPLE.names, [exchanged]) == {'label': ('f', 'm'), 'sex': tuple('abcde')}
    unnamed = transforms.rename(names={'label': 'age'})
    assert transforms.names_after(PEOPLE.names, [unnamed]) == {'sex': ('f', 'm')}
    batch = next(train_batches(PEOPLE, batch_size=6, transforms=[renamed], seed=0))
    assert sorted(batch['label'].tolist()) == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ('values', 'names'),
    [
        ([1, 0, 2, 3, 4], 'bacde'),
        ([0, 255, 1, 255, 255], 'ac'),
        ([0, 0, 1, 1, 1], ['a + b', 'c + d + e']),
        ([0, 0, 2, 2, 2], ['a + b', '1', 'c + d + e']),
        ([0] + 254 * [255] + [1], 'abcde'),  # numbers that the data set does not name: its names are the new ones
    ],
)
def test_names_follow_renumbered_classes(values, names):
    found = transforms.names_after(PEOPLE.names, [transforms.relabel(values=values, feature='label')])
    assert found == {'label': tuple(names), 'sex': ('f', 'm')}


def test_labels_are_checked_against_the_names_they_have_in_the_batch():
    merged = transforms.relabel(values=[0, 0, 1, 1, 9], feature='label')
    with pytest.raises(ValueError, match=re.escape('the label 1 is not one of the 1 classes 0..0')):
        next(train_batches(PEOPLE, batch_size=6, transforms=[merged], seed=0, names={'label': ('a',)}))


def test_numbers_of_other_data_become_those_of_the_training_by_name():
    trained, here = ('ape', 'cat', 'dog'), ('dog', 'ape')
    of_labels = with_classes_of(here, trained, feature='label')
    assert [trained[of_labels({'label': i})['label']] for i in range(2)] == list(here)
    mask = np.array([[0, 1, 255]], np.int32)
    assert with_classes_of(here, trained, feature='mask')({'mask': mask})['mask'].tolist() == [[2, 0, 255]]
    assert of_labels.names({'label': here}) == {'label': trained}
    with pytest.raises(ValueError, match='no class fox, emu among ape, cat, dog'):
        with_classes_of(('ape', 'fox', 'emu'), trained, feature='label')


def test_names_are_compared_in_one_form_of_unicode():
    composed, decomposed = 'caf\u00e9', 'cafe\u0301'
    assert same_names([composed], [decomposed])
    assert with_classes_of([decomposed], ['bar', composed], feature='label')({'label': 0})['label'] == 1


def test_the_class_of_every_example_is_that_of_its_batch():
    steps = [transforms.rename(names={'label': 'sex'}), transforms.relabel(values=[1, 0], feature='label')]
    encoded = PEOPLE._replace(read=lambda i: {**PEOPLE.read(i), 'image': b'png', 'mask': b'png'})
    other = transforms.relabel(values=[1, 0], feature='mask')  # of a mask that is still encoded
    found = class_values(encoded, [other, *steps, transforms.decode()], feature='label')
    assert found.tolist() == [1, 0, 1, 0, 1, 0]
