"""Anchors: the boxes that a detector starts from, on the grids of its feature maps.

All return NumPy arrays that depend on sizes only: they are constants of a compiled program. Their order is that of
predictions of the shape `[h, w, anchors of a cell]`, level after level.
"""

import math
from collections.abc import Sequence

import numpy as np

from jaxcv.sizes import Size, pair
from jaxcv.types import Float


def anchor_grid(
    maps: Sequence[Size],
    image_size: Size,
    *,
    sizes: Sequence[Sequence[float]],
    ratios: Sequence[float] | Sequence[Sequence[float]] = (0.5, 1.0, 2.0),
    rounded: bool = True,
    offset: float = 0.0,
) -> Float[np.ndarray, 'k 4']:
    """Anchors of Faster R-CNN and RetinaNet: each size in each ratio at each cell of each map.

    An anchor of the size s and the ratio `r = height / width` has the width `s / sqrt(r)` and the height `s sqrt(r)`,
    at the centre `(offset + (column, row)) stride`. Within a cell the ratio changes slowly, the size fast.

    Args:
        maps: (rows, columns) of each map.
        image_size: pixels; `stride = image // map`, of rows and columns apart, as torchvision has it.
        sizes: the sizes of each map's anchors, in pixels: one sequence for each map.
        ratios: of all maps; or one sequence for each map.
        rounded: round the corners of each cell's anchors to whole pixels, half to even, as torchvision does.
        offset: of the centres, in strides: torchvision's is 0, Detectron 2's default 0, one half is the cell's centre.

    Returns:
        float32 `[k, 4]`, xyxy in pixels; anchors may reach beyond the image.

    Raises:
        ValueError: there are not as many sequences of sizes (or ratios) as maps.

    Example:
        >>> anchor_grid([(1, 2)], (16, 32), sizes=[(8.0,)], ratios=(1.0,))
        array([[-4., -4.,  4.,  4.],
               [12., -4., 20.,  4.]], dtype=float32)

    Ren et al. 2015, Faster R-CNN (https://arxiv.org/abs/1506.01497). The trap: the default sizes of COCO's detectors
    start at 32 pixels, and smaller objects match no anchor well.
    """
    by_map = _of_each_map(ratios, maps)
    if len(sizes) != len(maps):
        raise ValueError(f'{len(maps)} maps need as many sequences of sizes, got {len(sizes)}')
    levels = []
    for (rows, columns), of_map, own_ratios in zip(map(pair, maps), sizes, by_map, strict=True):
        roots: np.ndarray = np.sqrt(np.asarray(own_ratios, np.float32))
        lengths = np.asarray(of_map, np.float32)
        widths, heights = ((factor[:, None] * lengths).ravel() for factor in (1 / roots, roots))
        corners: np.ndarray = np.stack([-widths, -heights, widths, heights], axis=-1)
        cell = np.round(corners / 2) if rounded else corners / 2
        strides = [image // length for image, length in zip(pair(image_size), (rows, columns), strict=True)]
        levels.append(_shifted(cell, _centres((rows, columns), strides, offset)))
    return np.concatenate(levels)


def octave_sizes(bases: Sequence[float], *, octaves: int = 3, whole: bool = True) -> list[tuple[float, ...]]:
    """Sizes of RetinaNet's anchors: each base times `2^(i / octaves)`, i = 0, ..., octaves - 1.

    Args:
        bases: the smallest size of each map, such as `(32, 64, 128, 256, 512)`.
        octaves: sizes of a map.
        whole: cut the sizes to whole pixels, as torchvision does.

    Returns:
        A tuple of sizes for each map, for `anchor_grid`.

    Example:
        >>> octave_sizes((32, 64))
        [(32, 40, 50), (64, 80, 101)]

    Lin et al. 2017, Focal loss for dense object detection (https://arxiv.org/abs/1708.02002).
    """
    cut = int if whole else float
    return [tuple(cut(base * 2 ** (i / octaves)) for i in range(octaves)) for base in bases]


def default_boxes(
    maps: Sequence[Size],
    image_size: Size,
    *,
    scales: Sequence[float],
    ratios: Sequence[Sequence[float]],
    strides: Sequence[float] | None = None,
    at_most_image: bool = True,
) -> Float[np.ndarray, 'k 4']:
    """Default boxes of SSD: for a map of the scale s (a share of the image) and the next map's scale s'.

    In each cell: (s, s), (√(s s'), √(s s')), and for each ratio r (s √r, s / √r) and (s / √r, s √r), as widths and
    heights in shares of the image's, centred on the cell.

    Args:
        maps: (rows, columns) of each map.
        image_size: pixels.
        scales: one more than there are maps; the last one is only the next of the last map.
        ratios: of each map, such as `[(2,), (2, 3), ...]`.
        strides: pixels between the cells of each map; None: the image's size divided by the map's.
        at_most_image: boxes are at most as wide and as high as the image, as torchvision has it; Caffe's are not.

    Returns:
        float32 `[k, 4]`, xyxy in pixels.

    Raises:
        ValueError: the numbers of maps, scales, ratios and strides do not fit.

    Example:
        >>> default_boxes([(1, 1)], (100, 100), scales=(0.5, 0.5), ratios=[()])
        array([[25., 25., 75., 75.],
               [25., 25., 75., 75.]], dtype=float32)

    Liu et al. 2016, SSD: single shot multibox detector (https://arxiv.org/abs/1512.02325).
    """
    if len(scales) != len(maps) + 1 or len(ratios) != len(maps) or (strides and len(strides) != len(maps)):
        raise ValueError(
            f'{len(maps)} maps need {len(maps) + 1} scales, {len(maps)} sequences of ratios and as many strides; got '
            f'{len(scales)}, {len(ratios)} and {len(strides or ())}'
        )
    height, width = pair(image_size)
    levels = []
    for k, (rows, columns) in enumerate(map(pair, maps)):
        scale, between = scales[k], math.sqrt(scales[k] * scales[k + 1])
        sides = [(scale, scale), (between, between)]
        for ratio in ratios[k]:
            long, short = scale * math.sqrt(ratio), scale / math.sqrt(ratio)
            sides += [(long, short), (short, long)]
        shares = np.asarray(sides, np.float32)
        shares = np.clip(shares, 0, 1) if at_most_image else shares
        half = shares * np.array([width, height], np.float32) / 2
        cell = np.concatenate([-half, half], axis=-1)
        steps = (strides[k], strides[k]) if strides else (height / rows, width / columns)
        levels.append(_shifted(cell, _centres((rows, columns), steps, 0.5)))
    return np.concatenate(levels)


def cell_anchors(
    maps: Sequence[Size],
    image_size: Size,
    *,
    cells: Sequence[Sequence[tuple[float, float]]],
) -> Float[np.ndarray, 'k 4']:
    """Anchors from a list of each map's (scale, ratio), as TensorFlow's object detection API has them.

    An anchor of the scale s and the ratio `r = width / height` has the width `s m √r` and the height `s m / √r`, m the
    shorter side of the image, centred on the cell. Within a cell they have the order of the list.

    Args:
        maps: (rows, columns) of each map.
        image_size: pixels; `stride = image / map`.
        cells: the (scale, ratio) of each map's anchors: one sequence for each map.

    Returns:
        float32 `[k, 4]`, xyxy in pixels; anchors may reach beyond the image.

    Raises:
        ValueError: there are not as many sequences as maps.

    Example:
        >>> cell_anchors([(1, 1)], (100, 100), cells=[[(0.5, 1.0), (0.2, 4.0)]])
        array([[25., 25., 75., 75.],
               [30., 45., 70., 55.]], dtype=float32)

    When to use it: for a set of shapes that no rule gives, such as one that was fitted to a data set.
    """
    if len(cells) != len(maps):
        raise ValueError(f'{len(maps)} maps need as many sequences of (scale, ratio), got {len(cells)}')
    lengths = pair(image_size)
    levels = []
    for size, of_cell in zip(map(pair, maps), cells, strict=True):
        scales, ratios = np.asarray(of_cell, np.float64).T
        half = min(lengths) * scales[:, None] * np.stack([np.sqrt(ratios), 1 / np.sqrt(ratios)], axis=-1) / 2
        strides = [image / length for image, length in zip(lengths, size, strict=True)]
        levels.append(_shifted(np.concatenate([-half, half], axis=-1), _centres(size, strides, 0.5)))
    return np.concatenate(levels)


def efficientdet_anchors(
    maps: Sequence[Size],
    image_size: Size,
    *,
    scale: float = 4.0,
    octaves: int = 3,
    ratios: Sequence[tuple[float, float]] = ((1.0, 1.0), (1.4, 0.7), (0.7, 1.4)),
) -> Float[np.ndarray, 'k 4']:
    """Anchors of EfficientDet: `scale stride 2^(i / octaves)` times a pair of factors, centred on the cells.

    Within a cell the octave changes slowly, the ratio fast: the other way round than in `anchor_grid`.

    Args:
        maps: (rows, columns) of each map.
        image_size: pixels; `stride = image / map`.
        scale: of the smallest anchors, in strides.
        octaves: sizes of a cell.
        ratios: pairs of factors of width and height.

    Returns:
        float32 `[k, 4]`, xyxy in pixels.

    Example:
        >>> efficientdet_anchors([(1, 1)], (8, 8), octaves=1, ratios=[(1.0, 0.5)])
        array([[-12.,  -4.,  20.,  12.]], dtype=float32)

    Tan et al. 2020, EfficientDet (https://arxiv.org/abs/1911.09070).
    """
    levels = []
    for size in map(pair, maps):
        strides = [image / length for image, length in zip(pair(image_size), size, strict=True)]
        lengths = [scale * 2 ** (i / octaves) for i in range(octaves)]
        sides = np.array([(a * x * strides[1], a * y * strides[0]) for a in lengths for x, y in ratios])
        levels.append(_shifted(np.concatenate([-sides, sides], axis=-1) / 2, _centres(size, strides, 0.5)))
    return np.concatenate(levels)


def _of_each_map(ratios: Sequence, maps: Sequence) -> Sequence[Sequence[float]]:
    if all(isinstance(ratio, int | float) for ratio in ratios):
        return [ratios] * len(maps)
    if len(ratios) != len(maps):
        raise ValueError(f'{len(maps)} maps need as many sequences of ratios, or one of numbers for all: {ratios}')
    return ratios


def _centres(size: tuple[int, int], strides: Sequence[float], offset: float) -> np.ndarray:
    """Return the (x, y, x, y) of each cell, row by row, `[rows columns 4]`."""
    y, x = ((np.arange(length) + offset) * stride for length, stride in zip(size, strides, strict=True))
    x, y = np.meshgrid(x, y)
    return np.stack([x, y, x, y], axis=-1).reshape(-1, 4)


def _shifted(cell: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return all anchors of a cell at all centres, float32 `[cells anchors 4]` in one axis."""
    return (centres[:, None] + cell).reshape(-1, 4).astype(np.float32)
