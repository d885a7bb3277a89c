"""Pictures of any size, as batches of one size: for answers about an image as a whole."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import cv2
import jax
import numpy as np
from absl import logging

from jaxcv.features import Example
from jaxcv.task import Answer, PhotoOptions, Predictions
from jaxcv.types import Batch

Photos = Callable[[Callable[[Batch], Predictions], Iterable[Example], PhotoOptions], Iterator[Answer]]


def whole_photos(answer: Callable[[Predictions], Mapping[str, Any]]) -> Photos:
    """Make the `Presentation.photos` of answers about an image as a whole, such as its class or its embedding.

    A picture is predicted after the transforms of the evaluation; where these leave it of another size than the
    evaluation's images, it is resized to that size, and a warning is logged once.

    Args:
        answer: of the presentation.

    Returns:
        (compiled batch -> predictions, decoded examples, options) -> an answer for each.
    """

    def photos(
        predict: Callable[[Batch], Predictions], examples: Iterable[Example], options: PhotoOptions
    ) -> Iterator[Answer]:
        transformed = _of_one_size((options.transform(example)['image'] for example in examples), options.evaluated)
        while images := list(itertools.islice(transformed, options.batch_size)):
            answers = jax.device_get(answer(predict(_padded(images, options.batch_size))))
            for row in range(len(images)):
                yield {name: array[row] for name, array in answers.items()}

    return photos


def _of_one_size(images: Iterable[np.ndarray], shape: Sequence[int]) -> Iterator[np.ndarray]:
    """The images, those of another size than `shape` resized: a network is right at the size it was made for."""
    resized = 0
    for image in images:
        if not shape or image.shape[:2] == tuple(shape[:2]):
            yield image
            continue
        if not resized:
            logging.warning(
                "a picture is %d x %d after the evaluation's transforms, and the network was evaluated on %d x %d: "
                'pictures are resized to that. This is logged once.',
                *(*image.shape[:2], *shape[:2]),
            )
        resized += 1
        smaller = image.shape[0] > shape[0] and image.shape[1] > shape[1]
        scaled = cv2.resize(image, (shape[1], shape[0]), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
        yield scaled.reshape(*shape[:2], image.shape[-1])


def _padded(images: Sequence[np.ndarray], size: int) -> dict[str, np.ndarray]:
    """A batch of the images and of zeros, so that each batch has the same shape."""
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise ValueError(
            f'the transforms of the evaluation leave pictures of {" and ".join(map(str, sorted(shapes)))}: '
            "give them one size by 'resize' or 'center_crop'"
        )
    padding = [np.zeros_like(images[0])] * (size - len(images))
    return {'image': np.stack([*images, *padding]), 'valid': np.arange(size) < len(images)}
