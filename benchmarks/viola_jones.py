"""Viola-Jones: time per frame, against OpenCV with the same cascade and options.

    python -m benchmarks.viola_jones [--cascades=frontalface_default,eye,smile] [--rounds=5] [--size=512]

The two take turns on the same frame, with one thread for OpenCV (`--threads`). Times are CPU time of the process, the
median over the rounds: on a machine with other jobs the wall clock measures those. The ratio is OpenCV / jaxcv in the
same round, again the median: above 1, jaxcv is the faster. The first call, which compiles, is given apart. Boxes are
compared in each round.

Measured on 2 CPU cores beside a run of tests, 5 rounds, the astronaut at 512 x 512, CPU time of jaxcv, of OpenCV, and
the ratio: frontalface_default 235 ms, 170 ms, 0.69; frontalface_alt 253, 223, 0.88; eye 168, 127, 0.75; smile 429, 305,
0.72; eye_tree_eyeglasses 401, 214, 0.53; first calls 3.5 to 4.7 s. NOT RUN on a GPU.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

import cv2
import jax
import numpy as np
import skimage.data

from benchmarks import turns
from jaxcv.classical import cascade_detector, cascade_xml


def timed(function: Callable[[], object]) -> tuple[float, object]:
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def main(options: argparse.Namespace) -> None:
    """Print the table."""
    if options.quick:
        options.rounds, options.size = 1, 192
    cv2.setNumThreads(options.threads)
    frame = cv2.resize(skimage.data.astronaut(), (options.size, options.size), interpolation=cv2.INTER_AREA)
    turned = np.ascontiguousarray(frame[..., ::-1])
    print(
        f'{jax.devices()[0].device_kind}, {options.rounds} rounds, {options.size} pixels, load {os.getloadavg()[0]:.1f}'
    )
    print(f'{"":<24}{"first call, s":>14}{"jaxcv, ms":>12}{"OpenCV, ms":>12}{"ratio":>8}{"boxes":>8}{"equal":>8}')
    for name in options.cascades.split(','):
        file = f'{cv2.data.haarcascades}haarcascade_{name}.xml'
        reference = cv2.CascadeClassifier(file)
        find = cascade_detector.detector(cascade_xml.load(file), scale_factor=1.1, min_neighbors=3)
        first, _ = timed(lambda find=find: find(frame))
        times, equal = [], True
        for _ in range(options.rounds):
            own, found = timed(lambda find=find: find(frame))
            other, boxes = timed(lambda reference=reference: reference.detectMultiScale(turned, 1.1, 3))
            times.append((own, other))
            expected = {(x, y, x + w, y + h) for x, y, w, h in np.reshape(boxes, (-1, 4)).tolist()}
            equal &= expected == set(map(tuple, found.boxes.tolist()))
        own, other = (1000 * statistics.median(column) for column in zip(*times, strict=True))
        ratio, spread = turns.ratios(*zip(*times, strict=True))
        found = turns.Row(f'cascade {name}', own / 1000, 'OpenCV', other / 1000, ratio, spread, compile=first)
        turns.record(options.out, found)
        print(f'{name:<24}{first:>14.1f}{own:>12.0f}{other:>12.0f}{ratio:>8.2f}{len(expected):>8}{equal!s:>8}')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--cascades', default='frontalface_default,frontalface_alt,eye,smile,eye_tree_eyeglasses')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--size', type=int, default=512)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--quick', action='store_true', help='one round of a small frame')
    turns.add_out(parser)
    main(parser.parse_args())
