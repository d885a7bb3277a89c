"""The layouts of torchvision's VGGs, which number convolutions, batch norms, ReLUs and poolings in one sequence."""

from collections.abc import Iterator

from jaxcv.weights.layouts.table import Layout


def vgg_layout(*depths: int, batch_norm: bool) -> Layout:
    """Return the layout of a VGG.

    Args:
        *depths: the number of convolutions in each stage.
        batch_norm: whether each convolution is followed by a batch norm.

    Returns:
        The layout.

    Example:
        >>> vgg_layout(1, 1, 2, 2, 2, batch_norm=False).table[:2]
        (('stage1/conv1', 'features.0'), ('stage2/conv1', 'features.3'))
    """
    dense = (('fc1', 'classifier.0'), ('fc2', 'classifier.3'), ('head', 'classifier.6'))
    return Layout((*_convolutions(depths, batch_norm), *dense), flattened={'fc1': (512, 7, 7)})


def _convolutions(depths: tuple[int, ...], batch_norm: bool) -> Iterator[tuple[str, str]]:
    number = 0
    for stage, depth in enumerate(depths, start=1):
        for i in range(1, depth + 1):
            yield f'stage{stage}/conv{i}', f'features.{number}'
            if batch_norm:
                yield f'stage{stage}/bn{i}', f'features.{number + 1}'
            number += 3 if batch_norm else 2  # with the ReLU
        number += 1  # the pooling
