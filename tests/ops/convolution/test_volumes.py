"""3-D convolutions by slices against XLA's own, with their gradients, and against PyTorch's definition."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import ops
from jaxcv.nn import BatchNorm, Conv3D, ConvTranspose3D

# Strides, padding, (output padding,) and size of the kernel.
CONVOLUTIONS = [(1, 1, 3), (2, 0, 2)]
TRANSPOSED = [(2, 1, 1, 3), (3, 1, 1, 2)]


def draw(*shapes):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes]


def cases():
    for strides, padding, k in CONVOLUTIONS:
        function = functools.partial(ops.conv3d, strides=strides, padding=padding)
        yield function, draw((2, 4, 5, 6, 3), (k, k, k, 3, 4))
    for strides, padding, more, k in TRANSPOSED:
        function = functools.partial(ops.conv_transpose3d, strides=strides, padding=padding, output_padding=more)
        yield function, draw((2, 3, 4, 5, 3), (k, k, k, 2, 3))


@pytest.fixture(scope='module')
def results():
    """Of each case, values and gradients as they are and as XLA has them."""

    functions, arguments = zip(*cases(), strict=True)

    @jax.jit
    def everything(arguments):
        found = []
        for function, arrays in zip(functions, arguments, strict=True):
            value, transpose = jax.vjp(function, *arrays)
            found.append((value, transpose(jnp.cos(jnp.arange(value.size, dtype=jnp.float32)).reshape(value.shape))))
        return found

    ours = everything(arguments)
    with ops.convolution.plain():
        return list(zip(ours, everything(arguments), strict=True))


@pytest.mark.parametrize('i', range(len(CONVOLUTIONS) + len(TRANSPOSED)))
def test_equals_xla(results, i):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=3e-5), *results[i])


def test_transposed_adds_the_kernel_at_each_value():
    """y[s i + a - p] += x[i] kernel[a], by a loop."""
    x, kernel = draw((1, 2, 3, 2, 2), (3, 3, 3, 1, 2))
    full = np.zeros((1, 2 * 2 + 1, 3 * 2 + 1, 2 * 2 + 1, 1))
    for i, j, k in np.ndindex(2, 3, 2):
        full[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3, 2 * k : 2 * k + 3] += np.einsum(
            'nc,abefc->nabef', x[:, i, j, k], kernel
        )
    y = jax.jit(functools.partial(ops.conv_transpose3d, strides=2, padding=1, output_padding=1))(x, kernel)
    assert y.shape == (1, 4, 6, 4, 1)
    np.testing.assert_allclose(y, full[:, 1:, 1:, 1:], atol=1e-5)


def test_layers():
    """Shapes, a bias, and a batch norm of volumes, whose statistics are of all axes but the channels."""
    (x,) = draw((2, 2, 4, 4, 3))
    for layer, shape in (
        (Conv3D(4, strides=2, use_bias=True), (2, 1, 2, 2, 4)),
        (ConvTranspose3D(4, padding=1, output_padding=1, use_bias=True), (2, 4, 8, 8, 4)),
    ):
        y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
        assert y.shape == shape
        assert variables['params']['bias'].shape == (4,)
    normalized = jax.jit(lambda x: BatchNorm().init_with_output(jax.random.key(0), x, train=True)[0])(x)
    np.testing.assert_allclose(normalized.mean((0, 1, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(normalized.var((0, 1, 2, 3)), 1, atol=1e-3)


def test_wrong_shapes():
    x, kernel = draw((1, 2, 4, 4, 3), (3, 3, 3, 3, 2))
    with pytest.raises(ValueError, match=r'conv3d: a kernel of \(3, 3, 3\) does not fit volumes of \(2, 4, 4\)'):
        ops.conv3d(x, kernel)
    with pytest.raises(ValueError, match='conv_transpose3d: a kernel for 2 channels does not fit volumes of 3'):
        ops.conv_transpose3d.__wrapped__(x, kernel, strides=2)
    with pytest.raises(ValueError, match='output_padding is 0 or more and less than strides 2'):
        ConvTranspose3D(4, output_padding=2)
