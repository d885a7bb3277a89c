"""Batches of NumPy arrays from a source: read and decoded in Grain's threads."""

import functools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from absl import logging

from jaxcv.data.seeds import mix
from jaxcv.data.sources import Source
from jaxcv.data.transforms import Example, Transform, compose
from jaxcv.features import IGNORED

__all__ = ['eval_batches', 'prefetch', 'train_batches']

_MOST_BROKEN_IN_A_ROW = 100
_ENDLESS = 2**62

HostBatch = dict[str, np.ndarray]
OnBroken = Literal['error', 'skip']


def train_batches(
    source: Source,
    *,
    batch_size: int,
    transforms: Sequence[Transform],
    seed: int,
    process_index: int = 0,
    process_count: int = 1,
    on_broken: OnBroken = 'error',
    threads: int | None = None,
    buffer: int | None = None,
) -> 'TrainBatches':
    """Endless shuffled batches. Batch i is a pure function of (seed, i), whatever the number of processes.

    The global stream is one seeded shuffle of all examples after another, a new one each epoch, run together without
    dropping a remainder. Of each `batch_size` examples, process k takes the k-th block.

    Args:
        source: The data set.
        batch_size: Examples in a global batch; each process gets `batch_size / process_count` of them.
        transforms: Closures `example -> example`, applied in order, that leave all images with the same shape.
        seed: Of the order and of the transforms' draws.
        process_index: This process.
        process_count: Number of processes.
        on_broken: 'error' stops at an example that cannot be read; 'skip' takes the next that can, logs its name and
            counts it in `skipped`.
        threads: Batches that are made at once, by default one for each core, at most 16.
        buffer: Batches ready or in the making, by default two more than the threads.

    Returns:
        An iterator of batches: `image` uint8, `label` int32 and `mask` int32 `[n h w]` where the data have them,
        `valid` (all True), `index` int32 (the place in the data set), and every other numeric feature that the
        transforms leave. `get_state()` and `set_state(state)` (JSON) resume it exactly; `skipped` counts the broken
        examples so far.

    Raises:
        ValueError: The batch is larger than the data, or cannot be split over the processes. While iterating: an
            example is broken (with 'error'), its label or mask is out of range, or its shape differs from its
            neighbours'.

    Example:
        >>> import numpy as np
        >>> data = Source(5, lambda i: {'image': np.full((2, 2, 3), i, np.uint8), 'label': i % 2}, str, ('even', 'odd'))
        >>> batches = train_batches(data, batch_size=2, transforms=[], seed=0)
        >>> sorted(int(index) for _ in range(5) for index in next(batches)['index'])
        [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    """
    local = _local_size(batch_size, process_index, process_count)
    if batch_size > source.size:
        raise ValueError(
            f'a batch of {batch_size:,} is larger than the data set of {source.size:,} examples: '
            'lower batch_size or add data'
        )
    read = _reader(source, transforms)

    # Not Grain's own shuffle: an index took 78 µs between decodes (10 in a tight loop), a JPEG 900.
    @functools.lru_cache(maxsize=2)
    def order(epoch: int) -> np.ndarray:
        return np.random.Generator(np.random.PCG64([seed, epoch])).permutation(source.size).astype(np.int32)

    def batch(step: int) -> _Counted:
        skipped = 0

        def rows() -> Iterator[tuple[int, Example]]:
            nonlocal skipped
            for place in range(local):
                position = step * batch_size + process_index * local + place
                epoch, turn = divmod(position, source.size)
                index = int(order(epoch)[turn])
                row, broken = _next_readable(read, index, mix(seed, position), source.size, on_broken)
                skipped += broken
                yield place, row

        return _Counted(_collate(rows(), local, source), skipped)

    identity = {'size': source.size, 'batch_size': batch_size, 'seed': seed}
    return TrainBatches(_in_threads(batch, _ENDLESS, threads, buffer), identity)


class TrainBatches(Iterator[HostBatch]):
    """What `train_batches` returns: an iterator whose place can be saved."""

    def __init__(self, batches: Iterable['_Counted'], identity: Mapping[str, int]):
        self._batches: Any = iter(batches)
        self._identity = dict(identity)
        self.skipped = 0

    def __next__(self) -> HostBatch:
        """The next batch."""
        batch, skipped = next(self._batches)
        self.skipped += skipped
        return batch

    def get_state(self) -> dict[str, Any]:
        """The place after the batches handed out, as JSON-able data."""
        return {**self._batches.get_state(), 'skipped': self.skipped, **self._identity}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes to a place that `get_state` gave, of this process count or another.

        Raises:
            ValueError: The state is that of another data set size, batch size or seed.
        """
        for name, value in self._identity.items():
            if state[name] != value:
                raise ValueError(
                    f'cannot resume the data: the saved {name} is {state[name]}, now it is {value}; '
                    'resume with the same data, batch size and seed, or start a new run'
                )
        self._batches.set_state({'next_index': state['next_index']})
        self.skipped = state['skipped']


def eval_batches(
    source: Source,
    *,
    batch_size: int,
    transforms: Sequence[Transform],
    process_index: int = 0,
    process_count: int = 1,
    on_broken: OnBroken = 'error',
    threads: int | None = None,
    buffer: int | None = None,
) -> 'EvalBatches':
    """Every example exactly once over all processes, in order, in batches of equal shape.

    The last rows of the last batch are padding: zeros, `valid` False and `index` -1. With `on_broken='skip'` an
    example that cannot be read is zeros and `valid` False too, but keeps its `index`.

    Args:
        source: The data set.
        batch_size: Examples in a global batch; each process gets `batch_size / process_count` of them.
        transforms: Closures `example -> example`, applied in order, that leave all images with the same shape.
        process_index: This process.
        process_count: Number of processes.
        on_broken: 'error' stops at an example that cannot be read; 'skip' marks it, logs its name and counts it in
            `skipped`.
        threads: Batches that are made at once, by default one for each core, at most 16.
        buffer: Batches ready or in the making, by default two more than the threads.

    Returns:
        An iterable of batches as `train_batches` gives them: each `iter()` starts over, `len()` is the same on every
        process, and `skipped` counts the broken examples of the latest pass.

    Raises:
        ValueError: As for `train_batches`; a batch may be larger than the data.

    Example:
        >>> import numpy as np
        >>> data = Source(3, lambda i: {'image': np.full((2, 2, 3), i, np.uint8), 'label': i}, str, ('a', 'b', 'c'))
        >>> batches = eval_batches(data, batch_size=2, transforms=[])
        >>> [batch['index'].tolist() for batch in batches], len(batches)
        ([[0, 1], [2, -1]], 2)
    """
    local = _local_size(batch_size, process_index, process_count)
    read = _reader(source, transforms)

    length = -(-source.size // batch_size)

    def batch(step: int) -> _Counted:
        first = step * batch_size + process_index * local
        indices = np.arange(first, first + local)
        indices[indices >= source.size] = -1
        skipped = 0

        def rows() -> Iterator[tuple[int, Example]]:
            nonlocal skipped
            for place in np.flatnonzero(indices >= 0).tolist():
                row = _read_or_none(read, int(indices[place]), mix(0, int(indices[place])), on_broken)
                skipped += row is None
                if row is not None:
                    yield place, row

        arrays = _collate(rows(), local, source)
        if not arrays:  # nothing could be read, or all is padding: zeros of the shapes that the others have
            example, _ = _next_readable(read, 0, 0, source.size, on_broken)
            arrays = {name: np.zeros((local, *value.shape), value.dtype) for name, value in example.items()}
        return _Counted({**arrays, 'index': indices.astype(np.int32)}, skipped)

    return EvalBatches(_in_threads(batch, length, threads, buffer), length)


class EvalBatches(Iterable[HostBatch]):
    """What `eval_batches` returns: a pass over the data, as often as wanted."""

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


def prefetch(batches: Iterable[Any], put: Callable[[Any], Any], *, size: int = 2) -> 'Prefetched':
    """Puts batches on the device ahead of their use.

    There is no thread here: the host's batches are made in threads already, and JAX copies in the background.

    Args:
        batches: What `train_batches` or `eval_batches` gives, or any iterable.
        put: host batch -> device batch, such as `jax.device_put`.
        size: Batches to hold on the device. The loop uses one while the others wait.

    Returns:
        An iterator of device batches. `get_state`, `set_state` and `skipped` are those of `batches`, but speak of the
        batches handed out, not of those fetched ahead. An error is raised where its batch would have come.

    Example:
        >>> list(prefetch([1, 2, 3], lambda batch: 10 * batch))
        [10, 20, 30]
    """
    if size < 1:
        raise ValueError(f'prefetch: size must be at least 1, got {size}')
    return Prefetched(batches, put, size)


class Prefetched(Iterator[Any]):
    """What `prefetch` returns."""

    def __init__(self, batches: Iterable[Any], put: Callable[[Any], Any], size: int):
        self._batches: Any = batches
        self._iterator = iter(batches)
        self._put = put
        self._size = size
        self._ahead: deque[_Fetched] = deque()
        self._last = self._seal()

    @property
    def skipped(self) -> int:
        """Broken examples in the batches handed out."""
        return self._last.skipped

    def __next__(self) -> Any:
        """The next batch, on the device."""
        while len(self._ahead) < self._size and not (self._ahead and self._ahead[-1].error is not None):
            self._ahead.append(self._fetch())
        if (error := self._ahead[0].error) is not None:
            raise error
        self._last = self._ahead.popleft()
        batch, self._last = self._last.batch, self._last._replace(batch=None)  # the device's memory is the caller's
        return batch

    def get_state(self) -> dict[str, Any]:
        """The place after the batches handed out."""
        if self._last.state is None:
            raise TypeError(f'{type(self._batches).__name__} has no get_state: its place cannot be saved')
        return self._last.state

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes to a place that `get_state` gave, and drops what was fetched ahead."""
        self._batches.set_state(state)
        self._ahead.clear()
        self._last = self._seal()

    def _fetch(self) -> '_Fetched':
        try:
            return self._seal(self._put(next(self._iterator)))
        except Exception as error:  # StopIteration included: it too waits for its turn
            return self._seal(error=error)

    def _seal(self, batch: Any = None, error: Exception | None = None) -> '_Fetched':
        state = self._batches.get_state() if hasattr(self._batches, 'get_state') else None
        return _Fetched(batch, error, state, getattr(self._batches, 'skipped', 0))


class _Fetched(NamedTuple):
    """A batch, or the error in its place, and where the data stood after it."""

    batch: Any
    error: Exception | None
    state: dict[str, Any] | None
    skipped: int


class _Counted(NamedTuple):
    """A batch and its broken examples: counted when it is handed out, not when a thread made it."""

    batch: HostBatch
    skipped: int


class _BrokenExampleError(ValueError):
    """An example that could not be read or transformed."""


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

    cv2.setNumThreads(0)  # whole images run in parallel: threads inside each would only get in their way
    # Each thread holds a whole batch in memory: no more of them than a big host needs to keep its devices fed.
    threads = threads or min(os.cpu_count() or 1, 16)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=buffer or threads + 2)
    return grain.MapDataset.range(count).map(batch).to_iter_dataset(options)


def _reader(source: Source, transforms: Sequence[Transform]) -> Callable[[int, int], Example]:
    """(index, seed) -> the example as it goes into a batch."""
    transform = compose(transforms)

    def read(index: int, seed: int) -> Example:
        try:
            example = transform({**source.read(index), 'seed': seed})
        except (OSError, ValueError) as error:
            raise _BrokenExampleError(f'{source.where(index)}: {error}') from error
        for name, remedy in (('image', 'decode'), ('mask', 'decode_mask')):
            if isinstance(example.get(name), bytes):
                raise ValueError(
                    f'{source.where(index)}: the {name} is still encoded; begin the transforms with {remedy!r}'
                )
        features = {name: np.asarray(value) for name, value in example.items() if name != 'seed'}
        features = {name: value for name, value in features.items() if value.dtype.kind in 'biuf'}
        if 'label' in features:
            features['label'] = _checked_label(features['label'], index, source)
        if 'mask' in features:
            # Where there are both, the names are the labels'.
            classes = 0 if 'label' in features else len(source.class_names)
            features['mask'] = _checked_mask(features['mask'], features.get('image'), classes, source.where(index))
        return {**features, 'valid': np.True_, 'index': np.int32(index)}

    return read


def _checked_label(label: np.ndarray, index: int, source: Source) -> np.ndarray:
    classes = len(source.class_names)
    if classes and label.ndim == 0 and not 0 <= label < classes:
        raise ValueError(
            f'{source.where(index)}: the label {label} is not one of the {classes} classes 0..{classes - 1}'
        )
    return label.astype(np.int32) if label.dtype.kind in 'iu' else label


def _checked_mask(mask: np.ndarray, image: np.ndarray | None, classes: int, where: str) -> np.ndarray:
    if mask.ndim != 2 or mask.dtype.kind not in 'iu':
        raise ValueError(f"{where}: the mask is {mask.dtype} {mask.shape}, not integers [h w]; use 'decode_mask'")
    if image is not None and image.shape[:2] != mask.shape:
        raise ValueError(f'{where}: the image has {image.shape[:2]} pixels, its mask {mask.shape}')
    unknown = mask[(mask >= classes) & (mask != IGNORED)]
    if classes and unknown.size:
        raise ValueError(
            f'{where}: the mask has class {unknown.max()}, but there are {classes}, 0..{classes - 1} and {IGNORED} for '
            "ignored pixels; put it right by 'relabel'"
        )
    return mask.astype(np.int32)


def _next_readable(
    read: Callable[[int, int], Example], index: int, seed: int, size: int, on_broken: OnBroken
) -> tuple[Example, int]:
    """The example at `index`, or with 'skip' the next that can be read; and how many were broken."""
    for broken in range(min(_MOST_BROKEN_IN_A_ROW, size)):
        row = _read_or_none(read, (index + broken) % size, seed, on_broken)
        if row is not None:
            return row, broken
    raise ValueError(f'{broken + 1} examples in a row, from place {index} on, cannot be read: see the warnings above')


def _read_or_none(read: Callable[[int, int], Example], index: int, seed: int, on_broken: OnBroken) -> Example | None:
    """The example, or with 'skip' None where it is broken."""
    try:
        return read(index, seed)
    except _BrokenExampleError as error:
        if on_broken == 'error':
            raise ValueError(f"{error}; mend or remove it, or set on_broken='skip'") from error
        logging.warning('skipped a broken example, %s', error)
        return None


def _collate(rows: Iterable[tuple[int, Example]], count: int, source: Source) -> HostBatch:
    """(place, example) pairs as arrays of `count` rows, zero where no example comes; {} if none does.

    Each is copied before the next is made: while it is in the processor's cache, and so that its memory serves again.
    """
    batch: HostBatch = {}
    for place, row in rows:
        if not batch:
            first, kinds = row, {name: (value.shape, value.dtype) for name, value in row.items()}
            batch = {name: np.zeros((count, *value.shape), value.dtype) for name, value in row.items()}
        if {name: (value.shape, value.dtype) for name, value in row.items()} != kinds:
            raise _mismatch(first, row, source)
        for name, value in row.items():
            batch[name][place] = value
    return batch


def _mismatch(first: Example, row: Example, source: Source) -> ValueError:
    """Two examples that do not fit into one batch."""
    for name in first.keys() | row.keys():
        one, two = (f'{r[name].shape} {r[name].dtype}' if name in r else 'missing' for r in (first, row))
        if one != two:
            break
    return ValueError(
        f'{name!r} is {one} in {source.where(int(first["index"]))}, but {two} in {source.where(int(row["index"]))}: '
        "give the images one size by 'resize', 'center_crop' or 'random_resized_crop', and drop other features of a "
        "changing shape by 'keep'"
    )
