"""Photos of four classes, from those that come with scikit-image, for who has none at hand.

    python make_photos.py photos new

writes `photos/CLASS/*.jpg` and a few others, `new/CLASS.jpg`, one of each class: crops of a cat and of a cup of coffee,
faces of Labeled Faces in the Wild, and windows of its photos without a face, both of 25 x 25 grey pixels, enlarged.
"""

import sys
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

EACH = 16
"""The photos of a class."""


def crops(picture, rng, size=200):
    """Random squares of a picture, without end."""
    while True:
        y, x = rng.integers(0, np.array(picture.shape[:2]) - size)
        yield Image.fromarray(picture[y : y + size, x : x + size])


def windows(values):
    """Grey windows of values in [0, 1], as photos."""
    for window in values:
        yield Image.fromarray((255 * window).astype(np.uint8)).resize((120, 120))


def main(folder, new):
    """Writes the photos into two folders."""
    rng = np.random.default_rng(0)
    faces = skimage.data.lfw_subset()  # a hundred faces, and a hundred windows without one
    classes = {
        'cat': crops(skimage.data.chelsea(), rng),
        'coffee': crops(skimage.data.coffee(), rng),
        'face': windows(faces[:100]),
        'no_face': windows(faces[100:]),
    }
    Path(new).mkdir()
    for name, photos in classes.items():
        Path(folder, name).mkdir(parents=True)
        for i in range(EACH):
            next(photos).save(Path(folder, name, f'{i}.jpg'))
        next(photos).save(Path(new, f'{name}.jpg'))


if __name__ == '__main__':
    main(*sys.argv[1:])
