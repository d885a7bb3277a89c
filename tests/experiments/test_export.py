"""An exported network gives what the network gives, without jaxcv."""

import functools
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.run.exporting import ABOUT, READABLE, answer_function, serialize, target_file, with_about
from experiments.run.onnx_file import onnx_file
from jaxcv import config, extras, models, ops, tasks

ALONE = """
import sys
import numpy as np
from jax import export
call = export.deserialize(open(sys.argv[1], 'rb').read()).call
np.savez(sys.argv[3], **{str(n): call(np.load(sys.argv[2])[:n])['probabilities'] for n in (1, 3)})
assert not any(name.startswith(('jaxcv', 'flax')) for name in sys.modules)
"""

ABOUT_IT = {'class_names': {'label': ['cat', 'dog', 'Käfer']}}


def test_the_exported_function_gives_the_same_without_jaxcv(tmp_path):
    task = tasks.classification(
        models.cifar_resnet(depth=8, width=4, num_classes=3), num_classes=3, mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.4]
    )
    images = np.random.default_rng(0).integers(0, 256, (3, 9, 7, 3), dtype=np.uint8)
    batch = {'image': images, 'label': np.zeros(3, np.int32), 'valid': np.ones(3, bool)}
    variables = jax.jit(functools.partial(task.init, batch=batch))(jax.random.key(0))
    example = {name: {'shape': x.shape[1:], 'dtype': x.dtype} for name, x in batch.items()}
    function, inputs = answer_function(task, jax.device_get(variables), example)
    assert list(inputs) == ['image']  # not the label: the answer does not depend on it
    (tmp_path / 'model.stablehlo').write_bytes(with_about(serialize(function, inputs), ABOUT_IT))
    assert json.loads(zipfile.ZipFile(tmp_path / 'model.stablehlo').read(ABOUT)) == ABOUT_IT
    np.save(tmp_path / 'images.npy', images)
    files = [str(tmp_path / name) for name in ('model.stablehlo', 'images.npy', 'found.npz')]
    subprocess.run([sys.executable, '-c', ALONE, *files], check=True, cwd=tmp_path)
    with np.load(tmp_path / 'found.npz') as file:
        found = dict(file)
    expected = np.asarray(jax.jit(task.predict)(variables, batch)['probabilities'])
    np.testing.assert_allclose(found['3'], expected, atol=1e-6)
    np.testing.assert_allclose(found['1'], expected[:1], atol=1e-6)
    call = jax.export.deserialize((tmp_path / 'model.stablehlo').read_bytes()).call
    for wrong, message in (
        (images.astype(np.float32), 'expected uint8 and called with float32'),
        (images[0], r'expected \(n, 9, 7, 3\) and called with \(9, 7, 3\)'),
        (images[:, :8], r'expected \(n, 9, 7, 3\) and called with \(3, 8, 7, 3\)'),
    ):
        with pytest.raises(ValueError, match=message):
            call(wrong)


def test_the_file_or_folder_to_write(tmp_path):
    """An existing folder, one that ends in a slash, and the workdir take the usual name; nothing is made yet."""
    name = 'model.stablehlo'
    assert target_file(None, tmp_path) == target_file(str(tmp_path), Path('/')) == tmp_path / name
    assert target_file(f'{tmp_path}/new/', Path('/')) == tmp_path / 'new' / name
    assert target_file(f'{tmp_path}/new', Path('/')) == tmp_path / 'new'
    assert target_file('~', Path('/')) == Path.home() / name
    (tmp_path / 'file').touch()
    (tmp_path / name).mkdir()
    for out in (tmp_path / 'file' / 'a.stablehlo', tmp_path):
        with pytest.raises(config.ConfigError, match=r'--out: .* cannot be written'):
            target_file(str(out), Path('/'))
    assert sorted(path.name for path in tmp_path.iterdir()) == ['file', name]


def conv(batch):
    return {'sum': ops.max_pool(ops.conv2d(batch['image'] / 255.0, np.ones((3, 3, 3, 2), np.float32)), window=2)}


IMAGE = {'image': {'shape': (8, 8, 3), 'dtype': 'float32'}}


def test_onnx_without_its_packages(monkeypatch):
    monkeypatch.setitem(sys.modules, 'jax2onnx', None)
    with pytest.raises(extras.MissingExtraError, match=r"pip install 'jaxcv\[onnx\]'"):
        onnx_file(conv, IMAGE, {})


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore')
def test_onnx_is_compared_with_onnxruntime_and_has_the_class_names():
    onnx = pytest.importorskip('onnx')
    pytest.importorskip('jax2onnx')
    content, difference = onnx_file(conv, IMAGE, ABOUT_IT)
    assert difference < 1e-5
    model = onnx.load_model_from_string(content)
    assert json.loads(model.metadata_props[0].value) == ABOUT_IT
    assert [put.name for put in (*model.graph.input, *model.graph.output)] == ['image', 'sum']
    with pytest.raises(config.ConfigError, match='this network cannot be an ONNX file'):
        onnx_file(lambda batch: {'sorted': jax.lax.linalg.qr(batch['image'])[0]}, IMAGE, {})


def test_how_long_a_file_can_be_read():
    assert f'6 months after {jax.__version__}' in READABLE
