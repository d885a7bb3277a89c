"""Freed memory that stays with the process."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource
from jaxcv.host_memory import keep_freed_memory
assert keep_freed_memory()
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = bytearray(2**27)
    del block
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='glibc has the settings')
def test_a_block_is_mapped_once():
    done = subprocess.run([sys.executable, '-c', PROGRAM], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100  # of 32,768 pages
