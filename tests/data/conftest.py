"""Data that several tests read."""

import pytest

from jaxcv.data import source


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
    """A tfds data folder with the digits in it."""
    folder = tmp_path_factory.mktemp('tfds')
    source('digits', split='train', data_dir=folder)
    return folder
