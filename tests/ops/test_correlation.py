"""Correlations against loops in NumPy, their gradients against those of the loops, and the memory that they take."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.ops import correlation, correlation_1d

# Shape, largest displacement and stride: several blocks of columns; a range beyond the map, and rests of the stride.
CASES = {'wide': ((1, 3, 70, 2), 3, 1), 'beyond the map': ((2, 4, 7, 3), 7, 3)}


def maps(shape):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(np.float32) for _ in range(2)]


def displacements(reach, stride):
    steps = reach // stride
    return range(-steps * stride, steps * stride + 1, stride)


def loop(first, second, rows, columns):
    """The correlation, and of the sum of it times cos(0), cos(1), ... the gradients."""
    n, height, width, channels = first.shape
    result = np.zeros((n, height, width, len(rows) * len(columns)))
    seed = np.cos(np.arange(result.size)).reshape(result.shape)
    gradients = np.zeros(first.shape), np.zeros(first.shape)
    for i, j in np.ndindex(height, width):
        for k, (a, b) in enumerate((a, b) for a in rows for b in columns):
            if 0 <= i + a < height and 0 <= j + b < width:
                result[:, i, j, k] = (first[:, i, j] * second[:, i + a, j + b]).mean(-1)
                gradients[0][:, i, j] += seed[:, i, j, k, None] * second[:, i + a, j + b] / channels
                gradients[1][:, i + a, j + b] += seed[:, i, j, k, None] * first[:, i, j] / channels
    return result, gradients


def value_and_gradients(function, *arrays):
    result, transpose = jax.vjp(function, *arrays)
    return result, transpose(jnp.cos(jnp.arange(result.size, dtype=jnp.float32)).reshape(result.shape))


@pytest.fixture(scope='module')
def computed():
    """All cases in one program."""

    @jax.jit
    def everything(arrays):
        found = {}
        for name, (_, reach, stride) in CASES.items():
            options = {'max_displacement': reach, 'stride': stride}
            found[name] = value_and_gradients(functools.partial(correlation, **options), *arrays[name])
            rows = functools.partial(correlation_1d, **options, two_sided=stride > 1)
            found[f'rows {name}'] = value_and_gradients(rows, *arrays[name])
        return found

    return everything({name: maps(shape) for name, (shape, *_) in CASES.items()})


@pytest.mark.parametrize('name', CASES)
def test_equals_a_loop(computed, name):
    shape, reach, stride = CASES[name]
    steps = displacements(reach, stride)
    expected = loop(*maps(shape), steps, steps)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=2e-6), computed[name], expected)


@pytest.mark.parametrize('name', CASES)
def test_of_rows_equals_a_loop(computed, name):
    """Disparity d is a displacement of -d, and disparities are in rising order."""
    shape, reach, stride = CASES[name]
    disparities = [d for d in displacements(reach, stride) if stride > 1 or d >= 0]
    expected = loop(*maps(shape), [0], [-d for d in disparities])
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=2e-6), computed[f'rows {name}'], expected)


def test_the_range_of_flownet_c():
    """441 channels, rows slow and columns fast: a motion of (+6, -4) is channel (-4 / 2 + 10) 21 + 6 / 2 + 10."""
    features = jax.ShapeDtypeStruct((1, 48, 64, 256), jnp.float32)
    correlate = functools.partial(correlation, max_displacement=20, stride=2)
    assert jax.eval_shape(correlate, features, features).shape == (1, 48, 64, 441)
    first, _ = maps((1, 12, 16, 64))
    second = np.roll(first, (-4, 6), axis=(1, 2))
    scores = jax.jit(correlate)(first, second)[0, 4:, :10]
    assert (np.argmax(scores, axis=-1) == (-4 // 2 + 10) * 21 + 6 // 2 + 10).all()


def test_memory_is_a_small_part_of_the_output():
    """Of FlowNetC at 384 x 512: a twentieth; as shifted products it would be the output many times."""
    features = jax.ShapeDtypeStruct((2, 48, 64, 256), jnp.float32)
    correlate = jax.jit(functools.partial(correlation, max_displacement=20, stride=2))
    memory = correlate.lower(features, features).compile().memory_analysis()
    there = memory.argument_size_in_bytes + memory.output_size_in_bytes
    assert there + memory.temp_size_in_bytes < 1.2 * there


def test_of_an_unknown_number_of_images():
    """As networks are exported."""
    (n,) = jax.export.symbolic_shape('n')
    x, z = maps((3, 4, 6, 2))
    like = jax.ShapeDtypeStruct((n, *x.shape[1:]), jnp.float32)
    for function in (correlation, correlation_1d):
        compiled = jax.jit(functools.partial(function, max_displacement=2))
        call = jax.export.export(compiled)(like, like).call
        np.testing.assert_allclose(call(x, z), compiled(x, z), atol=1e-6)


def test_no_images_and_half_precision():
    empty = jnp.zeros((0, 4, 4, 2))
    assert correlation(empty, empty, max_displacement=2).shape == (0, 4, 4, 25)
    half = jax.ShapeDtypeStruct((1, 4, 4, 2), jnp.bfloat16)
    assert jax.eval_shape(functools.partial(correlation_1d, max_displacement=2), half, half).dtype == jnp.bfloat16


def test_maps_of_two_shapes():
    with pytest.raises(ValueError, match=r'of two maps of one shape, got \(1, 2, 3, 4\) and \(1, 2, 4, 4\)'):
        correlation.__wrapped__(jnp.ones((1, 2, 3, 4)), jnp.ones((1, 2, 4, 4)), max_displacement=1)
