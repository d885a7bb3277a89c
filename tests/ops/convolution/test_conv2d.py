"""The convolution against SciPy, and its gradients against XLA's own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from scipy.signal import correlate

from jaxcv.ops import conv2d, pair
from jaxcv.ops.convolution import cpu
from jaxcv.ops.convolution.unrolled_vmap import MOST_MEMBERS

# size of the image, channels, features, and options. The first rows take each path of the custom gradient.
CASES = {
    '1x1': ((9, 7), 4, 6, 1, {}),
    '1x1 narrow, strided': ((32, 32), 6, 4, 1, {'strides': 2}),
    '3x3 large': ((17, 18), 16, 8, 3, {'padding': 1}),
    '3x3 large, strided': ((33, 36), 16, 24, 3, {'strides': 2, 'padding': 1}),
    '3x3 large, dilated': ((18, 17), 16, 8, 3, {'padding': 2, 'dilation': 2}),
    '5x5 large, stride 3, no padding': ((56, 52), 16, 4, 5, {'strides': 3}),
    '3x3 small': ((5, 6), 3, 4, 3, {'padding': 1}),
    '3x3 smaller than the kernel': ((2, 3), 4, 6, 3, {'padding': 1}),
    '3x3 smaller than the kernel, strided': ((4, 3), 4, 6, 3, {'strides': 2, 'padding': 1}),
    '3x3 smaller than the kernel, dilated': ((2, 2), 4, 6, 3, {'padding': 2, 'dilation': 2}),
    '7x7 stem': ((40, 33), 3, 4, 7, {'strides': 2, 'padding': 3}),
    '1x7': ((17, 18), 16, 8, (1, 7), {'padding': (0, 3)}),
    '7x1 small, dilated': ((6, 5), 3, 4, (7, 1), {'padding': (6, 0), 'dilation': 2}),
    '7x1 larger than the features': ((2, 3), 4, 6, (7, 1), {'padding': (3, 0)}),
    '2x2': ((8, 7), 3, 4, 2, {'strides': 2}),
    '1x1 padded': ((5, 4), 3, 4, 1, {'padding': 1}),
    'groups': ((6, 7), 4, 6, 3, {'padding': 1, 'groups': 2}),
    'many groups': ((18, 17), 128, 64, 3, {'padding': 1, 'groups': 32, 'strides': 2}),
    'groups of many': ((5, 6), 12, 24, 1, {'groups': 3}),
    'two filters a channel': ((6, 5), 4, 8, 3, {'padding': 1, 'groups': 4}),
    'depthwise': ((6, 7), 4, 4, 3, {'padding': 1, 'groups': 4, 'strides': 2}),
    'depthwise, dilated': ((9, 8), 4, 4, 3, {'padding': 2, 'dilation': 2, 'groups': 4, 'strides': 3}),
    'depthwise, padded by more than it sees': ((4, 5), 3, 3, 3, {'padding': 4, 'groups': 3}),
    'depthwise 5x5, no padding': ((11, 8), 4, 4, 5, {'groups': 4, 'strides': 2}),
}


def example(name, n=2):
    (height, width), channels, features, size, options = CASES[name]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, height, width, channels), np.float32)
    shape = (*pair(size), channels // options.get('groups', 1), features)
    return jnp.asarray(x), jnp.asarray(rng.standard_normal(shape, np.float32)), options


def lax_conv(x, kernel, *, strides=1, padding=0, dilation=1, groups=1):
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (strides, strides),
        [(p, p) for p in pair(padding)],
        rhs_dilation=(dilation, dilation),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        feature_group_count=groups,
    )


def gradients(conv, x, kernel, options):
    """Of a loss whose gradient in the output differs from place to place."""
    return jax.jit(jax.grad(lambda x, kernel: jnp.sin(conv(x, kernel, **options)).sum(), argnums=(0, 1)))(x, kernel)


def assert_close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize('name', CASES)
def test_equals_scipy(name):
    x, kernel, options = example(name)
    strides, padding, dilation, groups = (
        options.get(key, default) for key, default in [('strides', 1), ('padding', 0), ('dilation', 1), ('groups', 1)]
    )
    padded = np.pad(x, ((0, 0), *((p, p) for p in pair(padding)), (0, 0))).astype(float)
    size = (dilation * (side - 1) + 1 for side in kernel.shape[:2])
    spread = np.zeros((*size, *kernel.shape[2:]))
    spread[::dilation, ::dilation] = kernel
    features = []
    for f in range(kernel.shape[3]):
        first = f // (kernel.shape[3] // groups) * kernel.shape[2]
        channels = padded[..., first : first + kernel.shape[2]]
        features.append([correlate(image, spread[..., f], 'valid')[::strides, ::strides, 0] for image in channels])
    assert_close(conv2d(x, kernel, **options), np.stack(features, axis=-1))


@pytest.mark.parametrize('name', CASES)
def test_gradients_equal_xlas(name):
    x, kernel, options = example(name)
    for actual, expected in zip(
        gradients(conv2d, x, kernel, options), gradients(lax_conv, x, kernel, options), strict=True
    ):
        assert_close(actual, expected)


@pytest.mark.parametrize('name', ['1x1', '3x3 large, strided'])
def test_batch_of_one(name):
    x, kernel, options = example(name, n=1)
    for actual, expected in zip(
        gradients(conv2d, x, kernel, options), gradients(lax_conv, x, kernel, options), strict=True
    ):
        assert_close(actual, expected)


@pytest.mark.parametrize('name', ['1x1', '3x3 large, strided'])
def test_vmap_and_scan(name):
    x, kernel, options = example(name, n=3)
    expected = gradients(lax_conv, x, kernel, options)

    def one(image):
        return jax.grad(lambda kernel: jnp.sin(conv2d(image[None], kernel, **options)).sum())(kernel)

    assert_close(jax.jit(jax.vmap(one))(x).sum(0), expected[1])
    total, _ = jax.lax.scan(lambda total, image: (total + one(image), None), jnp.zeros_like(kernel), x)
    assert_close(total, expected[1])


# One for each path of the gradient.
MAPPED = [
    '1x1 narrow, strided',
    '3x3 large, strided',
    '3x3 small',
    '3x3 smaller than the kernel, strided',
    'groups',
    'depthwise',
]


@pytest.mark.parametrize('name', MAPPED)
@pytest.mark.parametrize('shared', [False, True], ids=['own images', 'shared images'])
def test_ensemble_equals_its_members(name, shared):
    x, kernel, options = example(name)
    kernels = jnp.stack([kernel, -2 * kernel, kernel + 1])
    images = x if shared else jnp.stack([x, x + 1, 2 * x])

    def value_and_gradients(conv, x, kernel):
        y, pull = jax.vjp(lambda x, kernel: conv(x, kernel, **options), x, kernel)
        return y, *pull(jnp.sin(jnp.arange(y.size)).reshape(y.shape))

    found = jax.jit(jax.vmap(functools.partial(value_and_gradients, conv2d), (None if shared else 0, 0)))(
        images, kernels
    )
    alone = jax.jit(functools.partial(value_and_gradients, lax_conv))
    members = [alone(x if shared else images[i], kernels[i]) for i in range(3)]
    for actual, expected in zip(found, zip(*members, strict=True), strict=True):
        assert_close(actual, np.stack(expected))


@pytest.mark.parametrize('name', ['1x1', '3x3 small'])
def test_an_ensemble_of_ensembles_and_a_large_one(name):
    x, kernel, options = example(name)
    scales = jnp.linspace(-1, 1, MOST_MEMBERS + 2)

    def gradient(conv, scale):
        return jax.grad(lambda kernel: jnp.sin(conv(x, kernel, **options)).sum())(scale * kernel)

    expected = jax.jit(lambda scales: jax.lax.map(functools.partial(gradient, lax_conv), scales))(scales)
    ours = jax.vmap(functools.partial(gradient, conv2d))
    assert_close(jax.jit(ours)(scales), expected)
    nested = jax.jit(jax.vmap(ours))(scales[:4].reshape(2, 2))
    assert_close(nested.reshape(4, *kernel.shape), expected[:4])


@pytest.mark.parametrize('name', ['1x1', '3x3 large, strided'])
def test_several_devices(name):
    """Under jit over a mesh, pmap and shard_map the kernel's gradient is the whole batch's."""
    devices = jax.device_count()
    x, kernel, options = example(name, n=2 * devices)
    expected = gradients(lax_conv, x, kernel, options)
    mesh = jax.make_mesh((devices,), ('data',), axis_types=(AxisType.Auto,))
    sharded = jax.device_put(x, NamedSharding(mesh, PartitionSpec('data')))
    for actual, wanted in zip(gradients(conv2d, sharded, kernel, options), expected, strict=True):
        assert_close(actual, wanted)

    def loss(kernel, x):
        return jnp.sin(conv2d(x, kernel, **options)).sum()

    def reduced(x):
        return jax.lax.psum(jax.grad(loss)(kernel, x), 'data')

    assert_close(jax.pmap(reduced, axis_name='data')(x.reshape(devices, 2, *x.shape[1:]))[0], expected[1])

    def global_loss(kernel):
        split = jax.shard_map(
            lambda kernel, x: jax.lax.psum(loss(jax.lax.pcast(kernel, 'data', to='varying'), x), 'data'),
            mesh=mesh,
            in_specs=(PartitionSpec(), PartitionSpec('data')),
            out_specs=PartitionSpec(),
        )
        return split(kernel, x)

    assert_close(jax.jit(jax.grad(global_loss))(kernel), expected[1])


@pytest.mark.parametrize('name', ['1x1', '3x3 large, strided'])
def test_bfloat16(name):
    x, kernel, options = example(name)
    expected = gradients(lax_conv, x, kernel, options)
    actual = gradients(conv2d, x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16), options)
    for a, b in zip(actual, expected, strict=True):
        assert a.dtype == jnp.bfloat16
        assert float(jnp.abs(a - b).mean()) < 0.03 * float(jnp.abs(b).max())


@pytest.mark.parametrize(
    'name', ['1x1', '3x3 large, strided', '3x3 small', '3x3 smaller than the kernel', 'groups', 'depthwise']
)
def test_batch_of_none(name):
    """As XLA: nothing comes out, and the gradient is zero."""
    x, kernel, options = example(name, n=0)
    expected = lax_conv(x, kernel, **options)
    assert conv2d(x, kernel, **options).shape == expected.shape
    by_x, by_kernel = jax.jit(jax.grad(lambda x, kernel: conv2d(x, kernel, **options).sum(), argnums=(0, 1)))(x, kernel)
    assert by_x.shape == x.shape
    np.testing.assert_array_equal(by_kernel, np.zeros(kernel.shape))


@pytest.mark.parametrize(('size', 'padding'), [(3, (1, 1)), (5, (1, 3)), ((1, 7), (1, 0)), ((3, 2), (0, 2))])
def test_images_side_by_side(size, padding):
    """Of different images: the outputs at the edges of one must not see the next."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((6, 4, 9, 5), np.float32))
    kernel = jnp.asarray(rng.standard_normal((*pair(size), 5, 2), np.float32))
    for images in 2, 3, 6:
        found = cpu.conv_side_by_side(x, kernel, padding, images)
        assert_close(found, lax_conv(x, kernel, padding=padding))
