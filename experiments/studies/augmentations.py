"""A contact sheet of all augmentations on scikit-image's photos: in each row the original and six draws.

    python -m experiments.studies.augmentations --workdir=runs/augmentations [--draw_seed=1]

Boxes are drawn where an augmentation moves them. Nothing is downloaded; on 2 CPU cores it takes a minute.
"""

import functools
import inspect
from collections.abc import Mapping
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import skimage.data
from absl import flags
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from experiments import launch
from jaxcv import augment, viz

SEED = flags.DEFINE_integer('draw_seed', 0, 'The seed of the draws.')
USES = ('workdir',)

SIZE, DRAWS = 128, 6
PHOTOS: dict[str, tuple[int, int, int, int]] = {
    'astronaut': (42, 6, 76, 54),
    'chelsea': (16, 8, 116, 112),
    'coffee': (28, 6, 104, 88),
    'rocket': (57, 34, 76, 124),
}
"""Photo -> the box of its subject in a square crop, (x1, y1, x2, y2) in pixels of the sheet."""
OPTIONS: dict[str, Mapping[str, Any]] = {
    'cutmix': {'num_classes': len(PHOTOS)},
    'cutout': {'size': 48},
    'mixup': {'num_classes': len(PHOTOS), 'alpha': 1.0},
    'random_brightness': {'max_change': 0.6},
    'random_contrast': {'max_change': 0.6},
    'random_crop': {'size': SIZE, 'padding': 24},
    'random_grayscale': {'probability': 0.5},
    'random_hue': {'max_change': 0.3},
    'random_resized_crop': {'size': SIZE},
    'random_saturation': {'max_change': 0.9},
    'random_scale_crop': {'size': SIZE, 'scales': (SIZE, 2 * SIZE)},
    'random_shift': {'max_shift': 24},
}
"""The options that differ from the defaults."""
WITHOUT_BOXES = {'cutmix', 'mixup', 'rand_augment'}
"""Augmentations that cannot move boxes, and refuse them."""


def main() -> int:
    """Writes the contact sheet into the workdir of the flags; returns the exit code."""
    print(f'written to {viz.save(contact_sheet(SEED.value), launch.workdir() / "augmentations.png", dpi=80)}')
    return 0


def read_photos() -> dict[str, Any]:
    """The photos as a batch: `image` `[n, h, w, 3]` float32, `label` `[n]` and a box each, `boxes` `[n, 1, 4]`."""
    images = []
    for name in PHOTOS:
        photo = getattr(skimage.data, name)()
        side = min(photo.shape[:2])
        top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
        square = photo[top : top + side, left : left + side]
        images.append(cv2.resize(square, (SIZE, SIZE), interpolation=cv2.INTER_AREA))
    boxes = np.array(list(PHOTOS.values()), np.float32)[:, None]
    return {'image': np.stack(images).astype(np.float32) / 255, 'label': np.arange(len(images)), 'boxes': boxes}


def names() -> list[str]:
    """All augmentations of `jaxcv.augment`."""
    return [name for name in augment.__all__ if inspect.isfunction(getattr(augment, name))]


def contact_sheet(seed: int) -> Figure:
    """Draws the sheet: a row for each augmentation, with the photos in turn."""
    photos = jax.tree.map(jnp.asarray, read_photos())
    pictures, captions, boxes = [], [], []
    for row, name in enumerate(names()):
        batch = {part: x for part, x in photos.items() if part != 'boxes' or name not in WITHOUT_BOXES}
        augmentation = jax.jit(functools.partial(getattr(augment, name), **OPTIONS.get(name, {})))
        index = row % len(PHOTOS)
        original = jax.tree.map(lambda x, index=index: x[index], batch)
        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), row), DRAWS)
        draws = [jax.tree.map(lambda x, index=index: x[index], augmentation(key, batch)) for key in keys]
        moved = any(not np.array_equal(draw['boxes'], original['boxes']) for draw in draws if 'boxes' in draw)
        for example in (original, *draws):
            pictures.append(example['image'])
            captions.append(_shares(example['label']) if example['label'].ndim else '')
            boxes.append(_visible(example) if moved else [])
        captions[-1 - DRAWS] = name
    figure = viz.image_grid(pictures, captions=captions, columns=1 + DRAWS)
    for axes, corners in zip(figure.axes, boxes, strict=True):
        for x1, y1, x2, y2 in corners:
            # Pixel 0 reaches from -0.5 to 0.5 on the axes.
            frame = Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, fill=False, edgecolor='#ffd400', linewidth=1.5)
            axes.add_patch(frame)
    return figure


def _shares(label: jax.Array) -> str:
    shares = zip(PHOTOS, np.asarray(label), strict=True)
    return ', '.join(f'{100 * share:.0f} % {name}' for name, share in shares if share >= 0.005)


def _visible(example: Mapping[str, Any]) -> list[list[float]]:
    boxes = np.asarray(example['boxes'])
    return boxes[np.asarray(example.get('box_valid', np.ones(len(boxes), bool)))].tolist()


if __name__ == '__main__':
    launch.launch(main, uses=USES)
