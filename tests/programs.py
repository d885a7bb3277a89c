"""Compiled programs in files, for all test processes of this run and of later ones: JAX's persistent cache.

JAX itself writes an entry in place, where another process may read half of it, and asks a library of paths about each
program. Here an entry appears as a whole.
"""

import os
from pathlib import Path

import jax
from jax._src.lru_cache import LRUCache


def share(folder: Path) -> None:
    """Keeps every program that is compiled from now on in a folder, and takes from it those that are there."""
    LRUCache.get, LRUCache.put = _get, _put
    jax.config.update('jax_compilation_cache_dir', str(folder))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
    jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)


def _get(cache: LRUCache, key: str) -> bytes | None:
    entry = os.path.join(cache.path, key)
    try:
        with open(entry, 'rb') as file:
            os.utime(entry)
            return file.read()
    except FileNotFoundError:
        return None


def _put(cache: LRUCache, key: str, value: bytes) -> None:
    entry = os.path.join(cache.path, key)
    part = f'{entry}.{os.getpid()}'
    with open(part, 'wb') as file:
        file.write(value)
    os.replace(part, entry)
