"""Operations of traced programs against XLA's count and the published ones."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from jaxcv import models, ops, training
from jaxcv.training.operations import count_operations

IMAGES = jnp.ones((2, 8, 8, 4))


def convolution(features: int, groups: int = 1, **options):
    kernel = jnp.ones((3, 3, 4 // groups, features))
    dimensions = ('NHWC', 'HWIO', 'NHWC')
    return lambda x: lax.conv_general_dilated(
        x, kernel, dimension_numbers=dimensions, feature_group_count=groups, **options
    )


@pytest.mark.parametrize(
    'function',
    [
        lambda x: jnp.einsum('nhwc,nhwd->ncd', x, x),
        convolution(6, window_strides=(1, 1), padding='VALID'),
        convolution(8, groups=2, window_strides=(2, 2), padding='VALID'),
        convolution(4, groups=4, window_strides=(1, 1), padding='VALID', rhs_dilation=(2, 2)),
    ],
)
def test_products_and_convolutions_count_as_in_xla(function):
    found = jax.jit(function).lower(IMAGES).cost_analysis()['flops']
    assert count_operations(jax.make_jaxpr(function)(IMAGES)) == found


def test_zeros_between_rows_and_loops():
    product = lambda x: x @ jnp.ones((4, 4))  # noqa: E731
    once = 2 * 2 * 8 * 8 * 4 * 4
    wide = convolution(5, window_strides=(1, 1), padding=[(1, 1), (1, 1)], lhs_dilation=(2, 2))
    assert count_operations(jax.make_jaxpr(wide)(IMAGES)) == 2 * 2 * 15 * 15 * 5 * 9 * 4 // 4

    def loops(x):
        x, _ = lax.scan(lambda x, _: (product(x), None), x, length=3)
        x = lax.cond(x[0, 0, 0, 0] > 0, lambda x: product(product(x)), product, x)
        return jax.checkpoint(product)(x)

    assert count_operations(jax.make_jaxpr(loops)(IMAGES)) == (3 + 2 + 1) * once
    gradient = jax.grad(lambda x: jnp.sum(jnp.tanh(jax.checkpoint(product)(x))))
    assert count_operations(jax.make_jaxpr(gradient)(IMAGES)) == 2 * once  # the kernel is no argument


def test_all_devices_count():
    mesh = training.make_mesh(jax.devices()[:2])
    parts = jax.sharding.PartitionSpec(mesh.axis_names[0])
    shared = jax.shard_map(lambda x: x @ jnp.ones((4, 4)), mesh=mesh, in_specs=parts, out_specs=parts)
    assert count_operations(jax.make_jaxpr(shared)(IMAGES)) == 2 * 2 * 8 * 8 * 4 * 4


def test_resnet18_has_its_published_operations():
    """1.81 billion multiply-adds of an image of 224 x 224, as torchvision's table of weights has it."""
    model = models.resnet18(num_classes=1000)
    image = jnp.ones((1, 224, 224, 3))
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), image))
    with ops.convolution.plain():
        program = jax.make_jaxpr(model.apply)(variables, image)
    assert round(count_operations(program) / 2e9, 2) == 1.81
