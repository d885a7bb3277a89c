"""The classes of ImageNet's challenge (ILSVRC 2012), which nearly all published classifiers know."""

from pathlib import Path


def imagenet_classes() -> tuple[str, ...]:
    """The names of the 1,000 classes, in the order of the logits.

    Returns:
        English names, WordNet's first, as torchvision 0.28 lists them.

    Example:
        >>> names = imagenet_classes()
        >>> len(names), names[0], names[281]
        (1000, 'tench', 'tabby')

    Russakovsky et al. 2015, ImageNet large scale visual recognition challenge (https://arxiv.org/abs/1409.0575).
    """
    return tuple((Path(__file__).parent / 'imagenet_classes.txt').read_text().splitlines())
