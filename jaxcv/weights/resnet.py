"""Where torchvision and timm keep the layers of a ResNet."""

from jaxcv.weights.convert import Spec
from jaxcv.weights.names import Table

TABLE: Table = (
    ('stem/conv', 'conv1'),
    ('stem/bn', 'bn1'),
    ('stage{s}/block{b}/conv{c}', 'layer{s}.{b-1}.conv{c}'),
    ('stage{s}/block{b}/bn{c}', 'layer{s}.{b-1}.bn{c}'),
    ('stage{s}/block{b}/se/fc{c}', 'layer{s}.{b-1}.se.fc{c}'),
    ('stage{s}/block{b}/shortcut_conv', 'layer{s}.{b-1}.downsample.0'),
    ('stage{s}/block{b}/shortcut_bn', 'layer{s}.{b-1}.downsample.1'),
    ('head', 'fc'),
)


def spec(name: str, source: str) -> Spec:
    """How a ResNet is laid out: `resnet18` to `resnet152` of torchvision or timm, which have the same names."""
    return residual_spec(name, source, ('torchvision', 'timm'), without=('cifar_resnet',))


def residual_spec(name: str, source: str, sources: tuple[str, ...], *, without: tuple[str, ...] = ()) -> Spec:
    """The table, if the source is one of those that have the model."""
    if name in without:
        raise ValueError(f'nobody publishes weights of {name}')
    if source not in sources:
        raise ValueError(f'{name} has weights from {" and ".join(sources)}, not from {source!r}')
    return Spec(TABLE)
