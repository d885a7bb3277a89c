"""What OpenCV 4 has, and OpenCV 5 has not: cascades, their detector, and the grouping of its rectangles."""

import cv2
import pytest

HAS_CASCADES = int(cv2.__version__.partition('.')[0]) < 5
"""By the version: an OpenCV 4 that lacks them is a fault, which the tests must show."""
REASON = f'OpenCV {cv2.__version__} comes without cascades'
OF_CASCADES = ('opencv_file(', 'cascade_file(', 'haar(', "'haar'")
"""Calls in doctests that read one."""

needs_cascades = pytest.mark.skipif(not HAS_CASCADES, reason=REASON)


def skip_doctests(items: list[pytest.Item]) -> None:
    """Mark the doctests that read a cascade where there is none."""
    if HAS_CASCADES:
        return
    for item in items:
        if isinstance(item, pytest.DoctestItem):
            source = ''.join(example.source for example in item.dtest.examples)
            if any(call in source for call in OF_CASCADES):
                item.add_marker(pytest.mark.skip(reason=REASON))
