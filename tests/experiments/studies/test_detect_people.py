"""Real weights find people on real photos."""

import numpy as np
import pytest
import skimage.data

from experiments.studies import detect_people
from jaxcv import config


@pytest.mark.slow
def test_people_are_found_and_cups_are_not():
    """The astronaut's photo is padded on the left, so that boxes must be in the photo's own pixels."""
    astronaut = np.pad(skimage.data.astronaut(), ((0, 0), (100, 0), (0, 0)), mode='edge')
    camera = np.repeat(skimage.data.camera()[..., None], 3, axis=-1)
    photos = [astronaut, skimage.data.coffee(), camera]
    answers = list(detect_people.detect(photos, detect_people.load()))
    found = [answer['boxes'][answer['scores'] > 0.5] for answer in answers]
    assert [len(boxes) for boxes in found] == [1, 0, 1]
    np.testing.assert_allclose(found[0][0], [120, 16, 468, 512], atol=30)
    np.testing.assert_allclose(found[1], np.zeros((0, 4)))
    np.testing.assert_allclose(found[2][0], [0, 65, 345, 511], atol=50)


def test_files_that_cannot_be_taken(tmp_path):
    with pytest.raises(config.ConfigError, match='no file matches'):
        detect_people._photos([str(tmp_path / '*.jpg')])
    for name in ('a.jpg', 'a.png'):
        (tmp_path / name).write_bytes(b'')
    with pytest.raises(config.ConfigError, match='2 files would be a_people'):
        detect_people._photos([str(tmp_path / '*')])
