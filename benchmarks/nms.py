"""Non-maximum suppression and the whole post-processing of RetinaNet, against torchvision's and OpenCV's.

    pip install -r benchmarks/requirements.txt
    python -m benchmarks.nms [--boxes 100 1000 10000 --rounds 15]

Rows:

    nms           `ops.nms` of boxes of one class, all that are kept, against torchvision.ops.nms and cv2.dnn.NMSBoxes,
                  both compiled. On a plane of 1,000 x 1,000 pixels ('sparse') most boxes are kept, on one of
                  200 x 200 ('dense') few.
    post-process  `ops.select_detections`, as RetinaNet has it (so many anchors on 5 maps, 91 classes, the best 1,000
                  scores above 0.05 of each map, 300 objects), against torchvision's own function, Python around
                  compiled operations: topk, decoding, clipping, nms by class.

Where torchvision's compiled operations do not load, as where its wheel was built for another torch, its nms is left
out, and its post-processing runs with OpenCV's in the place of its own; the table says so.

All in one process by turns, float32, 2 threads each; arrays are ready in each library's own form. A time is the median
over the rounds, a ratio the peer's time over jaxcv's in the same round, again the median: above 1, jaxcv is faster.
Each row begins with a check that the libraries keep the same boxes, all but those that rounding decides.

Measured on 2 idle cores, ms, and the ratio against OpenCV's (torchvision's compiled operations did not load there):

    boxes             100           1,000            10,000
    nms, sparse      0.106  0.38    0.603   8.66    18.390  14.33
    nms, dense       0.082  0.43    0.452   4.32     7.610   4.34
    post-process     1.088          1.987            5.350

NOT RUN beside torchvision's compiled operations, nor on a GPU.
"""

import argparse
import importlib
import os
import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import turns
from jaxcv import ops

THREADS = 2
LEAST_SECONDS = 0.05
"""Of a measurement: what is faster is repeated."""
CLASSES = 91
SHARES = (0.75, 0.1875, 0.047, 0.0117)
"""Of the anchors, on the finer maps; the coarsest has the rest."""
IMAGE = 800
Run = Callable[[], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description="Suppression and post-processing against torchvision's and OpenCV's.")
    parser.add_argument('--boxes', type=int, nargs='+', default=(100, 1000, 10_000), help='numbers of boxes')
    parser.add_argument('--rounds', type=int, default=15, help='how often the libraries take turns')
    parser.add_argument('--quick', action='store_true', help='one round, to see that it runs')
    turns.add_out(parser)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds = 1

    if hasattr(os, 'sched_setaffinity'):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    cv2.setNumThreads(THREADS)
    torch, has_nms = load_torch()
    print(f'load before: {os.getloadavg()[0]:.1f}')
    print(f'{"":<20}{"boxes":>8}{"kept":>7}{"jaxcv ms":>10}   peer: ms, ratio', flush=True)
    for count in arguments.boxes:
        for name, side in (('nms, sparse', 1000.0), ('nms, dense', 200.0)):
            boxes, scores = random_boxes(count, side)
            measure(name, count, *suppressions(boxes, scores, torch if has_nms else None), arguments)
    for count in arguments.boxes:
        measure('post-process', count, *post_processings(count, torch, has_nms), arguments)


def load_torch() -> tuple[Any, bool]:
    """Return torch and whether torchvision's compiled operations load; None, where there is no torchvision."""
    try:
        torch = importlib.import_module('torch')
        importlib.import_module('torchvision')
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision built for another torch
        print(f'torchvision is left out: {error} (pip install -r benchmarks/requirements.txt)')
        return None, False
    torch.set_num_threads(THREADS)
    has_nms = any('torchvision' in str(path) for path in torch.ops.loaded_libraries)
    if not has_nms:
        print("torchvision's compiled operations do not load here")
    return torch, has_nms


def measure(name: str, count: int, runs: dict[str, Run], kept: dict[str, set], arguments: Any) -> None:
    """Print a row."""
    ours = kept['jaxcv']
    apart = {peer: len(ours ^ found) for peer, found in kept.items()}
    if any(differing > max(4, 0.01 * len(ours)) for differing in apart.values()):
        raise AssertionError(f'{name} of {count}: the kept boxes differ from ours by {apart}')
    counts = {peer: repeats(run) for peer, run in runs.items()}
    seconds: dict[str, list[float]] = {peer: [] for peer in runs}
    for _ in range(arguments.rounds):
        for peer, run in runs.items():
            start = time.perf_counter()
            for _ in range(counts[peer]):
                run()
            seconds[peer].append((time.perf_counter() - start) / counts[peer])
    own = seconds.pop('jaxcv')
    line = f'{name:<20}{count:>8,}{len(ours):>7,}{1e3 * statistics.median(own):>10.3f}'
    for peer, times in seconds.items():
        ratio, spread = turns.ratios(own, times)
        theirs = statistics.median(times)
        line += f'   {peer}: {1e3 * theirs:.3f}, {ratio:.2f}'
        case = f'{name}, {count:,} boxes'
        turns.record(arguments.out, turns.Row(case, statistics.median(own), peer, theirs, ratio, spread))
    print(line, flush=True)


def repeats(run: Run) -> int:
    """Warm up, and return how many calls last long enough."""
    run()
    start = time.perf_counter()
    run()
    return max(1, round(LEAST_SECONDS / (time.perf_counter() - start)))


def random_boxes(count: int, side: float) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes of 20 to 120 pixels on a square, xyxy, and their scores; float32."""
    rng = np.random.default_rng(0)
    centres, sides = rng.uniform(0, side, (count, 2)), rng.uniform(20, 120, (count, 2))
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
    return boxes.astype(np.float32), rng.permutation(np.linspace(0.01, 1, count)).astype(np.float32)


def suppressions(boxes: np.ndarray, scores: np.ndarray, torch: Any) -> tuple[dict[str, Run], dict[str, set]]:
    """Return the libraries' functions without arguments, and the boxes that each keeps."""
    on_device = jnp.asarray(boxes), jnp.asarray(scores)
    compiled = jax.jit(lambda boxes, scores: ops.nms(boxes, scores, threshold=0.5, max_out=len(scores)))
    corners = boxes.astype(np.float64)
    lengths = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    runs: dict[str, Run] = {
        'jaxcv': lambda: jax.block_until_ready(compiled(*on_device)),
        'cv2': lambda: cv2.dnn.NMSBoxes(lengths, scores, 0.0, 0.5),
    }
    found = compiled(*on_device)
    kept = {
        'jaxcv': set(np.asarray(found.indices)[np.asarray(found.valid)].tolist()),
        'cv2': set(np.asarray(runs['cv2']()).tolist()),
    }
    if torch is not None:
        nms = importlib.import_module('torchvision.ops').nms
        tensors = torch.from_numpy(boxes), torch.from_numpy(scores)
        runs['torchvision'] = lambda: nms(*tensors, 0.5)
        kept['torchvision'] = set(runs['torchvision']().tolist())
    return runs, kept


def post_processings(count: int, torch: Any, has_nms: bool) -> tuple[dict[str, Run], dict[str, set]]:
    """Return the libraries' functions without arguments, and the objects that each finds: (class, score)."""
    rng = np.random.default_rng(1)
    sizes = [max(1, int(share * count)) for share in SHARES]
    sizes.append(max(1, count - sum(sizes)))
    anchors = [random_boxes(size, IMAGE)[0] for size in sizes]
    codes = [rng.normal(0, 0.1, (size, 4)).astype(np.float32) for size in sizes]
    # One pair of an anchor and a class in a hundred has a score above 0.05.
    logits = [rng.normal(-6, 1.31, (size, CLASSES)).astype(np.float32) for size in sizes]
    coder = ops.box_coder()

    @jax.jit
    def compiled(logits: Any, codes: Any, anchors: Any) -> ops.Detections:
        scores = [jax.nn.sigmoid(x) for x in logits]
        return ops.select_detections(scores, codes, anchors, coder=coder, size=(IMAGE, IMAGE), most=300)

    on_device = [[jnp.asarray(x) for x in part] for part in (logits, codes, anchors)]
    runs: dict[str, Run] = {'jaxcv': lambda: jax.block_until_ready(compiled(*on_device))}
    found = compiled(*on_device)
    real = np.asarray(found.box_valid)
    kept = {'jaxcv': objects(np.asarray(found.box_labels)[real], np.asarray(found.scores)[real])}
    if torch is None:
        return runs, kept
    retinanet = importlib.import_module('torchvision.models.detection.retinanet')
    utils = importlib.import_module('torchvision.models.detection._utils')
    name = 'torchvision'
    if not has_nms:
        name = "torchvision with cv2's nms"
        retinanet.box_ops.batched_nms = lambda *arguments: batched_nms(torch, *arguments)
    settings = SimpleNamespace(
        score_thresh=0.05,
        topk_candidates=1000,
        nms_thresh=0.5,
        detections_per_img=300,
        box_coder=utils.BoxCoder(weights=(1.0, 1.0, 1.0, 1.0)),
    )
    outputs = {
        'cls_logits': [torch.from_numpy(x)[None] for x in logits],
        'bbox_regression': [torch.from_numpy(x)[None] for x in codes],
    }
    places = [[torch.from_numpy(x) for x in anchors]]

    def run() -> Any:
        with torch.no_grad():
            return retinanet.RetinaNet.postprocess_detections(settings, outputs, places, [(IMAGE, IMAGE)])

    runs[name] = run
    theirs = run()[0]
    kept[name] = objects(theirs['labels'].numpy(), theirs['scores'].numpy())
    return runs, kept


def batched_nms(torch: Any, boxes: Any, scores: Any, labels: Any, threshold: float) -> Any:
    """Suppress by class with OpenCV: tensors in and out, as torchvision's function."""
    corners = boxes.numpy().astype(np.float64)
    lengths = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxesBatched(lengths, scores.numpy(), labels.numpy().astype(np.int32), 0.0, threshold)
    return torch.from_numpy(np.asarray(kept, np.int64))


def objects(labels: np.ndarray, scores: np.ndarray) -> set[tuple[int, float]]:
    """Return classes and scores, to compare."""
    return {(int(label), round(float(score), 4)) for label, score in zip(labels, scores, strict=True)}


if __name__ == '__main__':
    main()
