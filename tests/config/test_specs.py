"""A spec becomes a call, and what does not fit is said at once and in full."""

import re
import types
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxcv import augment, config, losses, models, optim
from jaxcv.data import transforms


def test_a_spec_becomes_a_call():
    model = config.build(ConfigDict({'name': 'cifar_resnet', 'depth': 8}), models, provided={'num_classes': 7})
    assert (model.depths, model.num_classes) == ((1, 1, 1), 7)


def test_the_config_overrides_what_the_program_provides():
    model = config.build({'name': 'linear_classifier', 'num_classes': 3}, models, provided={'num_classes': 7})
    assert model.num_classes == 3


def test_inner_specs_are_built_first():
    spec = {'name': 'sgd', 'learning_rate': {'name': 'cosine', 'peak': 0.1}}
    config.build(spec, optim, provided={'total_steps': 10})
    with pytest.raises(config.ConfigError, match=r"learning_rate: no 'cosin' in jaxcv.optim.schedules, did you"):
        config.build({**spec, 'learning_rate': {'name': 'cosin'}}, optim, path='optimizer')


def test_a_subpackage_is_named_with_a_dot():
    spec = ConfigDict({'name': 'segmentation.unet', 'width': 2, 'depth': 1})
    unet = config.build(spec, models, provided={'num_classes': 5})
    assert type(unet) is type(models.segmentation.unet(num_classes=5))
    assert (unet.width, unet.depth, unet.num_classes) == (2, 1, 5)
    for name in ('unet', 'segmentation', 'segmentation.', 'segmentation.fcn.fcn8s'):
        assert config.problems({'name': name, 'num_classes': 5}, models), name


def test_a_backbone_is_a_spec_inside_the_spec():
    """What the program provides goes to both, where they have a place for it."""
    backbone = {'name': 'resnet18', 'output_stride': 8}
    spec = {'name': 'segmentation.deeplabv3', 'backbone': backbone, 'rates': [1, 2]}
    model = config.build(spec, models, provided={'num_classes': 5, 'total_steps': 10})
    expected = models.resnet18(output_stride=8, num_classes=5)
    assert model == models.segmentation.deeplabv3(backbone=expected, num_classes=5, rates=(1, 2))
    assert model.backbone == expected != models.resnet18(num_classes=5)


def own_module(**functions):
    """A user's module without `__all__`, with functions defined in it and an imported one."""
    module = types.ModuleType('my_project.models')
    vars(module).update(functions, imported=models.resnet18)
    for function in functions.values():
        function.__module__ = module.__name__
    return module


def tiny(*, width: int, backbone: Any = None, loss: Callable[..., Any] | None = None) -> dict[str, Any]:
    return {'width': width, 'backbone': backbone, 'loss': loss}


def test_a_users_own_module_is_named_in_full_in_every_section():
    registries = {'my_project.models': own_module(tiny=tiny, _hidden=lambda: None)}
    spec = {'name': 'my_project.models.tiny', 'width': 2}
    provided = {'num_classes': 3}
    for package, others in ((models, registries), (augment, {**registries, 'models': models})):
        inner = {'name': 'linear_classifier' if package is models else 'models.linear_classifier'}
        found = config.build({**spec, 'backbone': inner}, package, provided=provided, registries=others)
        assert found == {'width': 2, 'backbone': models.linear_classifier(num_classes=3), 'loss': None}
    for wrong, meant in (('my_project.models.tinny', 'my_project.models.tiny'), ('tinny', 'my_project.models.tiny')):
        found = config.problems({'name': wrong}, models, registries=registries)
        assert len(found) == 1
        assert f'did you mean {meant}?' in found[0]
    for private in ('_hidden', 'imported'):
        assert config.problems({'name': f'my_project.models.{private}'}, models, registries=registries)
    assert config.problems({'name': 'my_project.models.tiny', 'width': 'x'}, models, registries=registries) == [
        "width must be int, got 'x' (str)"
    ]


def test_a_loss_inside_a_spec_is_bound_and_not_called():
    spec = {'name': 'own.tiny', 'width': 2, 'loss': {'name': 'losses.softmax_cross_entropy', 'label_smoothing': 0.1}}
    registries = {'own': own_module(tiny=tiny), 'losses': losses}
    loss = config.build(spec, models, registries=registries)['loss']
    logits, labels = jnp.zeros((1, 4)), jnp.zeros(1, jnp.int32)
    np.testing.assert_allclose(loss(logits, labels), np.log(4), rtol=1e-6)
    assert loss.keywords == {'label_smoothing': 0.1}
    wrong = {**spec, 'loss': {'name': 'losses.softmax_cross_entropy', 'logits': 1, 'smoothing': 0.1}}
    assert len(config.problems(wrong, models, registries=registries)) == 2  # logits are no option, no such option


def test_the_annotation_of_a_parameter_says_where_its_spec_is_looked_up():
    spec = {'name': 'momentum', 'learning_rate': 0.1, 'decay': {'name': 'one_cycle_momentum'}}
    config.build(spec, optim.optimizers, provided={'total_steps': 10})
    found = config.problems({**spec, 'decay': {'name': 'adam'}}, optim.optimizers, provided={'total_steps': 10})
    assert len(found) == 1
    assert "decay: no 'adam' in jaxcv.optim.schedules.momentum, there are: constant, " in found[0]


def test_options_are_bound_and_arrays_left_out():
    with pytest.raises(config.ConfigError, match="softmax_cross_entropy has no argument 'logits'"):
        config.bind({'name': 'softmax_cross_entropy', 'logits': 1}, losses)


@pytest.mark.parametrize(
    ('spec', 'message'),
    [
        ({'name': 'resnet81'}, "model: no 'resnet81' in jaxcv.models, did you mean resnet18"),
        ({'name': 'resnet18', 'num_clases': 3}, "has no argument 'num_clases', did you mean num_classes"),
        ({'name': 'resnet18', 'num_classes': 'ten'}, "num_classes must be int, got 'ten'"),
        ({'name': 'linear_classifier'}, "linear_classifier needs the argument 'num_classes'"),
        ({'depth': 3}, "expected {'name': function"),
        ({'name': 'resnet18', 'dtype': 'bf16'}, "dtype must be 'float32' or 'bfloat16' or 'float16', got 'bf16'"),
        ({'name': 'linear_classifier', 'num_classes': 3, 'dtype': 'float64'}, "dtype must be 'float32' or 'bfloat16'"),
        ('resnet18', "expected {'name': function"),
        (
            {'name': 'segmentation.fcn8'},
            r"model: no 'segmentation.fcn8' in jaxcv.models, did you mean segmentation\.fcn8s",
        ),
        ({'name': 'segmentatoin.unet'}, r'did you mean segmentation\.unet'),
        ({'name': 'segmentation.fcn8s'}, "fcn8s needs the argument 'backbone'"),
        (
            {'name': 'segmentation.fcn8s', 'backbone': {'name': 'resnet81'}},
            r"model\.backbone: no 'resnet81' in jaxcv.models, did you mean resnet18",
        ),
        (
            {'name': 'segmentation.fcn8s', 'backbone': {'name': 'resnet18', 'output_strid': 8}},
            r"model\.backbone: resnet18 has no argument 'output_strid', did you mean output_stride\?",
        ),
        (
            {'name': 'segmentation.fcn8s', 'backbone': {'name': 'resnet18', 'output_stride': 'eight'}},
            r"model\.backbone: output_stride must be .*, got 'eight'",
        ),
        ({'name': 'segmentation.fcn8s', 'backbone': 'resnet18'}, "model: backbone must be .*Module, got 'resnet18'"),
    ],
)
def test_what_does_not_fit_is_said(spec, message):
    found = config.problems(spec, models, path='model')
    assert len(found) == 1
    assert re.search(message, found[0])


def test_all_problems_are_said_at_once():
    spec = {'name': 'momentum', 'decay': 'x', 'nesterow': True}
    found = config.problems(spec, optim, path='optimizer')
    assert len(found) == 3  # learning_rate is missing, decay is no float, nesterow unknown
    with pytest.raises(config.ConfigError, match='3 problems in the config'):
        config.build(spec, optim, path='optimizer')


def test_an_int_is_good_where_a_float_is_asked_for():
    assert not config.problems({'name': 'sgd', 'learning_rate': 1}, optim)


def test_a_tuple_survives_json(tmp_path):
    spec = ConfigDict({'name': 'random_resized_crop', 'size': (16, 8), 'area': (0.5, 1.0)})
    config.save(ConfigDict({'spec': spec}), tmp_path / 'config.json')
    crop = config.build(config.load(tmp_path / 'config.json').spec, transforms)
    assert crop({'image': np.zeros((32, 32, 3), np.uint8), 'seed': 0})['image'].shape == (16, 8, 3)


def test_private_and_imported_names_are_not_in_the_registry():
    for name in ('optax', '_weights', '__doc__', 'optimizers'):
        assert config.problems({'name': name, 'learning_rate': 1.0}, optim)
