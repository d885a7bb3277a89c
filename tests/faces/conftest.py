"""The answers of dlib and facenet-pytorch, of tools/faces.py."""

from pathlib import Path

import numpy as np
import pytest

FIXTURE = Path(__file__).parents[1] / 'fixtures' / 'embedding' / 'faces.npz'


@pytest.fixture(scope='session')
def answers():
    """Names to arrays."""
    with np.load(FIXTURE) as file:
        return dict(file)
