"""Parts of a data set: some examples, some classes."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from jaxcv.data import Source, describe, feature_values, only_classes, source, subset, train_batches, transforms


def test_subset(prepared):
    whole = source('digits', split='test', data_dir=prepared)
    some = subset(whole, np.array([596, 0, 0]))
    assert (some.size, some.names) == (3, whole.names)
    assert [some.read(i) for i in range(3)] == [whole.read(596), whole.read(0), whole.read(0)]
    assert [some.where(i) for i in range(3)] == ['digits/test[596]', 'digits/test[0]', 'digits/test[0]']
    assert subset(some, [0]).where(0) == 'digits/test[596]'
    for indices, message in (([], 'got none'), ([597], '0 to 596: no example 597'), ([3, -1], 'no example -1')):
        with pytest.raises(ValueError, match=message):
            subset(whole, indices)


def test_only_classes(prepared):
    """The digits 5 to 9 in an order of their own, as scikit-learn has them, through to a batch."""
    digits = load_digits()
    order = np.random.Generator(np.random.PCG64(0)).permutation(1797)[:1200]
    whole = source('digits', split='train', data_dir=prepared)
    names = ['9', '5', '6', '7', '8']
    kept = only_classes(whole, names)
    targets = digits.target[order]
    places = np.flatnonzero(targets >= 5)
    assert (kept.size, kept.names) == (len(places), {'label': tuple(names)})
    assert [kept.where(i) for i in range(kept.size)] == [f'digits/train[{place}]' for place in places]
    assert [kept.read(i)['label'] for i in range(kept.size)] == [names.index(str(t)) for t in targets[places]]
    assert all(kept.read(i)['image'] == whole.read(place)['image'] for i, place in enumerate(places))

    batch = next(train_batches(kept, batch_size=32, transforms=[transforms.decode(channels=1)], seed=0))
    assert batch['label'].tolist() == [kept.read(int(i))['label'] for i in batch['index']]
    assert whole.read(int(places[0]))['label'] == targets[places[0]]  # the original is as it was


def test_only_classes_of_data_without_labels_or_names():
    with pytest.raises(ValueError, match="no class 'cat'; there are: none"):
        only_classes(Source(1, lambda index: {'label': 0}, str, {}), ['cat'])
    with pytest.raises(ValueError, match='0 has no label, so it is of no class'):
        only_classes(Source(1, lambda index: {}, str, {}), ['cat'])


def numbered(size, **features):
    """A data set whose features are functions of the index."""

    def read(index):
        return {name: value(index) for name, value in features.items()}

    return Source(size, read, lambda index: f'n[{index}]', {})


def test_only_classes_of_another_feature():
    data = numbered(8, label=lambda i: i % 2, species=lambda i: i // 2)
    data = data._replace(names={'label': ('a', 'b'), 'species': ('w', 'x', 'y', 'z')})
    kept = only_classes(data, ['z', 'x'], feature='species')
    assert kept.names == {'label': ('a', 'b'), 'species': ('z', 'x')}
    assert [kept.read(i) for i in range(kept.size)] == [
        {'label': 0, 'species': 1}, {'label': 1, 'species': 1}, {'label': 0, 'species': 0}, {'label': 1, 'species': 0}
    ]  # fmt: skip
    assert describe(kept) == '4 examples from n[2] on, 2 classes of label: a, b, 2 classes of species: z, x'


def test_the_class_of_every_example():
    values = feature_values(numbered(5, label=lambda i: np.int32(4 - i)))
    assert (values.dtype, values.tolist()) == (np.int64, [4, 3, 2, 1, 0])
    for label, message in ((b'1', 'not one integer'), (0.5, 'is float64'), ([1, 2], r'int64 \(2,\), not one integer')):
        with pytest.raises(ValueError, match=message):
            feature_values(numbered(2, label=lambda i, label=label: label))
    with pytest.raises(ValueError, match=r'n\[0\] has no label'):
        feature_values(numbered(2, mask=lambda i: 0))


def test_class_names_are_those_of_the_one_feature_that_has_some():
    named = Source(1, lambda index: {}, str, {'label': ['cat', 'dog']})
    assert named.class_names == ('cat', 'dog')
    assert named._replace(names={}).class_names == ()
    assert named._replace(names={'label': ['a'], 'mask': ['b']}).class_names == ()
