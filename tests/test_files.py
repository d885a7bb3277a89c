"""Files that appear whole or not at all."""

import pytest

from jaxcv.files import atomically


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / 'results.json'
    path.write_text('old')

    def interrupted():
        with atomically(path) as unfinished:
            unfinished.write_text('ne')
            assert (unfinished.parent, unfinished.suffix) == (path.parent, '.json')
            raise RuntimeError('in the middle')

    with pytest.raises(RuntimeError, match='in the middle'):
        interrupted()
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_a_finished_file_replaces_the_old_one(tmp_path):
    path = tmp_path / 'results.json'
    path.write_text('old')
    with atomically(str(path)) as unfinished:
        unfinished.write_text('new')
        assert path.read_text() == 'old'
    assert path.read_text() == 'new'
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_written_is_an_error_and_the_old_file_stays(tmp_path):
    path = tmp_path / 'results.json'
    path.write_text('old')
    with pytest.raises(FileNotFoundError), atomically(path):
        pass
    assert path.read_text() == 'old'
