"""One of two processes of `test_parallel`: trains on its half of each batch; process 0 writes the state."""

import sys

import jax
import numpy as np

from jaxcv import training
from tests.training import problem

if __name__ == '__main__':
    address, index, output = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    training.initialize_processes(address, 2, index)
    assert (jax.device_count(), jax.local_device_count()) == (8, 4)
    half = problem.BATCH // 2
    state = problem.train(training.make_mesh(), local=slice(index * half, (index + 1) * half))
    if index == 0:
        np.savez(output, **problem.flat(state))
