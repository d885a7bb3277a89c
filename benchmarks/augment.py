"""Augmentations of a batch: jaxcv's on the device against torchvision's v2 on the host, in turn in one run.

    pip install -r benchmarks/requirements.txt
    python -m benchmarks.augment [random_flip random_resized_crop ...] [--rounds=5]

64 float images of 224x224. torchvision draws once for all it is given, so it gets one image after another, as a
DataLoader's workers do, with torch's own threads; jaxcv draws for each image of the batch. Each side lives in a process
of its own on the same two cores; they take turns (`benchmarks.turns`). Ratios above 1: jaxcv is faster.

Measured on 2 idle CPU cores, torch 2.13.0, jaxcv / torchvision with the ratios of the rounds:

    random_flip           1.71 (1.54 to 1.75)      random_hue     4.72 (4.32 to 4.93)
    random_resized_crop   1.37 (1.21 to 1.41)      color_jitter   1.22 (1.15 to 1.27)
    random_brightness     1.64 (1.57 to 1.71)      mixup          2.07 (1.82 to 2.27)
    random_contrast       2.06 (1.88 to 2.17)      cutmix         3.65, with other jobs
    random_saturation     2.69 (2.56 to 2.96)      rand_augment   0.95 (0.79 to 3.10), with other jobs

On a CPU rand_augment computes for each image what any of its operations would need; torchvision only what was drawn.
"""

import argparse
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import turns

SIZE, BATCH = 224, 64
NAMES = (
    'random_flip',
    'random_resized_crop',
    'random_brightness',
    'random_contrast',
    'random_saturation',
    'random_hue',
    'color_jitter',
    'mixup',
    'cutmix',
    'rand_augment',
)


def main(arguments: argparse.Namespace) -> None:
    """Print the table."""
    turns.settle(arguments)
    if arguments.quick:
        arguments.size, arguments.batch, arguments.names = 32, 4, arguments.names[:2]
    print(f'{arguments.batch} images of {arguments.size} x {arguments.size}, load {os.getloadavg()[0]:.1f}')
    print(f'{"":<20}{"jaxcv, ms":>12}{"torchvision, ms":>18}{"ratio":>8}{"spread":>16}{"compiled in, s":>16}')
    for name in arguments.names:
        with turns.workers(LIBRARIES, name, arguments) as (compiled, started):
            found = turns.compared(started, name, rounds=arguments.rounds)
            peaks = turns.peaks(started, found)
        turns.record(arguments.out, found.row(name, memory=peaks, compile=compiled))
        low, high = found.spread or (0, 0)
        print(
            f'{name:<20}{1e3 * found.own:12.2f}{1e3 * (found.peer or 0):18.2f}{found.ratio or 0:8.2f}'
            f'{f"{low:.2f} to {high:.2f}":>16}{compiled:16.1f}',
            flush=True,
        )


def of_jaxcv(name: str, arguments: Any) -> tuple[float, dict[str, Callable[[], None]]]:
    """Ours, compiled, with another key each time."""
    import functools
    import time

    import jax
    import jax.numpy as jnp

    from jaxcv.augment import color, geometric, mixing, randaugment

    options: dict[str, dict[str, int]] = {
        'random_resized_crop': {'size': arguments.size},
        **{name: {'num_classes': 1000} for name in ('mixup', 'cutmix')},
    }
    images = np.random.default_rng(0).random((arguments.batch, arguments.size, arguments.size, 3), np.float32)
    batch = {'image': jnp.asarray(images), 'label': jnp.arange(arguments.batch)}
    keys = iter(jax.random.split(jax.random.key(0), 100_000))
    module = next(module for module in (color, geometric, mixing, randaugment) if hasattr(module, name))
    function = jax.jit(functools.partial(getattr(module, name), **options.get(name, {})))

    def run() -> None:
        jax.block_until_ready(function(next(keys), batch))

    start = time.perf_counter()
    run()
    return time.perf_counter() - start, {name: run}


def of_torchvision(name: str, arguments: Any) -> tuple[None, dict[str, Callable[[], None]]]:
    """Its own of the second version, image after image; mixup and cutmix of the batch."""
    import torch
    from torchvision.transforms import v2

    torch.set_num_threads(turns.THREADS)
    shape = (arguments.batch, 3, arguments.size, arguments.size)
    images = torch.from_numpy(np.random.default_rng(0).random(shape, np.float32))
    labels = torch.arange(arguments.batch)
    of_one = {
        'random_flip': lambda: v2.RandomHorizontalFlip(),
        'random_resized_crop': lambda: v2.RandomResizedCrop(arguments.size, antialias=True),
        'random_brightness': lambda: v2.ColorJitter(brightness=0.4),
        'random_contrast': lambda: v2.ColorJitter(contrast=0.4),
        'random_saturation': lambda: v2.ColorJitter(saturation=0.4),
        'random_hue': lambda: v2.ColorJitter(hue=0.1),
        'color_jitter': lambda: v2.ColorJitter(0.4, 0.4, 0.4, 0.1),
        'rand_augment': lambda: v2.RandAugment(),
    }
    of_a_batch = {
        'mixup': lambda: v2.MixUp(alpha=0.2, num_classes=1000),
        'cutmix': lambda: v2.CutMix(alpha=1.0, num_classes=1000),
    }
    if name in of_one:
        one = of_one[name]()
        return None, {name: lambda: torch.stack([one(image) for image in images])}
    whole = of_a_batch[name]()
    return None, {name: lambda: whole(images, labels)}


LIBRARIES: dict[str, turns.Passes] = {turns.OWN: of_jaxcv, 'torchvision': of_torchvision}

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('names', nargs='*', metavar='augmentation', help='all by default', default=NAMES)
    parser.add_argument('--size', type=int, default=SIZE)
    parser.add_argument('--batch', type=int, default=BATCH)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--quick', action='store_true', help='one short round of small images, of the first two')
    turns.add_out(parser)
    main(parser.parse_args())
