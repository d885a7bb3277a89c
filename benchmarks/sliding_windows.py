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

from benchmarks import turns

CLASSES = 21
NOT_RUN, UNKNOWN = 'not-run', 'unknown'


def main(options: argparse.Namespace) -> None:
    """Print the table, a process a row."""
    if options.quick:
        options.height, options.width, options.window, options.overlap, options.whole = 200, 300, 128, 32, True
    print(f'{options.height} x {options.width} pixels, {options.model}, load {os.getloadavg()[0]:.1f}')
    print(f'{"":<28}{"memory, MB":>12}{"time, s":>10}', flush=True)
    found = []
    for row in ('windows', 'whole') if options.whole else ('windows', 'whole, as planned by XLA'):
        flags = [
            *(f'--{name}={getattr(options, name)}' for name in ('height', 'width', 'window', 'overlap', 'model')),
            f'--row={row}',
        ]
        command = [sys.executable, '-m', 'benchmarks.sliding_windows', *flags]
        done = subprocess.run(command, env={**os.environ, 'JAX_PLATFORMS': 'cpu'}, text=True, capture_output=True)
        if done.returncode:
            raise SystemExit(f'{row}: {done.stderr}')
        memory, seconds = done.stdout.split()
        found.append((memory, None if seconds == NOT_RUN else float(seconds)))
        print(f'{row:<28}{memory:>12}{seconds:>10}', flush=True)
    (memory, own), (planned, theirs) = found
    case = f'{options.height:,} x {options.width:,} by windows of {options.window}, {options.model}'
    gigabytes = (f'{float(memory) / 1e3:.2f}', '-' if planned == UNKNOWN else f'{float(planned) / 1e3:.2f}')
    ratio = theirs / own if theirs else None
    turns.record(options.out, turns.Row(case, own, 'whole image', theirs, ratio, memory=gigabytes))


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
        memory = UNKNOWN if planned is None else f'{(planned.temp_size_in_bytes + image[..., 0].size) / 1e6:.0f}'
        print(f'{memory:>12}{NOT_RUN:>10}')
        return
    if options.row == 'whole':
        segment = lambda image: np.asarray(jax.jit(whole)(variables, image[None]))  # noqa: E731
    else:
        mask_of = tasks.windowed(task, window=options.window, overlap=options.overlap)
        segment = functools.partial(mask_of, variables)
    before, began = _peak(), time.perf_counter()
    segment(image)
    print(f'{_peak() - before:12.0f}{time.perf_counter() - began:10.2f}')


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
    parser.add_argument('--quick', action='store_true', help='a small image, which is run whole too')
    parser.add_argument('--row', help=argparse.SUPPRESS)
    turns.add_out(parser)
    arguments = parser.parse_args()
    measure(arguments) if arguments.row else main(arguments)
