"""Correlation of two feature maps over a range of displacements: the matching layer of FlowNetC and DispNetC.

Each row of the output is a matrix product of all pairs of pixels of two short pieces of rows, of which the diagonals
within the range are kept. A loop over rows keeps the memory that it takes at a part of the output's; its gradient is
the same loop. One product for each displacement takes several times as long on a CPU, and a gradient derived from it
hundreds of times the memory of the output.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxcv.arguments import AtLeast0, AtLeast1, checked
from jaxcv.ops.convolution.loop_sum import varying_as
from jaxcv.ops.convolution.switch import is_plain
from jaxcv.types import Array, Float

BLOCK = 32
"""Columns of the first map in one matrix product; it meets so many of the second map, and the range."""
STEP_VALUES, ACCELERATED_VALUES = 2**18, 2**22
"""Values of the second map in one step of the loop, at most, where one of its rows has fewer: on a CPU, and on
accelerators, where starting a step takes longer than a small one's products."""

Both = tuple[Array, Array]


class _Range(NamedTuple):
    """Displacements, in steps of the stride: rows and columns from the first to the last."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    stride: int


@checked
def correlation(
    first: Float[Array, 'n h w c'],
    second: Float[Array, 'n h w c'],
    *,
    max_displacement: AtLeast0,
    stride: AtLeast1 = 1,
) -> Float[Array, 'n h w k']:
    """Correlate two feature maps in a square of displacements.

    `y[i, j, (a, b)] = mean_c x[i, j, c] z[i + a, j + b, c]`.

    The displacements a of rows and b of columns run from -D to D in steps of the stride s, `2 floor(D / s) + 1` each;
    outside of the map z is 0. Channels are ordered row by row: channel `(a / s + m) (2 m + 1) + b / s + m` with
    `m = floor(D / s)`. FlowNetC has D = 20 and s = 2: 441 channels.

    The sum over channels is divided by their number, as in the original; mmflow's FlowNetC leaves that out. Products
    are summed in float32.

    Args:
        first: features x, at whose pixels the result is.
        second: features z.
        max_displacement: D, in pixels of the maps.
        stride: s, from one displacement to the next. All pixels of the first map are correlated.

    Returns:
        Matching scores of the type of x, for each displacement.

    Raises:
        ValueError: the maps have different shapes.

    Example:
        >>> x = jnp.eye(3).reshape(1, 1, 3, 3)
        >>> correlation(x, jnp.roll(x, 1, axis=2), max_displacement=1)[0, 0, 0] * 3
        Array([0., 0., 0., 0., 0., 1., 0., 0., 0.], dtype=float32)

    Dosovitskiy et al. 2015, FlowNet: learning optical flow with convolutional networks
    (https://arxiv.org/abs/1504.06852).
    """
    reach = max_displacement // stride
    return _correlate(first, second, _Range((-reach, reach), (-reach, reach), stride))


@checked
def correlation_1d(
    left: Float[Array, 'n h w c'],
    right: Float[Array, 'n h w c'],
    *,
    max_displacement: AtLeast0,
    stride: AtLeast1 = 1,
    two_sided: bool = False,
) -> Float[Array, 'n h w k']:
    """Correlate the features of a stereo pair along their rows: `y[i, j, d] = mean_c l[i, j, c] r[i, j - d, c]`.

    The disparities d run from 0 to D in steps of the stride s, `floor(D / s) + 1` channels; outside of the map r is 0.
    DispNetC has D = 40 and s = 1: 41 channels. It is `correlation` with one row of displacements, in reverse order.

    Args:
        left: features l, at whose pixels the result is.
        right: features r.
        max_displacement: D, in pixels of the maps.
        stride: s, from one disparity to the next.
        two_sided: let the disparities begin at -D, as without the option `single_direction` of the original layer:
            81 channels for D = 40.

    Returns:
        Matching scores of the type of l, for each disparity.

    Raises:
        ValueError: the maps have different shapes.

    Example:
        >>> x = jnp.eye(3).reshape(1, 1, 3, 3)
        >>> correlation_1d(x, jnp.roll(x, -1, axis=2), max_displacement=2)[0, 0, 2] * 3
        Array([0., 1., 0.], dtype=float32)

    Mayer et al. 2016, A large dataset to train convolutional networks for disparity, optical flow, and scene flow
    estimation (https://arxiv.org/abs/1512.02134).
    """
    reach = max_displacement // stride
    return _correlate(left, right, _Range((0, 0), (-reach, reach if two_sided else 0), stride))[..., ::-1]


def _correlate(first: Array, second: Array, span: _Range) -> Array:
    if first.shape != second.shape:
        raise ValueError(f'a correlation is of two maps of one shape, got {first.shape} and {second.shape}')
    if not first.shape[0]:
        displacements = [high - low + 1 for low, high in (span.rows, span.columns)]
        return jnp.zeros((*first.shape[:-1], displacements[0] * displacements[1]), first.dtype)
    # JAX derives the loop itself in any mode, and keeps what every step has made.
    return _value(first, second, span) if is_plain() else _remembered(first, second, span)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _remembered(first: Array, second: Array, span: _Range) -> Array:
    return _value(first, second, span)


def _forward(first: Array, second: Array, span: _Range) -> tuple[Array, Both]:
    return _value(first, second, span), (first, second)


def _backward(span: _Range, saved: Both, gradient: Array) -> Both:
    first, second = saved
    n, height, width, channels = first.shape
    low, high = span.rows
    plan, stride, slots = _plan(first.shape, span), span.stride, -(-height // span.stride)
    # Of a range of several rows, the rows of the second map with one residue modulo the stride are neighbours in the
    # sum, so that a step adds to one slice; there is room for those outside of the map.
    shape = first.shape if low == high else (n, slots + high - low, stride, width, channels)
    zeros = jnp.zeros(first.shape, jnp.float32), jnp.zeros(shape, jnp.float32)

    def step(i: Array, total: Both) -> Both:
        of_first, of_second = total
        row, part = i // plan.parts * plan.rows, i % plan.parts
        _, transpose = jax.vjp(functools.partial(_band, span=span), *_slices(first, second, row, part, span, plan))
        place = (0, row, 0, part * plan.channels)
        out = lax.dynamic_slice(gradient, place, (n, plan.rows, width, plan.channels))
        ours, theirs = transpose(out.reshape(-1, *out.shape[2:]).astype(first.dtype))
        ours = ours.reshape(n, plan.rows, width, channels)
        of_first = _add(of_first, ours, (0, row, 0, 0))
        if low == high:
            return of_first, _add(of_second, theirs.reshape(ours.shape), (0, row, 0, 0))
        slot = row // stride + part * plan.displacements
        return of_first, _add(of_second, theirs[:, :, None], (0, slot, row % stride, 0, 0))

    steps = height // plan.rows * plan.parts
    of_first, of_second = lax.fori_loop(0, steps, step, varying_as(gradient[0, 0, 0, 0], zeros))
    if low != high:
        of_second = of_second[:, -low : slots - low].reshape(n, slots * stride, width, channels)[:, :height]
    return of_first.astype(first.dtype), of_second.astype(second.dtype)


_remembered.defvjp(_forward, _backward)


def _value(first: Array, second: Array, span: _Range) -> Array:
    n, height, width, _ = first.shape
    plan = _plan(first.shape, span)

    def step(i: Array, result: Array) -> Array:
        row, part = i // plan.parts * plan.rows, i % plan.parts
        scores = _band(*_slices(first, second, row, part, span, plan), span=span)
        scores = scores.reshape(n, plan.rows, width, plan.channels)
        return lax.dynamic_update_slice(result, scores, (0, row, 0, part * plan.channels))

    zeros = jnp.zeros((n, height, width, plan.parts * plan.channels), first.dtype)
    return lax.fori_loop(0, height // plan.rows * plan.parts, step, varying_as(first[0, 0, 0, 0], zeros))


class _Plan(NamedTuple):
    """One step of the loop."""

    rows: int
    """Rows of the output: one, or several where no two meet the same row of the second map."""
    displacements: int
    """Rows of the range."""
    parts: int
    """Steps for the whole range."""
    channels: int
    """Of the output."""


def _plan(shape: tuple[Any, ...], span: _Range) -> _Plan:
    n, height, width, channels = shape
    down, right = (high - low + 1 for low, high in (span.rows, span.columns))
    values = STEP_VALUES if jax.default_backend() == 'cpu' else ACCELERATED_VALUES
    images = n if isinstance(n, int) else 1  # an exported function is of any number of them
    most = max(1, values // max(1, images * width * channels))
    displacements = _divisor(down, most)
    rows = _divisor(height, most) if down == 1 else 1
    return _Plan(rows, displacements, down // displacements, displacements * right)


def _divisor(number: int, most: int) -> int:
    return max(size for size in range(1, min(number, most) + 1) if number % size == 0)


def _slices(first: Array, second: Array, row: Array, part: Array, span: _Range, plan: _Plan) -> Both:
    """Return rows of the first map [n w c], and for each those of the second one that it meets [n r w c]."""
    ours = lax.dynamic_slice_in_dim(first, row, plan.rows, axis=1).reshape(-1, *first.shape[2:])
    low, high = span.rows
    if low == high:
        theirs = lax.dynamic_slice_in_dim(second, row, plan.rows, axis=1)
        return ours, theirs.reshape(-1, 1, *second.shape[2:])
    rows = row + span.stride * (low + part * plan.displacements + jnp.arange(plan.displacements))
    inside = (rows >= 0) & (rows < second.shape[1])
    theirs = jnp.take(second, jnp.clip(rows, 0, second.shape[1] - 1), axis=1)
    return ours, jnp.where(inside[:, None, None], theirs, 0)


def _add(total: Array, more: Array, place: tuple[Any, ...]) -> Array:
    before = lax.dynamic_slice(total, place, more.shape)
    return lax.dynamic_update_slice(total, before + more.astype(total.dtype), place)


def _band(first: Float[Array, 'n w c'], second: Float[Array, 'n r w c'], *, span: _Range) -> Float[Array, 'n w k']:
    """Return for each pixel of a row its products with those of r rows, k = r (columns of the range)."""
    n, width, channels = first.shape
    stride, (low, high) = span.stride, span.columns
    count = high - low + 1
    # Pixels whose distance is a multiple of the stride have the same residue modulo the stride: each residue is a
    # correlation of its own, with stride 1. Their columns are cut into blocks.
    columns = -(-width // stride)
    block = min(BLOCK, columns)
    blocks = -(-columns // block)
    right = blocks * block - columns
    ours = _by_residue(first, stride, 0, right)
    ours = ours.reshape(n, blocks, block, stride, channels)
    # Negative paddings cut off columns that no displacement leads to.
    theirs = _by_residue(second, stride, -low, right + high)
    reach = block + count - 1
    theirs = jnp.stack([theirs[:, :, b * block : b * block + reach] for b in range(blocks)], axis=1)
    products = jnp.einsum('nbxsc,nbrysc->nsbxry', ours, theirs, preferred_element_type=jnp.float32)
    # With y = x + b, the wanted values are on diagonals. In rows that are longer by one they are columns.
    rows = products.shape[-2]
    flat = products.reshape(n, stride, blocks, block * rows * reach)
    flat = jnp.pad(flat, ((0, 0), (0, 0), (0, 0), (0, block)))
    skewed = flat.reshape(n, stride, blocks, block, rows * reach + 1)[..., :-1]
    band = skewed.reshape(n, stride, blocks, block, rows, reach)[..., :count]
    band = band.transpose(0, 2, 3, 1, 4, 5).reshape(n, blocks * block * stride, rows * count)
    return (band[:, :width] / channels).astype(first.dtype)


def _by_residue(x: Float[Array, '*n w c'], stride: int, before: int, after: int) -> Float[Array, '*n q s c']:
    """Split columns into groups of s neighbours, with groups of zeros before and after; negative numbers cut some."""
    *_, width, channels = x.shape
    groups = -(-width // stride)
    edges = [(0, 0, 0)] * (x.ndim - 2)
    x = lax.pad(x, jnp.zeros((), x.dtype), [*edges, (0, groups * stride - width, 0), (0, 0, 0)])
    x = x.reshape(*x.shape[:-2], groups, stride, channels)
    return lax.pad(x, jnp.zeros((), x.dtype), [*edges, (before, after, 0), (0, 0, 0), (0, 0, 0)])
