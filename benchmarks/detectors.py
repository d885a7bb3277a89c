"""Train step of detectors against torchvision's, in images a second, and the peak of memory.

    pip install -r benchmarks/requirements.txt
    python -m benchmarks.detectors [--size 320 --batch 2 --boxes 7 --rounds 5 --models retinanet_resnet50_fpn]

Both start from random values, all layers are trained, and batch norms take the batch's statistics. The step is the
whole of it: the network, the matching of anchors with the boxes, the losses, their gradients, and SGD with momentum.
Every image has the same number of boxes, of 91 classes. SSD300 takes images of 300 x 300, whatever the size.

On a CPU: float32, 2 threads each. The two libraries run in two processes by turns, as in `benchmarks.train_step`, which
explains the rates and the ratio. PyTorch runs in both memory formats, and its faster one counts; `memory` is the peak
of each process (of PyTorch's faster one), libraries included, where Linux tells it.

On a GPU: bfloat16 for jaxcv's network and automatic mixed precision for torchvision's, channels_last.

Measured on 2 idle CPU cores (torch 2.13, jax 0.10.2), images a second and the ratios of the rounds:

    retinanet_resnet50_fpn   320   1.01 against 1.17   0.88 (0.81 to 0.93)   2.2 GB, 1.4 GB
    ssd300_vgg16             300   0.66 against 0.91   0.74 (0.70 to 0.75)   1.9 GB, 1.3 GB

The goal of 1.0 is not reached: both are convolutions of 3 x 3, in which XLA is behind (`benchmarks.train_step`). Of a
GPU, `benchmarks.accelerator` has RetinaNet's figures.
"""

import argparse
import os
from typing import Any

from benchmarks import turns

MODELS = ('retinanet_resnet50_fpn', 'ssd300_vgg16')
CLASSES = 91
"""Scores of an anchor; SSD's first one is the background's."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Train step of detectors against torchvision's.")
    parser.add_argument('--size', type=int, default=320, help='height and width of the images')
    parser.add_argument('--batch', type=int, help='images in a batch (default: 2 on a CPU, 32 on a GPU)')
    parser.add_argument('--boxes', type=int, default=7, help='boxes of an image')
    parser.add_argument('--rounds', type=int, default=5, help='how often the libraries take turns')
    parser.add_argument('--models', nargs='+', default=MODELS, choices=MODELS)
    parser.add_argument('--quick', action='store_true', help='one short round of small images, to see that it runs')
    turns.add_out(parser)
    arguments = parser.parse_args()

    turns.settle(arguments)
    if arguments.quick:
        arguments.size, arguments.batch = 128, arguments.batch or 1
    libraries = {turns.OWN: jaxcv_passes, 'torch': torch_passes, 'torch channels_last': torch_channels_last_passes}
    print(f'batch {arguments.batch or "of the default size"}, load before: {os.getloadavg()[0]:.1f}', flush=True)
    titles = ('jaxcv img/s', 'torch img/s', 'ratio', 'jaxcv GB', 'torch GB')
    print(f'{"model":<24}{"pixels":>7}' + ''.join(f'{title:>13}' for title in titles), flush=True)
    for model in arguments.models:
        size = 300 if model.startswith('ssd300') else arguments.size
        options = argparse.Namespace(**{**vars(arguments), 'size': size})
        with turns.workers(libraries, model, options) as (batch, workers):
            found = turns.compared(workers, 'step', rounds=arguments.rounds)
            columns = [f'{batch / found.own:.2f}', '', '', turns.peak(workers[turns.OWN]), '']
            if found.peer is not None:
                columns[1:3] = [f'{batch / found.peer:.2f}', f'{found.ratio:.2f}']
                columns[4] = turns.peak(workers[found.faster])
            turns.record(arguments.out, found.row(f'{model}, step', memory=turns.peaks(workers, found)))
        print(f'{model:<24}{size:>7}' + ''.join(f'{column:>13}' for column in columns), flush=True)


def random_objects(arguments: Any, batch: int) -> tuple[Any, Any, Any]:
    """Return images in [0, 1], boxes of a tenth to a half of their side, and labels from 0."""
    import numpy as np

    rng = np.random.default_rng(0)
    images = rng.uniform(size=(batch, arguments.size, arguments.size, 3)).astype(np.float32)
    lengths = rng.uniform(0.1, 0.5, (batch, arguments.boxes, 2))
    corners = rng.uniform(size=lengths.shape) * (1 - lengths)
    boxes = arguments.size * np.concatenate([corners, corners + lengths], axis=-1)
    return images, boxes.astype(np.float32), rng.integers(1, CLASSES, boxes.shape[:2]) - 1


def jaxcv_passes(name: str, arguments: Any) -> tuple[Any, dict]:
    """Return the batch's size and {'step': run it once}."""
    import jax
    import numpy as np

    from jaxcv import losses, models, optim, tasks, training

    gpu = jax.default_backend() == 'gpu'
    size = arguments.batch or (32 if gpu else 2)
    ssd = name.startswith('ssd')
    classes = CLASSES - ssd
    model = getattr(models.detection, name)(num_classes=classes, dtype='bfloat16' if gpu else 'float32')
    loss = losses.ssd if ssd else losses.retinanet
    task = tasks.detection(model, num_classes=classes, loss=loss, mean=[0.5] * 3, std=[0.25] * 3)
    optimizer, mesh = optim.momentum(learning_rate=1e-3), training.make_mesh(jax.devices()[:1])
    images, boxes, labels = random_objects(arguments, size)
    batch = training.put_batch(mesh)(
        {
            'image': images,
            'boxes': boxes,
            'box_labels': labels.astype(np.int32),
            'box_valid': np.ones(labels.shape, bool),
            'valid': np.ones(size, bool),
        }
    )
    state = training.create_state(lambda: training.init_state(jax.random.key(0), task, optimizer, batch), mesh)
    step = training.compile_step(training.make_train_step(task, optimizer), mesh)

    def run() -> None:
        nonlocal state
        state, _ = step(state, batch)
        jax.block_until_ready(state)

    return size, {'step': run}


def torch_channels_last_passes(name: str, arguments: Any) -> tuple[Any, dict]:
    return torch_passes(name, arguments, channels_last=True)


def torch_passes(name: str, arguments: Any, *, channels_last: bool = False) -> tuple[Any, dict]:
    """As `jaxcv_passes`, but the first is None: nothing is missing."""
    import torch
    import torchvision

    torch.set_num_threads(turns.THREADS)
    gpu = torch.cuda.is_available()
    if gpu and not channels_last:
        raise ImportError('on a GPU only channels_last is measured')
    device = 'cuda' if gpu else 'cpu'
    layout = torch.channels_last if channels_last else torch.contiguous_format
    # Images of the right size are not resized.
    sizes = {} if name.startswith('ssd') else {'min_size': arguments.size, 'max_size': arguments.size}
    make = getattr(torchvision.models.detection, name)
    model = make(weights=None, weights_backbone=None, num_classes=CLASSES, **sizes)
    model = model.train().to(device, memory_format=layout)
    images, boxes, labels = random_objects(arguments, arguments.batch or (32 if gpu else 2))
    inputs = [torch.from_numpy(image).permute(2, 0, 1).contiguous().to(device) for image in images]
    first = int(name.startswith('ssd'))  # after the background
    targets = [
        {'boxes': torch.from_numpy(b).to(device), 'labels': torch.from_numpy(x + first).to(device)}
        for b, x in zip(boxes, labels, strict=True)
    ]
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9)

    def run() -> None:
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=gpu):
            losses = model(inputs, targets)
        sum(losses.values()).backward()
        optimizer.step()
        if gpu:
            torch.cuda.synchronize()

    return None, {'step': run}


if __name__ == '__main__':
    main()
