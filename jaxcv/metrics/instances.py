"""Metric of instance masks: COCO's numbers, from the pixels that masks share."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcv.arguments import AtLeast1, Share, checked
from jaxcv.metrics.coco import ImageRecord, evaluate_coco
from jaxcv.metrics.detection import twelve
from jaxcv.ops.instance_masks import paste_masks
from jaxcv.task import SHARE, Metric, Predictions
from jaxcv.types import Array, Batch

_NAMES = (
    *('ap', 'ap50', 'ap75', 'ap_small', 'ap_medium', 'ap_large'),
    *('ar1', 'ar10', 'ar100', 'ar_small', 'ar_medium', 'ar_large'),
)
ORIGINAL = ('original_masks', 'original_size', 'original_frame')
"""Features of the transform 'pack_masks'."""
Rows = Mapping[str, np.ndarray]


@checked
def coco_masks(*, num_classes: AtLeast1, threshold: Share = 0.5) -> Metric:
    """COCO's evaluation of instance masks: `metrics.coco_boxes` with the IoU of pixels in place of that of boxes.

    Masks are pasted into the image one by one on the device, and their pixels are counted there, so that only counts
    come to the host: the masks of an evaluation would not fit into memory. With `original_masks`, which the transform
    'pack_masks' makes, the image is the original one, and the values are pycocotools' for masks pasted into the files'
    own pixels; without, it is the batch's.

    Args:
        num_classes: classes of objects.
        threshold: an object has the pixels whose probability is greater.

    Returns:
        A Metric on the host. Values in [0, 1]: `mask_ap`, `mask_ap50`, `mask_ap75`, `mask_ap_small`, `mask_ap_medium`,
        `mask_ap_large`, the average recall `mask_ar1`, `mask_ar10`, `mask_ar100`, `mask_ar_small`, `mask_ar_medium`,
        `mask_ar_large`, and `class_mask_ap` [classes]. Without truths of a class or size a value is NaN.

    Raises:
        ValueError: (in `measure`) the batch has neither `instance_masks` nor `original_masks`.

    Example:
        >>> metric = coco_masks(num_classes=1)
        >>> box, one, real = jnp.array([[[0.0, 0.0, 4.0, 4.0]]]), jnp.array([[0]]), jnp.array([[True]])
        >>> truth = {'box_labels': one, 'box_valid': real, 'instance_masks': jnp.ones((1, 1, 4, 4), jnp.uint8)}
        >>> predictions = {'boxes': box, 'masks': jnp.ones((1, 1, 28, 28)), 'scores': jnp.array([[0.9]])}
        >>> found = metric.measure({**predictions, 'box_labels': one, 'box_valid': real}, truth)
        >>> f'{metric.compute({name: np.asarray(rows) for name, rows in found.items()})["mask_ap"]:.3f}'
        '1.000'

    Lin et al. 2014, Microsoft COCO (https://arxiv.org/abs/1405.0312). The trap: without `original_masks`, images that
    were made smaller have coarser masks than the files.
    """

    def measure(predictions: Predictions, batch: Batch) -> dict[str, Array]:
        names = ORIGINAL if 'original_masks' in batch else ('instance_masks',)
        if missing := [name for name in names if name not in batch]:
            raise ValueError(
                f'masks are compared with the instance_masks of each image, or with its {", ".join(ORIGINAL)}, but '
                f'there is no {missing[0]}, only {sorted(batch)}'
            )
        count = functools.partial(_original_counts if names is ORIGINAL else _counts, threshold=threshold)
        truth = [jnp.asarray(batch[name]) for name in names]
        shared, areas, true_areas = jax.vmap(count)(predictions['masks'], predictions['boxes'], *truth)
        rows = {name: predictions[name] for name in ('scores', 'box_labels', 'box_valid')}
        rows |= {f'true_{name}': jnp.asarray(batch[name]) for name in ('box_labels', 'box_valid')}
        others = ('box_crowd', 'box_difficult', 'box_areas', *(() if names is ORIGINAL else ('pixel_area',)))
        rows |= {name: jnp.asarray(batch[name]) for name in others if name in batch}
        return {**rows, 'shared': shared, 'areas': areas, 'true_areas': true_areas}

    def compute(rows: Rows) -> Mapping[str, Any]:
        result = evaluate_coco(_records(rows), num_classes=num_classes)
        numbers = {f'mask_{name}': value for name, value in twelve(result).items()}
        return {
            **numbers,
            'class_mask_ap': np.array([result.average_precision(label=k) for k in range(num_classes)]),
        }

    units = {f'mask_{name}': SHARE for name in _NAMES}
    return Metric(measure, compute, {**units, 'class_mask_ap': SHARE._replace(axes=('class',))}, where='host')


def _counts(masks: Array, boxes: Array, truth: Array, *, threshold: float) -> tuple[Array, Array, Array]:
    """Return the pixels that each detection shares with each truth, `[d g]`, those that it has, `[d]`, and theirs."""
    size = (truth.shape[1], truth.shape[2])
    pixels = truth.reshape(len(truth), -1).astype(jnp.float32)

    def one(pair: tuple[Array, Array]) -> tuple[Array, Array]:
        mask, box = pair
        pasted = paste_masks(mask[None], box[None], size=size, threshold=threshold).reshape(-1).astype(jnp.float32)
        return (pixels @ pasted).astype(jnp.int32), pasted.sum().astype(jnp.int32)

    return *jax.lax.map(one, (masks, boxes)), truth.sum(axis=(1, 2), dtype=jnp.int32)


def _original_counts(
    masks: Array, boxes: Array, truth: Array, size: Array, frame: Array, *, threshold: float
) -> tuple[Array, Array, Array]:
    """Return `_counts` in the original image, whose masks are packed: `[g height width/8]`."""
    rows, columns = canvas = (truth.shape[1], 8 * truth.shape[2])
    inside = (jnp.arange(rows) < size[0])[:, None] & (jnp.arange(columns) < size[1])
    (down, across), shift = frame[0], frame[1]
    corners = (boxes.reshape(-1, 2, 2) - shift[::-1]) / frame[0, ::-1]
    corners = jnp.clip(jnp.sort(corners, axis=1), 0, size[::-1])  # a mirror exchanges them
    masks = jnp.where(down < 0, masks[:, ::-1], masks)
    masks = jnp.where(across < 0, masks[:, :, ::-1], masks)

    def ones(bits: Array) -> Array:
        return jax.lax.population_count(bits).sum(axis=(-2, -1), dtype=jnp.int32)

    def one(pair: tuple[Array, Array]) -> tuple[Array, Array]:
        mask, box = pair
        pasted = paste_masks(mask[None], box[None], size=canvas, threshold=threshold)[0]
        packed = jnp.packbits((pasted > 0) & inside, axis=1)
        return ones(truth & packed), ones(packed)

    return *jax.lax.map(one, (masks, corners.reshape(-1, 4))), ones(truth)


def _records(rows: Rows) -> Iterator[ImageRecord]:
    """Yield what COCO's evaluation needs of each image, without padding."""
    for i in range(len(rows['scores'])):
        found, true = rows['box_valid'][i].astype(bool), rows['true_box_valid'][i].astype(bool)
        pixel = float(rows['pixel_area'][i]) if 'pixel_area' in rows else 1.0
        nothing = np.zeros(int(true.sum()), bool)
        crowd, difficult = (
            rows[name][i][true].astype(bool) if name in rows else nothing for name in ('box_crowd', 'box_difficult')
        )
        shared = rows['shared'][i][found][:, true].astype(np.float64)
        areas, true_areas = (rows[name][i].astype(np.float64) for name in ('areas', 'true_areas'))
        areas, true_areas = areas[found], true_areas[true]
        union = np.where(crowd, areas[:, None], areas[:, None] + true_areas - shared)
        iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
        yield ImageRecord(
            rows['scores'][i][found].astype(np.float64),
            rows['box_labels'][i][found],
            pixel * areas,
            rows['true_box_labels'][i][true],
            rows['box_areas'][i][true] if 'box_areas' in rows else pixel * true_areas,
            crowd | difficult,
            functools.partial(_picked, iou),
        )


def _picked(iou: np.ndarray, found: np.ndarray, true: np.ndarray) -> np.ndarray:
    return iou[np.ix_(found, true)]
