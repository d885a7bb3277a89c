"""Orders of the training examples: what an epoch holds, and that they resume and split over processes exactly."""

import itertools
import json

import numpy as np
import pytest

from jaxcv.data import orders, train_batches, transforms
from jaxcv.data.pipeline import TrainBatches
from tests.data.numbers import draw, numbers, same

LABELS = np.array([0] * 11 + [1] * 5 + [2] * 1 + [3] * 6)
SIZE, BATCH = len(LABELS), 4

ORDERS = {
    'default': None,
    'shuffled': orders.shuffled(SIZE),
    'in_order': orders.in_order(SIZE),
    'class_balanced': orders.class_balanced(LABELS),
    'grouped': orders.grouped(LABELS, batch_size=BATCH),
    'identities': orders.identities(LABELS, identities=2, images=2),
    'one example': lambda seed, epoch: np.array([epoch % SIZE]),
    'odd ones, in a new order each epoch': lambda seed, epoch: np.roll(np.arange(1, SIZE, 2), epoch),
}


def start(order, *, seed=3, **options) -> TrainBatches:
    data = numbers(SIZE, broken={5})
    return train_batches(data, batch_size=BATCH, transforms=[draw], seed=seed, order=order, on_broken='skip', **options)


@pytest.mark.parametrize('name', ORDERS)
def test_any_order_is_followed_on_any_number_of_processes(name):
    order = ORDERS[name] or orders.shuffled(SIZE)
    epochs = [order(3, epoch) for epoch in range(40)]
    expected = np.where(np.concatenate(epochs) == 5, 6, np.concatenate(epochs))[: 10 * BATCH]  # 5 is broken
    one = list(itertools.islice(start(ORDERS[name], threads=3), 10))
    assert np.concatenate([batch['index'] for batch in one]).tolist() == expected.tolist()
    assert start(ORDERS[name]).epoch_size == len(epochs[0])
    for processes in (2, 4):
        shares = [start(ORDERS[name], process_index=k, process_count=processes) for k in range(processes)]
        for batch, *parts in zip(one, *shares, strict=False):
            assert same(batch, {feature: np.concatenate([part[feature] for part in parts]) for feature in batch})


@pytest.mark.parametrize('name', ORDERS)
def test_any_order_resumes_exactly(name):
    batches = start(ORDERS[name])
    states, straight = [], []
    for _ in range(14):  # two epochs and more
        states.append(json.loads(json.dumps(batches.get_state())))
        straight.append(next(batches))
    for step in (0, 3, 7, 13):
        resumed = start(ORDERS[name])
        resumed.set_state(states[step])
        assert resumed.get_state() == states[step]
        assert all(same(next(resumed), batch) for batch in straight[step:])
    # A state of one process resumes two.
    shares = [start(ORDERS[name], process_index=k, process_count=2) for k in range(2)]
    for share in shares:
        share.set_state(states[7])
    parts = [next(share)['index'] for share in shares]
    assert np.concatenate(parts).tolist() == straight[7]['index'].tolist()


def test_another_order_is_not_resumed():
    states = {name: start(order).get_state() for name, order in ORDERS.items()}
    for saved, state in states.items():
        for name, order in ORDERS.items():
            if saved == name or {saved, name} == {'default', 'shuffled'}:
                start(order).set_state(state)
            else:
                with pytest.raises(ValueError, match='the saved order of the examples is another one; resume with'):
                    start(order).set_state(state)
    # Orders that agree in the first epoch differ all the same.
    fixed = orders.shuffled(SIZE)(3, 0)
    with pytest.raises(ValueError, match='order of the examples'):
        start(lambda seed, epoch: fixed).set_state(states['default'])
    with pytest.raises(ValueError, match='the saved seed is 3, now it is 4'):  # which changes the order too
        start(None, seed=4).set_state(states['default'])


def test_a_state_saved_before_there_were_orders_resumes_the_default_order():
    batches = start(None)
    next(batches)
    old = {name: value for name, value in batches.get_state().items() if name != 'order'}
    resumed = start(None)
    resumed.set_state(old)
    assert same(next(resumed), next(batches))
    with pytest.raises(ValueError, match='order of the examples'):
        start(orders.in_order(SIZE)).set_state(old)


def test_the_default_order_is_one_permutation_an_epoch():
    """The runs of before depend on these bits."""
    assert orders.shuffled(7)(0, 0).tolist() == np.random.Generator(np.random.PCG64([0, 0])).permutation(7).tolist()
    assert orders.shuffled(7)(5, 2).tolist() == np.random.Generator(np.random.PCG64([5, 2])).permutation(7).tolist()


@pytest.mark.parametrize('name', ['shuffled', 'class_balanced', 'grouped', 'identities'])
def test_an_order_is_a_function_of_seed_and_epoch(name):
    order = ORDERS[name]
    drawn = [order(seed, epoch).tolist() for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert drawn == [order(seed, epoch).tolist() for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert drawn[0] != drawn[1] != drawn[2] != drawn[0]
    assert len({len(epoch) for epoch in drawn}) == 1


def test_balanced_classes_come_equally_often():
    counts = np.zeros(SIZE, int)
    for epoch in range(50):
        indices = orders.class_balanced(LABELS)(0, epoch)
        assert sorted(np.bincount(LABELS[indices])) == [5, 6, 6, 6]
        seen = np.bincount(indices, minlength=SIZE)
        assert max(seen[LABELS == 0]) == 1  # no example of a large class twice,
        assert set(seen[LABELS == 3]) <= {0, 1}
        assert set(seen[LABELS == 1]) <= {1, 2}  # and each one of a small class
        counts += seen
    assert (counts > 0).all()


def test_a_batch_has_one_group():
    for epoch in range(5):
        batches = orders.grouped(LABELS, batch_size=4)(0, epoch).reshape(-1, 4)
        assert all(len(set(LABELS[batch])) == 1 for batch in batches)
        assert np.bincount(LABELS[batches[:, 0]]).tolist() == [3, 2, 1, 2]
        assert set(batches.ravel()) == set(range(SIZE))
    assert [list(LABELS[b]) for b in batches] != sorted(list(LABELS[b]) for b in batches)  # the groups are mixed


def test_groups_may_have_sizes_of_their_own():
    """Portraits and landscapes of two scales, through the whole pipeline: batches of four shapes, resumed exactly."""
    wide = LABELS % 2

    def read(index):
        return {'image': np.full((6 + 2 * (1 - wide[index]), 6 + 2 * wide[index], 3), index, np.uint8)}

    def batches():
        resize = transforms.resize_sides(short=(6, 9), long=16, canvas=4, draw='batch')
        order = orders.grouped(wide, batch_size=4)
        return train_batches(
            numbers(SIZE)._replace(read=read), batch_size=4, transforms=[resize], seed=0, order=order, threads=1
        )

    whole, first = batches(), batches()
    found = [next(whole) for _ in range(20)]
    assert {batch['image'].shape for batch in found} == {
        (4, *sides, 3) for sides in ((8, 16), (16, 8), (12, 16), (16, 12))
    }
    for _ in range(7):
        next(first)
    again = batches()
    again.set_state(first.get_state())
    for batch in found[7:]:
        np.testing.assert_equal(next(again), batch)


def test_batches_of_identities():
    labels = np.repeat(np.arange(7), [1, 2, 3, 4, 5, 6, 20])
    order = orders.identities(labels, identities=3, images=4)
    counts = np.zeros(7, int)
    for epoch in range(30):
        batches = order(0, epoch).reshape(-1, 3, 4)
        assert len(batches) == len(labels) // 12
        for batch in batches:
            assert all(len(set(labels[images])) == 1 for images in batch)
            chosen = labels[batch[:, 0]]
            assert len(set(chosen)) == 3
            assert [len(set(images)) for images in batch] == np.minimum(np.bincount(labels)[chosen], 4).tolist()
            counts[chosen] += 1
    assert counts.min() > 0.7 * counts.mean()
    few = orders.identities([4, 4, 9], identities=2, images=5)(0, 0)  # more than the data have: one batch all the same
    assert sorted(np.bincount(few)) == [2, 3, 5]


@pytest.mark.parametrize(('sizes', 'identities', 'images'), [((5, 8, 3, 20, 4, 6, 7), 3, 3), ((9, 6, 4, 5) * 4, 4, 4)])
def test_identities_and_their_images_are_dealt_in_turn(sizes, identities, images):
    """None before all others have come, from epoch to epoch; with few identities and with many for a batch."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    order = orders.identities(labels, identities=identities, images=images)
    dealt = np.concatenate([order(7, epoch) for epoch in range(60)]).reshape(-1, images)
    who = labels[dealt[:, 0]]
    assert (labels[dealt] == who[:, None]).all()
    batches = who.reshape(-1, identities)
    assert all(len(set(batch)) == identities for batch in batches)
    for deck in who[: len(who) // len(sizes) * len(sizes)].reshape(-1, len(sizes)):
        assert sorted(deck) == list(range(len(sizes)))
    decks = {tuple(deck) for deck in who[: 4 * len(sizes)].reshape(4, -1)}
    assert len(decks) == 4
    for identity, size in enumerate(sizes):
        stream = dealt[who == identity].ravel()
        rounds = stream[: len(stream) // size * size].reshape(-1, size)
        assert all(len(set(round_)) == size for round_ in rounds)
        assert all(len(set(turn)) == images for turn in dealt[who == identity])
        assert len({tuple(round_) for round_ in rounds}) > 1  # shuffled anew


def test_identities_with_too_few_images(caplog):
    labels = np.repeat(np.arange(5), [4, 1, 4, 2, 5])
    found = '2 of 5 identities have fewer than 4 images, the fewest 1'
    with pytest.raises(ValueError, match=f"identities: {found}; take fewer images of each, or fewer='skip'"):
        orders.identities(labels, identities=2, images=4, fewer='error')
    with caplog.at_level('WARNING'):
        without = orders.identities(labels, identities=2, images=4, fewer='skip')
        orders.identities(labels, identities=2, images=4)
    assert f'{found}: left out' in caplog.text
    assert f'{found}: their images are repeated' in caplog.text
    assert set(labels[np.concatenate([without(0, epoch) for epoch in range(5)])]) == {0, 2, 4}
    with pytest.raises(ValueError, match='cannot be made of 3 identities'):
        orders.identities(labels, identities=4, images=4, fewer='skip')


def test_orders_that_cannot_be_made():
    for labels, message in (([[0, 1]], r'got int64 \(1, 2\)'), ([0.5], 'got float64'), ([], r'\(0,\)')):
        for order in (orders.class_balanced, lambda g: orders.grouped(g, batch_size=2)):
            with pytest.raises(ValueError, match=message):
                order(labels)
    with pytest.raises(ValueError, match='batches of 5 identities with 2 images cannot be made of 4 identities'):
        orders.identities(LABELS, identities=5, images=2)
    with pytest.raises(ValueError, match='with 0 images'):
        orders.identities(LABELS, identities=2, images=0)
    with pytest.raises(ValueError, match='batch_size must be at least 1, got 0'):
        orders.grouped(LABELS, batch_size=0)


def test_orders_that_are_not_as_they_must_be():
    for indices, message in (
        ([0, SIZE], f'there are {SIZE} examples, 0 to {SIZE - 1}, but epoch 0 has the indices 0 to {SIZE}'),
        ([-1, 2], 'indices -1 to 2'),
        ([], r'one or more integers \[n\]'),
        ([[0, 1]], r'got int64 \(1, 2\)'),
        ([0.0, 1.0], 'got float64'),
    ):
        with pytest.raises(ValueError, match=message):
            start(lambda seed, epoch, indices=indices: np.array(indices))
    with pytest.raises(ValueError, match='epoch 0 has 1 indices, epoch 1 has 2: they must be alike'):
        start(lambda seed, epoch: np.arange(epoch + 1))
