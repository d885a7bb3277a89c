"""The table against torchvision's and timm's own (tools/weights_reference.py), and downloads from a local server."""

import hashlib
import http.server
import json
import threading
from pathlib import Path

import numpy as np
import pytest

from jaxcv import models
from jaxcv.weights import PUBLISHED, download, read_state_dict
from jaxcv.weights.files import write_state_dict
from jaxcv.weights.layouts import layout
from jaxcv.weights.published import LICENCES, find, image_size

REFERENCE = Path(__file__).parent.parent / 'fixtures' / 'weights' / 'published.json'
NAME = 'resnet18.imagenet1k_v1'


def test_equals_what_the_sources_say():
    expected = json.loads(REFERENCE.read_text())
    others = {name: row for name, row in PUBLISHED.items() if row.detector is None}
    assert list(others) == list(expected)
    for name, row in others.items():
        settings = row.preprocessing
        mean, std = settings.normalization
        ours = [settings.crop, settings.resize, settings.interpolation, [*mean], [*std], settings.transform_input]
        assert {'url': row.url, 'preprocessing': ours} == expected[name], name
        assert row.name == name


def test_every_line_is_of_a_model_of_ours_and_a_source_that_its_family_knows():
    models_and_sources = {(name.partition('.')[0], row.source) for name, row in PUBLISHED.items()}
    assert {model for model, _ in models_and_sources} <= {
        *models.__all__,
        *models.segmentation.__all__,
        *models.detection.__all__,
    }
    for model, source in models_and_sources:
        assert layout(model, source).table


def test_every_hash_but_those_of_hugging_face_is_known():
    without = [row.url for row in PUBLISHED.values() if row.sha256 is None]
    assert len(without) == 3
    assert all(url.startswith('https://huggingface.co/timm/') for url in without)
    assert all(len(row.sha256 or '8 digits') == 8 for row in PUBLISHED.values())
    assert all(row.url.startswith('https://') for row in PUBLISHED.values())


def test_detectors_have_the_published_average_precision_and_classes():
    detectors = {name: row.detector for name, row in PUBLISHED.items() if row.detector}
    assert len(detectors) == 24
    of_torchvision = {
        'retinanet_resnet50_fpn.coco_v1': 36.4,
        'retinanet_resnet50_fpn_v2.coco_v1': 41.5,
        'ssd300_vgg16.coco_v1': 25.1,
        'fasterrcnn_resnet50_fpn.coco_v1': 37.0,
        'fasterrcnn_resnet50_fpn_v2.coco_v1': 46.7,
        'maskrcnn_resnet50_fpn.coco_v1': 37.9,
        'maskrcnn_resnet50_fpn_v2.coco_v1': 47.4,
    }
    assert {name: detectors[name].average_precision for name in of_torchvision} == of_torchvision
    assert detectors['tf_efficientdet_d7x.coco'].average_precision == 54.3
    for name, row in PUBLISHED.items():
        assert row.source in LICENCES
        if row.detector:  # torchvision's RetinaNet has an output for the unused id 0
            assert row.detector.first_id == int(not name.startswith('retinanet'))


def test_a_model_alone_means_its_first_line():
    assert find('resnet50').name == 'resnet50.imagenet1k_v2'  # torchvision's DEFAULT
    assert find('efficientnet_b0').source == 'torchvision'
    assert find('tf_efficientnet_b0').name == 'tf_efficientnet_b0.ns_jft_in1k'  # timm's default
    sizes = {'inception_v3': 299, 'efficientnet_b7': 600, 'zfnet': 224, 'fcn_resnet50': 224}
    assert {name: image_size(name) for name in sizes} == sizes
    with pytest.raises(ValueError, match=r"no published weights of 'resnet51'; there are some of alexnet, vgg11"):
        find('resnet51')
    with pytest.raises(ValueError, match=r"no published weights 'resnet18.v9'; of resnet18 there are resnet18.imag"):
        find('resnet18.v9')


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


def test_download_goes_on_where_it_broke_off(server, tmp_path):
    server.most = 200
    with pytest.raises(ConnectionError, match=f'broke after 200 of {len(server.content)} bytes.* call again to resume'):
        download(NAME, folder=tmp_path)
    server.most = 10**9
    assert download(NAME, folder=tmp_path).read_bytes() == server.content
    assert server.asked == [None, 'bytes=200-']


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
    monkeypatch.setitem(PUBLISHED, NAME, PUBLISHED[NAME]._replace(sha256=None))
    assert download(NAME, folder=tmp_path).read_bytes() == server.content


def test_errors_of_the_network(server, tmp_path, monkeypatch):
    url = PUBLISHED[NAME].url
    monkeypatch.setitem(PUBLISHED, NAME, PUBLISHED[NAME]._replace(url=url.replace('weights', 'none')))
    with pytest.raises(ConnectionError, match=r'none\.safetensors: the server responds 404'):
        download(NAME, folder=tmp_path)
    monkeypatch.setitem(PUBLISHED, NAME, PUBLISHED[NAME]._replace(url='http://127.0.0.1:9/weights.safetensors'))
    with pytest.raises(ConnectionError, match=r'weights\.safetensors: .* call again to resume'):
        download(NAME, folder=tmp_path)


@pytest.mark.parametrize(
    ('name', 'meant'),
    [
        ('ResNet50_Weights.IMAGENET1K_V2', 'resnet50.imagenet1k_v2'),
        ('ResNet50', 'resnet50'),
        ('resnet50.IMAGENET1K_V1', 'resnet50.imagenet1k_v1'),
    ],
)
def test_torchvisions_spelling_is_answered_with_ours(name, meant):
    with pytest.raises(ValueError, match=f'did you mean {meant}\\?$'):
        find(name)
