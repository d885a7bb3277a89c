"""BiFPN against the paper's figure and NumPy loops; effdet's pyramids are in tests/weights/test_efficientdet.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import models
from jaxcv.nn import BiFPN
from jaxcv.nn.bifpn import pyramid_nodes


def test_nodes_are_those_of_the_paper():
    """Figure 2d: P6 down to P3, then P4 up to P7; the middle levels keep their own map as a third input."""
    p3, p4, p5, p6, p7 = range(5)
    t6, t5, t4, o3, o4, o5, o6, _ = range(5, 13)
    assert pyramid_nodes(5) == [
        *((p6, (p6, p7)), (p5, (p5, t6)), (p4, (p4, t5)), (p3, (p3, t4))),
        *((p4, (p4, t4, o3)), (p5, (p5, t5, o4)), (p6, (p6, t6, o5)), (p7, (p7, o6))),
    ]


def pooled(x, padding):
    """Maxima of windows of 3 with stride 2, by loops. x: [h w c]."""
    rows, columns = (-(-n // 2) for n in x.shape[:2])
    # TensorFlow puts an odd pixel of padding after, so that an even side has none before.
    before = [1 if padding == 'symmetric' or n % 2 else 0 for n in x.shape[:2]]
    y = np.zeros((rows, columns, x.shape[2]))
    for i in range(rows):
        for j in range(columns):
            top, left = 2 * i - before[0], 2 * j - before[1]
            y[i, j] = x[max(0, top) : top + 3, max(0, left) : left + 3].max(axis=(0, 1))
    return y


def enlarged(x, size):
    rows, columns = ((np.arange(n) * m // n) for n, m in zip(size, x.shape[:2], strict=True))
    return x[rows][:, columns]


def fused(maps, values, fusion):
    weights = {
        'fast': np.maximum(values, 0) / (np.maximum(values, 0).sum() + 1e-4),
        'softmax': np.exp(values) / np.exp(values).sum(),
        'sum': np.ones(len(maps)),
    }[fusion]
    return sum(weight * x for weight, x in zip(weights, maps, strict=True))


def convolved(x, node, statistics):
    """Batch norm (separable convolution (silu (x))), the convolution by loops."""
    x = x / (1 + np.exp(-x))
    kernel = node['conv']['depthwise']['kernel'][:, :, 0]
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    y = sum(
        padded[a : a + x.shape[0], b : b + x.shape[1]] * kernel[a, b] for a in range(3) for b in range(3)
    ) @ np.asarray(node['conv']['pointwise']['kernel'][0, 0])
    y = (y - statistics['mean']) / np.sqrt(statistics['var'] + 1e-3)
    return y * node['bn']['scale'] + node['bn']['bias']


@pytest.mark.parametrize(('fusion', 'padding'), [('fast', 'symmetric'), ('softmax', 'same'), ('sum', 'symmetric')])
def test_equals_the_formula(fusion, padding):
    """One cell of three maps with the pyramid's channels: four nodes."""
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(1, *size, 4)) for size in ((8, 5), (4, 3), (2, 2))]
    layer = BiFPN(4, 1, fusion=fusion, padding=padding)
    shapes = jax.eval_shape(layer.init, jax.random.key(0), [jnp.float32(x) for x in maps])
    variables = jax.tree.map(lambda leaf: np.float32(rng.uniform(-0.5, 1, leaf.shape)), shapes)
    variables['batch_stats'] = jax.tree.map(np.abs, variables['batch_stats'])
    params, statistics = variables['params'], variables['batch_stats']
    if fusion != 'sum':
        params['cell1_node3']['weights'] = np.float32([0.8, -0.3, 0.4])  # one that 'fast' cuts off

    def node(number, *inputs):
        name = f'cell1_node{number}'
        return convolved(
            fused(inputs, params[name].get('weights', np.ones(len(inputs))), fusion),
            params[name],
            statistics[name]['bn'],
        )

    p3, p4, p5 = (x[0] for x in maps)
    t4 = node(1, p4, enlarged(p5, (4, 3)))
    o3 = node(2, p3, enlarged(t4, (8, 5)))
    o4 = node(3, p4, t4, pooled(o3, padding))
    o5 = node(4, p5, pooled(o4, padding))
    found = jax.jit(layer.apply)(variables, [jnp.float32(x) for x in maps])
    for one, expected in zip(found, (o3, o4, o5), strict=True):
        np.testing.assert_allclose(one[0], expected, atol=1e-5 * max(1, expected.std()))


def sizes(*sides, **options):
    """Sizes of the pyramid's maps."""
    layer = BiFPN(4, 1, **options)
    maps = [jnp.ones((1, *side, 4 * side[0])) for side in sides]
    return [x.shape[1:3] for x in jax.eval_shape(layer.init_with_output, jax.random.key(0), maps)[0]]


def test_maps_halve_rounded_up_or_down():
    """Backbones round either way; extra maps are rounded up, down to one pixel."""
    assert sizes((7, 10), (4, 5), (2, 3)) == [(7, 10), (4, 5), (2, 3)]
    assert sizes((7, 11), (3, 5), extra=3) == [(7, 11), (3, 5), (2, 3), (1, 2), (1, 1)]


@pytest.mark.parametrize('sides', [((8, 8), (2, 2)), ((8, 8), (8, 8)), ((8, 8),)])
def test_maps_that_do_not_halve_are_refused(sides):
    with pytest.raises(ValueError, match=r'takes two maps or more, each with half .*, got 8 x 8'):
        sizes(*sides)


def test_is_a_neck_of_retinanet():
    model = models.detection.retinanet(
        backbone=models.resnet18(), neck='bifpn', num_classes=2, features=8, depth=1, dtype='bfloat16'
    )
    output, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), jnp.ones((1, 64, 96, 3)))
    assert [x.shape[1] // 9 for x in output.class_logits] == [96, 24, 6, 2, 1]
    assert {leaf.dtype for leaf in jax.tree.leaves((output, variables))} == {jnp.dtype('float32')}


@pytest.mark.slow
def test_every_parameter_learns():
    """A cell of three maps, in training: the weights of the fusions, too."""
    rng = np.random.default_rng(0)
    maps = [jnp.float32(rng.normal(size=(2, side, side, side))) for side in (8, 4, 2)]
    layer = BiFPN(6, 1, extra=1, use_bias=True)
    variables = jax.jit(layer.init)(jax.random.key(0), maps)

    @jax.jit
    @jax.grad
    def gradient(params):
        found, _ = layer.apply({**variables, 'params': params}, maps, train=True, mutable=['batch_stats'])
        return sum(jnp.cos(x + i).sum() for i, x in enumerate(found))

    found = gradient(variables['params'])
    assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(found))
    assert all(node['weights'].all() for name, node in found.items() if name.startswith('cell'))
