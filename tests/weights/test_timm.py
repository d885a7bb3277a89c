"""timm's weights of the models that torchvision has too: their names, and the numbers that they give."""

import json

import pytest

from jaxcv.weights import find, recipe
from jaxcv.weights.layouts import LAYOUTS
from tests.weights import parity

NAMES = json.loads((parity.FOLDER / 'timm_names.json').read_text())
"""Model -> digest of the names and shapes of timm's arrays (tools/backbones)."""
RUN = {path.name.removesuffix('.npz') for path in parity.FOLDER.glob('*.timm.npz')}
"""The fixtures of timm's models that torchvision has too."""


def test_every_layout_of_timms_has_a_digest():
    assert NAMES.keys() == {name for name, sources in LAYOUTS.items() if 'timm' in sources}


@pytest.mark.parametrize('name', [name for name in NAMES if 'resne' in name or name == 'inception_v3'])
def test_names_and_shapes_are_timms(name):
    """Those of the fixture, which other tests compare with ours; Inception's without the auxiliary head."""
    first = LAYOUTS[name].get('torchvision', LAYOUTS[name]['timm'])
    assert LAYOUTS[name]['timm'] is first
    shapes = json.loads(str(parity.fixture(name)['state_dict']))
    assert parity.names_digest({key: x for key, x in shapes.items() if 'AuxLogits' not in key}) == NAMES[name]


def test_an_inception_of_timms_has_no_auxiliary_head():
    assert recipe(find('inception_v3.tf_in1k')).model['aux_heads'] is False
    assert find('inception_v3.tf_in1k').parameters == 23_834_568
    assert 'aux_heads' not in recipe(find('inception_v3')).model


@pytest.mark.slow
@pytest.mark.parametrize('name', sorted(RUN))
def test_equals_timm(name):
    options = {'aux_heads': False} if name.startswith('inception') else {}
    for size in parity.sizes(name):
        parity.check(name, size=size, **options)
    parity.check_round_trip(name, **options)


def test_every_family_was_run():
    expected = ('mobilenet_v2', 'efficientnet_b0', 'vgg11', 'vgg16_bn', 'inception_v3')
    expected += ('resnet18', 'resnet50', 'resnext50_32x4d', 'wide_resnet50_2')
    assert sorted(f'{name}.timm' for name in expected) == sorted(RUN)
