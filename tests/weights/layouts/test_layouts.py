"""The table of layouts: every model has a line, and models and sources without one are errors."""

import inspect

import pytest

from jaxcv import models
from jaxcv.weights.layouts import LAYOUTS, REFUSED, UNPUBLISHED, layout


def constructors(package):
    """(name, function) of a package and its subpackages."""
    for name in package.__all__:
        member = getattr(package, name)
        if inspect.ismodule(member):
            yield from constructors(member)
        elif inspect.isroutine(member):
            yield name, member


def test_every_model_has_layouts_or_is_listed_as_unpublished():
    """A model in neither would lose its weights; a line without a model is of one that was renamed."""
    named = {name for name, _ in constructors(models)}
    assert {'resnet18', 'unet_resnet34'} <= named
    assert named == LAYOUTS.keys() | set(UNPUBLISHED)
    assert not LAYOUTS.keys() & set(UNPUBLISHED)


def test_constructors_say_whose_weights_fit():
    for name, function in constructors(models):
        text = (inspect.getdoc(function) or '').replace('-', '_')
        assert not [source for source in LAYOUTS.get(name, {}) if source not in text], name


def test_names_mean_one_model_each():
    """Layouts are found by the name alone, whichever package the model is in."""
    functions = {}
    for name, function in constructors(models):
        assert functions.setdefault(name, function) is function, name


def test_layouts_are_tables_of_pairs():
    for name, sources in LAYOUTS.items():
        assert sources, name
        for source, found in sources.items():
            assert layout(name, source) is found
            ours = [layer for layer, _ in found.table]
            assert len(set(ours)) == len(ours), (name, source)
            assert found.flattened.keys() <= {layer.replace('{i}', str(i)) for layer in ours for i in (1, 2)}


@pytest.mark.parametrize('name', [*UNPUBLISHED, 'no_such_model', 'vgg12'])
def test_models_without_published_weights(name):
    with pytest.raises(ValueError, match=f'^no published weights are known for {name}$'):
        layout(name, 'torchvision')


@pytest.mark.parametrize(
    ('name', 'source', 'known'),
    [
        ('alexnet', 'timm', 'torchvision'),
        ('googlenet', 'timm', 'torchvision'),
        ('vgg11', 'keras', 'torchvision and timm'),
        ('resnet18', 'keras', 'torchvision and timm'),
        ('wide_resnet50_2', 'xternalz', 'torchvision and timm'),
        ('wide_resnet28_10', 'torchvision', 'xternalz'),
        ('seresnet50', 'torchvision', 'timm'),
        ('efficientnet_lite0', 'torchvision', 'timm'),
        ('tf_efficientnet_lite0', 'torchvision', 'timm and lite0'),
        ('tf_efficientnet_b0', 'torchvision', 'timm'),
        ('unet_resnet34', 'torchvision', 'segmentation_models_pytorch'),
    ],
)
def test_other_sources_are_refused(name, source, known):
    with pytest.raises(ValueError, match=f"^{name} has weights from {known}, not from '{source}'$"):
        layout(name, source)


@pytest.mark.parametrize(
    ('name', 'source', 'message'),
    [
        ('efficientnet_b5', 'timm', "from torchvision, not from 'timm': .* epsilon of 1e-5"),
        ('efficientnet_lite0', 'lite0', "from timm, not from 'lite0': .* load them into tf_efficientnet_lite0"),
    ],
)
def test_sources_that_would_give_other_numbers_are_refused_with_the_reason(name, source, message):
    with pytest.raises(ValueError, match=message):
        layout(name, source)
    assert all(source not in LAYOUTS[name] for name, source in REFUSED)
