"""Convolutions: XLA's own on accelerators, and formulations with custom gradients on CPUs.

`conv2d` chooses (dispatch.py). To read the package:

* xla.py: one `lax.conv_general_dilated`; all there is on a GPU or TPU.
* cpu.py: the forms of it that XLA is fast at on a CPU.
* pointwise.py (1x1) and dense.py (k x k): the CPU's, whose kernel gradient is a sum over chunks that fit its cache; of
  k x k without strides it is XLA's own.
* depthwise.py: the CPU's for one filter a channel, a sum of shifted images.
* grouped.py: the CPU's for other groups, a few dense convolutions.
* loop_sum.py and shifts.py: the sum over chunks and the shifted images.
* unrolled_vmap.py: `vmap` over kernels, as of an ensemble, one member after another.
* switch.py: `with plain():` makes every convolution XLA's own on a CPU too, as an export to ONNX needs it.
* transposed.py: the transposed convolution, and same_padding.py: TensorFlow's padding.
* volumes.py: 3-D convolutions and transposed ones, on a CPU a loop of 2-D ones over the slices.

`python -m benchmarks.conv_layers` times each convolution of a model against PyTorch's, `python -m benchmarks.ensemble`
an ensemble against its members. Under a mesh of several CPU devices the loops over chunks gather the batch: such meshes
serve to test programs, not to run them fast.
"""

from jaxcv.ops.convolution.dispatch import conv2d
from jaxcv.ops.convolution.same_padding import pad_same
from jaxcv.ops.convolution.switch import plain
from jaxcv.ops.convolution.transposed import conv_transpose2d
from jaxcv.ops.convolution.volumes import conv3d, conv_transpose3d

__all__ = ['conv2d', 'conv3d', 'conv_transpose2d', 'conv_transpose3d', 'pad_same', 'plain']
