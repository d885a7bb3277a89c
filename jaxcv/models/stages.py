"""What the stages of a model are, known without running it: for the necks and heads that are put on it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcv.types import Array, Images

SIZES = (320, 320 + 960)
"""Of the two images; strides that divide 960 are found exactly."""


class Stage(NamedTuple):
    """One output of `method='features'`."""

    stride: int
    """Pixels of the image from one place to the next."""
    channels: int


def stages(model: nn.Module, *, channels: int = 3) -> dict[str, Stage]:
    """Find the stride and the channels of each stage of a model, from shapes only; nothing is run or allocated.

    A stage has `n / stride + offset` rows of an image of n; padding, or its absence, decides the offset. So the stride
    is the difference quotient of two sizes, `(n2 - n1) / (rows2 - rows1)`.

    Args:
        model: a Linen module with a method `features`, as those of this package.
        channels: of the images.

    Returns:
        The stages by name, in the order of `features`; strides in pixels.

    Raises:
        ValueError: the model has no method `features`.

    Example:
        >>> from jaxcv import models
        >>> models.stages(models.resnet18(output_stride=16))
        {'stem': Stage(stride=2, channels=64), 'stage1': Stage(stride=4, channels=64),
         'stage2': Stage(stride=8, channels=128), 'stage3': Stage(stride=16, channels=256),
         'stage4': Stage(stride=16, channels=512)}
    """
    if not hasattr(model, 'features'):
        raise ValueError(f'{type(model).__name__} has no stages: it has no method `features`')
    small, large = (_shapes(model, size, channels) for size in SIZES)
    return {
        name: Stage(stride=round((SIZES[1] - SIZES[0]) / (large[name][1] - shape[1])), channels=shape[-1])
        for name, shape in small.items()
    }


def _shapes(model: nn.Module, size: int, channels: int) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}

    def trace(key: Array, image: Images) -> None:
        features, _ = model.init_with_output(key, image, method='features')
        found.update((name, x.shape) for name, x in features.items())  # a result's names would come back sorted

    jax.eval_shape(trace, jax.random.key(0), jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32))
    return found
