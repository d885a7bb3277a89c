"""Batches on the device ahead of their use."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from jaxcv.arguments import AtLeast1, checked

__all__ = ['Prefetched', 'prefetch']


@checked
def prefetch(batches: Iterable[Any], put: Callable[[Any], Any], *, size: AtLeast1 = 2) -> 'Prefetched':
    """Put batches on the device ahead of their use.

    No thread is started here: the host's batches are made in threads already, and JAX copies in the background.

    Args:
        batches: The result of `train_batches` or `eval_batches`, or any iterable.
        put: host batch -> device batch, such as `jax.device_put`.
        size: Batches to hold on the device. The loop uses one while the others wait.

    Returns:
        An iterator of device batches. `get_state`, `set_state` and `skipped` are those of `batches`, counted up to the
        last batch handed out and not to the last one fetched. An error is raised where its batch would have come.

    Raises:
        ValueError: `size` is less than 1.

    Example:
        >>> list(prefetch([1, 2, 3], lambda batch: 10 * batch))
        [10, 20, 30]
    """
    if size < 1:
        raise ValueError(f'prefetch: size must be at least 1, got {size}')
    return Prefetched(batches, put, size)


class Prefetched(Iterator[Any]):
    """The iterator that `prefetch` returns."""

    def __init__(self, batches: Iterable[Any], put: Callable[[Any], Any], size: int):
        self._batches: Any = batches
        self._iterator = iter(batches)
        self._put = put
        self._size = size
        self._ahead: deque[_Fetched] = deque()
        self._last = self._fetched()

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
        # Only the caller holds the batch from here on, so that its memory on the device can be freed.
        batch, self._last = self._last.batch, self._last._replace(batch=None)
        return batch

    def get_state(self) -> dict[str, Any]:
        """The place after the batches handed out."""
        if self._last.state is None:
            raise TypeError(f'{type(self._batches).__name__} has no get_state: its place cannot be saved')
        return self._last.state

    def set_state(self, state: Mapping[str, Any], **options: Any) -> None:
        """Go to a place that `get_state` gave, and drop the batches fetched ahead; the options are the batches'."""
        self._batches.set_state(state, **options)
        self._ahead.clear()
        self._last = self._fetched()

    def _fetch(self) -> '_Fetched':
        try:
            return self._fetched(self._put(next(self._iterator)))
        except Exception as error:  # StopIteration too: the batches fetched before it come first
            return self._fetched(error=error)

    def _fetched(self, batch: Any = None, error: Exception | None = None) -> '_Fetched':
        state = self._batches.get_state() if hasattr(self._batches, 'get_state') else None
        return _Fetched(batch, error, state, getattr(self._batches, 'skipped', 0))


class _Fetched(NamedTuple):
    """A batch, or the error in its place, and the state of the data after it."""

    batch: Any
    error: Exception | None
    state: dict[str, Any] | None
    skipped: int
