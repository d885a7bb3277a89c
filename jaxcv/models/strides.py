"""Strides: each model declares those of its stages, and an output stride replaces the last ones by dilations.

A model's `stages` gives the stride and the channels of each output of `method='features'`, without running it: a
feature pyramid, a U-Net or an anchor generator reads them. `steps` is the arithmetic behind it: a network that would
stride beyond its output stride keeps the resolution, and the layers after dilate, with the same parameters. Its outputs
are those of the strided network and the pixels between (Yu and Koltun 2016, https://arxiv.org/abs/1511.07122; Chen et
al. 2017, https://arxiv.org/abs/1706.05587).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from jaxcv.ops.pool import max_pool
from jaxcv.types import Array, Float

OutputStride = Literal[8, 16, 32]
"""Pixels of the image from one pixel of the last stage to the next."""


class Stage(NamedTuple):
    """One output of `method='features'`."""

    stride: int
    """Pixels of the image from one pixel of the stage to the next."""
    channels: int


class Step(NamedTuple):
    """A layer that changes the resolution, or would."""

    strides: int
    """1 where it keeps the resolution instead."""
    dilation: int
    """Of this layer, and of the layers before."""
    dilation_after: int
    """Of the layers that follow."""


def stages(model: Any) -> dict[str, Stage]:
    """Return the stages that a model declares: the stride and the channels of each; nothing is run or traced.

    A model of your own declares them by an attribute or a property `stages`: a mapping from the names that its
    `features` returns, in the same order, to `Stage(stride, channels)`.

    Args:
        model: a Linen module, as those of `jaxcv.models`.

    Returns:
        The stages by name, in the order of `features`; strides in pixels.

    Raises:
        ValueError: the model declares none.

    Example:
        >>> from jaxcv import models
        >>> models.stages(models.resnet18(output_stride=16))
        {'stem': Stage(stride=2, channels=64), 'stage1': Stage(stride=4, channels=64),
         'stage2': Stage(stride=8, channels=128), 'stage3': Stage(stride=16, channels=256),
         'stage4': Stage(stride=16, channels=512)}
    """
    declared = getattr(model, 'stages', None)
    if declared is None:
        raise ValueError(
            f'{type(model).__name__} declares no stages. Give it a property `stages`, from the names that its '
            "`features` returns to jaxcv.models.Stage: {'stage1': Stage(stride=4, channels=64), ...}"
        )
    return {name: Stage(*stage) for name, stage in declared.items()}


def by_stride(model: Any, features: Mapping[str, Array]) -> dict[int, Array]:
    """Return the last stage of each stride, the finest first.

    Args:
        model: a model that declares its stages.
        features: its outputs by name, those of `method='features'`.

    Returns:
        Stride in pixels -> features.

    Raises:
        ValueError: the model declares no stages, or others than these.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxcv import models
        >>> model, x = models.cifar_resnet(depth=8), jnp.ones((1, 8, 8, 16))
        >>> features = {'stem': x, 'stage1': x, 'stage2': x[:, ::2, ::2], 'stage3': x[:, ::4, ::4]}
        >>> {stride: x.shape for stride, x in by_stride(model, features).items()}
        {1: (1, 8, 8, 16), 2: (1, 4, 4, 16), 4: (1, 2, 2, 16)}
    """
    declared = stages(model)
    if declared.keys() != features.keys():
        raise ValueError(
            f'{type(model).__name__} declares the stages {", ".join(declared)}, but its `features` returns '
            f'{", ".join(features)}'
        )
    return {stage.stride: features[name] for name, stage in declared.items()}


def declared(layers: Iterable[tuple[str, Step, int]]) -> dict[str, Stage]:
    """Return the stages of a network that is a chain of steps.

    Args:
        layers: (name of the stage, step, channels) of each layer or row of layers, in order; the last one of a stage
            decides.

    Returns:
        The stages by name; strides in pixels.

    Example:
        >>> one, two = Step(1, 1, 1), Step(2, 1, 1)
        >>> declared([('stem', two, 8), ('stage1', two, 16), ('stage1', one, 24)])
        {'stem': Stage(stride=2, channels=8), 'stage1': Stage(stride=4, channels=24)}
    """
    found, stride = {}, 1
    for name, step, channels in layers:
        stride *= step.strides
        found[name] = Stage(stride, channels)
    return found


def steps(strides: Sequence[int], output_stride: int) -> list[Step]:
    """Return for each change of resolution whether it strides or dilates.

    Args:
        strides: of the layers that change the resolution, in order.
        output_stride: the stride that their product must not exceed.

    Returns:
        A step a layer.

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
    """Pool without padding where the step strides; where it dilates, pool at every pixel and keep the size.

    The size is kept by padding on both sides, so that the features stay where they are in the image.
    """
    if step.strides > 1:
        return max_pool(x, window=window, strides=step.strides, padding=0, ceil_mode=ceil_mode)
    return max_pool(x, window=window, strides=1, padding='same', dilation=step.dilation)


def check_output_stride(output_stride: int) -> None:
    """Raise a ValueError unless the output stride is 8, 16 or 32."""
    if output_stride not in get_args(OutputStride):
        raise ValueError(f'output_stride is one of {get_args(OutputStride)}, got {output_stride}')
