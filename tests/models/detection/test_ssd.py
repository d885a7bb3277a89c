"""SSD on backbones of one's own."""

import jax
import jax.numpy as jnp

from jaxcv import models


def test_stages_are_normalized_on_request():
    options = {'strides': (4,), 'steps': ((4, 4, 2, 1),), 'scales': (0.2, 0.4, 0.6), 'ratios': ((2.0,), (2.0,))}
    layers = {}
    for normalize in (False, True):
        model = models.detection.ssd(
            backbone=models.cifar_resnet(depth=8, width=4),
            num_classes=3,
            rescale=False,
            normalize_stages=normalize,
            **options,
        )
        shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
        layers[normalize] = set(shapes['params']['neck'])
    assert layers[True] - layers[False] == {'norm1'}
