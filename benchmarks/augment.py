"""Augmentations, images a second: jaxcv's on the device, a batch at a time, against torchvision's v2 on the host.

    PYTHONPATH=. python benchmarks/augment.py     (with torch, torchvision and jaxcv's requirements)

64 float images of 224x224. torchvision draws once for all it is given, so it gets one image after another, as a
DataLoader's workers do, with torch's own threads; jaxcv draws for each image of the batch. Each side lives in a process
of its own; they take turns. Ratios are medians over the rounds.

Measured in 3 rounds on 2 cores with many other jobs on them (load 7), torch 2.13.0; jaxcv / torchvision:

    random_flip           1.36      random_hue       5.50
    random_resized_crop   0.51      mixup            4.02
    random_brightness     2.41      cutmix           3.65
    random_contrast       1.63      rand_augment     0.95 (0.79 to 3.10)
    random_saturation     2.73

color_jitter's ratio, 0.73 to 36 in that run, needs a quiet machine. On a CPU rand_augment computes for each image what
any of its operations would need; torchvision only what was drawn.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

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


def jaxcv() -> dict[str, Callable[[], Any]]:
    import functools

    import jax
    import jax.numpy as jnp

    from jaxcv.augment import color, geometric, mixing, randaugment

    options = {'random_resized_crop': {'size': SIZE}, 'mixup': {'num_classes': 1000}, 'cutmix': {'num_classes': 1000}}
    images = np.random.default_rng(0).random((BATCH, SIZE, SIZE, 3), np.float32)
    batch = {'image': jnp.asarray(images), 'label': jnp.arange(BATCH)}
    keys = iter(jax.random.split(jax.random.key(0), 10_000))

    def bind(name: str) -> Callable[[], Any]:
        module = next(module for module in (color, geometric, mixing, randaugment) if hasattr(module, name))
        function = jax.jit(functools.partial(getattr(module, name), **options.get(name, {})))
        return lambda: jax.block_until_ready(function(next(keys), batch))

    return {name: bind(name) for name in NAMES}


def torchvision() -> dict[str, Callable[[], Any]]:
    import torch
    from torchvision.transforms import v2

    images = torch.from_numpy(np.random.default_rng(0).random((BATCH, 3, SIZE, SIZE), np.float32))
    labels = torch.arange(BATCH)
    of_one = {
        'random_flip': v2.RandomHorizontalFlip(),
        'random_resized_crop': v2.RandomResizedCrop(SIZE, antialias=True),
        'random_brightness': v2.ColorJitter(brightness=0.4),
        'random_contrast': v2.ColorJitter(contrast=0.4),
        'random_saturation': v2.ColorJitter(saturation=0.4),
        'random_hue': v2.ColorJitter(hue=0.1),
        'color_jitter': v2.ColorJitter(0.4, 0.4, 0.4, 0.1),
        'rand_augment': v2.RandAugment(),
    }
    of_a_batch = {'mixup': v2.MixUp(alpha=0.2, num_classes=1000), 'cutmix': v2.CutMix(alpha=1.0, num_classes=1000)}
    return {
        **{name: lambda f=f: torch.stack([f(image) for image in images]) for name, f in of_one.items()},
        **{name: lambda f=f: f(images, labels) for name, f in of_a_batch.items()},
    }


SIDES = {'jaxcv': jaxcv, 'torchvision': torchvision}


def serve(side: str) -> None:
    """Answer each line of the input, a name, with images a second; in a process of its own."""
    augmentations = SIDES[side]()
    for line in sys.stdin:
        start = time.perf_counter()
        augmentations[line.strip()]()
        print(BATCH / (time.perf_counter() - start), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('names', nargs='*', metavar='augmentation', help='all by default', default=NAMES)
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--serve', choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(options.serve)

    workers = {
        side: subprocess.Popen(
            [sys.executable, __file__, f'--serve={side}'],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        for side in SIDES
    }  # fmt: skip
    print('                       jaxcv   torchvision   ratio   (images/s, medians)')
    for name in options.names:
        speeds: dict[str, list[float]] = {side: [] for side in SIDES}
        for turn in range(options.rounds + 1):  # the first compiles
            for side, worker in workers.items():
                worker.stdin.write(f'{name}\n')
                worker.stdin.flush()
                speed = json.loads(worker.stdout.readline())
                if turn:
                    speeds[side].append(speed)
        ratios = [mine / other for mine, other in zip(*speeds.values(), strict=True)]
        mine, other = map(statistics.median, speeds.values())
        spread = f'{min(ratios):.2f} to {max(ratios):.2f}'
        print(f'{name:20} {mine:7.0f}  {other:12.0f}  {statistics.median(ratios):6.2f}   ({spread})', flush=True)
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()


if __name__ == '__main__':
    main()
