"""Batches of NumPy arrays from a source: read and decoded in Grain's threads."""

import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from absl import logging
from numpy.typing import ArrayLike

from jaxcv.arguments import AtLeast0, AtLeast1, checked
from jaxcv.data import fingerprint
from jaxcv.data.collate import HostBatch, Rows
from jaxcv.data.orders import Order, members_of, shuffled
from jaxcv.data.reading import BrokenExampleError, reader
from jaxcv.data.seeds import mix
from jaxcv.data.sources import Source
from jaxcv.data.transforms import Transform
from jaxcv.features import Example, Names

__all__ = ['EvalBatches', 'TrainBatches', 'eval_batches', 'train_batches']

_MOST_BROKEN_IN_A_ROW = 100
_ENDLESS = 2**62

OnBroken = Literal['error', 'skip']


@checked
def train_batches(
    source: Source,
    *,
    batch_size: AtLeast1,
    transforms: Sequence[Transform],
    seed: int,
    order: Order | None = None,
    names: Names | None = None,
    process_index: AtLeast0 = 0,
    process_count: AtLeast1 = 1,
    on_broken: OnBroken = 'error',
    threads: AtLeast1 | None = None,
    buffer: int | None = None,
) -> 'TrainBatches':
    """Endless batches. Batch i is a pure function of (seed, i), whatever the number of processes.

    The global stream is the order of one epoch after another, joined without dropping a remainder. Of each
    `batch_size` examples, process k takes the k-th block.

    Args:
        source: The data set.
        batch_size: Examples in a global batch; each process gets `batch_size / process_count` of them.
        transforms: Closures `example -> example`, applied in order, that leave all images of a batch with the same
            shape.
        seed: Of the order and of the transforms' draws.
        order: (seed, epoch) -> the indices of that epoch, as in `jaxcv.data.orders`; by default a new permutation of
            all examples each epoch.
        names: Names of the classes of transformed examples; by default the source's, as the transforms change them.
        process_index: This process.
        process_count: Number of processes.
        on_broken: 'error' stops at an example that cannot be read; 'skip' replaces it by the next in the data set that
            can be read, whatever the order, logs its name and counts it in `skipped`.
        threads: Batches that are made at once, by default one for each core, at most 16.
        buffer: Batches ready or in the making, by default two more than the threads.

    Returns:
        An iterator of batches: the features of `jaxcv.features` with the types of that table, such as `image` uint8
        `[n h w c]` and `label` int32 `[n]`; every other numeric feature that the transforms leave; `valid` (all True);
        and `index` int32 (the place in the data set). `get_state()` and `set_state(state)` (JSON) resume it exactly;
        `skipped` counts the broken examples so far; `epoch_size` is the number of examples in an epoch.

    Raises:
        ValueError: There are no examples, the batch is larger than the data, or cannot be split over the processes, or
            the order is not as `jaxcv.data.orders` has it. While iterating: an example is broken (with 'error'), a
            feature has another type than in the table or a class without a name, an example's shapes differ from its
            neighbours', or `read` or a transform raises any other error; the message names the example.

    Example:
        >>> names = {'label': ('even', 'odd')}
        >>> data = Source(5, lambda i: {'image': np.full((2, 2, 3), i, np.uint8), 'label': i % 2}, str, names)
        >>> batches = train_batches(data, batch_size=2, transforms=[], seed=0)
        >>> sorted(int(index) for _ in range(5) for index in next(batches)['index'])
        [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    """
    local = _local_size(batch_size, process_index, process_count)
    _check_not_empty(source)
    if order is None and batch_size > source.size:
        raise ValueError(
            f'a batch of {batch_size:,} is larger than the data set of {source.size:,} examples: '
            'lower batch_size or add data'
        )
    epochs = _epochs(shuffled(source.size) if order is None else order, seed, source.size)
    read = _named_errors(reader(source, transforms, names), source)

    def batch(step: int) -> _Counted:
        rows, skipped = Rows(local, source.where), 0
        read_of_batch = functools.partial(read, batch_seed=mix(mix(seed, 0), step))
        for place in range(local):
            position = step * batch_size + process_index * local + place
            epoch, turn = divmod(position, epochs.size)
            index = int(epochs.indices(epoch)[turn])
            example, broken = _next_readable(read_of_batch, index, mix(seed, position), source.size, on_broken)
            rows.put(place, example)
            skipped += broken
        return _Counted(rows.arrays, skipped)

    checksum = fingerprint.of_order(lambda _, epoch: epochs.indices(epoch), seed)
    identity = {'size': source.size, 'batch_size': batch_size, 'seed': seed, 'order': checksum}
    return TrainBatches(_in_threads(batch, _ENDLESS, threads, buffer), source, identity, epochs.size)


class TrainBatches(Iterator[HostBatch]):
    """The iterator that `train_batches` returns: its place can be saved."""

    def __init__(self, batches: Iterable['_Counted'], source: Source, identity: Mapping[str, int], epoch_size: int):
        self._batches: Any = iter(batches)
        self._source = source
        self._without_names = dict(identity)
        self.epoch_size = epoch_size
        self.skipped = 0

    def __next__(self) -> HostBatch:
        """The next batch."""
        batch, skipped = next(self._batches)
        self.skipped += skipped
        return batch

    def get_state(self) -> dict[str, Any]:
        """The place after the batches handed out, as JSON-able data."""
        return {**self._batches.get_state(), 'skipped': self.skipped, **self._identity}

    def set_state(self, state: Mapping[str, Any], *, changes_allowed: bool = False) -> None:
        """Go to a place that `get_state` gave, of this process count or another.

        Args:
            state: The place.
            changes_allowed: Go on although the data set, the batch size, the seed or the order is another one: after
                as many examples, in the new order. Some of the epoch may then come twice, or not at all.

        Raises:
            ValueError: The state is that of other data, and changes are not allowed; the message has all of them.
        """
        if 'order' not in state:  # saved before there were orders
            default = fingerprint.of_order(shuffled(self._identity['size']), self._identity['seed'])
            state = {**state, 'order': default}
        changes = list(_changes(state, self._identity))
        if changes and not changes_allowed:
            raise ValueError(
                f'cannot resume the data: {"; ".join(changes)}; resume with the same data, batch size, seed and order, '
                'allow the changes, or start a new run'
            )
        seen = state['next_index'] * state['batch_size']
        self._batches.set_state({'next_index': seen // self._identity['batch_size']})
        self.skipped = state['skipped']

    @functools.cached_property
    def _identity(self) -> dict[str, int]:
        """Numbers that a resumed run must share."""
        return {**self._without_names, 'examples': fingerprint.of_examples(self._source)}


def _changes(saved: Mapping[str, Any], now: Mapping[str, int]) -> Iterator[str]:
    """The differences of two identities, in words; an entry that an earlier version did not save is the same."""
    changed = {name for name, value in now.items() if saved.get(name, value) != value}
    for name in ('size', 'batch_size', 'seed'):
        if name in changed:
            yield f'the saved {name} is {saved[name]}, now it is {now[name]}'
    if 'size' in changed:  # explains other examples and another order
        return
    if 'examples' in changed:
        yield 'the data set has other examples than the saved one: files were renamed, or removed and added'
    elif 'order' in changed and 'seed' not in changed:
        yield 'the saved order of the examples is another one'


@checked
def eval_batches(
    source: Source,
    *,
    batch_size: AtLeast1,
    transforms: Sequence[Transform],
    groups: ArrayLike | None = None,
    names: Names | None = None,
    process_index: AtLeast0 = 0,
    process_count: AtLeast1 = 1,
    on_broken: OnBroken = 'error',
    threads: AtLeast1 | None = None,
    buffer: int | None = None,
) -> 'EvalBatches':
    """Every example exactly once over all processes, in order, in batches of equal shape.

    The last rows of the last batch are padding: zeros, `valid` False and `index` -1. With `on_broken='skip'` an
    example that cannot be read is zeros and `valid` False too, but keeps its `index`.

    With `groups`, a batch has examples of one group, whose images may have a shape of their own: those of the least
    group first, each group in order and padded to whole batches. A compiled step is compiled once for each shape.

    Args:
        source: The data set.
        batch_size: Examples in a global batch; each process gets `batch_size / process_count` of them.
        transforms: Closures `example -> example`, applied in order, that leave all images of a batch with the same
            shape.
        groups: The group of each example, integers `[size]`: `jaxcv.data.orientations(source)`. None: there is one.
        names: Names of the classes of transformed examples; by default the source's, as the transforms change them.
        process_index: This process.
        process_count: Number of processes.
        on_broken: 'error' stops at an example that cannot be read; 'skip' marks it, logs its name and counts it in
            `skipped`.
        threads: Batches that are made at once, by default one for each core, at most 16.
        buffer: Batches ready or in the making, by default two more than the threads.

    Returns:
        An iterable of batches with the features of those of `train_batches`: each `iter()` starts over, `len()` is the
        same on every process, and `skipped` counts the broken examples of the latest pass.

    Raises:
        ValueError: As for `train_batches`; a batch may be larger than the data. `groups` are not as they have to be.

    Example:
        >>> names = {'label': ('a', 'b', 'c')}
        >>> data = Source(3, lambda i: {'image': np.full((2, 2, 3), i, np.uint8), 'label': i}, str, names)
        >>> batches = eval_batches(data, batch_size=2, transforms=[])
        >>> [batch['index'].tolist() for batch in batches], len(batches)
        ([[0, 1], [2, -1]], 2)
    """
    local = _local_size(batch_size, process_index, process_count)
    _check_not_empty(source)
    read = _named_errors(reader(source, transforms, names), source)
    starts = [
        (members, first) for members in _groups(groups, source.size) for first in range(0, len(members), batch_size)
    ]

    def batch(step: int) -> _Counted:
        members, first = starts[step]
        own = members[first + process_index * local :][:local]
        indices = np.concatenate([own, np.full(local - len(own), -1)])
        rows, skipped = Rows(local, source.where), 0
        for place in np.flatnonzero(indices >= 0).tolist():
            index = int(indices[place])
            example = _read_or_none(read, index, mix(0, index), on_broken)
            if example is None:
                skipped += 1
            else:
                rows.put(place, example)
        arrays = rows.arrays
        if not arrays:  # nothing could be read, or all is padding: zeros with the shapes of the other batches
            example, _ = _next_readable(lambda i, seed: read(int(members[i]), seed), 0, 0, len(members), on_broken)
            arrays = {name: np.zeros((local, *value.shape), value.dtype) for name, value in example.items()}
        return _Counted({**arrays, 'index': indices.astype(np.int32)}, skipped)

    return EvalBatches(_in_threads(batch, len(starts), threads, buffer), len(starts))


def _groups(groups: ArrayLike | None, size: int) -> list[np.ndarray]:
    """The indices of each group's examples, those of the least group first."""
    if groups is None:
        return [np.arange(size)]
    if np.shape(groups) != (size,):
        raise ValueError(f'groups: one integer for each of {size} examples, got {np.shape(groups)}')
    return members_of(groups)


class EvalBatches(Iterable[HostBatch]):
    """The iterable that `eval_batches` returns: each `iter()` is a new pass over the data."""

    def __init__(self, batches: Iterable['_Counted'], length: int):
        self._batches = batches
        self._length = length
        self.skipped = 0

    def __len__(self) -> int:
        """Batches in a pass."""
        return self._length

    def __iter__(self) -> Iterator[HostBatch]:
        """A new pass."""
        self.skipped = 0
        for batch, skipped in self._batches:
            self.skipped += skipped
            yield batch


class _Counted(NamedTuple):
    """A batch and its broken examples: counted when it is handed out, not when a thread made it."""

    batch: HostBatch
    skipped: int


class _Epochs(NamedTuple):
    """An order with its seed: the indices of each epoch, and the number of them."""

    indices: Callable[[int], np.ndarray]
    size: int


def _epochs(order: Order, seed: int, examples: int) -> _Epochs:
    """The checked indices of each epoch; the latest two epochs are kept."""
    lock = threading.Lock()

    # Not Grain's own shuffle: an index took 78 µs between decodes (10 in a tight loop), a JPEG 900.
    @functools.lru_cache(maxsize=2)
    def checked(epoch: int) -> np.ndarray:
        indices = np.asarray(order(seed, epoch))
        if indices.ndim != 1 or not indices.size or indices.dtype.kind not in 'iu':
            raise ValueError(f'order: an epoch is one or more integers [n], got {indices.dtype} {indices.shape}')
        if not 0 <= indices.min() <= indices.max() < examples:
            raise ValueError(
                f'order: there are {examples} examples, 0 to {examples - 1}, but epoch {epoch} has the indices '
                f'{indices.min()} to {indices.max()}'
            )
        return indices.astype(np.int32)

    size = len(checked(0))

    def indices(epoch: int) -> np.ndarray:
        with lock:  # at the end of an epoch, one thread makes the next order and the others wait
            found = checked(epoch)
        if len(found) != size:
            raise ValueError(f'order: epoch 0 has {size} indices, epoch {epoch} has {len(found)}: they must be alike')
        return found

    return _Epochs(indices, size)


def _check_not_empty(source: Source) -> None:
    if source.size < 1:
        raise ValueError(f'the data set has {source.size} examples: it needs at least one')


def _named_errors(read: Callable[..., Example], source: Source) -> Callable[..., Example]:
    """`read` whose every error is a ValueError that names the example.

    A StopIteration of a user's function would otherwise end the data without a word, and a SystemExit the thread.
    """

    def named(index: int, seed: int, **seeds: int) -> Example:
        try:
            return read(index, seed, **seeds)
        except ValueError:
            raise
        except (Exception, SystemExit) as error:
            raise ValueError(f'{source.where(index)}: {type(error).__name__}: {error}') from error

    return named


def _local_size(batch_size: int, process_index: int, process_count: int) -> int:
    if batch_size < 1:
        raise ValueError(f'batch_size must be at least 1, got {batch_size}')
    if batch_size % process_count:
        raise ValueError(
            f'a batch of {batch_size} cannot be split over {process_count} processes: take a multiple of that'
        )
    if not 0 <= process_index < process_count:
        raise ValueError(f'process_index {process_index} is not one of {process_count} processes')
    return batch_size // process_count


def _in_threads(batch: Callable[[int], _Counted], count: int, threads: int | None, buffer: int | None) -> Any:
    """Grain's iterable of `batch(0)`, `batch(1)`, ..., several in the making at once."""
    import grain

    cv2.setNumThreads(0)  # whole images are decoded in parallel: threads within each would only slow that down
    # Each thread holds a whole batch in memory: no more of them than a big host needs to keep its devices fed.
    threads = threads or min(os.cpu_count() or 1, 16)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=buffer or threads + 2)
    return grain.MapDataset.range(count).map(batch).to_iter_dataset(options)


def _next_readable(
    read: Callable[[int, int], Example], index: int, seed: int, size: int, on_broken: OnBroken
) -> tuple[Example, int]:
    """The example at `index`, or with 'skip' the next that can be read; and the number of broken ones before it."""
    for broken in range(min(_MOST_BROKEN_IN_A_ROW, size)):
        example = _read_or_none(read, (index + broken) % size, seed, on_broken)
        if example is not None:
            return example, broken
    raise ValueError(f'{broken + 1} examples in a row, from place {index} on, cannot be read: see the warnings above')


def _read_or_none(read: Callable[[int, int], Example], index: int, seed: int, on_broken: OnBroken) -> Example | None:
    """The example, or with 'skip' None where it is broken."""
    try:
        return read(index, seed)
    except BrokenExampleError as error:
        if on_broken == 'error':
            raise ValueError(f"{error}; mend or remove it, or set on_broken='skip'") from error
        logging.warning('skipped a broken example, %s', error)
        return None
