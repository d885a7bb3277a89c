"""The launcher on two processes of two devices each, and what it wrote on one device."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments import evaluate
from experiments.run.exits import RESUME_ME

ROOT = Path(__file__).parents[2]


def start(arguments, port, index):
    environment = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'JAX_NUM_CPU_DEVICES': '2', 'PYTHONPATH': str(ROOT)}
    environment.pop('XLA_FLAGS', None)
    flags = [f'--coordinator=localhost:{port}', '--processes=2', f'--process={index}']
    command = [sys.executable, '-m', 'experiments.train', *arguments, *flags]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.slow
def test_two_processes_stop_together_resume_and_evaluate_on_one(command, tiny, tmp_path):
    workdir = tmp_path / 'run'
    arguments = [*tiny, f'--workdir={workdir}', '--config.training.sharding=fsdp', '--config.training.epochs=200.0']
    arguments += ['--config.training.save_every=100']
    with socket.socket() as free:
        free.bind(('localhost', 0))
        port = free.getsockname()[1]
    running = [start(arguments, port, index) for index in range(2)]
    while not (workdir / 'checkpoints' / '100').is_dir() and all(p.poll() is None for p in running):
        time.sleep(0.1)
    running[1].send_signal(signal.SIGTERM)  # one of them is told, both save
    said = [process.communicate(timeout=300)[0] for process in running]
    assert [process.returncode for process in running] == [RESUME_ME] * 2, '\n'.join(said)

    shorter = [*arguments, '--config.training.epochs=50.0', '--resume_with_changes']
    running = [start(shorter, port, index) for index in range(2)]
    said = [process.communicate(timeout=300)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], '\n'.join(said)

    ended = command(evaluate, f'--workdir={workdir}')
    assert ended.code == 0, ended.err
    assert 'digits, test: 597 images' in ended.out
