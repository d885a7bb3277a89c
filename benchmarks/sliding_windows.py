"""Memory and time of segmenting one large image: by sliding windows, and as a whole.

    python -m benchmarks.sliding_windows [--height=4000] [--width=6000] [--window=512] [--overlap=128] [--model=conv]

Each row is a process of its own on the CPU; `memory` is by how much its peak grew after the image and the network were
there, compiling included. The whole image is run for small images only (`--whole`); else it is compiled, and the memory
that XLA plans is printed. 'conv' is three 3x3 convolutions of 16 channels and 21 classes, 'fcn' FCN-32s on ResNet-18.

Measured on 2 CPU cores shared with other jobs (load 7), 'conv', 4,000 x 6,000 pixels: windows 390 MB and 37 s, where
the whole image needs 3,576 MB. Of windows, 258 MB are the band that they are added up in, 512 x 6,000 x 21 floats: so
the memory grows with the width only (336 MB for 1,000 x 1,500). 'fcn', on idle cores: 449 MB and 24.7 s, where the
whole image needs 2,232 MB. NOT RUN on a GPU.
"""

import argparse
import functools
import os
import resource
import subprocess
import sys
import time

CLASSES = 21


def main(options: argparse.Namespace) -> None:
    """Print the table, a process a row."""
    print(f'{options.height} x {options.width} pixels, {options.model}, load {os.getloadavg()[0]:.1f}')
    print(f'{"":<28}{"memory, MB":>12}{"time, s":>10}', flush=True)
    for row in ('windows', 'whole') if options.whole else ('windows', 'whole, as planned by XLA'):
        command = [sys.executable, '-m', 'benchmarks.sliding_windows', '--row', row, *sys.argv[1:]]
        done = subprocess.run(command, env={**os.environ, 'JAX_PLATFORMS': 'cpu'}, text=True, capture_output=True)
        print(f'{row:<28}{done.stdout.strip() if not done.returncode else done.stderr[-300:]}', flush=True)


def measure(options: argparse.Namespace) -> None:
    """Print one row's numbers."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from flax import linen as nn

    from jaxcv import models, tasks

    class Convolutions(nn.Module):
        """Three convolutions."""

        @nn.compact
        def __call__(self, x, *, train=False):
            for i in range(2):
                x = nn.relu(nn.Conv(16, (3, 3), name=f'conv{i}')(x))
            return nn.Conv(CLASSES, (3, 3), name='head')(x)

    def make_model():
        if options.model == 'conv':
            return Convolutions()
        return models.segmentation.fcn32s(backbone=models.resnet18(), num_classes=CLASSES)

    task = tasks.segmentation(make_model(), num_classes=CLASSES)
    image = np.random.default_rng(0).integers(0, 256, (options.height, options.width, 3)).astype(np.uint8)
    example = {'image': jnp.zeros((1, 64, 64, 3), jnp.uint8), 'valid': jnp.ones(1, bool)}
    variables = jax.jit(task.init)(jax.random.key(0), example)
    jax.block_until_ready(variables)

    def whole(variables, images):
        return task.predict(variables, {'image': images, 'valid': jnp.ones(1, bool)})['mask'].astype(jnp.uint8)

    if options.row.endswith('XLA'):
        shape = jax.ShapeDtypeStruct((1, *image.shape), jnp.uint8)
        planned = jax.jit(whole).lower(variables, shape).compile().memory_analysis()
        memory = 'unknown' if planned is None else f'{(planned.temp_size_in_bytes + image[..., 0].size) / 1e6:.0f}'
        print(f'{memory:>12}{"not run":>10}')
        return
    if options.row == 'whole':
        segment = lambda image: np.asarray(jax.jit(whole)(variables, image[None]))  # noqa: E731
    else:
        mask_of = tasks.windowed(task, window=options.window, overlap=options.overlap)
        segment = functools.partial(mask_of, variables)
    before, began = _peak(), time.perf_counter()
    segment(image)
    print(f'{_peak() - before:12.0f}{time.perf_counter() - began:10.1f}')


def _peak() -> float:
    """Return the peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--height', type=int, default=4000)
    parser.add_argument('--width', type=int, default=6000)
    parser.add_argument('--window', type=int, default=512)
    parser.add_argument('--overlap', type=int, default=128)
    parser.add_argument('--model', choices=['conv', 'fcn'], default='conv')
    parser.add_argument('--whole', action='store_true', help='run the whole image too')
    parser.add_argument('--row', help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    measure(arguments) if arguments.row else main(arguments)
