"""Files that appear whole or not at all."""

import pytest

from jaxcv.files import atomically, local_path


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


PATHS = {
    'runs/a': 'runs/a',
    'runs/a/': 'runs/a',
    '~/runs': '/home/me/runs',
    '$HOME/runs': '/home/me/runs',
    '${HOME}/runs': '/home/me/runs',
    'my runs/[1]*?': 'my runs/[1]*?',
    'Zürich/写真': 'Zürich/写真',
    'file:///data/x': '/data/x',
    'package:NAME': 'package:NAME',
    'a~b': 'a~b',
}


@pytest.mark.parametrize(('typed', 'path'), PATHS.items())
def test_a_path_is_read_as_people_type_it(typed, path, monkeypatch):
    monkeypatch.setenv('HOME', '/home/me')
    assert str(local_path(typed)) == path


@pytest.mark.parametrize(
    ('typed', 'message'),
    {
        'gs://b/x': 'gs://b/x is no local path: mount it',
        's3://b/x': 'is no local path',
        'https://host/x': 'is no local path',
        '$NOT_SET_AT_ALL/x': 'the variable NOT_SET_AT_ALL is not set',
        '~nobody_of_this_name/x': 'there is no such home folder',
    }.items(),
)
def test_what_is_no_path_of_this_machine_is_refused(typed, message):
    with pytest.raises(ValueError, match=message):
        local_path(typed)


def test_a_dollar_in_a_name_that_is_there_is_a_dollar(tmp_path):
    (tmp_path / '$odd').mkdir()
    assert local_path(tmp_path / '$odd') == tmp_path / '$odd'
