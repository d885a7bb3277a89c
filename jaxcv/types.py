"""Array aliases, and THE page of conventions.

* **Images** are NHWC: float32 in [0, 1] on the device, uint8 on the host. `normalize` is a step of its own.
* **Boxes** are absolute-pixel `xyxy`: `(x1, y1, x2, y2)`, `x2` and `y2` exclusive.
* **Labels** are int32. Disparity is positive pixels, from `left` to `right`; flow is `(dx, dy)`, from `image` to
  `next_image`.
* **Masks**: `mask` int32 `[n h w]` is the class of each pixel; pixels of the value `IGNORED` (255) are excluded from
  losses and metrics. `instance_masks` uint8 `[n k h w]` are 0 or 1, one for each object.
* **Names of features**: those of the whole image are singular (`label`, `mask`); those of its objects begin with what
  they belong to (`boxes`, `box_labels`, `instance_masks`). `jaxcv.features` is the table of all of them.
* **Optional things** are arrays plus a boolean mask: a shape never depends on a value. `valid` `[n]` marks the examples
  of a batch that are real, and `box_valid` `[n k]` the boxes that are; predictions have the same two.
* **A batch** is a dict of arrays that share their first axis. `valid` (bool) is False for padding and for images
  that could not be read; `index` (int32) is the example's place in its data set, -1 for padding.
* **Randomness**: a function that draws takes `key` first. The same key gives the same result.
* **Arguments**: arrays are positional, options keyword-only. Words (`Literal`) and ranges of numbers stand in the
  signature, and `jaxcv.arguments.checked` enforces them.
* **Losses** are per example (anchor, pixel). The task reduces them once, to a sum and its weight.
* **Precision**: parameters, batch-norm statistics and losses are float32; `dtype` sets the compute type only.
* **Shapes** stand in the signature, in jaxtyping's words: `Float[Array, 'n h w c']`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, UInt8

from jaxcv.features import IGNORED

Batch = Mapping[str, Any]
"""Arrays that share their first axis, on the host (NumPy) or on the device (jax.Array)."""

Variables = Mapping[str, Any]
"""What a Linen module's `apply` takes: `{'params': ..., 'batch_stats': ...}`."""

DATA_AXIS = 'data'
"""The mesh's axis, over which a batch is split. Batch norms average over it where it is bound."""

PyTree = Any
Scalar = Float[Array, '']
Images = Float[Array, 'n h w c']
Schedule = Callable[[Any], Any]
"""The update count to the value of a hyper-parameter, as optax has it."""

__all__ = [
    'DATA_AXIS',
    'IGNORED',
    'Array',
    'Batch',
    'Bool',
    'Float',
    'Images',
    'Int',
    'Key',
    'PRNGKeyArray',
    'PyTree',
    'Scalar',
    'Schedule',
    'UInt8',
    'Variables',
]
