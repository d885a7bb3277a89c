"""A detector of one convolution, so that its programs compile in a second, and batches for it."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxcv import losses, ops, tasks
from jaxcv.models.detection import DenseOutput

SIDE, CELL, CLASSES, MOST = 32, 8, 3, 6


class OneConv(nn.Module):
    """Scores and codes of one anchor a cell of 8 x 8 pixels, from the cell's pixels."""

    dtype: Any = jnp.float32
    coder: Any = None
    background: bool = False

    def anchors(self, maps, image):
        return [ops.anchor_grid(maps, image, sizes=[(10.0,)] * len(maps), ratios=(1.0,), offset=0.5)]

    @nn.compact
    def __call__(self, images, *, train=False):
        conv = nn.Conv(CLASSES + 4, (CELL, CELL), strides=CELL, padding='VALID', dtype=self.dtype)
        x = conv(images)
        (anchors,) = self.anchors([x.shape[1:3]], images.shape[1:3])
        rows = x.reshape(x.shape[0], -1, CLASSES + 4)
        return DenseOutput((rows[..., :CLASSES],), (rows[..., CLASSES:],), (jnp.asarray(anchors),))


def task(*, dtype=jnp.float32, loss=losses.retinanet, **options):
    model = OneConv(dtype, ops.box_coder())
    return tasks.detection(model, num_classes=CLASSES, loss=loss, **{'least_score': 0.01, 'most': 10, **options})


def batch(counts, *, seed=0, most=MOST, crowd=False, valid=None):
    """Images with so many boxes each, the others padding."""
    rng = np.random.default_rng(seed)
    n = len(counts)
    corners = rng.uniform(0, 20, (n, most, 2))
    real = np.arange(most) < np.array(counts)[:, None]
    boxes = np.concatenate([corners, corners + rng.uniform(4, 12, (n, most, 2))], axis=-1)
    return {
        'image': rng.random((n, SIDE, SIDE, 3), dtype=np.float32),
        'boxes': np.where(real[..., None], boxes, 0).astype(np.float32),
        'box_labels': np.where(real, rng.integers(0, CLASSES, (n, most)), 0).astype(np.int32),
        'box_valid': real,
        'box_crowd': real & crowd,
        'valid': np.ones(n, bool) if valid is None else np.asarray(valid),
    }
