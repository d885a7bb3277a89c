"""Weights that a name makes, so that a test and a tool that runs PyTorch have the same ones without storing them."""

import re
import zlib

import numpy as np

# The last norm of a residual branch of EfficientNets: their dozens of branches would add up to overflow what float32
# can tell apart.
LAST_NORM = re.compile(r'\.block\.3\.1\.weight$|^blocks\..*\.bn3\.weight$')


def seeded(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Make a float32 array from its (PyTorch) name, of a size that keeps activations near 1."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    if name.endswith('num_batches_tracked'):
        return np.zeros(shape, np.int64)
    values = rng.standard_normal(shape)
    if name == 'images':
        return values.astype(np.float32)
    if len(shape) > 1:
        values *= np.sqrt(2 / np.prod(shape[1:]))
    elif name.endswith(('running_var', 'weight')):
        values = 0.75 + 0.5 * rng.random(shape)
        if LAST_NORM.search(name):
            values *= 0.3
    else:
        values *= 0.1
    return values.astype(np.float32)
