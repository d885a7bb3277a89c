"""Groups of rectangles against OpenCV's."""

import cv2
import numpy as np
import pytest

from jaxcv.classical.grouping import group_rectangles
from tests.opencv import needs_cascades


@needs_cascades
@pytest.mark.parametrize('min_neighbors', [1, 2, 3, 6])
def test_equal_to_opencv(min_neighbors):
    """Clusters of 1 to 12 rectangles, some within others."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        centres = rng.integers(20, 200, (12, 4))
        centres[6:] = centres[:6] + np.array([5, 5, -40, -40])
        members = [centre + rng.integers(-3, 4, (rng.integers(1, 13), 4)) for centre in centres]
        boxes = np.concatenate(members)[:, [0, 1, 2, 2]].clip(min=1)
        scores = rng.normal(size=len(boxes))
        found = group_rectangles(boxes, scores, min_neighbors=min_neighbors)
        expected, counts = cv2.groupRectangles(boxes.tolist(), min_neighbors, 0.2)
        np.testing.assert_array_equal(found.rectangles, np.reshape(expected, (-1, 4)))
        np.testing.assert_array_equal(found.counts, np.reshape(counts, -1))
        assert set(found.scores) <= set(scores)


def test_only_larger_groups_are_kept():
    """The rule is more than, not at least."""
    boxes = np.tile([[10, 10, 30, 30]], (8, 1))
    assert group_rectangles(boxes, np.arange(8.0), min_neighbors=7).counts.tolist() == [8]
    assert group_rectangles(boxes, np.arange(8.0), min_neighbors=7).scores.tolist() == [7]
    assert not len(group_rectangles(boxes, np.arange(8.0), min_neighbors=8).counts)
    assert not len(group_rectangles(boxes[:0], np.zeros(0), min_neighbors=3).counts)
