"""Memory of the host: freed blocks that stay with the process."""

import ctypes
import sys

# The numbers of <malloc.h>. Large blocks come from the heap, not from maps of their own; the heap is never cut, and
# grows by a gigabyte; threads share it, since the heap that glibc would give each has no room for large blocks.
SETTINGS = {'M_MMAP_MAX': (-4, 0), 'M_TRIM_THRESHOLD': (-1, -1), 'M_TOP_PAD': (-2, 2**30), 'M_ARENA_MAX': (-8, 1)}
"""Of glibc's `mallopt`: name -> (its number, our value)."""


def keep_freed_memory() -> bool:
    """Keep freed memory in the process, so that a program on a CPU finds its pages there at its next run.

    A compiled program allocates all its intermediate values at once and frees them at its end. glibc takes a block of
    that size from the system and gives it back, and the system clears each page of 4 KB again at its first use: in a
    train step of MobileNet v2 (8 images of 224 px) 114,000 times, a third of the step's CPU time, 0.21 of 0.67 s. After
    this call no page is cleared but in the first step.

    It is for the start of a program, before threads are, as `experiments.launch` has it; a library leaves the choice to
    the program. It holds until the process ends, which keeps its largest size, and compiling takes up to 5 % more CPU
    time. Accelerators have memory of their own, which it does not concern.

    Returns:
        Whether it holds: only Linux with glibc has these settings.

    Example:
        >>> import subprocess
        >>> program = 'from jaxcv.host_memory import keep_freed_memory; keep_freed_memory()'
        >>> subprocess.run([sys.executable, '-c', program]).returncode
        0
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None) if sys.platform == 'linux' else None
    return mallopt is not None and all(mallopt(number, value) == 1 for number, value in SETTINGS.values())
