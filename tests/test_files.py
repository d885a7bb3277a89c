"""Files that appear whole or not at all, strict JSON, and locks."""

import errno
import fcntl
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxcv.files import InUseError, atomically, local_path, locked, read_json, to_json, write_json

ROOT = Path(__file__).parents[1]


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


def test_numbers_that_json_lacks_are_null(tmp_path):
    def refused(token):
        raise AssertionError(token)

    values = [math.nan, math.inf, -math.inf, np.float32('nan'), np.float64('inf'), 0.1, np.float32(0.5), 3, True, None]
    content = {'list': values, 'array': np.array([[1.5, np.nan]]), 'tuple': (1, {'deep': math.nan}), 'word': 'NaN'}
    write_json(tmp_path / 'results.json', content)
    found = json.loads((tmp_path / 'results.json').read_text(), parse_constant=refused)
    assert found['list'] == [None, None, None, None, None, 0.1, 0.5, 3, True, None]
    assert (found['array'], found['tuple'], found['word']) == ([[1.5, None]], [1, {'deep': None}], 'NaN')
    with pytest.raises(TypeError, match='not JSON serializable'):
        to_json({'function': len})


def test_tokens_of_earlier_files_are_read(tmp_path):
    (tmp_path / 'old.json').write_text('{"loss": NaN, "norm": -Infinity}')
    found = read_json(tmp_path / 'old.json')
    assert math.isnan(found['loss'])
    assert found['norm'] == -math.inf


def test_all_json_is_written_in_one_place():
    files = [path for name in ('jaxcv', 'experiments', 'benchmarks', 'tools') for path in (ROOT / name).rglob('*.py')]
    found = [str(path) for path in files if re.search(r'json\.dumps?\(', path.read_text())]
    assert found == [str(ROOT / 'jaxcv' / 'files.py')]


HOLD = """
import sys
from jaxcv.files import locked
with locked(sys.argv[1]):
    print('held', flush=True)
    sys.stdin.read()
"""


def test_a_lock_names_its_holder_and_ends_with_it(tmp_path):
    path = tmp_path / 'run.lock'
    holder = subprocess.Popen(
        [sys.executable, '-c', HOLD, path], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout.readline() == b'held\n'
        with pytest.raises(InUseError, match=f'process {holder.pid} on .+'), locked(path):
            pass
        holder.kill()
    assert path.exists()  # which a killed process leaves behind, and which locks nothing
    with locked(path):
        assert str(holder.pid) not in path.read_text()
    assert not path.exists()


def test_a_file_system_without_locks_has_none(tmp_path, monkeypatch):
    def unsupported(*arguments):
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(fcntl, 'flock', unsupported)
    with locked(tmp_path / 'run.lock'), locked(tmp_path / 'run.lock'):
        pass
