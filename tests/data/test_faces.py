"""The bundled data set of faces."""

import numpy as np
import pytest
import skimage.data

from jaxcv.data import describe, source, transforms
from jaxcv.data.faces.faces_dataset_builder import split


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
    """A tfds data folder, still empty."""
    return tmp_path_factory.mktemp('tfds')


def test_faces_are_those_of_scikit_image(prepared):
    patches, decode = skimage.data.lfw_subset(), transforms.decode(channels=1)
    orders = dict(zip(('train', 'test'), split(), strict=True))
    assert sorted(np.concatenate(list(orders.values()))) == list(range(200))
    for name, order in orders.items():
        data = source('faces', split=name, data_dir=prepared)
        assert describe(data) == f'100 examples from faces/{name}[0] on, 2 classes: face, other'
        examples = [decode(data.read(i)) for i in range(100)]
        found = np.stack([example['image'][..., 0] for example in examples])
        assert found.shape == (100, 25, 25)
        assert np.abs(found / 255 - patches[order]).max() <= 0.51 / 255
        labels = [example['label'] for example in examples]
        assert labels == [int(i >= 100) for i in order]
        assert sum(labels) == 50
        assert 5 <= sum(labels[:20]) <= 15  # shuffled
