"""Convolutions of volumes: 3-D and transposed 3-D, on a CPU by slices of the depth.

XLA's 3-D convolution is 5 times slower on a CPU than 2-D convolutions with the depth's taps among the channels, and its
transposed one, with zeros between the pixels, 240 times slower than one without. So there a slice of the output is one
`conv2d` or `conv_transpose2d` of the slices that it depends on, stacked along the channels, in a loop over the depth
that holds one stack at a time. The gradient of x of each is the other one, that of the kernel a sum over chunks
(`loop_sum.py`). On accelerators both are XLA's own.
"""

import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcv.arguments import AtLeast0, AtLeast1, checked
from jaxcv.ops.convolution.dense import dense_conv
from jaxcv.ops.convolution.loop_sum import sum_of_outer_products, varying_as
from jaxcv.ops.convolution.switch import is_plain
from jaxcv.ops.convolution.transposed import check_output_padding, conv_transpose2d, output_length
from jaxcv.types import Array, Float

Both = tuple[Array, Array]

CHUNK_VALUES = 2**20
"""Inputs under the kernel in one chunk of the kernel's gradient, as a rule."""


@checked
def conv3d(
    x: Float[Array, 'n d h w c'],
    kernel: Float[Array, 'kd kh kw c f'],
    *,
    strides: AtLeast1 = 1,
    padding: AtLeast0 = 0,
) -> Float[Array, 'n k i j f']:
    """Convolve volumes.

    `y[k, i, j, f] = sum_{a b e c} x[s k + a - p, s i + b - p, s j + e - p, c] kernel[a, b, e, c, f]`.

    As `conv2d`, with a depth. On a CPU the gradient is a custom one, with the limits that `conv2d` states.

    Args:
        x: volumes.
        kernel: one filter for each output channel f.
        strides: pixels from one output to the next along each axis, s.
        padding: zeros on every side, p.

    Returns:
        Volumes with k = (d + 2 padding - kd) // strides + 1 slices, and rows and columns likewise.

    Raises:
        ValueError: the kernel does not fit, or is for other channels.

    Example:
        >>> box = jnp.ones((3, 3, 3, 1, 1))
        >>> conv3d(jnp.ones((1, 4, 4, 4, 1)), box, strides=2, padding=1)[0, 0, :, :, 0]
        Array([[ 8., 12.], [12., 18.]], dtype=float32)
    """
    _check_channels('conv3d', x, kernel.shape[3])
    depths = [n + 2 * padding - k + 1 for n, k in zip(x.shape[1:4], kernel.shape[:3], strict=True)]
    if min(depths) < 1:
        raise ValueError(f'conv3d: a kernel of {kernel.shape[:3]} does not fit volumes of {x.shape[1:4]}')
    if is_plain() or not _by_slices(x):
        return _xla_conv3d(x, kernel, strides, padding)
    return sliced_conv(x, kernel, strides, padding)


@checked
def conv_transpose3d(
    x: Float[Array, 'n d h w c'],
    kernel: Float[Array, 'k k k f c'],
    *,
    strides: AtLeast1 = 1,
    padding: AtLeast0 = 0,
    output_padding: AtLeast0 = 0,
) -> Float[Array, 'n l i j f']:
    """Apply the transpose of a 3-D convolution, from its output's shape to its input's; as `conv_transpose2d`.

    `y[s i + a - p, ..., f] += x[i, ..., c] kernel[a, ..., f, c]` along all three axes.

    Args:
        x: volumes.
        kernel: that of the convolution from y to x: depth, rows, columns, channels of y, channels of x.
        strides: pixels of y from one cube to the next, s.
        padding: slices, rows and columns that are cut off on every side, p.
        output_padding: slices, rows and columns that are kept more at the end of each axis, less than the strides.

    Returns:
        Volumes with (d - 1) s - 2 p + k + output_padding slices, and rows and columns likewise.

    Raises:
        ValueError: the output padding is not less than the strides, the output has no pixels, or the kernel is for
            other channels.

    Example:
        >>> conv_transpose3d(jnp.ones((1, 1, 1, 2, 1)), jnp.ones((2, 2, 2, 1, 1)), strides=2).shape
        (1, 2, 2, 4, 1)
    """
    check_output_padding(output_padding, strides, 1)
    _check_channels('conv_transpose3d', x, kernel.shape[4])
    size = kernel.shape[0]
    lengths = [output_length(n, size, strides, padding, output_padding, 1) for n in x.shape[1:4]]
    if min(lengths) < 1:
        raise ValueError(f'conv_transpose3d: padding {padding} leaves nothing of volumes {x.shape}')
    if is_plain() or not _by_slices(x):
        return _xla_transposed(x, kernel, strides, padding, output_padding)
    return sliced_transposed(x, kernel, strides, padding, output_padding)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def sliced_conv(x: Array, kernel: Array, strides: int, padding: int) -> Array:
    """Apply `conv3d` by slices.

    Example:
        >>> sliced_conv(jnp.ones((1, 2, 1, 1, 3)), jnp.ones((1, 1, 1, 3, 1)), 1, 0).ravel()
        Array([3., 3.], dtype=float32)
    """
    steps = (x.shape[1] + 2 * padding - kernel.shape[0]) // strides + 1
    taps = tuple(a - padding for a in range(kernel.shape[0]))
    return _run(x, kernel, _Plan('conv', steps, strides, taps, strides, padding))


def _conv_forward(x: Array, kernel: Array, strides: int, padding: int) -> tuple[Array, Both]:
    return sliced_conv(x, kernel, strides, padding), (x, kernel)


def _conv_backward(strides: int, padding: int, saved: Both, gradient: Array) -> Both:
    x, kernel = saved
    of_kernel = _kernel_gradient(x, gradient, kernel.shape, strides, padding).astype(kernel.dtype)
    if len(set(kernel.shape[:3])) > 1:
        of_x = jax.linear_transpose(lambda x: _xla_conv3d(x, kernel, strides, padding), x)(gradient)[0]
        return of_x, of_kernel
    depth, rows, columns = x.shape[1:4]
    # The ends that the strides have left out get what the last outputs give them, or 0.
    of_x = sliced_transposed(gradient, kernel, strides, padding, strides - 1)[:, :depth, :rows, :columns]
    return of_x, of_kernel


sliced_conv.defvjp(_conv_forward, _conv_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def sliced_transposed(x: Array, kernel: Array, strides: int, padding: int, output_padding: int) -> Array:
    """Apply `conv_transpose3d` by slices.

    Example:
        >>> sliced_transposed(jnp.ones((1, 1, 1, 1, 3)), jnp.ones((2, 2, 2, 1, 3)), 2, 0, 0).ravel()
        Array([3., 3., 3., 3., 3., 3., 3., 3.], dtype=float32)
    """
    size = kernel.shape[0]
    length = output_length(x.shape[1], size, strides, padding, output_padding, 1)
    # Slice m s + r of y gets tap (r + p) mod s + s t of slice m + (r + p) // s - t of x.
    taps = sorted({m for r in range(strides) for m, _ in _taps(r, size, strides, padding)})
    steps = -(-length // strides)
    plan = _Plan('transposed', steps, 1, tuple(taps), strides, padding, output_padding)
    return _run(x, kernel, plan)[:, :length]


def _transposed_forward(x: Array, kernel: Array, strides: int, padding: int, output_padding: int) -> tuple[Array, Both]:
    return sliced_transposed(x, kernel, strides, padding, output_padding), (x, kernel)


def _transposed_backward(strides: int, padding: int, output_padding: int, saved: Both, gradient: Array) -> Both:
    # As of a transposed convolution in two dimensions, the gradients are a convolution and its kernel's gradient.
    x, kernel = saved
    of_kernel = _kernel_gradient(gradient, x, kernel.shape, strides, padding)
    return sliced_conv(gradient, kernel, strides, padding), of_kernel.astype(kernel.dtype)


sliced_transposed.defvjp(_transposed_forward, _transposed_backward)


def _kernel_gradient(x: Array, gradient: Array, shape: tuple[int, ...], strides: int, padding: int) -> Array:
    """Return the gradient of a kernel of this shape, as a sum over rows of which the inputs stay in a CPU's cache."""
    n, slices, rows, columns, _ = gradient.shape
    values = columns * shape[0] * shape[1] * shape[2] * shape[3]
    most = min(rows, max(1, CHUNK_VALUES // values))
    size = max(count for count in range(1, most + 1) if rows % count == 0)
    padded = jnp.pad(x, ((0, 0), *[(padding, padding)] * 3, (0, 0)))
    down, right = strides * (size - 1), strides * (columns - 1)

    def chunk(i: Array) -> Both:
        image, k, row = i // (slices * rows // size), i // (rows // size) % slices, i % (rows // size) * size
        window = (1, shape[0], down + shape[1], padded.shape[3], padded.shape[4])
        seen = lax.dynamic_slice(padded, (image, strides * k, strides * row, 0, 0), window)
        patches = [
            seen[0, a, b : b + down + 1 : strides, e : e + right + 1 : strides] for a, b, e in np.ndindex(shape[:3])
        ]
        out = lax.dynamic_slice(gradient, (image, k, row, 0, 0), (1, 1, size, columns, gradient.shape[4]))
        flat = jnp.concatenate(patches, axis=-1).reshape(size * columns, -1)
        return lax.optimization_barrier(flat), out.reshape(size * columns, -1)

    return sum_of_outer_products(chunk, n * slices * rows // size).reshape(shape)


class _Plan(NamedTuple):
    """A convolution by slices: which slices of x a step of the loop over the depth takes, and what it does."""

    kind: Literal['conv', 'transposed']
    steps: int
    stride: int
    """Slices of x from one step to the next."""
    taps: tuple[int, ...]
    """Slices of x that a step takes, from its own one."""
    strides: int
    padding: int
    output_padding: int = 0


def _run(x: Array, kernel: Array, plan: _Plan) -> Array:
    one = jax.eval_shape(lambda x, kernel: _step(_slices(x, 0, plan), kernel, plan), x, kernel)
    n, slices, *rest = one.shape

    def step(m: Array, result: Array) -> Array:
        return lax.dynamic_update_slice_in_dim(result, _step(_slices(x, m, plan), kernel, plan), m * slices, axis=1)

    zeros = jnp.zeros((n, plan.steps * slices, *rest), one.dtype)
    return lax.fori_loop(0, plan.steps, step, varying_as(x[0, 0, 0, 0, 0], zeros))


def _step(slices: tuple[Array, ...], kernel: Array, plan: _Plan) -> Array:
    """Return the slices of the output [n s i j f] that one step makes of slices of x [n h w c]."""
    strides, padding = plan.strides, plan.padding
    if plan.kind == 'conv':
        # [kd kh kw c f] -> [kh kw (kd c) f]
        flat = kernel.transpose(1, 2, 0, 3, 4).reshape(*kernel.shape[1:3], -1, kernel.shape[4])
        return dense_conv(jnp.concatenate(slices, axis=-1), flat, strides, (padding, padding), 1)[:, None]
    made = []
    by_tap = dict(zip(plan.taps, slices, strict=True))
    for r in range(strides):
        pairs = _taps(r, kernel.shape[0], strides, padding)
        # With strides larger than the kernel no tap leads to some slices, which are 0.
        ours, used = ([(plan.taps[0], 0)], 0 * kernel) if not pairs else (pairs, kernel)
        stacked = jnp.concatenate([by_tap[m] for m, _ in ours], axis=-1)
        flat = jnp.concatenate([used[a] for _, a in ours], axis=-1)
        options = {'strides': strides, 'padding': padding, 'output_padding': plan.output_padding}
        made.append(conv_transpose2d(stacked, flat, **options))
    return jnp.stack(made, axis=1)


def _taps(r: int, size: int, strides: int, padding: int) -> list[tuple[int, int]]:
    """Return (slice of x from m, tap of the kernel) that add up to slice m s + r of a transposed convolution."""
    shift, first = divmod(r + padding, strides)
    return [(shift - t, a) for t, a in enumerate(range(first, size, strides))]


def _slices(x: Array, m: Array | int, plan: _Plan) -> tuple[Array, ...]:
    """Return the slices of x [n h w c] that a step takes; outside of x they are 0."""
    found = []
    for tap in plan.taps:
        place, inside = _place(m, tap, plan, x.shape[1])
        found.append(jnp.where(inside, lax.dynamic_index_in_dim(x, place, axis=1, keepdims=False), 0))
    return tuple(found)


def _place(m: Array | int, tap: int, plan: _Plan, depth: int) -> Both:
    """Return the slice of a step's tap, clipped to the volume, and whether it is inside."""
    place = jnp.asarray(m, jnp.int32) * plan.stride + tap
    return jnp.clip(place, 0, depth - 1), (place >= 0) & (place < depth)


def _by_slices(x: Array) -> bool:
    return jax.default_backend() == 'cpu' and x.shape[0] > 0


def _check_channels(name: str, x: Array, channels: int) -> None:
    if x.shape[-1] != channels:
        raise ValueError(f'{name}: a kernel for {channels} channels does not fit volumes of {x.shape[-1]}')


def _xla_conv3d(x: Array, kernel: Array, strides: int, padding: int) -> Array:
    numbers = ('NDHWC', 'DHWIO', 'NDHWC')
    return lax.conv_general_dilated(x, kernel, (strides,) * 3, ((padding, padding),) * 3, dimension_numbers=numbers)


def _xla_transposed(x: Array, kernel: Array, strides: int, padding: int, output_padding: int) -> Array:
    before = kernel.shape[0] - 1 - padding
    return lax.conv_general_dilated(
        x,
        kernel[::-1, ::-1, ::-1],
        window_strides=(1, 1, 1),
        padding=((before, before + output_padding),) * 3,
        lhs_dilation=(strides,) * 3,
        dimension_numbers=('NDHWC', 'DHWOI', 'NDHWC'),
    )
