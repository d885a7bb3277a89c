"""Shares of a data set's boxes that anchors can match, and anchors that match more of them.

    python -m experiments.studies.anchors --config=experiments/detection/digit_scenes.py --workdir=runs/anchors

Three sets of anchors on the maps of the config's detector: its own; those of COCO's RetinaNet, from 32 pixels for the
finest map on, twice that for each next; and proposed ones, by k-means in IoU (`classical.box_sizes`): of the square
roots of the areas for the sizes, of the shapes for the ratios. A box is matched where the best anchor has an IoU of at
least 0.5, or 0.7. The table counts them by size; the figure has the share over the IoU, and the boxes' sides among the
anchors'. Boxes are those of the training split, resized as in the evaluation; a random scale of the training is not
counted. The proposal is a line for the config.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from matplotlib.figure import Figure

from experiments import launch
from experiments.run import batches as opening
from experiments.run import tables, workdir
from experiments.run.assemble import num_classes
from experiments.run.check import Checked, check
from experiments.studies import study as studies
from jaxcv import config, models, ops
from jaxcv.classical import box_sizes
from jaxcv.viz.figures import BLUE, GREEN, ORANGE, headline, style

MOST = flags.DEFINE_integer('most_images', 5000, 'Images of the training split, at most.', lower_bound=1)
OCTAVES = flags.DEFINE_integer('octaves', 3, 'Sizes of a cell, in the proposal.', lower_bound=1)
RATIOS = flags.DEFINE_integer('ratios', 3, 'Ratios of a cell, in the proposal.', lower_bound=1)
SEED = flags.DEFINE_integer('cluster_seed', 0, 'Of the clusters.')
USES = ('config', 'workdir', 'use')

LEVELS = (0.5, 0.7)
AT_A_TIME = 256
"""Boxes compared with all anchors at a time."""
COLORS = {'config': BLUE, 'coco': ORANGE, 'proposed': GREEN}


class Maps(NamedTuple):
    """The grids of a detector."""

    sizes: Sequence[tuple[int, int]]
    image: tuple[int, int]
    own: np.ndarray
    """Its anchors, `[k, 4]`."""


class Proposal(NamedTuple):
    """Arguments of `models.detection.retinanet`."""

    sizes: tuple[float, ...]
    octaves: int
    ratios: tuple[float, ...]


def main() -> int:
    """Runs the study of the flags; returns the exit code."""
    given = launch.given_config()
    if given is None:
        raise config.ConfigError('give --config=FILE, of a detector with anchors')
    checked = check(given, launch.used_modules())
    options = {'octaves': OCTAVES.value, 'ratios': RATIOS.value, 'seed': SEED.value}
    return study(checked, launch.workdir(), most=MOST.value, **options)


def study(checked: Checked, folder: Path, *, most: int, octaves: int, ratios: int, seed: int) -> int:
    """Writes the table and the figure; returns the exit code."""
    workdir.check_writable(folder)
    maps, boxes = maps_of(checked), boxes_of(checked, most)
    proposed = propose(boxes, maps=len(maps.sizes), octaves=octaves, ratios=ratios, seed=seed)
    coco = Proposal(tuple(32.0 * 2**i for i in range(len(maps.sizes))), 3, (0.5, 1.0, 2.0))
    sets = {'config': maps.own, 'coco': placed(coco, maps), 'proposed': placed(proposed, maps)}
    best = {name: best_iou(boxes, anchors) for name, anchors in sets.items()}
    line = f'sizes={proposed.sizes}, octaves={proposed.octaves}, ratios={proposed.ratios}'
    text = f'{table(boxes, best)}\n\nproposed for detection.retinanet: {line}'
    return studies.conclude(folder, text, {'anchors': picture(boxes, best, sets)})


def maps_of(checked: Checked) -> Maps:
    """The maps and anchors of the config's detector, for the images of its evaluation.

    Raises:
        ConfigError: its model has no anchors.
    """
    training, evaluation = opening.open_training(checked), opening.open_evaluation(checked)
    facts = opening.facts_of(training, evaluation)
    model = config.build(
        checked.settings.model,
        models,
        path='model',
        provided=num_classes(checked, facts),
        registries=checked.registries,
    )
    if not hasattr(model, 'anchors'):
        raise config.ConfigError(f'model: {checked.settings.model.name} has no anchors')
    images = jnp.zeros((1, *facts.eval_example['image']['shape']))
    init = functools.partial(model.init_with_output, method='features')
    found, _ = jax.eval_shape(init, jax.random.key(0), images)
    sizes = [tuple(x.shape[1:3]) for name, x in found.items() if name.startswith('level')]
    image = (images.shape[1], images.shape[2])
    return Maps(sizes, image, np.concatenate(model.anchors(sizes, image)))


def boxes_of(checked: Checked, most: int) -> np.ndarray:
    """The boxes of the training split, as evaluated, `[n, 4]`; without crowds and boxes without area.

    Raises:
        ConfigError: there are none.
    """
    source = opening.open_source(checked.data, checked.data.train_split)
    found: list[np.ndarray] = []
    seen = 0
    for batch in opening.eval_batches(checked.data, source, registries=checked.registries):
        if 'boxes' not in batch:
            raise config.ConfigError(f'{checked.data.name} has no boxes')
        real = np.asarray(batch['box_valid']) & np.asarray(batch['valid'])[:, None]
        if 'box_crowd' in batch:
            real &= ~np.asarray(batch['box_crowd'])
        found.append(np.asarray(batch['boxes'])[real])
        seen += len(real)
        if seen >= most:
            break
    boxes = np.concatenate(found).astype(np.float32)
    boxes = boxes[(boxes[:, 2:] > boxes[:, :2]).all(axis=-1)]
    if not len(boxes):
        raise config.ConfigError(f'{checked.data.name}, {checked.data.train_split}: no image has a box')
    return boxes


def propose(boxes: np.ndarray, *, maps: int, octaves: int, ratios: int, seed: int) -> Proposal:
    """Sizes and ratios of anchors by k-means in IoU.

    Args:
        boxes: `[n, 4]`, xyxy in pixels.
        maps: of the detector: so many sizes.
        octaves: of each; their geometric mean is the cluster's.
        ratios: height / width, so many.
        seed: of the clusters.

    Returns:
        A Proposal, rounded to whole pixels and hundredths.

    Example:
        >>> boxes = np.array([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 20.0, 20.0]], np.float32)
        >>> propose(boxes, maps=2, octaves=1, ratios=1, seed=0)
        Proposal(sizes=(10, 20), octaves=1, ratios=(1.0,))
    """
    sides = jnp.asarray(boxes[:, 2:] - boxes[:, :2])
    key = jax.random.key(seed)
    lengths = jnp.sqrt(sides.prod(axis=-1, keepdims=True))
    sizes = box_sizes.fit(key, jnp.tile(lengths, 2), clusters=min(maps, len(sides))).sides[:, 0]
    shapes = box_sizes.fit(key, sides / lengths, clusters=min(ratios, len(sides))).sides
    first = 2 ** ((octaves - 1) / (2 * octaves))
    bases = sorted(max(1, round(float(size) / first)) for size in sizes)
    bases += bases[-1:] * (maps - len(bases))
    return Proposal(tuple(bases), octaves, tuple(sorted(round(float(h / w), 2) for w, h in shapes)))


def placed(proposal: Proposal, maps: Maps) -> np.ndarray:
    """All anchors of a proposal, `[k, 4]`."""
    sizes = ops.octave_sizes(proposal.sizes, octaves=proposal.octaves)
    return ops.anchor_grid(maps.sizes, maps.image, sizes=sizes, ratios=proposal.ratios)


def best_iou(boxes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """The largest IoU of each box with any anchor, `[n]`."""
    best = jax.jit(lambda part: ops.box_iou(part, jnp.asarray(anchors)).max(axis=-1))
    padded = np.pad(boxes, ((0, -len(boxes) % AT_A_TIME), (0, 0)))
    parts = [np.asarray(best(part)) for part in np.split(padded, len(padded) // AT_A_TIME)]
    return np.concatenate(parts)[: len(boxes)]


def bins(boxes: np.ndarray) -> dict[str, np.ndarray]:
    """Which boxes have a size, the square root of the area, between two powers of 2, `{range: [n]}`."""
    lengths = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1))
    octave = np.floor(np.log2(np.maximum(lengths, 1))).astype(int)
    return {f'{2**i} to {2 ** (i + 1)}': octave == i for i in range(octave.min(), octave.max() + 1)}


def table(boxes: np.ndarray, best: Mapping[str, np.ndarray]) -> str:
    """Markdown: the share of the boxes of each size that each set matches."""
    head = [f'{name}, IoU {level:g}, %' for name in best for level in LEVELS]
    rows = [['size, pixels', 'boxes', *head]]
    for name, which in {**bins(boxes), 'all': np.ones(len(boxes), bool)}.items():
        if which.any():
            shares = [f'{100 * np.mean(iou[which] >= level):.1f}' for iou in best.values() for level in LEVELS]
            rows.append([name, f'{which.sum():,}', *shares])
    return tables.markdown(rows)


def picture(boxes: np.ndarray, best: Mapping[str, np.ndarray], sets: Mapping[str, np.ndarray]) -> Figure:
    """The share of the boxes that reach an IoU, and the sides of the boxes and anchors."""
    figure = Figure(figsize=(10, 4.4), layout='constrained')
    left, right = figure.subplots(1, 2)
    levels = np.linspace(0, 1, 201)
    for name, iou in best.items():
        shares = [100 * np.mean(iou >= level) for level in levels]
        left.plot(levels, shares, color=COLORS[name], label=f'{name}: {100 * np.mean(iou >= 0.5):.0f} % at 0.5')
    left.set(xlabel='IoU of the best anchor', ylabel='boxes that reach it, %', xlim=(0, 1), ylim=(0, 102))
    left.legend(frameon=False)
    shown: Any = (boxes[:, 2:] - boxes[:, :2])[: 20 * AT_A_TIME]
    right.scatter(*shown.T, s=5, color='#bbbbbb', label='boxes', linewidths=0)
    for name, anchors in sets.items():
        sides = np.unique(np.round(anchors[:, 2:] - anchors[:, :2]), axis=0)
        right.scatter(*sides.T, s=22, color=COLORS[name], label=name, marker='x', linewidths=1.2)
    most = 1.3 * max(float(shown.max()), 1)
    right.set(xlabel='width, pixels', ylabel='height, pixels', xlim=(0, most), ylim=(0, most))
    right.legend(frameon=False)
    for axes in (left, right):
        style(axes)
    size = math.sqrt(float(np.median(np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1))))
    headline(figure, f'Anchors for {len(boxes):,} boxes, half of them smaller than {size:.0f} pixels')
    return figure


if __name__ == '__main__':
    launch.launch(main, uses=USES)
