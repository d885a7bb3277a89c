"""The output stride: the last layers dilate in the place of striding, with the same parameters.

Where a network would stride beyond it, it keeps the resolution, and what follows looks at every second place, as the
strided network does: its outputs are those of the strided network, and the places between (Yu and Koltun 2016,
https://arxiv.org/abs/1511.07122; Chen et al. 2017, https://arxiv.org/abs/1706.05587).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

from jaxcv.ops.pool import max_pool
from jaxcv.types import Array, Float

OutputStride = Literal[8, 16, 32]
"""Pixels of the image from one place of the last stage to the next."""


class Step(NamedTuple):
    """A layer that changes the resolution, or would."""

    strides: int
    """1 where it keeps the resolution instead."""
    dilation: int
    """Its own, and that of the layers before."""
    dilation_after: int
    """Of the layers that follow."""


def steps(strides: Sequence[int], output_stride: int) -> list[Step]:
    """Say for each change of resolution whether it strides or dilates.

    Example:
        >>> steps((4, 2, 2, 2), 16)
        [Step(strides=4, dilation=1, dilation_after=1), Step(strides=2, dilation=1, dilation_after=1),
         Step(strides=2, dilation=1, dilation_after=1), Step(strides=1, dilation=1, dilation_after=2)]
    """
    found, stride, dilation = [], 1, 1
    for step in strides:
        before = dilation
        if stride * step > output_stride:
            step, dilation = 1, step * dilation
        stride *= step
        found.append(Step(step, before, dilation))
    return found


def pool(x: Float[Array, 'n h w c'], step: Step, *, window: int, ceil_mode: bool = False) -> Float[Array, 'n i j c']:
    """Pool without padding, or keep the size, as the step says.

    The size is kept by padding on both sides, so that the features stay where they are in the image.
    """
    if step.strides > 1:
        return max_pool(x, window=window, strides=step.strides, padding=0, ceil_mode=ceil_mode)
    return max_pool(x, window=window, strides=1, padding='same', dilation=step.dilation)


def check_output_stride(output_stride: int) -> None:
    """Raise a ValueError unless it is one of the three."""
    if output_stride not in get_args(OutputStride):
        raise ValueError(f'output_stride is one of {get_args(OutputStride)}, got {output_stride}')
