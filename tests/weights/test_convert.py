"""State dicts to variables and back, on a small network of ours and on ResNet-18."""

import hashlib

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from jaxcv.weights import from_state_dict, load, read_state_dict, save, to_state_dict
from jaxcv.weights.convert import correspondence, to_variables
from jaxcv.weights.convert import to_state_dict as convert_back
from jaxcv.weights.layouts import Layout
from jaxcv.weights.loading import constructor, shapes
from tests.weights.seeded import seeded

LAYOUT = Layout((('conv', 'c'), ('bn', 'b'), ('fc', 'f'), ('head', 'h')), flattened={'fc': (2, 3, 5)})
SHAPES = {
    'c.weight': (2, 3, 3, 1),
    'b.weight': (2,),
    'b.bias': (2,),
    'b.running_mean': (2,),
    'b.running_var': (2,),
    'b.num_batches_tracked': (),
    'f.weight': (4, 30),
    'f.bias': (4,),
    'h.weight': (7, 4),
    'h.bias': (7,),
}
WANTED = {
    'params': {
        'conv': {'kernel': np.zeros((3, 1, 3, 2))},
        'bn': {'scale': np.zeros(2), 'bias': np.zeros(2)},
        'fc': {'kernel': np.zeros((30, 4)), 'bias': np.zeros(4)},
        'head': {'kernel': np.zeros((4, 7)), 'bias': np.zeros(7)},
    },
    'batch_stats': {'bn': {'mean': np.zeros(2), 'var': np.zeros(2)}},
}


def given():
    return {name: seeded(name, shape) for name, shape in SHAPES.items()}


def resnet18_state_dict(classes=1000, make=seeded):
    """Its names and shapes by torchvision's own order of layers, written out."""
    state = {'conv1.weight': (64, 3, 7, 7), **norm('bn1', 64)}
    for s, width in enumerate((64, 128, 256, 512), start=1):
        for b in (0, 1):
            block, before = f'layer{s}.{b}', width // 2 if s > 1 and b == 0 else width
            for c, inputs in ((1, before), (2, width)):
                state |= {f'{block}.conv{c}.weight': (width, inputs, 3, 3), **norm(f'{block}.bn{c}', width)}
            if before != width:
                state |= {f'{block}.downsample.0.weight': (width, before, 1, 1)}
                state |= norm(f'{block}.downsample.1', width)
    state |= {'fc.weight': (classes, 512), 'fc.bias': (classes,)}
    return {name: make(name, shape) for name, shape in state.items()}


def norm(name, width):
    leaves = {f'{name}.{leaf}': (width,) for leaf in ('weight', 'bias', 'running_mean', 'running_var')}
    return {**leaves, f'{name}.num_batches_tracked': ()}


def test_axes_by_what_the_layers_compute():
    """A convolution, batch norm, and a dense layer on flattened features give what PyTorch's formulas give."""
    state = given()
    variables = to_variables(state, WANTED, LAYOUT)
    params, statistics = variables['params'], variables['batch_stats']['bn']
    assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, WANTED)
    rng = np.random.default_rng(0)

    patch = rng.normal(size=(3, 3, 1))  # C H W there
    theirs = np.einsum('ochw,chw->o', state['c.weight'], patch)
    ours = np.einsum('hwio,hwi->o', params['conv']['kernel'], patch.transpose(1, 2, 0))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)

    features = rng.normal(size=(2, 3, 5))  # C H W
    theirs = state['f.weight'] @ features.reshape(-1) + state['f.bias']
    ours = features.transpose(1, 2, 0).reshape(-1) @ params['fc']['kernel'] + params['fc']['bias']
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)

    np.testing.assert_array_equal(params['bn']['scale'], state['b.weight'])
    np.testing.assert_array_equal(statistics['mean'], state['b.running_mean'])
    np.testing.assert_array_equal(statistics['var'], state['b.running_var'])


def test_back_again():
    state = given()
    back = convert_back(to_variables(state, WANTED, LAYOUT), LAYOUT)
    assert back.keys() == state.keys()
    for name, value in state.items():
        np.testing.assert_array_equal(back[name], value, err_msg=name)
        assert (back[name].dtype, back[name].flags.c_contiguous) == (value.dtype, True)


def test_everything_that_does_not_fit_is_said_at_once():
    state = given()
    del state['c.weight']
    state['f.weight'] = np.zeros((30, 4), np.float32)
    state['h.bias'] = np.zeros(7, np.int64)
    state['extra.weight'] = np.zeros((1, 2), np.float32)
    wanted = {**WANTED, 'params': {**WANTED['params'], 'attention': {'kernel': np.zeros((2, 2))}}}
    with pytest.raises(ValueError, match='5 arrays do not fit') as caught:
        to_variables(state, wanted, LAYOUT)
    assert sorted(str(caught.value).splitlines()[1:]) == [
        '  c.weight is missing (for params/conv/kernel)',
        '  extra.weight (1, 2) has no place',
        '  f.weight has shape (30, 4), expected (4, 30) (for params/fc/kernel)',
        '  h.bias has type int64, expected floats (for params/head/bias)',
        '  params/attention/kernel has no line in the table',
    ]
    with pytest.raises(ValueError, match='the table has no line for params/attention/kernel'):
        correspondence(wanted, LAYOUT)


@pytest.mark.parametrize('dtype', [np.float16, np.float64, ml_dtypes.bfloat16])
def test_parameters_are_float32_whatever_the_file_has(dtype):
    state = {name: value.astype(dtype) for name, value in given().items()}
    variables = to_variables(state, WANTED, LAYOUT)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype('float32')}
    np.testing.assert_array_equal(variables['params']['bn']['bias'], state['b.bias'].astype(np.float32))


def test_without_leaves_layers_out_whatever_their_shape():
    state = {**given(), 'h.weight': np.zeros((3, 4), np.float32)}
    assert sorted(to_variables(state, WANTED, LAYOUT, without=('head',))['params']) == ['bn', 'conv', 'fc']
    del state['h.weight'], state['h.bias']
    assert 'head' not in to_variables(state, WANTED, LAYOUT, without=('head',))['params']


def test_resnet18_from_a_file_and_back(tmp_path):
    """Written as safetensors and read again it is the same, array by array; every layer has its own values."""
    state = resnet18_state_dict()
    variables = from_state_dict('resnet18', state)
    assert jax.tree.map(np.shape, variables) == jax.tree.map(lambda x: x.shape, shapes('resnet18'))
    assert len({hashlib.sha256(x.tobytes()).digest() for x in jax.tree.leaves(variables)}) == 102
    save('resnet18', variables, tmp_path / 'a.safetensors')
    again = read_state_dict(tmp_path / 'a.safetensors')
    assert again.keys() == state.keys()
    assert all(np.array_equal(again[name], value) for name, value in state.items())
    jax.tree.map(np.testing.assert_array_equal, load('resnet18', tmp_path / 'a.safetensors'), variables)
    assert to_state_dict('resnet18', variables, source='timm').keys() == state.keys()


def test_other_classes_need_a_fresh_head_that_is_asked_for(tmp_path):
    state = resnet18_state_dict(classes=5, make=lambda name, shape: np.full(shape, len(name), np.float32))
    assert from_state_dict('resnet18', state, num_classes=5)['params']['head']['bias'].shape == (5,)
    with pytest.raises(ValueError, match='resnet18 from torchvision: 2 arrays do not fit') as caught:
        from_state_dict('resnet18', state)
    lines = str(caught.value).splitlines()
    assert '  fc.weight has shape (5, 512), expected (1000, 512) (for params/head/kernel)' in lines
    assert 'fresh_head=key converts all but the head' in lines[-1]

    key = jax.random.key(3)
    variables = from_state_dict('resnet18', state, num_classes=10, fresh_head=key)
    expected = from_state_dict('resnet18', state, num_classes=5)
    head = variables['params'].pop('head')
    del expected['params']['head']
    jax.tree.map(np.testing.assert_array_equal, variables, expected)
    # As the model initializes it: uniform within 1 / sqrt(512), and a bias of zeros.
    assert (head['kernel'].shape, head['bias'].shape) == ((512, 10), (10,))
    assert not head['bias'].any()
    assert 0.9 / 512**0.5 < jnp.abs(head['kernel']).max() <= 1 / 512**0.5

    del state['conv1.weight']
    with pytest.raises(ValueError, match=r'1 arrays do not fit: 1 missing; 99 of 100 fit\n  conv1\.weight is missing'):
        from_state_dict('resnet18', state, num_classes=10, fresh_head=key)


def test_unknown_names():
    with pytest.raises(ValueError, match="there is no model 'resnet5', did you mean resnet50"):
        from_state_dict('resnet5', {})
    for call in (constructor, shapes, lambda name: to_state_dict(name, {})):
        with pytest.raises(ValueError, match="there is no model 'resnet5', did you mean resnet50"):
            call('resnet5')
    with pytest.raises(ValueError, match='no published weights are known for linear_classifier'):
        from_state_dict('linear_classifier', {}, num_classes=3)
    with pytest.raises(ValueError, match='torchvision'):
        from_state_dict('resnet18', {}, source='somebody')
