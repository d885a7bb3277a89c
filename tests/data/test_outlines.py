"""COCO's outlines: masks equal pycocotools', strings of run lengths are read, and wrong ones refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxcv.data.outlines import outline_area, outline_box, outline_mask, run_lengths

CASES = json.loads((Path(__file__).parents[1] / 'fixtures/detection/outlines.json').read_text())


def test_masks_are_those_of_pycocotools():
    """By `tools.coco_outlines`: polygons in the image and partly out of it, and the strings of their run lengths."""
    for case in CASES:
        size = tuple(case['size'])
        expected = outline_mask({'size': case['size'], 'counts': case['counts']}, size)
        np.testing.assert_array_equal(outline_mask(case['polygons'], size), expected)
        assert outline_area(case) == expected.sum()
        assert run_lengths({**case, 'counts': case['counts'].encode()}).tolist() == run_lengths(case).tolist()
        assert run_lengths({**case, 'counts': run_lengths(case).tolist()}).tolist() == run_lengths(case).tolist()
        if expected.any():
            rows, columns = np.nonzero(expected)
            assert outline_box(case) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        else:
            assert outline_box(case) == (0, 0, 0, 0)


def test_a_polygon_may_stand_without_a_list_around_it():
    square = [2, 3, 12, 3, 12, 13, 2, 13]
    assert outline_mask(square, (20, 20)).sum() == outline_mask([square], (20, 20)).sum() == 100
    assert outline_area(square) == 100
    assert outline_box(square) == (2, 3, 12, 13)


@pytest.mark.parametrize(
    ('outline', 'message'),
    [
        ({'size': [2, 3], 'counts': [2, 3]}, r'run lengths of 5 pixels, but the size \[2, 3\] has 6'),
        ({'size': [2, 3], 'counts': [8, -2]}, 'numbers of pixels, at least 0'),
        ({'size': [2, 3], 'counts': '2\u00e93'}, 'pixels|character'),
        ({'size': [2, 3], 'counts': '2\n'}, 'have the character'),
        ({'size': [2, 3], 'counts': 'o'}, 'truncated'),
        ({'size': [2, 3]}, 'run lengths are'),
        ({'counts': [6]}, 'run lengths are'),
        ({'size': [3, 2], 'counts': [6]}, r'run lengths of \(3, 2\) pixels, but the image has \(2, 3\)'),
        ([[1, 2, 3, 4]], 'a polygon is 6 numbers or more'),
        ([[1, 2, 3, 4, 5, 6, 7]], 'a polygon is 6 numbers or more'),
        ([], 'a polygon is 6 numbers or more'),
        ([[1, 2, 3, 4, 5, float('nan')]], 'not finite'),
    ],
)
def test_what_is_no_outline(outline, message):
    with pytest.raises(ValueError, match=message):
        outline_mask(outline, (2, 3))
