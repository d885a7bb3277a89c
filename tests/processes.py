"""Two processes that train together, for the tests that compare them with one."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_two(module, *arguments, devices=4):
    """Runs `python -m module ADDRESS INDEX *arguments` twice, each with devices, until both have ended well."""
    with socket.socket() as free:
        free.bind(('localhost', 0))
        address = f'localhost:{free.getsockname()[1]}'
    environment = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'JAX_NUM_CPU_DEVICES': str(devices), 'PYTHONPATH': str(ROOT)}
    environment.pop('XLA_FLAGS', None)
    running = [
        subprocess.Popen(
            [sys.executable, '-m', module, address, str(index), *map(str, arguments)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]
    said = [process.communicate(timeout=300)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], '\n'.join(said)
