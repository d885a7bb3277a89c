"""Networks of flow and stereo against PyTorch's (tools/stereo), with the names of the published ones."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.models import stereo
from jaxcv.weights.convert import to_state_dict, to_variables
from jaxcv.weights.layouts import layout
from jaxcv.weights.layouts.stereo import FLOWNET
from jaxcv.weights.layouts.table import Layout
from jaxcv.weights.loading import from_state_dict, shapes
from tests.weights.parity import FOLDER, TOLERANCE
from tests.weights.seeded import seeded

FIXTURES = FOLDER.parent / 'stereo'
OPTIONS = {
    'flownet_s': {'biases': 'encoder'},
    'flownet_c': {'biases': 'encoder'},
    'dispnet': {},
    'dispnet_c': {},
    'gcnet': {'form': 'public', 'disparities': 32},
}
_UNITS = ('conv1', 'conv2', 'conv_redir', *(f'conv{i}{end}' for i in (3, 4, 5, 6) for end in 'ab'))
# Those of the test: no weights of these are published.
DISPNET = Layout(
    (
        *((f'{unit}/conv', f'{unit}.0') for unit in _UNITS),
        ('upconv{i}', 'upconv{i}.0'),
        ('iconv{i}', 'iconv{i}.0'),
        ('up_pr{i}', 'up_pr{i}'),
        ('pr{i}', 'pr{i}'),
    )
)
LAYOUTS = {'dispnet': DISPNET, 'dispnet_c': DISPNET, 'gcnet': layout('gcnet', 'gcnet_pytorch')}


def fixture(name):
    with np.load(FIXTURES / f'{name}.npz') as file:
        return dict(file)


def state_dict(arrays):
    return {key: seeded(key, tuple(shape)) for key, shape in json.loads(str(arrays['state_dict'])).items()}


@pytest.mark.parametrize('name', OPTIONS)
def test_every_array_has_its_place(name):
    """Of shapes alone: the published names are those of the layout, and the parameters as many."""
    arrays = fixture(name)
    wanted = shapes(name, **OPTIONS[name])
    found = LAYOUTS.get(name, FLOWNET)
    names = {key: tuple(shape) for key, shape in json.loads(str(arrays['state_dict'])).items()}
    empty = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), wanted)
    theirs = {key: value.shape for key, value in to_state_dict(empty, found).items()}
    assert {**names, **theirs} == names
    assert all(key.endswith('num_batches_tracked') for key in names.keys() - theirs.keys())
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(wanted['params'])) == int(arrays['parameters'])


def test_published_weights_load_by_name():
    arrays = fixture('gcnet')
    variables = from_state_dict('gcnet', state_dict(arrays), source='gcnet_pytorch', **OPTIONS['gcnet'])
    kernel = variables['params']['up1']['conv']['kernel']
    assert kernel.shape == (3, 3, 3, 64, 128)
    np.testing.assert_array_equal(kernel[0, 1, 2], seeded('deconv1.weight', (128, 64, 3, 3, 3))[:, :, 0, 1, 2].T)
    assert layout('flownet_c', 'flownet_pytorch') is FLOWNET


@pytest.mark.slow
@pytest.mark.parametrize('name', OPTIONS)
def test_equals_pytorch(name):
    """Every level, in the networks' own units."""
    arrays = fixture(name)
    model = getattr(stereo, name)(**OPTIONS[name])
    variables = to_variables(state_dict(arrays), shapes(name, **OPTIONS[name]), LAYOUTS.get(name, FLOWNET))
    pairs = jnp.asarray(seeded('images', (1, 64, 128, 6)))
    levels = jax.jit(lambda variables, pairs: model.apply(variables, pairs, method='levels'))(variables, pairs)
    assert {f'{stride}/sample' for stride in levels} == {key for key in arrays if key.endswith('sample')}
    for stride, level in levels.items():
        expected = arrays[f'{stride}/sample'] * getattr(model, 'scale', 1)
        assert level.size == math.prod(arrays[f'{stride}/shape'])
        places = np.linspace(0, level.size - 1, len(expected)).astype(int)
        error = np.abs(np.asarray(level).ravel()[places] - expected).max() / expected.std()
        assert error < TOLERANCE, f'{name} {stride}: {error:.1e} standard deviations'
