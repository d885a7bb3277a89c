"""What the segmentation networks ask of a backbone: any Linen module with a method `features`, as `jaxcv.models` has.

`backbone.features(images, train=...)` gives the named stages, the first one of the finest resolution. How much coarser
each is than the images is read off their shapes as the model is traced: `jaxcv.models.stages`, which needs no images,
would trace the backbone twice more.
"""

import math
from collections.abc import Mapping

from jaxcv.types import Array, Images

Stages = Mapping[str, Array]


def strides(images: Images, stages: Stages) -> dict[str, int]:
    """How many pixels of the image one pixel of each stage stands for: 1, 2, 4, ...

    Sizes are halved with rounding up or down, so a halved 3 is 2 or 1.

    Raises:
        ValueError: the images are so small that shapes do not tell: a stage of one pixel is halved or not.

    Example:
        >>> import jax.numpy as jnp
        >>> stages = {f'stage{i}': jnp.ones((1, n, n, 8)) for i, n in enumerate((33, 17, 8, 8))}
        >>> strides(jnp.ones((1, 65, 65, 3)), stages)
        {'stage0': 2, 'stage1': 4, 'stage2': 8, 'stage3': 8}
    """
    found: dict[str, int] = {}
    before, stride = max(images.shape[1:3]), 1
    for name, x in stages.items():
        size = max(x.shape[1:3])
        if size == 1 and before not in (2, 3):
            height, width = images.shape[1:3]
            raise ValueError(f'{height} x {width} pixels are too few for this backbone: {name!r} is but one')
        if size < before:
            stride *= 2 if before <= 3 * size else 2 ** round(math.log2(before / size))
        before, found[name] = size, stride
    return found


def levels(images: Images, stages: Stages) -> dict[int, Array]:
    """The last stage of each stride, the finest first.

    Example:
        >>> import jax.numpy as jnp
        >>> images, stage = jnp.ones((1, 8, 8, 3)), jnp.ones((1, 4, 4, 8))
        >>> {stride: x.shape for stride, x in levels(images, {'stem': stage, 'stage1': stage[..., :5]}).items()}
        {2: (1, 4, 4, 5)}
    """
    return {stride: stages[name] for name, stride in strides(images, stages).items()}
