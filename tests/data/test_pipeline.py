"""Order, resume, padding and broken examples of the batches."""

import functools
import itertools
import json

import cv2
import numpy as np
import pytest

from jaxcv.data import Source, eval_batches, prefetch, source, train_batches, transforms
from tests.data.numbers import draw, indices, numbers, same


@pytest.mark.parametrize('threads', [1, 4])
def test_global_order_is_that_of_one_process_for_any_number(threads):
    def run(process_count):
        shares = [
            train_batches(numbers(22), batch_size=8, transforms=[draw], seed=3, threads=threads,
                          process_index=k, process_count=process_count)
            for k in range(process_count)
        ]  # fmt: skip
        for _ in range(7):
            parts = [next(share) for share in shares]
            yield {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    for one, two, four in zip(run(1), run(2), run(4), strict=True):
        assert one.keys() == {'image', 'label', 'valid', 'index', 'weight', 'draw'}
        for name, values in one.items():
            assert np.array_equal(values, two[name])
            assert np.array_equal(values, four[name])
        assert one['image'].dtype == np.uint8
        assert one['label'].dtype == one['index'].dtype == np.int32
        assert one['valid'].dtype == bool
        assert one['valid'].all()
        assert np.array_equal(one['image'][:, 0, 0, 0], one['index'])
        assert np.array_equal(one['label'], one['index'] % 2)
        assert np.array_equal(one['weight'], one['index'] / 2)


def test_each_epoch_is_a_new_shuffle_of_everything():
    stream = np.concatenate(indices(train_batches(numbers(10), batch_size=4, transforms=[], seed=1), 10))
    epochs = stream.reshape(4, 10)
    assert (np.sort(epochs) == np.arange(10)).all()
    assert len({tuple(epoch) for epoch in epochs}) == 4
    other = np.concatenate(indices(train_batches(numbers(10), batch_size=4, transforms=[], seed=2), 10))
    assert not np.array_equal(stream, other)
    draws = [
        b['draw'] for b in itertools.islice(train_batches(numbers(10), batch_size=4, transforms=[draw], seed=1), 10)
    ]
    assert len(np.unique(draws)) == 40  # no two draws of the run are alike


@pytest.mark.parametrize('wrap', [lambda batches: batches, lambda batches: prefetch(batches, dict, size=3)])
def test_resume_is_exact(wrap):
    def start(seed=0, batch_size=4, size=13):
        data = numbers(size, broken={5})
        return wrap(train_batches(data, batch_size=batch_size, transforms=[draw], seed=seed, on_broken='skip'))

    batches = start()
    states, straight, skipped = [], [], []
    for _ in range(9):
        states.append(json.loads(json.dumps(batches.get_state())))
        skipped.append(batches.skipped)
        straight.append(next(batches))
    assert skipped[0] == 0
    assert skipped[-1] >= 2  # two epochs and more
    for step in (0, 4, 8, 3):  # back as well as forth
        for resumed in (start(), batches):
            resumed.set_state(states[step])
            assert resumed.get_state() == states[step]
            assert resumed.skipped == skipped[step]
            assert all(same(next(resumed), batch) for batch in straight[step:])
    for other, name in ((start(seed=1), 'seed'), (start(batch_size=2), 'batch_size'), (start(size=14), 'size')):
        with pytest.raises(ValueError, match=f'the saved {name} is'):
            other.set_state(states[3])


@pytest.mark.parametrize('process_count', [1, 2, 4])
@pytest.mark.parametrize('size', [1, 8, 11, 17])
def test_evaluation_sees_each_example_once(process_count, size):
    shares = [
        eval_batches(numbers(size), batch_size=8, transforms=[], process_index=k, process_count=process_count)
        for k in range(process_count)
    ]
    for _ in range(2):  # each iter() starts over
        batches = list(zip(*shares, strict=True))
        assert len(batches) == len(shares[0]) == -(-size // 8)
        seen = [np.concatenate([part[name] for parts in batches for part in parts]) for name in ('index', 'valid')]
        assert seen[0].tolist() == [*range(size), *[-1] * (len(batches) * 8 - size)]
        assert np.array_equal(seen[1], seen[0] >= 0)
        for part in itertools.chain(*batches):
            assert part['image'].shape == (8 // process_count, 2, 2, 3)
            assert part['label'].dtype == np.int32
            assert not part['image'][~part['valid']].any()
            assert not part['label'][~part['valid']].any()
            assert np.array_equal(part['image'][part['valid'], 0, 0, 0], part['index'][part['valid']])
    assert shares[0].skipped == 0


@pytest.mark.parametrize('process_count', [1, 2])
def test_a_batch_of_the_evaluation_has_one_group(process_count):
    """Each example once, each group in order and in a shape of its own; what is padding has that shape as well."""
    groups = np.array([1, 0, 1, 1, 0, 1, 1])

    def sized(example):
        return {**example, 'image': np.zeros((2, 2 + groups[example['image'][0, 0, 0]], 3), np.uint8)}

    data = numbers(7, broken={4, 5, 6})
    shares = [
        eval_batches(
            data,
            batch_size=4,
            transforms=[sized],
            groups=groups,
            on_broken='skip',
            process_index=k,
            process_count=process_count,
        )
        for k in range(process_count)
    ]
    seen = [
        (np.concatenate([part['index'] for part in parts]).tolist(), {part['image'].shape[2] for part in parts})
        for parts in zip(*shares, strict=True)
    ]
    assert seen == [([1, 4, -1, -1], {2}), ([0, 2, 3, 5], {3}), ([6, -1, -1, -1], {3})]
    assert [len(share) for share in shares] == [3] * process_count
    assert sum(share.skipped for share in shares) == 3
    with pytest.raises(ValueError, match=r'groups: one integer for each of 7 examples, got \(2,\)'):
        eval_batches(data, batch_size=4, transforms=[], groups=[0, 1])


@pytest.fixture
def photos(tmp_path):
    """Ten images of which two cannot be read."""
    folder = tmp_path / 'train/cat'
    folder.mkdir(parents=True)
    image = np.random.default_rng(0).integers(0, 255, (20, 20, 3), dtype=np.uint8)
    jpeg = cv2.imencode('.jpg', image)[1].tobytes()
    for index in range(10):
        (folder / f'{index}.jpg').write_bytes(jpeg[:200] if index == 3 else b'nothing' if index == 4 else jpeg)
    return source('folder', split='train', data_dir=tmp_path)


def test_a_broken_image_is_an_error_that_names_it(photos):
    steps = [transforms.decode()]
    with pytest.raises(ValueError, match=r"train/cat/[34]\.jpg: .*(truncated|not an image).*set on_broken='skip'"):
        list(itertools.islice(train_batches(photos, batch_size=5, transforms=steps, seed=0), 2))
    batches = iter(eval_batches(photos, batch_size=2, transforms=steps))
    assert next(batches)['index'].tolist() == [0, 1]
    with pytest.raises(ValueError, match=r'cat/3\.jpg'):
        next(batches)


def test_a_broken_image_is_skipped_and_counted(photos, caplog):
    steps = [transforms.decode()]
    batches = train_batches(photos, batch_size=5, transforms=steps, seed=0, on_broken='skip', buffer=1, threads=1)
    seen = np.concatenate(indices(batches, 2))
    # 3 is replaced by 5, since 4 is broken too, and 4 by 5.
    assert sorted(seen.tolist()) == [0, 1, 2, 5, 5, 5, 6, 7, 8, 9]
    assert batches.skipped == 3
    assert 'train/cat/3.jpg: ' in caplog.text
    assert batches.get_state()['skipped'] == 3

    evaluation = eval_batches(photos, batch_size=4, transforms=steps, on_broken='skip')
    for _ in range(2):
        rows = [np.concatenate(column) for column in zip(*((b['index'], b['valid']) for b in evaluation), strict=True)]
        assert rows[0].tolist() == [*range(10), -1, -1]
        assert np.flatnonzero(~rows[1]).tolist() == [3, 4, 10, 11]
        assert evaluation.skipped == 2


def test_a_batch_of_broken_images_keeps_its_shape():
    data = numbers(4, broken={2, 3})
    *_, last = eval_batches(data, batch_size=2, transforms=[], on_broken='skip')
    assert last['image'].shape == (2, 2, 2, 3)
    assert not last['valid'].any()
    assert last['index'].tolist() == [2, 3]
    with pytest.raises(ValueError, match='3 examples in a row, from place'):
        next(train_batches(numbers(3, broken={0, 1, 2}), batch_size=1, transforms=[], seed=0, on_broken='skip'))


def train(data, **options):
    return next(train_batches(data, **{'batch_size': 4, 'transforms': [], 'seed': 0, **options}))


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match='batch of 512 is larger than the data set of 300 examples: lower batch_size'):
        train(numbers(300), batch_size=512)
    with pytest.raises(ValueError, match='a batch of 4 cannot be split over 3 processes'):
        train(numbers(8), process_count=3)
    with pytest.raises(ValueError, match='process_index 2'):
        train(numbers(8), process_count=2, process_index=2)
    with pytest.raises(ValueError, match=r'batch_size must be in \[1, inf\), got 0'):
        train(numbers(8), batch_size=0)
    for label in (-1, 2):  # even where broken examples are skipped: a wrong label is no broken file
        bad = numbers(8, labels=[0, 1, label, 0, 0, 0, 0, 0])
        with pytest.raises(ValueError, match=rf'numbers\[2\]: the label {label} is not one of the 2 classes 0\.\.1'):
            train(bad, batch_size=8, on_broken='skip')
    assert train(numbers(8, labels=[9] * 8, classes=()))['label'].tolist() == [9] * 4  # no classes, no range

    def grown(example):
        return {**example, 'image': np.zeros((2 + (example['label'] == 1), 2, 3), np.uint8)}

    with pytest.raises(
        ValueError, match=r"'image' is \([23], 2, 3\) uint8 in numbers\[\d\], but .* in numbers\[\d\].*'resize'"
    ):
        train(numbers(8), batch_size=8, transforms=[grown])

    def sometimes(example):
        return {**example, 'more': 1} if example['label'] else example

    with pytest.raises(ValueError, match=r"'more' is .*missing"):
        train(numbers(8), batch_size=8, transforms=[sometimes])
    encoded = Source(4, lambda index: {'image': b'bytes', 'label': 0}, str, {'label': ('a',)})
    with pytest.raises(ValueError, match="begin the transforms with 'decode'"):
        train(encoded, on_broken='skip')


def test_a_fault_in_a_transform_is_not_taken_for_a_broken_image():
    def faulty(example):
        return example['nowhere']

    with pytest.raises(ValueError, match=r"^numbers\[\d\]: KeyError: 'nowhere'"):
        train(numbers(8), transforms=[faulty], on_broken='skip')


def test_training_reads_real_jpegs_alike_in_any_number_of_threads(tmp_path):
    """The whole chain: the random transforms draw from the example's seed, not from who runs them."""
    rng = np.random.default_rng(0)
    folder = tmp_path / 'train/noise'
    folder.mkdir(parents=True)
    for index in range(12):
        cv2.imwrite(str(folder / f'{index:02}.jpg'), rng.integers(0, 255, (40 + index, 50, 3), dtype=np.uint8))
    data = source('folder', split='train', data_dir=tmp_path)
    steps = [transforms.decode(), transforms.random_resized_crop(size=16), transforms.random_flip()]
    runs = [train_batches(data, batch_size=6, transforms=steps, seed=0, threads=n, buffer=3) for n in (1, 4)]
    for one, four in itertools.islice(zip(*runs, strict=True), 6):
        assert same(one, four)


@pytest.mark.parametrize('error', [TypeError, StopIteration, SystemExit, MemoryError, RuntimeError])
@pytest.mark.parametrize('evaluated', [False, True])
def test_any_error_of_a_users_function_ends_the_run_with_the_name_of_the_example(error, evaluated):
    def faulty(example):
        if int(example['label']) == 1:
            raise error('a fault')
        return example

    batches = eval_batches if evaluated else functools.partial(train_batches, seed=0)
    with pytest.raises(ValueError, match=rf'^numbers\[\d*[13579]\]: {error.__name__}: a fault'):
        list(itertools.islice(iter(batches(numbers(8), batch_size=4, transforms=[faulty], threads=2)), 9))


def test_a_data_set_without_examples_is_refused():
    for batches in (eval_batches, functools.partial(train_batches, seed=0)):
        with pytest.raises(ValueError, match='has 0 examples'):
            batches(Source(0, dict, str, {}), batch_size=2, transforms=[])


def test_data_that_changed_are_resumed_when_that_is_allowed():
    def start(size=16, batch_size=4, seed=0, source=None):
        return train_batches(source or numbers(size), batch_size=batch_size, transforms=[], seed=seed)

    batches = start()
    for _ in range(6):
        next(batches)
    state = json.loads(json.dumps(batches.get_state()))
    renamed = numbers(16)._replace(where=lambda index: f'others[{index + (index > 3)}]')
    changes = {
        'the saved size is 16, now it is 15;': {'size': 15},
        'the saved batch_size is 4, now it is 8; the saved seed is 0, now it is 1;': {'batch_size': 8, 'seed': 1},
        'the data set has other examples than the saved one': {'source': renamed},
    }
    for message, change in changes.items():
        with pytest.raises(ValueError, match=f'^cannot resume the data: {message}'):
            start(**change).set_state(state)
        resumed, unbroken = start(**change), start(**change)
        resumed.set_state(state, changes_allowed=True)
        for _ in range(24 // change.get('batch_size', 4)):  # after as many examples
            next(unbroken)
        assert same(next(resumed), next(unbroken))
    moved = numbers(16)._replace(where=lambda index: f'/elsewhere/numbers[{index}]')
    start(source=moved._replace(where=numbers(16).where)).set_state(state)
    earlier = {name: value for name, value in state.items() if name != 'examples'}  # as an earlier version saved it
    start().set_state(earlier)
