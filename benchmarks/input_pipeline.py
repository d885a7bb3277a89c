"""ImageNet's training input, images a second: jaxcv against a torch DataLoader with Pillow and against tf.data.

    pip install -r benchmarks/requirements.txt
    python -m benchmarks.input_pipeline [--widths 500 2000] [--rounds=7]

Random resized crop to 224 and a flip, batches of 64 as uint8, from JPEGs of 500x375 and of 2000x1500 in a folder; 2
threads, 2 torch workers, 2 parallel calls of tf.data. Each loader lives in a process of its own; they take turns, and
only the steady flow is timed. Ratios are medians over the rounds; above 1, jaxcv is faster.

Measured on 2 idle CPU cores, with simplejpeg; images a second, and the ratios with those of the rounds:

                  jaxcv   torch   tf.data   against torch         against tf.data
    500 x 375     2,218     975     2,107   2.26 (2.13 to 2.39)   1.04 (1.02 to 1.06)
    2000 x 1500     464     120       390   3.89 (3.58 to 4.23)   1.20 (1.17 to 1.31)

Of a JPEG, tf.data decodes the crop alone, its columns too, as no package for Python does, and resizes it without
averaging. jaxcv leaves out the rows below the crop, and decodes large photos at a reduced scale
(`decode(reduced=True)`, libjpeg's faster transform), so that every pixel counts. The Huffman code, which no decoder can
leave out, is 0.40 of 0.62 ms of a small photo and 3.3 of 6.4 of a large one. jaxcv and torch make whole batches in each
thread or worker, which are ready together: rounds of one batch of large photos had shown half of the speed of both.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import turns

SIZE, BATCH = 224, 64
THREADS = turns.THREADS  # workers, parallel calls
AHEAD = 4  # batches in the buffer
READY = 'ready'


def make_photos(folder: Path, count: int, width: int = 500) -> None:
    """Crops of scikit-learn's two sample photos, enlarged to a width and 3/4 of it, JPEG quality 90."""
    import cv2
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    photos = load_sample_images().images
    (folder / 'train/photo').mkdir(parents=True)
    for index in range(count):
        photo = photos[index % len(photos)]
        height = int(rng.integers(240, photo.shape[0] + 1))
        across = height * 4 // 3
        top, left = rng.integers(0, photo.shape[0] - height + 1), rng.integers(0, photo.shape[1] - across + 1)
        patch = photo[top : top + height, left : left + across, ::-1]
        image = cv2.resize(patch, (width, width * 3 // 4), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f'train/photo/{index:04}.jpg'), image, [cv2.IMWRITE_JPEG_QUALITY, 90])


def jaxcv(folder: Path) -> Callable[[], Iterable[Any]]:
    from jaxcv.data import source, train_batches, transforms

    data = source('folder', split='train', data_dir=folder)
    steps = [transforms.decode(reduced=True), transforms.random_resized_crop(size=SIZE), transforms.random_flip()]

    options = {'batch_size': BATCH, 'seed': 0, 'threads': THREADS, 'buffer': AHEAD}
    return lambda: (batch['image'] for batch in train_batches(data, transforms=steps, **options))


def torch(folder: Path) -> Callable[[], Iterable[Any]]:
    import torch
    from PIL import Image
    from torchvision import transforms

    steps = [transforms.RandomResizedCrop(SIZE), transforms.RandomHorizontalFlip(), transforms.PILToTensor()]
    transform = transforms.Compose(steps)
    paths = sorted((folder / 'train').rglob('*.jpg'))

    class Photos(torch.utils.data.Dataset):
        def __len__(self):
            return len(paths)

        def __getitem__(self, index):
            with Image.open(paths[index]) as image:
                return transform(image.convert('RGB')), 0

    photos = Photos()
    endless = torch.utils.data.RandomSampler(photos, replacement=True, num_samples=10**6)
    loader = torch.utils.data.DataLoader(
        photos, BATCH, sampler=endless, num_workers=THREADS, prefetch_factor=AHEAD // THREADS
    )
    return lambda: (images for images, _ in loader)


def tf_data(folder: Path) -> Callable[[], Iterable[Any]]:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)

    def load(path):
        data = tf.io.read_file(path)
        shape = tf.io.extract_jpeg_shape(data)
        begin, extent, _ = tf.image.sample_distorted_bounding_box(
            shape,
            tf.zeros([1, 0, 4]),
            min_object_covered=0.1,
            aspect_ratio_range=(3 / 4, 4 / 3),
            area_range=(0.08, 1.0),
            max_attempts=10,
            use_image_if_no_bounding_boxes=True,
        )
        window = tf.concat([begin[:2], extent[:2]], 0)
        image = tf.image.decode_and_crop_jpeg(data, window, channels=3)  # decodes no more than it must
        image = tf.image.resize(image, (SIZE, SIZE), 'bilinear')
        return tf.image.random_flip_left_right(tf.cast(tf.round(image), tf.uint8)), 0

    paths = sorted(str(path) for path in (folder / 'train').rglob('*.jpg'))
    dataset = tf.data.Dataset.from_tensor_slices(paths).shuffle(len(paths)).repeat()
    dataset = dataset.map(load, num_parallel_calls=THREADS).batch(BATCH, drop_remainder=True).prefetch(AHEAD)
    return lambda: (images for images, _ in dataset.as_numpy_iterator())


LOADERS = {turns.OWN: jaxcv, 'torch': torch, 'tf.data': tf_data}


def serve(name: str, folder: Path) -> None:
    """Answer each line of the input, a number of batches, with images a second; in a process of its own."""
    try:
        stream = LOADERS[name](folder)
    except ImportError as error:
        print(error, flush=True)
        return
    print(READY, flush=True)
    for line in sys.stdin:
        batches = iter(stream())
        for _ in range(AHEAD + THREADS):  # from an empty buffer to a steady flow
            next(batches)
        start = time.perf_counter()
        for _ in range(int(line)):
            assert sorted(next(batches).shape) == [3, BATCH, SIZE, SIZE]
        print(int(line) * BATCH / (time.perf_counter() - start), flush=True)
        del batches


def measure(folder: Path, options: argparse.Namespace, batches: int) -> dict[str, list[float]]:
    """Images a second of each loader that is there, by rounds."""
    workers: dict[str, Any] = {}
    for name in LOADERS:
        command = [sys.executable, '-m', 'benchmarks.input_pipeline', f'--serve={name}', f'--folder={folder}']
        worker: Any = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        ready = worker.stdout.readline().strip()
        if ready == READY:
            workers[name] = worker
        else:
            worker.wait()
            print(f'{name} is left out: {ready} (pip install -r benchmarks/requirements.txt)', flush=True)
    speeds: dict[str, list[float]] = {name: [] for name in workers}
    for turn in range(options.rounds + 1):  # the first warms up
        for name, worker in workers.items():
            worker.stdin.write(f'{batches}\n')
            worker.stdin.flush()
            speed = float(worker.stdout.readline())
            time.sleep(0 if options.quick else 1)  # until it has fetched its batches ahead
            if turn:
                speeds[name].append(speed)
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
    return speeds


def main(options: argparse.Namespace) -> None:
    """Print the table."""
    turns.settle(options)
    if options.quick:
        options.widths, options.batches, options.photos = options.widths[:1], 1, BATCH
    print(f'batches of {BATCH}, load {os.getloadavg()[0]:.1f}')
    for width in options.widths:
        size = f'{width} x {width * 3 // 4}'
        less = max(1, (width // 500) ** 2)  # photos and batches, as each is larger
        with tempfile.TemporaryDirectory() as folder:
            make_photos(Path(folder), max(BATCH, options.photos // less), width)
            # Threads and workers that make a batch each are ready together, so a round is several batches of each.
            batches = 1 if options.quick else max(3 * THREADS, options.batches // less)
            speeds = measure(Path(folder), options, batches)
        seconds = {name: [1 / speed for speed in values] for name, values in speeds.items()}
        for name, values in speeds.items():
            print(
                f'{size}: {name:8} {statistics.median(values):6.0f} images/s  ({min(values):.0f} to {max(values):.0f})'
            )
        ours = seconds.pop(turns.OWN)
        for name, theirs in seconds.items():
            ratio, (low, high) = turns.ratios(ours, theirs)
            print(f'{size}: jaxcv / {name:8} {ratio:.2f}  ({low:.2f} to {high:.2f})', flush=True)
            own, other = statistics.median(ours), statistics.median(theirs)
            turns.record(options.out, turns.Row(f'an image of {size}', own, name, other, ratio, (low, high)))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--batches', type=int, default=24, help='batches of 64 in a round; fewer of larger photos')
    parser.add_argument('--photos', type=int, default=512, help='files of the folder; fewer of larger photos')
    parser.add_argument('--widths', type=int, nargs='+', default=[500, 2000], help='of the photos, in pixels')
    parser.add_argument('--quick', action='store_true', help='one batch of small photos')
    parser.add_argument('--serve', choices=LOADERS, help=argparse.SUPPRESS)
    parser.add_argument('--folder', type=Path, help=argparse.SUPPRESS)
    turns.add_out(parser)
    arguments = parser.parse_args()
    serve(arguments.serve, arguments.folder) if arguments.serve else main(arguments)
