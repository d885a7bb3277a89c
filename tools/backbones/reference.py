"""The description of a published model, by which it is run."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch


class Reference(NamedTuple):
    """One published model."""

    source: str
    """'torchvision' or 'timm'."""
    make: Callable[[], torch.nn.Module]
    """() -> the model with random weights."""
    stages: Mapping[str, str]
    """Our name of a stage -> the module whose output it is."""
    sizes: Sequence[tuple[int, int]]
    """Image sizes (height, width): the native one and an odd one."""
