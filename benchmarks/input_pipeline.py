"""ImageNet's training input, images a second: jaxcv against a torch DataLoader with Pillow and against tf.data.

    PYTHONPATH=. python benchmarks/input_pipeline.py     (with torch, torchvision, tensorflow and jaxcv's requirements)

Random resized crop to 224 and a flip, batches of 64 as uint8, from 512 JPEGs of 500x375 in a folder; 2 threads, 2 torch
workers, 2 parallel calls of tf.data. Each loader lives in a process of its own; they take turns, and only the steady
flow is timed. Ratios are medians over the rounds.

Measured on 2 cores of a Xeon with other jobs on them (load 4, so absolute speeds mean little), OpenCV 5.0.0,
torch 2.13.0, torchvision 0.29.2, Pillow 13.0.0, TensorFlow 2.21.0:

    jaxcv / torch      1.92 (rounds 1.87 to 2.13)
    jaxcv / tf.data    0.83 (rounds 0.73 to 0.94)

Against torch the goal of 1.5 is reached; tf.data is faster. A likely reason: tf.data decodes only the crop (0.67 ms
against 0.94 ms for the whole JPEG with TensorFlow), which OpenCV cannot.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

SIZE, BATCH = 224, 64
THREADS = 2  # workers, parallel calls
AHEAD = 4  # batches in the buffer


def make_photos(folder: Path, count: int) -> None:
    """Crops of scikit-learn's two sample photos, 500x375, JPEG quality 90."""
    import cv2
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    photos = load_sample_images().images
    (folder / 'train/photo').mkdir(parents=True)
    for index in range(count):
        photo = photos[index % len(photos)]
        height = int(rng.integers(240, photo.shape[0] + 1))
        width = height * 4 // 3
        top, left = rng.integers(0, photo.shape[0] - height + 1), rng.integers(0, photo.shape[1] - width + 1)
        image = cv2.resize(
            photo[top : top + height, left : left + width, ::-1], (500, 375), interpolation=cv2.INTER_CUBIC
        )
        cv2.imwrite(str(folder / f'train/photo/{index:04}.jpg'), image, [cv2.IMWRITE_JPEG_QUALITY, 90])


def jaxcv(folder: Path) -> Callable[[], Iterable[Any]]:
    from jaxcv.data import source, train_batches, transforms

    data = source('folder', split='train', data_dir=folder)
    steps = [transforms.decode(), transforms.random_resized_crop(size=SIZE), transforms.random_flip()]

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


LOADERS = {'jaxcv': jaxcv, 'torch': torch, 'tf_data': tf_data}


def serve(name: str, folder: Path) -> None:
    """Answer each line of the input, a number of batches, with images a second; in a process of its own."""
    stream = LOADERS[name](folder)
    for line in sys.stdin:
        batches = iter(stream())
        for _ in range(AHEAD + THREADS):  # from an empty buffer to a steady flow
            next(batches)
        start = time.perf_counter()
        for _ in range(int(line)):
            assert sorted(next(batches).shape) == [3, BATCH, SIZE, SIZE]
        print(int(line) * BATCH / (time.perf_counter() - start), flush=True)
        del batches


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--batches', type=int, default=24, help='batches of 64 in a round')
    parser.add_argument('--photos', type=int, default=512)
    parser.add_argument('--serve', choices=LOADERS, help=argparse.SUPPRESS)
    parser.add_argument('--folder', type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(options.serve, options.folder)

    with tempfile.TemporaryDirectory() as folder:
        make_photos(Path(folder), options.photos)
        workers = {
            name: subprocess.Popen(
                [sys.executable, __file__, f'--serve={name}', f'--folder={folder}'],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )
            for name in LOADERS
        }  # fmt: skip
        speeds: dict[str, list[float]] = {name: [] for name in LOADERS}
        for turn in range(options.rounds + 1):  # the first warms up
            for name, worker in workers.items():
                worker.stdin.write(f'{options.batches}\n')
                worker.stdin.flush()
                speed = json.loads(worker.stdout.readline())
                time.sleep(1)  # until it has fetched its batches ahead
                if turn:
                    speeds[name].append(speed)
        for worker in workers.values():
            worker.stdin.close()
            worker.wait()

    for name, values in speeds.items():
        print(f'{name:8} {statistics.median(values):6.0f} images/s  ({min(values):.0f} to {max(values):.0f})')
    for name in ('torch', 'tf_data'):
        ratios = [mine / other for mine, other in zip(speeds['jaxcv'], speeds[name], strict=True)]
        print(f'jaxcv / {name:8} {statistics.median(ratios):.2f}  ({min(ratios):.2f} to {max(ratios):.2f})')


if __name__ == '__main__':
    main()
