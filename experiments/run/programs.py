"""Compiled programs of earlier runs, in files: JAX's persistent cache, on by default in the launchers.

They lie in ~/.cache/jaxcv/programs, or in `programs` in the folder of the environment variable JAXCV_CACHE. JAX's own
JAX_COMPILATION_CACHE_DIR names another folder, which is used as it is, and JAX_ENABLE_COMPILATION_CACHE=false has
none. A program is known by its operations, the compiler, its options and the devices: a change of any of them compiles
it anew.
"""

import contextlib
import warnings
from pathlib import Path
from typing import Any

import jax

from jaxcv.files import keep_last_used
from jaxcv.weights.downloading import cache_folder

SETTINGS: Any = jax.config
"""Its settings are made while it is imported: no checker of types knows them."""
FOLDER = 'programs'
MOST = 2 * 2**30
"""Bytes of the folder, above which the programs whose last use is the longest ago are deleted."""
SECONDS = 0.2
"""Programs that compile faster are not kept."""


def keep() -> None:
    """Keeps the programs that are compiled from now on, and takes those that are there, unless JAX was given a folder.

    Where the folder cannot be made or written to, every program is compiled.
    """
    # JAX writes an entry in place: one that another process has not finished, or never will, is compiled.
    warnings.filterwarnings('ignore', message='Error (reading|writing) persistent compilation cache entry')
    if SETTINGS.jax_compilation_cache_dir or not SETTINGS.jax_enable_compilation_cache:
        return
    with contextlib.suppress(OSError, ValueError):
        folder = cache_folder() / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        keep_last_used(folder, MOST)
        jax.config.update('jax_compilation_cache_dir', str(folder))
        jax.config.update('jax_persistent_cache_min_compile_time_secs', SECONDS)


def described() -> str:
    """Where compiled programs are kept, to follow other words; '' where they are not."""
    folder = SETTINGS.jax_compilation_cache_dir
    if not folder or not SETTINGS.jax_enable_compilation_cache:
        return ''
    path, home = Path(folder), Path.home()
    return f'; programs are kept in {Path("~") / path.relative_to(home) if path.is_relative_to(home) else folder}'
