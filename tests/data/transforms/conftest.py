import cv2
import pytest
from sklearn.datasets import load_sample_images


@pytest.fixture(scope='session')
def photo():
    """A real photo, 120 x 90."""
    return cv2.resize(load_sample_images().images[1], (120, 90), interpolation=cv2.INTER_AREA)
