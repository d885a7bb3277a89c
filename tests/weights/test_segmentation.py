"""Segmentation networks against torchvision's and segmentation-models-pytorch's (tools/segmentation)."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import models, weights
from jaxcv.weights.convert import to_state_dict, to_variables
from jaxcv.weights.layouts import layout
from jaxcv.weights.loading import shapes
from tests.weights.parity import FOLDER, TOLERANCE
from tests.weights.seeded import seeded

FIXTURES = FOLDER.parent / 'segmentation'
SMP = 'segmentation_models_pytorch'
TORCHVISION = ('fcn_resnet50', 'deeplabv3_resnet50', 'fcn_resnet101', 'deeplabv3_resnet101')
RESNET34 = ('unet_resnet34', 'deeplabv3_resnet34', 'pspnet_resnet34')


def fixture(name):
    """(arrays, state dict of seeded weights, options of our model)."""
    with np.load(FIXTURES / f'{name}.npz') as file:
        arrays = dict(file)
    named = json.loads(str(arrays['state_dict']))
    options = {'aux_head': True} if str(arrays['source']) == 'torchvision' else {}
    return arrays, {key: seeded(key, tuple(shape)) for key, shape in named.items()}, options


def sizes(arrays):
    return sorted({key.split('/')[0] for key in arrays if '/' in key})


def check(name, wanted_sizes):
    """Assert that every stage, the logits and the auxiliary ones are the fixture's."""
    arrays, state, options = fixture(name)
    variables = weights.from_state_dict(name, state, source=str(arrays['source']), **options)
    model = getattr(models.segmentation, name)(**options)

    @jax.jit
    def everything(variables, images):
        stages = model.apply(variables, images, method='features')
        if options:
            logits, auxiliary = model.apply(variables, images, method='with_auxiliary')
            return {**stages, 'logits': logits, 'auxiliary': auxiliary}
        return {**stages, 'logits': model.apply(variables, images)}

    for size in wanted_sizes:
        height, width = map(int, size.split('x'))
        found = everything(variables, jnp.asarray(seeded('images', (1, height, width, 3))))
        assert set(found) == {key.split('/')[1] for key in arrays if key.startswith(f'{size}/')}
        assert found['logits'].dtype == jnp.float32
        for part, value in found.items():
            expected = arrays[f'{size}/{part}/sample']
            assert value.shape == tuple(arrays[f'{size}/{part}/shape'])
            places = np.linspace(0, value.size - 1, len(expected)).astype(int)
            error = np.abs(np.asarray(value).ravel()[places] - expected).max() / expected.std()
            assert error < TOLERANCE, f'{name} {size} {part}: {error:.1e} standard deviations'


@pytest.mark.parametrize('name', ['fcn_resnet50', 'unet_resnet34'])
def test_equals_the_source(name):
    """At the odd size, where there is one."""
    check(name, sizes(fixture(name)[0])[-1:])


@pytest.mark.slow
@pytest.mark.parametrize('name', [*TORCHVISION, *RESNET34])
def test_every_network_equals_its_source_at_every_size(name):
    check(name, sizes(fixture(name)[0]))


FAST = ('fcn_resnet50', 'unet_resnet34', 'pspnet_resnet34')


@pytest.mark.parametrize(
    'name', [pytest.param(name, marks=[pytest.mark.slow] * (name not in FAST)) for name in (*TORCHVISION, *RESNET34)]
)
def test_state_dicts_come_back(name):
    arrays, state, options = fixture(name)
    found = layout(name, str(arrays['source']))
    wanted = shapes(name, **options)
    back = to_state_dict(to_variables(state, wanted, found), found)
    unused = {
        key for key in state if name == 'pspnet_resnet34' and key.startswith(('encoder.layer3', 'encoder.layer4'))
    }
    assert sorted(back) == sorted(state.keys() - unused)
    assert all((back[key] == state[key]).all() and back[key].dtype == state[key].dtype for key in back)
    parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(wanted['params']))
    of_unused = sum(state[key].size for key in unused if 'running' not in key and 'tracked' not in key)
    assert parameters + of_unused == int(arrays['parameters'])


def test_without_an_auxiliary_head_and_with_a_fresh_one(tmp_path):
    """By way of a file, as the published weights come."""
    _, state, _ = fixture('fcn_resnet50')
    path = tmp_path / 'fcn.safetensors'
    weights.save('fcn_resnet50', weights.from_state_dict('fcn_resnet50', state, aux_head=True), path)
    plain = weights.load('fcn_resnet50', path)
    assert sorted(plain['params']) == ['backbone', 'head']
    fresh = weights.load('fcn_resnet50', path, num_classes=3, fresh_head=jax.random.key(0), aux_head=True)
    assert fresh['params']['head']['score']['kernel'].shape == (1, 1, 512, 3)
    assert fresh['params']['auxiliary']['score']['kernel'].shape == (1, 1, 256, 3)
    hidden = [variables['params']['head']['hidden']['conv']['kernel'] for variables in (plain, fresh)]
    np.testing.assert_array_equal(*hidden)


def test_unknown_names_and_sources():
    with pytest.raises(ValueError, match="unet_resnet34 has weights from segmentation_models_pytorch, not from 'torch"):
        weights.from_state_dict('unet_resnet34', {})
    with pytest.raises(ValueError, match='no published weights are known for fcn8s'):
        layout('fcn8s', 'torchvision')
    with pytest.raises(ValueError, match="there is no model 'segmentation'"):
        weights.from_state_dict('segmentation', {})
    with pytest.raises(ValueError, match="there is no model 'fcn_resnet5', did you mean fcn_resnet50"):
        weights.from_state_dict('fcn_resnet5', {})
