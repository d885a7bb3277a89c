"""The table of features is consistent in itself."""

import numpy as np
import pytest

from jaxcv.data import transforms
from jaxcv.features import FEATURES


@pytest.mark.parametrize('name', FEATURES)
def test_a_row_fits_the_others(name):
    feature = FEATURES[name]
    np.dtype(feature.dtype)
    axes = feature.axes.split()
    if feature.moved not in ('', 'corners', 'area', 'frame'):
        place = axes.index('h')
        assert axes[place + 1] == 'w'
        assert axes[:place] in ([], ['k'])
    if feature.valid:
        valid = FEATURES[feature.valid]
        assert valid.dtype == 'bool'
        assert set(valid.axes.split()) <= set(axes)
    if axes[:1] == ['k'] and name != 'box_valid':
        assert feature.valid == 'box_valid'
    if feature.decoder:
        assert feature.decoder in transforms.__all__
