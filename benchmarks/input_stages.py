"""Cost of each stage of the input pipeline, its scaling with threads, and its memory over epochs.

    python -m benchmarks.input_stages [--width=500] [--photos=512] [--threads 1 2] [--epochs=10] [--reduced]

ImageNet's training input as in `benchmarks.input_pipeline`, of that size; `--reduced` decodes at a reduced scale where
the crop allows it (`transforms.decode`). First the CPU time of each stage for an image in one thread, the least of
several passes; then images a second and the CPU time of all threads; then the resident memory after each epoch.

Measured on 2 idle CPU cores, with simplejpeg, ms of CPU for an image:

                               500 x 375   2,000 x 1,500, --reduced
    read the file                  0.012                      0.050
    decode all of it               0.656                     13.2
    crop and resize that           0.135                      0.991
    decode, crop and resize        0.679                      3.78
    flip, check, copy              0.024                      0.025
    all together                   0.761                      3.95
    1 thread                       0.786                      4.02
    2 threads                      0.830                      4.13
    images/s, 1 and 2 threads      1,274 and 2,218            249 and 476

Resident after each of ten epochs of 512 photos: 339 to 351 MB.
"""

import argparse
import os
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2

from benchmarks.input_pipeline import BATCH, SIZE, make_photos
from jaxcv import data
from jaxcv.data.collate import Rows
from jaxcv.data.reading import checked, reader
from jaxcv.data.transforms import compose

PASSES = 9


def main(options: argparse.Namespace) -> None:
    """Print the three tables."""
    if options.quick:
        options.photos, options.epochs = BATCH, 2
    print(f'{options.width} x {options.width * 3 // 4}, {options.photos} photos, load {os.getloadavg()[0]:.1f}')
    with tempfile.TemporaryDirectory() as folder:
        make_photos(Path(folder), options.photos, options.width)
        source = data.source('folder', split='train', data_dir=folder)
        decode = data.transforms.decode(reduced=options.reduced)
        steps = [decode, data.transforms.random_resized_crop(size=SIZE), data.transforms.random_flip()]
        for name, milliseconds in stages(source, steps).items():
            print(f'{name:<24}{milliseconds:8.3f} ms of CPU', flush=True)
        for threads in options.threads:
            speed, cost = flow(source, steps, threads, options.photos)
            print(f'{threads} thread{"s" * (threads > 1):<17}{speed:8.0f} images/s, {cost:.3f} ms of CPU', flush=True)
        memory = [f'{megabytes:.0f}' for megabytes in epochs(source, steps, options.epochs)]
        print(f'resident after each epoch, MB: {" ".join(memory)}')


def stages(source: Any, steps: Sequence[Callable]) -> dict[str, float]:
    """Milliseconds of CPU that an image takes, by stage; a crop decodes what it needs."""
    count = min(source.size, BATCH)
    cv2.setNumThreads(0)
    raw = [{**source.read(index), 'seed': 7919 * index, 'batch_seed': 0} for index in range(count)]
    cropped = [compose(steps[:2])(example) for example in raw]
    whole, read, rows = compose(steps[:1]), reader(source, steps), Rows(count, source.where)
    decoded = [whole(example) for example in raw]
    done = [read(index, 7919 * index) for index in range(count)]
    runs: dict[str, Callable[[int], Any]] = {
        'read the file': source.read,
        'decode all of it': lambda index: whole(raw[index]),
        'crop and resize that': lambda index: steps[1](decoded[index]),
        'decode, crop and resize': lambda index: compose(steps[:2])(raw[index]),
        'flip': lambda index: steps[2](cropped[index]),
        'check the features': lambda index: checked(cropped[index], source.names),
        'copy into the batch': lambda index: rows.put(index, done[index]),
        'all together': lambda index: rows.put(index, read(index, 7919 * index)),
    }
    return {name: least(run, count) for name, run in runs.items()}


def least(run: Callable[[int], Any], count: int) -> float:
    """Milliseconds of CPU for each of so many calls, the least of several passes."""
    found = []
    for _ in range(PASSES):
        start = time.thread_time()
        for index in range(count):
            run(index)
        found.append(1e3 * (time.thread_time() - start) / count)
    return min(found)


def flow(source: Any, steps: Sequence[Callable], threads: int, images: int) -> tuple[float, float]:
    """Images a second, and milliseconds of CPU of all threads for one."""
    batches = data.train_batches(source, batch_size=BATCH, transforms=steps, seed=0, threads=threads, buffer=4)
    for _ in range(threads + 4):  # from an empty buffer to a steady flow
        next(batches)
    start, cpu = time.perf_counter(), time.process_time()
    count = max(1, images // BATCH)
    for _ in range(count):
        next(batches)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return count * BATCH / seconds, 1e3 * cpu / (count * BATCH)


def epochs(source: Any, steps: Sequence[Callable], count: int) -> list[float]:
    """Resident megabytes after each epoch, as Linux tells it."""
    batches = data.train_batches(source, batch_size=BATCH, transforms=steps, seed=0)
    found = []
    for _ in range(count):
        for _ in range(max(1, source.size // BATCH)):
            next(batches)
        status = re.search(r'VmRSS:\s+(\d+) kB', Path('/proc/self/status').read_text())
        found.append(int(status[1]) / 1e3 if status else float('nan'))
    return found


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--width', type=int, default=500, help='of the photos, in pixels')
    parser.add_argument('--photos', type=int, default=512)
    parser.add_argument('--threads', type=int, nargs='+', default=[1, 2])
    parser.add_argument('--epochs', type=int, default=10)
    parser.add_argument('--reduced', action='store_true', help='decode at a reduced scale where the crop allows it')
    parser.add_argument('--quick', action='store_true', help='two epochs of few photos')
    main(parser.parse_args())
