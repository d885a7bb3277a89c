"""Real weights on real photos."""

import numpy as np
import skimage.data

from experiments.studies import photos
from jaxcv import weights


def test_real_weights_know_a_cat_and_a_cup_of_coffee():
    pictures = [skimage.data.chelsea(), skimage.data.coffee()]
    probabilities = photos.classify(pictures, photos.load())
    names = np.array(weights.imagenet_classes())
    cat, coffee = (set(names[np.argsort(-p)[:3]]) for p in probabilities)
    assert cat == {'tiger cat', 'Egyptian cat', 'tabby'}
    assert 'espresso' in coffee
    assert probabilities[1].max() > 0.9
