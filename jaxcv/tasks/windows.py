"""Segmentation tasks on images of any size."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxcv.arguments import AtLeast0, AtLeast1, checked
from jaxcv.ops.windows import sliding_windows
from jaxcv.sizes import PositiveSize
from jaxcv.task import Task
from jaxcv.types import Array, UInt8, Variables


@checked
def windowed(
    task: Task, *, window: PositiveSize, overlap: AtLeast0 | tuple[AtLeast0, AtLeast0], batch_size: AtLeast1 = 1
) -> Callable[[Variables, np.ndarray], UInt8[np.ndarray, 'h w']]:
    """Prediction of a segmentation task for images of any size, by `jaxcv.ops.sliding_windows`.

    Args:
        task: with predictions that have `logits` [n h w classes].
        window: height and width of the windows, in pixels.
        overlap: pixels that neighbouring windows share at least.
        batch_size: windows in one call.

    Returns:
        A function (variables, image [h w c], uint8 or float in [0, 1]) -> mask, uint8 [h w]. The task's `predict` is
        compiled once, for images of all sizes.

    Raises:
        ValueError: (when called) the predictions have no `logits`, or not of each pixel.

    Example:
        >>> from jaxcv import models, tasks
        >>> task = tasks.segmentation(models.segmentation.unet(num_classes=2, width=2, depth=1), num_classes=2)
        >>> mask_of = windowed(task, window=64, overlap=16)
    """

    @jax.jit
    def logits_of(variables: Variables, images: Array) -> Array:
        predictions = task.predict(variables, {'image': images, 'valid': jnp.ones(len(images), bool)})
        if 'logits' not in predictions:
            raise ValueError(f"windowed: the predictions have no 'logits', only {', '.join(sorted(predictions))}")
        return predictions['logits']

    def mask_of(variables: Variables, image: np.ndarray) -> UInt8[np.ndarray, 'h w']:
        of_images = functools.partial(logits_of, variables)
        return sliding_windows(image, logits_of=of_images, window=window, overlap=overlap, batch_size=batch_size)

    return mask_of
