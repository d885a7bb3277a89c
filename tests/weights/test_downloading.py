"""Downloads from a server on this machine that understands ranges, breaks connections, or sends other bytes."""

import hashlib
import http.server
import io
import sys
import threading

import numpy as np
import pytest

from jaxcv.weights import PUBLISHED, download, pretrained, read_state_dict
from jaxcv.weights.downloading import BREAKS
from jaxcv.weights.files import write_state_dict

NAME = 'resnet18.imagenet1k_v1'


class Server(http.server.BaseHTTPRequestHandler):
    """Serves one file; understands ranges, breaks off, or misbehaves as told."""

    content = b''
    ranges = True
    most = 10**9
    """Bytes of an answer, after which the connection breaks off."""
    asked: list  # the Range of each request

    def do_GET(self):
        asked = self.headers.get('Range')
        self.asked.append(asked)
        if self.path != '/weights.safetensors':
            self.send_error(404)
            return
        start = int(asked.removeprefix('bytes=').removesuffix('-')) if asked and self.ranges else 0
        if start >= len(self.content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header('Content-Range', f'bytes {start}-{len(self.content) - 1}/{len(self.content)}')
        self.send_header('Content-Length', str(len(self.content) - start))
        self.end_headers()
        self.wfile.write(self.content[start:][: self.most])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server on this machine, to which the table leads."""
    write_state_dict({'fc.bias': np.arange(100, dtype=np.float32)}, tmp_path / 'source.safetensors')
    content = (tmp_path / 'source.safetensors').read_bytes()

    class Here(Server):
        pass

    Here.content, Here.asked = content, []
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Here) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={'poll_interval': 0.01})
        thread.start()
        url = f'http://127.0.0.1:{running.server_address[1]}/weights.safetensors'
        digits = hashlib.sha256(content).hexdigest()[:8]
        monkeypatch.setitem(PUBLISHED, NAME, PUBLISHED[NAME]._replace(url=url, sha256=digits))
        monkeypatch.setenv('no_proxy', '*')
        yield Here
        running.shutdown()
        thread.join()


def test_download_once_and_keep(server, tmp_path):
    path = download(NAME, folder=tmp_path / 'cache')
    assert path == tmp_path / 'cache' / 'resnet18.imagenet1k_v1.safetensors'
    np.testing.assert_array_equal(read_state_dict(path)['fc.bias'], np.arange(100))
    assert download('resnet18', folder=tmp_path / 'cache') == path
    assert server.asked == [None]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_connection_that_breaks_is_resumed_where_it_broke(server, tmp_path):
    server.most = 200
    assert download(NAME, folder=tmp_path).read_bytes() == server.content
    places = range(0, len(server.content), 200)
    assert server.asked == [None, *(f'bytes={place}-' for place in places[1:])]


def test_what_was_received_is_kept_for_the_next_call_and_never_used(server, tmp_path):
    server.most = len(server.content) // (2 * BREAKS)
    with pytest.raises(ConnectionError) as caught:
        download(NAME, folder=tmp_path)
    kept = BREAKS * server.most
    message = str(caught.value)
    assert f'the connection broke after {kept} of {len(server.content)} bytes' in message
    assert f'put it at {tmp_path / NAME}.safetensors' in message
    assert [file.name for file in tmp_path.iterdir() if NAME in file.name] == [f'{NAME}.safetensors.part']
    server.most, server.asked[:] = 10**9, []
    assert download(NAME, folder=tmp_path).read_bytes() == server.content
    assert server.asked == [f'bytes={kept}-']


def test_download_starts_over_where_the_server_knows_no_ranges(server, tmp_path):
    (tmp_path / f'{NAME}.safetensors.part').write_bytes(b'half')
    server.ranges = False
    assert download(NAME, folder=tmp_path).read_bytes() == server.content
    assert server.asked == ['bytes=4-']


def test_download_of_what_was_whole_already(server, tmp_path):
    (tmp_path / f'{NAME}.safetensors.part').write_bytes(server.content)
    assert download(NAME, folder=tmp_path).read_bytes() == server.content


def test_another_file_is_never_kept(server, tmp_path, monkeypatch):
    expected = PUBLISHED[NAME].sha256
    server.content = bytes(len(server.content))
    for _ in range(2):
        with pytest.raises(ValueError, match=rf'has the SHA-256 [0-9a-f]{{64}}, but {expected}\.\.\. was expected'):
            download(NAME, folder=tmp_path)
    assert not list(tmp_path.glob(f'{NAME}*'))
    assert server.asked == [None, None]
    (tmp_path / f'{NAME}.safetensors').write_bytes(b'<html>')  # put there by hand
    with pytest.raises(ValueError, match=r'It is not used: delete it'):
        download(NAME, folder=tmp_path)
    (tmp_path / f'{NAME}.safetensors').unlink()
    monkeypatch.setitem(PUBLISHED, NAME, PUBLISHED[NAME]._replace(sha256=None))
    assert download(NAME, folder=tmp_path).read_bytes() == server.content


def test_errors_of_the_network_say_what_to_do_by_hand(server, tmp_path, monkeypatch):
    url = PUBLISHED[NAME].url
    monkeypatch.setenv('JAXCV_CACHE', str(tmp_path / 'cache'))
    place = tmp_path / 'cache' / f'{NAME}.safetensors'
    for other, reason in (
        (url.replace('weights', 'none'), 'the server responds 404 Not Found'),
        ('http://127.0.0.1:9/weights.safetensors', 'cannot be downloaded: '),
    ):
        monkeypatch.setitem(PUBLISHED, NAME, PUBLISHED[NAME]._replace(url=other))
        with pytest.raises(ConnectionError) as caught:
            pretrained(NAME)
        message = str(caught.value)
        assert message.startswith(other)
        assert reason in message
        assert message.endswith(f'Without a network: download {other} elsewhere, and put it at {place}')
        assert '\n' not in message
    assert not place.parent.exists()


def test_the_bar_of_a_terminal(server, tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, 'stderr', Terminal())
    download(NAME, folder=tmp_path)
    assert f'{NAME}.safetensors' in sys.stderr.getvalue()
    assert f'/{len(server.content)}' in sys.stderr.getvalue()


def test_weights_without_an_address_are_found_by_hand():
    with pytest.raises(ValueError, match=r'no address .* get the file from https://github\.com/.*iresnet50:FILE'):
        download('iresnet50')
