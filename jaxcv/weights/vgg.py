"""VGG as torchvision lays it out: convolutions, batch norms, ReLUs and poolings are counted in one row."""

from collections.abc import Iterator

from jaxcv.weights.convert import Spec

_DEPTHS = {
    'vgg11': (1, 1, 2, 2, 2),
    'vgg13': (2, 2, 2, 2, 2),
    'vgg16': (2, 2, 3, 3, 3),
    'vgg19': (2, 2, 4, 4, 4),
}
"""Convolutions of each stage."""


def spec(name: str, source: str) -> Spec:
    """How a source lays out a model of this family: 'vgg11' to 'vgg19', also with '_bn', of 'torchvision'."""
    plain = name.removesuffix('_bn')
    if plain not in _DEPTHS or source != 'torchvision':
        raise ValueError(f"no weights of {name!r} from {source!r}: there are {', '.join(_DEPTHS)} from 'torchvision'")
    convolutions = tuple(_convolutions(_DEPTHS[plain], batch_norm=name != plain))
    dense = (('fc1', 'classifier.0'), ('fc2', 'classifier.3'), ('head', 'classifier.6'))
    return Spec((*convolutions, *dense), flattened={'fc1': (512, 7, 7)})


def _convolutions(depths: tuple[int, ...], *, batch_norm: bool) -> Iterator[tuple[str, str]]:
    place = 0
    for stage, depth in enumerate(depths, start=1):
        for i in range(1, depth + 1):
            yield f'stage{stage}/conv{i}', f'features.{place}'
            if batch_norm:
                yield f'stage{stage}/bn{i}', f'features.{place + 1}'
            place += 3 if batch_norm else 2
        place += 1  # the pooling
