"""RoIAlign, RoIPool and the train step of two-stage detectors against torchvision's, and the peak of memory.

    pip install -r benchmarks/requirements.txt
    python -m benchmarks.regions [--size 512 --batch 2 --boxes 7 --rounds 5 --models maskrcnn_resnet50_fpn]

`roi_align` and `roi_pool` take 512 regions an image from one map of stride 16 with 512 channels, `pyramid_roi_align`
from the four maps of a pyramid with 256: the features alone (`forward`), and their gradient to the maps (`gradient`,
with the pass that it needs). The sides of the regions are 3 % to 100 % of the image's.

A step is the whole of it: the network, proposals and their suppression, both samplings, the losses, their gradients,
and SGD with momentum. Networks start from random values, all layers are trained, and batch norms take the batch's
statistics. Every image has the same number of boxes, of 90 classes; masks are ellipses in the boxes. Both libraries
sample as many anchors and regions, of as many proposals. Lines before the figures tell how long jaxcv's programs take
to compile, and what their buffers take at once, arguments included, by XLA's own account.

On a CPU: float32, 2 threads each. The libraries run in processes by turns, as in `benchmarks.train_step`, which
explains the ratio. PyTorch runs in both memory formats, and its faster one counts; `GB` is the peak of each process,
libraries included, where Linux tells it. On a GPU: bfloat16 for jaxcv's network and automatic mixed precision for
torchvision's, channels_last; regions in float32.

Measured by the commands `--rounds=3 --models=...` on two cores of a Xeon that were kept free, while other programs ran
on its other cores (jax 0.11.2, torch 2.11, torchvision 0.26), with the least and the greatest ratio of the rounds:

                                  jaxcv      torch      ratio
    roi_align, forward            54 ms     399 ms      7.7 (5.2 to 9.1)
    roi_align, gradient          316 ms   2,203 ms      7.4 (6.7 to 8.6)
    pyramid_roi_align, forward    71 ms     259 ms      3.7 (3.6 to 4.7)
    pyramid_roi_align, gradient  899 ms   1,599 ms      1.8 (1.5 to 1.8)
    Faster R-CNN, step           6.2 s      5.5 s       0.90 (0.86 to 1.07)    4.0 GB, 2.5 GB    compiled in 49 s
    Mask R-CNN, step            12.4 s      7.1 s       0.57 (0.56 to 0.58)    5.4 GB, 3.1 GB    compiled in 53 s

Mask R-CNN is behind because its shapes are fixed: the mask head computes a quarter of the regions, 128 an image, whose
four convolutions of 256 channels are 710 GFLOP of a step, seconds on two cores; torchvision's computes those regions
alone that are objects. The task's `region_share` lowers the number. NOT RUN: `roi_pool`, and on a GPU.
"""

import argparse
import os
import time
from typing import Any

from benchmarks import turns
from benchmarks.detectors import random_objects

OPERATIONS = ('roi_align', 'pyramid_roi_align', 'roi_pool')
NETWORKS = ('fasterrcnn_resnet50_fpn', 'maskrcnn_resnet50_fpn')
STRIDES = (4, 8, 16, 32)
ONE_STRIDE = 16


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Regions and train steps of two-stage detectors against torchvision's."
    )
    parser.add_argument('--size', type=int, default=512, help='height and width of the images, a multiple of 32')
    parser.add_argument('--batch', type=int, help='images in a batch (default: 2 on a CPU, 16 on a GPU)')
    parser.add_argument('--boxes', type=int, default=7, help='boxes of an image')
    parser.add_argument('--regions', type=int, default=512, help='regions of an image, of the operations')
    parser.add_argument('--rounds', type=int, default=5, help='how often the libraries take turns')
    parser.add_argument(
        '--models', nargs='+', default=(*OPERATIONS, *NETWORKS), choices=(*OPERATIONS, *NETWORKS), metavar='NAME'
    )
    parser.add_argument('--quick', action='store_true', help='one short round of small images, to see that it runs')
    turns.add_out(parser)
    arguments = parser.parse_args()

    turns.settle(arguments)
    if arguments.quick:
        arguments.size, arguments.batch, arguments.regions = 128, arguments.batch or 1, 16
    libraries = {turns.OWN: jaxcv_passes, 'torch': torch_passes, 'torch channels_last': torch_channels_last_passes}
    print(f'{arguments.size} pixels, load before: {os.getloadavg()[0]:.1f}', flush=True)
    titles = ('pass', 'jaxcv ms', 'torch ms', 'ratio', 'jaxcv GB', 'torch GB')
    print(f'{"":<24}{"batch":>6}' + ''.join(f'{title:>10}' for title in titles), flush=True)
    for name in arguments.models:
        passes = ('forward', 'gradient') if name in OPERATIONS else ('step',)
        with turns.workers(libraries, name, arguments) as (batch, workers):
            for which in passes:
                found = turns.compared(workers, which, rounds=arguments.rounds)
                columns = [which, f'{1000 * found.own:.1f}', '', '', turns.peak(workers[turns.OWN]), '']
                if found.peer is not None:
                    columns[2:4] = [f'{1000 * found.peer:.1f}', f'{found.ratio:.2f}']
                    columns[5] = turns.peak(workers[found.faster])
                print(f'{name:<24}{batch:>6}' + ''.join(f'{column:>10}' for column in columns), flush=True)
                turns.record(arguments.out, found.row(f'{name}, {which}', memory=turns.peaks(workers, found)))


def random_regions(name: str, arguments: Any, batch: int) -> tuple[list[Any], Any]:
    """Return the maps [n h w c], the finest first, and the regions [n r 4]."""
    import numpy as np

    rng, size = np.random.default_rng(0), arguments.size
    strides, channels = (STRIDES, 256) if name.startswith('pyramid') else ((ONE_STRIDE,), 512)
    maps = [rng.normal(size=(batch, size // s, size // s, channels)).astype(np.float32) for s in strides]
    lengths = np.exp(rng.uniform(np.log(0.03), 0, (batch, arguments.regions, 2)))
    corners = rng.uniform(size=lengths.shape) * (1 - lengths)
    return maps, (size * np.concatenate([corners, corners + lengths], axis=-1)).astype(np.float32)


def ellipses(boxes: Any, size: int) -> Any:
    """Return masks [n k h w], uint8."""
    import numpy as np

    centres, half = (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]) / 2
    places = np.arange(size, dtype=np.float32) + 0.5
    right, down = (((places - centres[..., i, None]) / half[..., i, None]) ** 2 for i in (0, 1))
    return (down[..., :, None] + right[..., None, :] <= 1).astype(np.uint8)


def jaxcv_passes(name: str, arguments: Any) -> tuple[Any, dict]:
    """Return the batch's size and {pass: run it once}."""
    import jax

    size = arguments.batch or (16 if jax.default_backend() == 'gpu' else 2)
    make = jaxcv_operation if name in OPERATIONS else jaxcv_step
    return size, make(name, arguments, size)


def compiled(which: str, function: Any, *given: Any) -> Any:
    """Return a jitted function compiled for these arguments, and print what that takes."""
    start = time.perf_counter()
    made = function.lower(*given).compile()
    seconds, sizes = time.perf_counter() - start, made.memory_analysis()
    taken = sizes.argument_size_in_bytes + sizes.output_size_in_bytes - sizes.alias_size_in_bytes
    print(f'{which}: compiled in {seconds:.1f} s; {(taken + sizes.temp_size_in_bytes) / 1e9:.2f} GB', flush=True)
    return made


def jaxcv_operation(name: str, arguments: Any, size: int) -> dict:
    import jax
    import jax.numpy as jnp

    from jaxcv import ops

    maps, boxes = jax.tree.map(jnp.asarray, random_regions(name, arguments, size))
    pooled = {
        'roi_align': lambda maps: ops.roi_align(maps[0], boxes, stride=ONE_STRIDE),
        'pyramid_roi_align': lambda maps: ops.pyramid_roi_align(maps, boxes, strides=STRIDES),
        'roi_pool': lambda maps: ops.roi_pool(maps[0], boxes, stride=ONE_STRIDE),
    }[name]
    weight = jnp.ones(jax.eval_shape(pooled, maps).shape)
    forward = compiled(f'{name}, forward', jax.jit(pooled), maps)
    backward = jax.jit(lambda maps, weight: jax.vjp(pooled, maps)[1](weight))
    gradient = compiled(f'{name}, gradient', backward, maps, weight)
    return {
        'forward': lambda: jax.block_until_ready(forward(maps)),
        'gradient': lambda: jax.block_until_ready(gradient(maps, weight)),
    }


def jaxcv_step(name: str, arguments: Any, size: int) -> dict:
    import jax
    import numpy as np

    from jaxcv import models, optim, tasks, training

    model = getattr(models.detection, name)(dtype='bfloat16' if jax.default_backend() == 'gpu' else 'float32')
    task = tasks.region_detection(model, num_classes=90, mean=[0.5] * 3, std=[0.25] * 3)
    optimizer, mesh = optim.momentum(learning_rate=1e-3), training.make_mesh(jax.devices()[:1])
    images, boxes, labels = random_objects(arguments, size)
    given = {'image': images, 'boxes': boxes, 'box_labels': labels.astype(np.int32)}
    given |= {'box_valid': np.ones(labels.shape, bool), 'valid': np.ones(size, bool)}
    if name.startswith('mask'):
        given['instance_masks'] = ellipses(boxes, arguments.size)
    batch = training.put_batch(mesh)(given)
    state = training.create_state(lambda: training.init_state(jax.random.key(0), task, optimizer, batch), mesh)
    step = compiled(name, training.compile_step(training.make_train_step(task, optimizer), mesh), state, batch)

    def run() -> None:
        nonlocal state
        state, _ = step(state, batch)
        jax.block_until_ready(state)

    return {'step': run}


def torch_channels_last_passes(name: str, arguments: Any) -> tuple[Any, dict]:
    return torch_passes(name, arguments, channels_last=True)


def torch_passes(name: str, arguments: Any, *, channels_last: bool = False) -> tuple[Any, dict]:
    """As `jaxcv_passes`, but the first is None: nothing is missing."""
    import torch
    import torchvision  # noqa: F401

    torch.set_num_threads(turns.THREADS)
    gpu = torch.cuda.is_available()
    if gpu and not channels_last:
        raise ImportError('on a GPU only channels_last is measured')
    layout = torch.channels_last if channels_last else torch.contiguous_format
    make = torch_operation if name in OPERATIONS else torch_step
    return None, make(name, arguments, arguments.batch or (16 if gpu else 2), 'cuda' if gpu else 'cpu', layout)


def torch_operation(name: str, arguments: Any, size: int, device: str, layout: Any) -> dict:
    import torch
    from torchvision import ops

    maps, boxes = random_regions(name, arguments, size)
    own = [torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=layout).to(device) for x in maps]
    of_images = [torch.from_numpy(x).to(device) for x in boxes]
    if name == 'pyramid_roi_align':
        names = [str(i) for i in range(len(own))]
        pool = ops.MultiScaleRoIAlign(names, 7, 2)
        sizes = [(arguments.size, arguments.size)] * size

        def pooled(maps: list) -> Any:
            return pool(dict(zip(names, maps, strict=True)), of_images, sizes)
    else:
        options = {'sampling_ratio': 2} if name == 'roi_align' else {}

        def pooled(maps: list) -> Any:
            return getattr(ops, name)(maps[0], of_images, 7, 1 / ONE_STRIDE, **options)

    tracked = [x.requires_grad_() for x in own]
    weight = torch.ones_like(pooled(own))

    def forward() -> None:
        with torch.no_grad():
            pooled(own)
        if device == 'cuda':
            torch.cuda.synchronize()

    def gradient() -> None:
        torch.autograd.grad(pooled(tracked), tracked, weight, allow_unused=True)  # a map may have no region
        if device == 'cuda':
            torch.cuda.synchronize()

    return {'forward': forward, 'gradient': gradient}


def torch_step(name: str, arguments: Any, size: int, device: str, layout: Any) -> dict:
    import torch
    from torchvision.models import detection

    # Images of the right size are not resized.
    sizes = {'min_size': arguments.size, 'max_size': arguments.size}
    model = getattr(detection, name)(weights=None, weights_backbone=None, num_classes=91, **sizes)
    model = model.train().to(device, memory_format=layout)
    images, boxes, labels = random_objects(arguments, size)
    inputs = [torch.from_numpy(image).permute(2, 0, 1).contiguous().to(device) for image in images]
    targets = [
        {'boxes': torch.from_numpy(b).to(device), 'labels': torch.from_numpy(x + 1).to(device)}  # after the background
        for b, x in zip(boxes, labels, strict=True)
    ]
    if name.startswith('mask'):
        for target, mask in zip(targets, ellipses(boxes, arguments.size), strict=True):
            target['masks'] = torch.from_numpy(mask).to(device)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9)

    def run() -> None:
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=device == 'cuda'):
            losses = model(inputs, targets)
        sum(losses.values()).backward()
        optimizer.step()
        if device == 'cuda':
            torch.cuda.synchronize()

    return {'step': run}


if __name__ == '__main__':
    main()
