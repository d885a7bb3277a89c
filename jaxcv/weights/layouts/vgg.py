"""The layouts of VGGs, which number convolutions, batch norms, ReLUs and poolings in one sequence.

timm's have convolutions in place of the first two dense layers. Of images up to 224 x 224 pixels both compute the same;
of larger ones timm averages logits over places, where ours, as torchvision's, averages the features before.
"""

from collections.abc import Iterator

from jaxcv.weights.layouts.table import Layout


def vgg_layouts(*depths: int, batch_norm: bool) -> dict[str, Layout]:
    """Return the layouts of a VGG by source.

    Args:
        *depths: the number of convolutions in each stage.
        batch_norm: whether each convolution is followed by a batch norm.

    Returns:
        The layouts of torchvision and timm.

    Example:
        >>> vgg_layouts(1, 1, 2, 2, 2, batch_norm=False)['timm'].table[-3:]
        (('fc1', 'pre_logits.fc1'), ('fc2', 'pre_logits.fc2'), ('head', 'head.fc'))
    """
    convolutions = tuple(_convolutions(depths, batch_norm))
    torchvision = (('fc1', 'classifier.0'), ('fc2', 'classifier.3'), ('head', 'classifier.6'))
    timm = (('fc1', 'pre_logits.fc1'), ('fc2', 'pre_logits.fc2'), ('head', 'head.fc'))
    flattened = {'fc1': (512, 7, 7), 'fc2': (4096, 1, 1)}
    return {
        'torchvision': Layout((*convolutions, *torchvision), flattened=flattened),
        'timm': Layout((*convolutions, *timm), flattened=flattened, convolved=tuple(flattened)),
    }


def _convolutions(depths: tuple[int, ...], batch_norm: bool) -> Iterator[tuple[str, str]]:
    number = 0
    for stage, depth in enumerate(depths, start=1):
        for i in range(1, depth + 1):
            yield f'stage{stage}/conv{i}', f'features.{number}'
            if batch_norm:
                yield f'stage{stage}/bn{i}', f'features.{number + 1}'
            number += 3 if batch_norm else 2  # with the ReLU
        number += 1  # the pooling
