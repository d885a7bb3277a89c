"""Convolutions of volumes: 3-D and transposed 3-D, on a CPU by slices of the depth.

XLA's 3-D convolution is 5 times slower on a CPU than 2-D convolutions with the depth's taps among the channels, and its
transposed one, with zeros between the pixels, 240 times slower than one without. So there a slice of the output is one
`conv2d` or `conv_transpose2d` of the slices that it depends on, stacked along the channels, in a loop over the depth
that holds one stack at a time. Its gradient is the same loop. On accelerators both are XLA's own.
"""

import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxcv.arguments import AtLeast0, AtLeast1, checked
from jaxcv.ops.convolution.dense import dense_conv
from jaxcv.ops.convolution.loop_sum import varying_as
from jaxcv.ops.convolution.switch import is_plain
from jaxcv.ops.convolution.transposed import check_output_padding, conv_transpose2d, output_length
from jaxcv.types import Array, Float

Both = tuple[Array, Array]


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
    taps = tuple(a - padding for a in range(kernel.shape[0]))
    plan = _Plan('conv', (depths[0] - 1) // strides + 1, strides, taps, strides, padding)
    return sliced_conv(x, kernel, plan)


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
    # Slice m s + r of y gets tap (r + p) mod s + s t of slice m + (r + p) // s - t of x.
    taps = sorted({m for r in range(strides) for m, _ in _taps(r, size, strides, padding)})
    steps = -(-lengths[0] // strides)
    plan = _Plan('transposed', steps, 1, tuple(taps) or (0,), strides, padding, output_padding)
    return sliced_conv(x, kernel, plan)[:, : lengths[0]]


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


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def sliced_conv(x: Array, kernel: Array, plan: _Plan) -> Array:
    """Convolve volumes [n d h w c] by slices, as the plan of `conv3d` or `conv_transpose3d` has it.

    Example:
        >>> plan = _Plan('conv', 2, 1, (0,), 1, 0)
        >>> sliced_conv(jnp.ones((1, 2, 1, 1, 3)), jnp.ones((1, 1, 1, 3, 1)), plan).ravel()
        Array([3., 3.], dtype=float32)
    """
    one = jax.eval_shape(lambda x, kernel: _step(_slices(x, 0, plan), kernel, plan), x, kernel)
    n, slices, *rest = one.shape

    def step(m: Array, result: Array) -> Array:
        return lax.dynamic_update_slice_in_dim(result, _step(_slices(x, m, plan), kernel, plan), m * slices, axis=1)

    zeros = jnp.zeros((n, plan.steps * slices, *rest), one.dtype)
    return lax.fori_loop(0, plan.steps, step, varying_as(x[0, 0, 0, 0, 0], zeros))


def _forward(x: Array, kernel: Array, plan: _Plan) -> tuple[Array, Both]:
    return sliced_conv(x, kernel, plan), (x, kernel)


def _backward(plan: _Plan, saved: Both, gradient: Array) -> Both:
    x, kernel = saved
    slices = gradient.shape[1] // plan.steps

    def step(m: Array, total: Both) -> Both:
        of_x, of_kernel = total
        _, transpose = jax.vjp(lambda slices, kernel: _step(slices, kernel, plan), _slices(x, m, plan), kernel)
        out = lax.dynamic_slice_in_dim(gradient, m * slices, slices, axis=1)
        of_slices, more = transpose(out)
        for tap, one in zip(plan.taps, of_slices, strict=True):
            place, inside = _place(m, tap, plan, x.shape[1])
            before = lax.dynamic_slice_in_dim(of_x, place, 1, axis=1)
            after = before + jnp.where(inside, one, 0)[:, None].astype(of_x.dtype)
            of_x = lax.dynamic_update_slice_in_dim(of_x, after, place, axis=1)
        return of_x, of_kernel + more.astype(jnp.float32)

    zeros = jnp.zeros_like(x), jnp.zeros(kernel.shape, jnp.float32)
    of_x, of_kernel = lax.fori_loop(0, plan.steps, step, varying_as(gradient[0, 0, 0, 0, 0], zeros))
    return of_x, of_kernel.astype(kernel.dtype)


sliced_conv.defvjp(_forward, _backward)


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
