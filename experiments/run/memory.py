"""Out of memory: one message with the fields that save it."""

import contextlib
from collections.abc import Iterator

import jax

from jaxcv import config


@contextlib.contextmanager
def named(remedy: str) -> Iterator[None]:
    """A context in which an error of the memory, of the devices or the host, becomes one message.

    Args:
        remedy: the fields of the config that save memory, and how.

    Raises:
        ConfigError: the memory does not suffice.

    Example:
        >>> try:
        ...     with named('lower data.batch_size'):
        ...         raise MemoryError
        ... except config.ConfigError as error:
        ...     print(error)
        the memory does not suffice: lower data.batch_size
    """
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        asked = str(error).partition('\n')[0][:200]
        raise config.ConfigError(f'the memory does not suffice{f" ({asked})" if asked else ""}: {remedy}') from error


def is_out_of_memory(error: Exception) -> bool:
    """Whether it is an error of the memory: the host's, or a device's.

    Example:
        >>> is_out_of_memory(MemoryError()), is_out_of_memory(ValueError('RESOURCE_EXHAUSTED'))
        (True, False)
    """
    return isinstance(error, MemoryError) or (
        isinstance(error, jax.errors.JaxRuntimeError)
        and any(words in str(error) for words in ('RESOURCE_EXHAUSTED', 'Out of memory', 'out of memory'))
    )
