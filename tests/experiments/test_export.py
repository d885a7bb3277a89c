"""An exported network gives what the network gives, without jaxcv."""

import functools
import subprocess
import sys

import jax
import numpy as np

from experiments.run.exporting import answer_function, serialize
from jaxcv import models, tasks

ALONE = """
import sys
import numpy as np
from jax import export
call = export.deserialize(open(sys.argv[1], 'rb').read()).call
np.savez(sys.argv[3], **{str(n): call(np.load(sys.argv[2])[:n])['probabilities'] for n in (1, 3)})
assert not any(name.startswith(('jaxcv', 'flax')) for name in sys.modules)
"""


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
    (tmp_path / 'model.stablehlo').write_bytes(serialize(function, inputs))
    np.save(tmp_path / 'images.npy', images)
    files = [str(tmp_path / name) for name in ('model.stablehlo', 'images.npy', 'found.npz')]
    subprocess.run([sys.executable, '-c', ALONE, *files], check=True, cwd=tmp_path)
    found = np.load(tmp_path / 'found.npz')
    expected = np.asarray(jax.jit(task.predict)(variables, batch)['probabilities'])
    np.testing.assert_allclose(found['3'], expected, atol=1e-6)
    np.testing.assert_allclose(found['1'], expected[:1], atol=1e-6)
