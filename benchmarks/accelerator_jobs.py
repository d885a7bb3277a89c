"""The jobs of `benchmarks.accelerator`, in the order of their importance, and the inputs of both libraries."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

CLASSES = {'labels': 1000, 'masks': 21, 'boxes': 91}
KINDS = {
    'resnet50': 'labels',
    'mobilenet_v2': 'labels',
    'efficientnet_b0': 'labels',
    'deeplabv3_resnet50': 'masks',
    'retinanet_resnet50_fpn': 'boxes',
    'ssd300_vgg16': 'boxes',
    'suppression': 'suppression',
}
BOXES = 7
"""Of an image."""


class Job(NamedTuple):
    """A network, its input, and the passes that are measured."""

    network: str
    dtype: str
    batch: int
    size: int
    passes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Network, type, and the pass where it is not the step."""
        return f'{self.network}.{self.dtype}' + ('' if 'step' in self.passes else f'.{self.passes[0]}')

    @property
    def kind(self) -> str:
        """A key of `CLASSES`, or 'suppression'."""
        return KINDS[self.network]

    def smaller(self) -> 'Job':
        """Return the job for a trial on a CPU."""
        size = {'labels': 32, 'masks': 64, 'boxes': 128, 'suppression': self.size}[self.kind]
        return self._replace(batch=min(2, self.batch), size=300 if self.network.startswith('ssd300') else size)


class Prepared(NamedTuple):
    """What a library is ready to measure."""

    runs: dict[str, Callable[[int], float]]
    """By pass, a function that runs it so many times and returns the seconds."""
    facts: dict[str, Any]
    after: Callable[[int], dict]
    """So many heaviest kernels -> facts that are known at the end."""


STEP, BOTH, FORWARD = ('step',), ('step', 'forward'), ('forward',)
JOBS = {
    job.name: job
    for job in (
        Job('resnet50', 'bfloat16', 128, 224, BOTH),
        Job('retinanet_resnet50_fpn', 'bfloat16', 8, 512, STEP),
        Job('mobilenet_v2', 'bfloat16', 128, 224, BOTH),
        Job('efficientnet_b0', 'bfloat16', 128, 224, BOTH),
        Job('ssd300_vgg16', 'bfloat16', 8, 300, STEP),
        Job('suppression', 'float32', 1, 0, ('suppression',)),
        Job('deeplabv3_resnet50', 'bfloat16', 8, 512, STEP),
        Job('resnet50', 'float32', 128, 224, STEP),
        Job('retinanet_resnet50_fpn', 'bfloat16', 8, 512, FORWARD),
        Job('mobilenet_v2', 'float32', 128, 224, STEP),
        Job('efficientnet_b0', 'float32', 128, 224, STEP),
        Job('retinanet_resnet50_fpn', 'float32', 8, 512, STEP),
        Job('ssd300_vgg16', 'float32', 8, 300, STEP),
        Job('ssd300_vgg16', 'bfloat16', 8, 300, FORWARD),
        Job('deeplabv3_resnet50', 'float32', 8, 512, STEP),
    )
}


def inputs(job: Job) -> dict[str, np.ndarray]:
    """Return a batch: images in [0, 1], and labels, masks, or boxes of a tenth to a half of the image's side."""
    rng = np.random.default_rng(0)
    batch = {'image': rng.uniform(size=(job.batch, job.size, job.size, 3)).astype(np.float32)}
    if job.kind == 'labels':
        batch['label'] = (np.arange(job.batch) % CLASSES['labels']).astype(np.int32)
    elif job.kind == 'masks':
        batch['mask'] = rng.integers(0, CLASSES['masks'], (job.batch, job.size, job.size)).astype(np.int32)
    else:
        lengths = rng.uniform(0.1, 0.5, (job.batch, BOXES, 2))
        corners = rng.uniform(size=lengths.shape) * (1 - lengths)
        batch['boxes'] = (job.size * np.concatenate([corners, corners + lengths], axis=-1)).astype(np.float32)
        batch['box_labels'] = rng.integers(0, CLASSES['boxes'] - 1, (job.batch, BOXES)).astype(np.int32)
    return batch


COUNTS = (100, 1000, 10_000)
"""Boxes that are suppressed, or anchors that are post-processed."""
PHOTOS = 8
"""Of a batch of post-processing."""
IMAGE = 800


def random_boxes(count: int, side: float) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes of 10 to 110 pixels on a plane and their scores."""
    rng = np.random.default_rng(count)
    corners = rng.uniform(0, side, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(10, 110, (count, 2))], axis=1)
    return boxes.astype(np.float32), rng.permutation(np.linspace(0.01, 0.99, count)).astype(np.float32)


def maps(count: int, photos: int) -> dict[str, list[np.ndarray]]:
    """Return RetinaNet's outputs on 5 maps: logits, box codes and anchors; 1 pair in 100 has a score above 0.05."""
    rng = np.random.default_rng(1)
    sizes = [max(1, int(share * count)) for share in (0.75, 0.1875, 0.047, 0.0117)]
    sizes.append(max(1, count - sum(sizes)))
    return {
        'logits': [rng.normal(-6, 1.31, (photos, size, CLASSES['boxes'])).astype(np.float32) for size in sizes],
        'codes': [rng.normal(0, 0.1, (photos, size, 4)).astype(np.float32) for size in sizes],
        'anchors': [random_boxes(size, IMAGE)[0] for size in sizes],
    }
