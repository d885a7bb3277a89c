"""Time of finding the nearest of many training examples, against scikit-learn's brute force, in turn in one run.

    python -m benchmarks.knn [--rows=60000] [--queries 1 100 1000] [--k=5] [--rounds=5]

Each library is a process of its own on two cores; while one measures, the other waits. Rows and queries are float32
images of 28 x 28 pixels, as MNIST's: scikit-learn's digits enlarged, shifted by up to 2 pixels, with noise. Both give
the k nearest rows and their distances; scikit-learn by `NearestNeighbors(algorithm='brute')`.

Ratios above 1: jaxcv is faster. Measured on 2 idle CPU cores:

    queries   jaxcv, ms   scikit-learn, ms   ratio
    1              16.0               20.7   1.30 (1.20 to 1.44)
    100            79.3              114.8   1.45 (1.41 to 1.56)
    1,000         641.0            1,024.6   1.60 (1.53 to 1.62)
"""

import argparse
import os
from typing import Any

import numpy as np

from benchmarks import turns

SIDE, SHIFT = 28, 2


def main(arguments: argparse.Namespace) -> None:
    """Print the table."""
    turns.settle(arguments)
    if arguments.quick:
        arguments.rows, arguments.queries = min(arguments.rows, 2000), arguments.queries[:2]
    print(f'{arguments.rows:,} rows of {SIDE**2} numbers, k = {arguments.k}, load {os.getloadavg()[0]:.1f}')
    print(f'{"queries":>8}{"jaxcv, ms":>12}{"sklearn, ms":>13}{"ratio":>8}{"spread":>16}{"compiled in, s":>16}')
    for queries in arguments.queries:
        with turns.workers(LIBRARIES, str(queries), arguments) as (compiled, started):
            found = turns.compared(started, 'neighbors', rounds=arguments.rounds)
            peaks = turns.peaks(started, found)
        case = f'{queries:,} queries of {arguments.rows:,} x {SIDE**2}, k = {arguments.k}'
        turns.record(arguments.out, found.row(case, memory=peaks, compile=compiled))
        low, high = found.spread or (0, 0)
        print(
            f'{queries:>8,}{1e3 * found.own:12.2f}{1e3 * (found.peer or 0):13.2f}{found.ratio or 0:8.2f}'
            f'{f"{low:.2f} to {high:.2f}":>16}{compiled:16.1f}',
            flush=True,
        )


def images(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Digits of 28 x 28 pixels as rows of float32, each different, and which digits they are."""
    import cv2
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(seed)
    wide = SIDE + 2 * SHIFT
    digits = load_digits()
    large = [cv2.resize(image, (wide, wide), interpolation=cv2.INTER_LINEAR) for image in digits.images]
    corners = rng.integers(0, 2 * SHIFT + 1, (count, 2))
    chosen = rng.integers(0, len(large), count)
    rows = np.empty((count, SIDE, SIDE), np.float32)
    for row, place, (top, left) in zip(rows, chosen, corners, strict=True):
        row[...] = large[place][top : top + SIDE, left : left + SIDE]
    noisy = rows / 16 + 0.05 * rng.standard_normal(rows.shape, np.float32)
    return noisy.reshape(count, -1), digits.target[chosen].astype(np.int32)


def of_jaxcv(queries: str, arguments: Any) -> tuple[float, dict[str, Any]]:
    """Ours; the first answer is compared with scikit-learn's."""
    import time

    import jax
    from sklearn.neighbors import NearestNeighbors

    from jaxcv.classical import knn

    (rows, labels), (asked, _) = images(arguments.rows, 0), images(int(queries), 1)
    model = jax.block_until_ready(knn.fit(rows, labels))

    def neighbors() -> None:
        jax.block_until_ready(knn.neighbors(model, asked, k=arguments.k))

    start = time.perf_counter()
    neighbors()
    compiled = time.perf_counter() - start
    few = asked[:20]
    expected, _ = NearestNeighbors(n_neighbors=arguments.k, algorithm='brute').fit(rows).kneighbors(few)
    found, _ = knn.neighbors(model, few, k=arguments.k)
    if not np.allclose(found, expected, rtol=1e-3):
        raise RuntimeError("distances differ from scikit-learn's")
    return compiled, {'neighbors': neighbors}


def of_sklearn(queries: str, arguments: Any) -> tuple[None, dict[str, Any]]:
    """Its brute force."""
    from sklearn.neighbors import NearestNeighbors

    (rows, _), (asked, _) = images(arguments.rows, 0), images(int(queries), 1)
    model = NearestNeighbors(n_neighbors=arguments.k, algorithm='brute').fit(rows)
    return None, {'neighbors': lambda: model.kneighbors(asked)}


LIBRARIES: dict[str, turns.Passes] = {turns.OWN: of_jaxcv, 'scikit-learn': of_sklearn}

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--rows', type=int, default=60_000)
    parser.add_argument('--queries', type=int, nargs='+', default=[1, 100, 1000])
    parser.add_argument('--k', type=int, default=5)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--quick', action='store_true', help='one short round')
    turns.add_out(parser)
    main(parser.parse_args())
