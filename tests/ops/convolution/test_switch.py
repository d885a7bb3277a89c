"""Within `plain` there are XLA's own operations only, with the same results, and with every kind of derivative."""

import concurrent.futures

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import models, ops
from tests.models.tracing import shallow, shapes_of
from tests.ops.convolution.test_conv2d import CASES, assert_close, example

CUSTOM = {'custom_vjp_call', 'custom_vmap_call'}


def primitives(function, *args):
    """The names of all operations of the program, with those within calls and loops."""

    def walk(jaxpr):
        for equation in jaxpr.eqns:
            yield equation.primitive.name
            for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda leaf: hasattr(leaf, 'eqns')):
                yield from walk(inner) if hasattr(inner, 'eqns') else ()

    return list(walk(jax.make_jaxpr(function)(*args)))


MODELS = {
    'mobilenet_v2': lambda: models.mobilenet_v2(num_classes=2),  # depthwise
    'resnext50_32x4d': lambda: models.resnext50_32x4d(num_classes=2),  # groups, max pooling
    'inception_v3': lambda: models.inception_v3(num_classes=2, output_stride=8),  # dilated pooling
    'unet': lambda: models.segmentation.unet(num_classes=2, width=2, depth=2),  # transposed
}


@pytest.mark.parametrize('name', MODELS)
def test_models_have_no_custom_calls(name):
    """Of one block at each place: the others are of the same operations."""
    model, images = shallow(MODELS[name]()), jax.ShapeDtypeStruct((1, 96, 96, 3), jnp.float32)
    variables = shapes_of(model)

    def predict(variables, images):
        return model.apply(variables, images)

    if jax.default_backend() == 'cpu':
        assert set(primitives(predict, variables, images)) >= CUSTOM
    with ops.convolution.plain():
        assert not set(primitives(predict, variables, images)) & CUSTOM


@pytest.mark.parametrize('name', CASES)
def test_equals_the_formulation_of_the_cpu(name):
    x, kernel, options = example(name)
    with ops.convolution.plain():
        assert primitives(lambda x, kernel: ops.conv2d(x, kernel, **options), x, kernel) == ['conv_general_dilated']
        plain = ops.conv2d(x, kernel, **options)
    assert_close(plain, ops.conv2d(x, kernel, **options))


@pytest.mark.parametrize(
    'options', [{}, {'ceil_mode': True, 'padding': 0}, {'strides': 1, 'padding': 'same', 'dilation': 3, 'window': 2}]
)
def test_max_pooling_is_xlas(options):
    x = jax.random.normal(jax.random.key(0), (2, 9, 8, 3)).at[0, 1, 1, 0].set(jnp.nan)

    def pool(x):
        return ops.max_pool(x, **options)

    with ops.convolution.plain():
        plain = pool(x)
        assert pool(x[:0]).shape == (0, *plain.shape[1:])
        assert set(primitives(pool, x)) == {'reshape', 'reduce_window_max'}
        if 'dilation' not in options:
            gradient = jax.grad(lambda x: pool(x).sum())(x[1:])
            np.testing.assert_array_equal(jax.jvp(pool, (x[1:],), (x[1:],))[1], plain[1:])  # linear along the ray
    np.testing.assert_array_equal(plain, pool(x))
    if 'dilation' not in options:
        np.testing.assert_array_equal(gradient, jax.grad(lambda x: pool(x).sum())(x[1:]))


def test_compiled_functions_are_traced_again():
    traced = []

    @jax.jit
    def convolved(x, kernel):
        traced.append(ops.convolution.switch.is_plain())
        return ops.conv2d(x, kernel)

    x, kernel, _ = example('3x3 small')
    for _ in range(2):
        convolved(x, kernel)
        with ops.convolution.plain():
            convolved(x, kernel)
    assert traced == [False, True]


def test_other_threads_are_as_before():
    with ops.convolution.plain(), concurrent.futures.ThreadPoolExecutor() as pool:
        assert ops.convolution.switch.is_plain()
        assert not pool.submit(ops.convolution.switch.is_plain).result()
    assert not ops.convolution.switch.is_plain()


@pytest.mark.parametrize('name', ['1x1', '3x3 small', 'groups', 'depthwise'])
def test_forward_mode_and_second_derivatives(name):
    """Of half a square: the Hessian times v is the transposed Jacobian of the Jacobian's product with v."""
    x, kernel, options = example(name)
    v = jnp.cos(jnp.arange(kernel.size)).reshape(kernel.shape)

    def conv(kernel):
        return ops.conv2d(x, kernel, **options)

    with ops.convolution.plain():
        y, forward = jax.jvp(conv, (kernel,), (v,))
        _, second = jax.jvp(jax.grad(lambda kernel: (conv(kernel) ** 2).sum() / 2), (kernel,), (v,))
    assert_close(y, conv(kernel))
    assert_close(forward, conv(v))  # a convolution is linear
    assert_close(second, jax.vjp(conv, kernel)[1](conv(v))[0])
