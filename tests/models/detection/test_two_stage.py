"""Two-stage detectors: the parts that can be exchanged, and the published numbers of parameters."""

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

from jaxcv import models
from jaxcv.models import Stage, detection

PROPOSALS = (jnp.ones((1, 8, 4)), jnp.ones((1, 8), bool))
COUNTS = {  # 21 classes
    'faster_rcnn_vgg16': 137_078_239,
    'fast_rcnn': 134_690_729,
    'rcnn': 57_089_877 + 4_097 * 84,  # and the boxes of the classes
}


class Halved(nn.Module):
    """A backbone of two strided convolutions."""

    @property
    def stages(self):
        return {'first': Stage(4, 6), 'second': Stage(8, 8)}

    @nn.compact
    def features(self, images, *, train=False):
        first = nn.Conv(6, (4, 4), strides=4)(images)
        return {'first': first, 'second': nn.Conv(8, (2, 2), strides=2)(first)}


def found(model, **arguments):
    """(shapes of the parameters, shapes of the objects)."""
    images = jnp.ones((1, 64, 64, 3))

    def init(key):
        return model.init_with_output(key, images, **arguments)

    output, variables = jax.eval_shape(init, jax.random.key(0))
    return variables['params'], output


@pytest.mark.parametrize('name', [pytest.param(name, marks=pytest.mark.slow) for name in COUNTS])
def test_parameters(name):
    arguments = {} if name == 'faster_rcnn_vgg16' else {'proposals': PROPOSALS}
    params, _ = found(getattr(detection, name)(), **arguments)
    assert sum(x.size for x in jax.tree.leaves(params)) == COUNTS[name]


def test_alexnet_of_one_tower():
    params, _ = found(detection.fast_rcnn(network='alexnet'), proposals=PROPOSALS)
    assert sum(x.size for x in jax.tree.leaves(params)) == 57_434_025


SMALL = {'backbone': Halved(), 'num_classes': 2, 'strides': (4, 8), 'features': 8, 'widths': (8,)}
THREE = ((8.0,), (16.0,), (32.0,))


@pytest.mark.parametrize(
    ('options', 'parts'),
    [
        ({'sizes': THREE}, {'neck', 'proposal_head'}),
        ({'sizes': THREE[:2], 'coarser': False, 'pooling': 'max', 'boxes': 'one'}, {'neck', 'proposal_head'}),
        ({'strides': (8,), 'neck': 'none', 'sizes': ((8.0, 16.0),), 'masks': 'norm'}, {'proposal_head', 'mask_head'}),
        ({'proposals': False, 'neck': 'fpn_norm', 'head': 'conv'}, {'neck'}),
    ],
)
def test_parts_are_exchanged(options, parts):
    model = detection.faster_rcnn(**{**SMALL, **options})
    params, output = found(model, **({} if options.get('proposals', True) else {'proposals': PROPOSALS}))
    assert params.keys() == {'backbone', 'box_head', 'predictor', *parts}
    assert output.boxes.shape == (1, 100, 4)
    assert (output.masks is not None) == ('masks' in options)
    assert params['predictor']['boxes']['bias'].shape == (4 if options.get('boxes') == 'one' else 12,)


def test_what_does_not_fit():
    with pytest.raises(ValueError, match='3 maps need as many sequences of sizes'):
        detection.faster_rcnn(**SMALL, sizes=THREE[:2])
    with pytest.raises(ValueError, match='as many sizes each'):
        detection.faster_rcnn(**SMALL, sizes=((8.0,), (16.0,), (32.0, 64.0)))
    with pytest.raises(ValueError, match='the backbone has none of'):
        found(detection.faster_rcnn(**{**SMALL, 'strides': (4, 16)}, sizes=THREE))
    with pytest.raises(ValueError, match='has no proposal head'):
        found(detection.faster_rcnn(**SMALL, proposals=False))
    assert models.stages(detection.faster_rcnn(**SMALL, sizes=THREE)) == {'first': Stage(4, 6), 'second': Stage(8, 8)}
