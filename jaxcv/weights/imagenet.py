"""The classes of the ImageNet challenge (ILSVRC 2012), those of nearly all published classifiers."""

from pathlib import Path


def imagenet_classes() -> tuple[str, ...]:
    """Return the names of the 1,000 classes, in the order of the logits.

    Returns:
        The first English name that WordNet has of each, as torchvision 0.28 lists them.

    Example:
        >>> names = imagenet_classes()
        >>> len(names), names[0], names[281]
        (1000, 'tench', 'tabby')

    Russakovsky et al. 2015, ImageNet large scale visual recognition challenge (https://arxiv.org/abs/1409.0575).
    """
    return tuple((Path(__file__).parent / 'imagenet_classes.txt').read_text().splitlines())
