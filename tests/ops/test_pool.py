"""Max pooling against NumPy, its gradient against XLA's own; average pooling against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.ops import adaptive_avg_pool, avg_pool, max_pool

CASES = [
    ((8, 8), 3, 2, 1),
    ((7, 9), 3, 2, 1),
    ((6, 8), 2, 2, 0),
    ((7, 7), 2, 2, 0),
    ((9, 8), 3, 3, 0),
    ((6, 5), 3, 1, 1),
    ((11, 10), 2, 3, 0),
    ((10, 7), 5, 2, 2),
]


def numpy_max_pool(x, window, strides, padding):
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)), constant_values=-np.inf)
    views = np.lib.stride_tricks.sliding_window_view(padded, (window, window), (1, 2))
    return views[:, ::strides, ::strides].max((-2, -1))


def xla_max_pool(x, window, strides, padding):
    sides = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, window, window, 1), (1, strides, strides, 1), sides)


@pytest.mark.parametrize(('size', 'window', 'strides', 'padding'), CASES)
def test_value_and_gradient(size, window, strides, padding):
    rng = np.random.default_rng(0)
    # Few distinct values: of equal ones the first in reading order must get the gradient.
    x = jnp.asarray(rng.integers(-3, 3, (2, *size, 3)), jnp.float32)
    expected = numpy_max_pool(x, window, strides, padding)
    weights = rng.standard_normal(expected.shape).astype(np.float32)

    def ours(x):
        return max_pool(x, window=window, strides=strides, padding=padding)

    np.testing.assert_array_equal(ours(x), expected)
    value, vjp = jax.vjp(jax.jit(ours), x)
    np.testing.assert_array_equal(value, expected)
    _, xla_vjp = jax.vjp(lambda x: xla_max_pool(x, window, strides, padding), x)
    np.testing.assert_allclose(vjp(weights)[0], xla_vjp(weights)[0], atol=1e-6)


@pytest.mark.parametrize(('window', 'dilation'), [(2, 1), (2, 2), (3, 1), (3, 2), (2, 3)])
def test_dilated_pooling_that_keeps_the_size(window, dilation):
    """By the definition; each largest value gets the gradient."""
    x = np.random.default_rng(0).normal(size=(2, 7, 6, 3)).astype(np.float32)
    reach = dilation * (window - 1)
    sides = (reach // 2, reach - reach // 2)
    padded = np.pad(x, ((0, 0), sides, sides, (0, 0)), constant_values=-np.inf)
    views = np.lib.stride_tricks.sliding_window_view(padded, (reach + 1,) * 2, (1, 2))[..., ::dilation, ::dilation]
    expected = views.max((-2, -1))
    y, vjp = jax.vjp(lambda x: max_pool(x, window=window, strides=1, padding='same', dilation=dilation), jnp.asarray(x))
    np.testing.assert_array_equal(y, expected)
    counts = np.zeros_like(padded)
    for n, i, j, c in np.ndindex(expected.shape):
        square = (n, slice(i, i + reach + 1, dilation), slice(j, j + reach + 1, dilation), c)
        counts[square] += padded[square] == expected[n, i, j, c]
    inside = counts[:, sides[0] : sides[0] + 7, sides[0] : sides[0] + 6]
    np.testing.assert_array_equal(vjp(jnp.ones_like(y))[0], inside)


def test_dilated_pooling_with_strides():
    x = np.random.default_rng(0).normal(size=(1, 11, 10, 2)).astype(np.float32)
    views = np.lib.stride_tricks.sliding_window_view(x, (5, 5), (1, 2))[:, ::3, ::3, ..., ::2, ::2]
    y, vjp = jax.vjp(lambda x: max_pool(x, window=3, strides=3, padding=0, dilation=2), jnp.asarray(x))
    np.testing.assert_array_equal(y, views.max((-2, -1)))
    assert float(vjp(jnp.ones_like(y))[0].sum()) == y.size
    np.testing.assert_allclose(
        avg_pool(jnp.asarray(x), window=3, strides=3, dilation=2), views.mean((-2, -1)), atol=1e-6
    )


def test_same_padding_is_for_stride_1():
    with pytest.raises(ValueError, match="padding 'same' is for stride 1, got strides=2"):
        max_pool(jnp.ones((1, 4, 4, 1)), padding='same')


def test_nan_wins_whether_differentiated_or_not():
    x = jnp.ones((1, 4, 4, 1)).at[0, 1, 1, 0].set(jnp.nan)
    assert jnp.isnan(max_pool(x)).any()
    value, _ = jax.vjp(max_pool, x)
    np.testing.assert_array_equal(value, max_pool(x))


def test_vmap_and_bfloat16():
    x = jax.random.normal(jax.random.key(0), (3, 2, 6, 6, 2)).astype(jnp.bfloat16)
    gradient = jax.grad(lambda x: jnp.square(max_pool(x)).sum().astype(jnp.float32))
    mapped = jax.vmap(gradient)(x)
    assert mapped.dtype == jnp.bfloat16
    np.testing.assert_array_equal(mapped[1], gradient(x[1]))


def numpy_windows(size, window, strides, padding):
    """PyTorch's rule for ceil_mode, from the definition: windows start inside the image or its left padding."""
    starts = []
    while True:
        start = len(starts) * strides - padding
        if start >= size or (starts and starts[-1] + window >= size + padding):
            return starts
        starts.append(start)


@pytest.mark.parametrize(
    ('size', 'window', 'strides', 'padding'),
    [
        ((8, 8), 3, 2, 0),
        ((7, 10), 3, 2, 0),
        ((7, 9), 2, 2, 0),
        ((8, 7), 2, 2, 1),
        ((5, 6), 3, 2, 1),
        ((2, 5), 3, 2, 0),
        ((9, 11), 2, 3, 0),
        ((6, 5), 3, 1, 1),
    ],
)
def test_ceil_mode(size, window, strides, padding):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.integers(-3, 3, (2, *size, 3)), jnp.float32)
    rows, columns = (
        [slice(max(0, start), min(n, start + window)) for start in numpy_windows(n, window, strides, padding)]
        for n in size
    )
    expected = np.stack([np.stack([x[:, i, j].max((1, 2)) for j in columns], axis=1) for i in rows], axis=1)

    def ours(x):
        return max_pool(x, window=window, strides=strides, padding=padding, ceil_mode=True)

    value, vjp = jax.vjp(jax.jit(ours), x)
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_array_equal(ours(x), expected)
    weights = rng.standard_normal(expected.shape).astype(np.float32)
    gradient = np.zeros(x.shape)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            for n, c in np.ndindex(2, 3):
                cell = x[n, row, column, c]
                a, b = np.unravel_index(np.argmax(cell), cell.shape)
                gradient[n, row.start + a, column.start + b, c] += weights[n, i, j, c]
    np.testing.assert_allclose(vjp(weights)[0], gradient, atol=1e-5)


@pytest.mark.parametrize('pool', [max_pool, avg_pool])
def test_a_window_that_does_not_fit_is_an_error(pool):
    with pytest.raises(ValueError, match='window of 4 with padding 0 does not fit features of size 3'):
        pool(jnp.ones((1, 8, 3, 1)), window=4, strides=2, padding=0)


@pytest.mark.parametrize(
    ('size', 'window', 'strides', 'padding'), [((7, 9), 3, 1, 1), ((17, 11), 5, 3, 0), ((6, 8), 2, 2, 0)]
)
def test_avg_pool(size, window, strides, padding):
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    views = np.lib.stride_tricks.sliding_window_view(padded, (window, window), (1, 2))
    expected = views[:, ::strides, ::strides].mean((-2, -1))

    def ours(x):
        return avg_pool(x, window=window, strides=strides, padding=padding)

    value, vjp = jax.vjp(jax.jit(ours), jnp.asarray(x))
    np.testing.assert_allclose(value, expected, atol=1e-6)
    # The mean is linear: <y, pool(x)> = <pool'(y), x>.
    y = np.random.default_rng(1).normal(size=expected.shape).astype(np.float32)
    np.testing.assert_allclose((vjp(y)[0] * x).sum(), (y * expected).sum(), rtol=1e-4)


@pytest.mark.parametrize('size', [1, 6, (7, 7), (3, 5), (12, 2)])
def test_adaptive_avg_pool(size):
    x = np.random.default_rng(0).normal(size=(2, 7, 5, 3)).astype(np.float32)
    rows, columns = (size, size) if isinstance(size, int) else size
    expected = np.empty((2, rows, columns, 3))
    for i in range(rows):
        for j in range(columns):
            down = slice(int(np.floor(i * 7 / rows)), int(np.ceil((i + 1) * 7 / rows)))
            right = slice(int(np.floor(j * 5 / columns)), int(np.ceil((j + 1) * 5 / columns)))
            expected[:, i, j] = x[:, down, right].mean((1, 2))
    np.testing.assert_allclose(adaptive_avg_pool(jnp.asarray(x), size=size), expected, atol=1e-6)


def test_adaptive_avg_pool_of_its_own_size_is_the_same():
    x = jax.random.normal(jax.random.key(0), (1, 6, 6, 2))
    assert adaptive_avg_pool(x, size=6) is x


def test_averages_in_bfloat16_are_taken_in_float32():
    x = jnp.full((1, 64, 64, 1), 1.0, jnp.bfloat16).at[0, 0, 0, 0].set(129.0)
    for mean in (avg_pool(x, window=64), adaptive_avg_pool(x, size=1)):
        assert mean.dtype == jnp.bfloat16
        assert mean.item() == 1.03125  # 1 + 128 / 4096; a sum in bfloat16 stops at 256
