"""A move of an example's pixels, described once for the host (NumPy and OpenCV) and the device (JAX).

A `Move` is an affine map of coordinates and the size of the result. `move_example` applies one to every feature that
follows the pixels by `jaxcv.features`. Boxes, the area of a pixel and the values of disparity and flow follow from the
map alone; images and masks are cropped, resized or mirrored by a function of the caller, with the library at hand.

Coordinates are (y, x) in pixels from the image's top left corner: pixel (y, x) reaches from there to (y + 1, x + 1), as
the corners of boxes do. Options that a transform and an augmentation share are checked here too, with one message.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from jaxtyping import Bool, Float, Num

from jaxcv.features import FEATURES, Example, FeatureError, MisuseError, lookup, moved_features

_DISPARITIES = ('disparity', 'disparity_valid', 'disparity_visible')

__all__ = [
    'Move',
    'check_area_and_ratio',
    'check_scales',
    'check_share',
    'image_size',
    'is_encoded',
    'largest_box',
    'mirror_sources',
    'move_boxes',
    'move_example',
]


class Move(NamedTuple):
    """An affine map of each axis, `new = scale * old + shift`, and the size of the result. A mirror has scale -1."""

    size: tuple[int, int]
    """(height, width) of the result."""
    scale: Any = (1, 1)
    """(down, across): two numbers, or an array of two."""
    shift: Any = (0, 0)
    """(down, across), in pixels of the result."""


def move_example(
    example: Example, move: Move, pixels: Callable[[str, Any], Any], *, min_visible: float = 0.0
) -> dict[str, Any]:
    """Move all features of one example that follow the image's pixels; the others pass through.

    Boxes are moved and clipped by `move_boxes`. Disparity is multiplied by the columns' scale, flow `(dx, dy)` by the
    scales of both axes, `pixel_area` divided by their product, and `original_frame` continued. The feature that says
    which of them are valid (`box_valid`, `disparity_valid`, ...), and the `pixel_area` of boxes, are added where they
    are missing, whether or not anything has left the image: so all examples keep the same features.

    Args:
        example: named features, NumPy's arrays or JAX's, without a batch's axis.
        move: from the example's pixels to the result's.
        pixels: (name, array) -> the array with `move` applied to its rows and columns, outside filled.
        min_visible: as in `move_boxes`.

    Returns:
        A new dict.

    Example:
        >>> import numpy as np
        >>> example = {'flow': np.ones((2, 2, 2), np.float32), 'label': 3}
        >>> upside_down = move_example(example, Move((2, 2), (-1, 1), (2, 0)), lambda name, x: x[::-1])
        >>> upside_down['flow'][0, 0].tolist(), upside_down['flow_valid'].all().item(), upside_down['label']
        ([1.0, -1.0], True, 3)
    """
    example = {**_implied(example), **example}
    moved = dict(example)
    down, across = move.scale
    for name in moved_features(example):
        kind = FEATURES[name].moved
        if kind == 'corners':
            boxes, visible = move_boxes(example[name], move, min_visible=min_visible)
            valid = FEATURES[name].valid
            moved |= {name: boxes, valid: visible & example[valid]}
            continue
        if kind == 'area':
            moved[name] = (example[name] / abs(down * across)).astype('float32')
            continue
        if kind == 'frame':
            moved[name] = _continued(example[name], move)
            continue
        moved[name] = pixels(name, example[name])
        if kind in ('disparity', 'flow'):
            # Disparity is positive: a mirror, whose scale is -1, exchanges the views.
            moved[name] = _times(moved[name], (abs(across),) if kind == 'disparity' else (across, down))
    return moved


def move_boxes(
    boxes: Num[Any, 'k 4'], move: Move, *, min_visible: float = 0.0
) -> tuple[Float[Any, 'k 4'], Bool[Any, ' k']]:
    """Move boxes and clip them to the result, and say which are still visible.

    Args:
        boxes: `[k, 4]`, xyxy in pixels, of NumPy or JAX.
        move: from the image's pixels to the result's.
        min_visible: the share of its area that must stay in the result for a box to be visible, in [0, 1]. Of a share
            of 0, some of it must.

    Returns:
        The clipped boxes `[k, 4]`, all of them, and whether each is visible, `[k]`.

    Example:
        >>> import numpy as np
        >>> boxes = np.array([[0, 0, 4, 2], [6, 0, 8, 2]], np.float32)
        >>> boxes, visible = move_boxes(boxes, Move(size=(4, 4), shift=(0, -2)))
        >>> boxes.tolist(), visible.tolist()
        ([[0.0, 0.0, 2.0, 2.0], [4.0, 0.0, 4.0, 2.0]], [True, False])
    """
    arrays = boxes.__array_namespace__()
    if not arrays.isdtype(boxes.dtype, 'real floating'):
        boxes = boxes.astype('float32')
    scale, shift, far = (arrays.asarray(pair, dtype=boxes.dtype)[::-1] for pair in (move.scale, move.shift, move.size))
    corners = boxes.reshape(len(boxes), 2, 2) * scale + shift  # [k, first or second corner, x or y]
    corners = arrays.where(scale < 0, corners[:, ::-1], corners)  # a mirror exchanges them
    clipped = arrays.clip(corners, 0, far)
    area = _area(corners)
    share = _area(clipped) / arrays.where(area > 0, area, 1)
    # Rounding must not make a box that only touches the border visible, nor one that is whole less than whole.
    visible = (share > 1e-4) & (share > min_visible - 1e-4)
    return clipped.reshape(len(boxes), 4), visible


def image_size(example: Mapping[str, Any], *, batch_axes: int = 0) -> tuple[int, int]:
    """(height, width) of all the images and masks of an example or a batch, which must be one.

    Args:
        example: named features.
        batch_axes: the number of axes before a feature's own: 1 for a batch.

    Raises:
        MisuseError: there is no image nor mask, or one is still encoded.
        FeatureError: two have different sizes.

    Example:
        >>> import numpy as np
        >>> image_size({'image': np.zeros((8, 4, 6, 3)), 'label': np.zeros(8)}, batch_axes=1)
        (4, 6)
    """
    sizes = {}
    for name in moved_features(example):
        axes = FEATURES[name].axes.split()
        if 'h' not in axes:
            continue
        if is_encoded(example[name]):
            decoder = FEATURES[name].decoder
            remedy = f'put {decoder!r} first' if decoder else 'it must be an array'
            raise MisuseError(f'the {name} is still encoded: {remedy}', name)
        row = batch_axes + axes.index('h')
        sizes[name] = tuple(example[name].shape[row : row + 2])
    if not sizes:
        lookup(example, 'image')
    (first, size), *others = sizes.items()
    for name, other in others:
        if other != size:
            turned = ' (an image turned by its EXIF?)' if other == size[::-1] else ''
            raise FeatureError(name, f'the {first} has {size} pixels, its {name} {other}{turned}')
    return size


def is_encoded(value: Any) -> bool:
    """Whether an image or mask is the bytes of a file, as bytes or as an array of one axis."""
    return isinstance(value, bytes) or value.ndim < 2


def mirror_sources(example: Mapping[str, Any]) -> dict[str, str]:
    """The feature that each takes its pixels from when left and right are mirrored, where it is another.

    The right view of a stereo pair, mirrored, is a left view: `left` and `right` exchange, and so do `disparity` and
    `right_disparity`. Masks, boxes and flow are those of the left view; after the exchange those of the right one would
    be needed, so they are an error, and so is disparity where that of the right view is not there.
    Two frames, `image` and `next_image`, do not exchange, and their `flow` follows.

    Args:
        example: named features, of an example or a batch.

    Raises:
        ValueError: the example has the disparity of one view only, or a pair and masks, boxes or flow.

    Example:
        >>> mirror_sources({'left': 0, 'right': 1, 'label': 2}), mirror_sources({'image': 0, 'mask': 1})
        ({'left': 'right', 'right': 'left'}, {})
    """
    pairs = {'left': 'right', **{name: f'right_{name}' for name in _DISPARITIES}}
    exchanged = {one: two for one, two in pairs.items() if one in example and two in example}
    exchanged |= {two: one for one, two in exchanged.items()}
    views = {*pairs, *pairs.values()}
    wrong = [
        name
        for name in moved_features(example)
        if name not in exchanged
        if name in views - {'left', 'right'}
        or ('left' in exchanged and FEATURES[name].moved not in ('resampled', 'area'))
    ]
    if wrong:
        raise ValueError(
            f'{" and ".join(wrong)} cannot be mirrored left to right: the right view becomes the left one, and its '
            "truths would be needed. Mirror with axis='vertical', or drop them first"
        )
    return exchanged


def largest_box(height: int, width: int, ratio: tuple[float, float]) -> tuple[int, int]:
    """(height, width) of the largest box in an image whose width / height is within `ratio`.

    Example:
        >>> largest_box(4, 400, (3 / 4, 4 / 3))
        (4, 5)
    """
    aspect = min(max(width / height, ratio[0]), ratio[1])
    return min(height, max(1, round(width / aspect))), min(width, max(1, round(height * aspect)))


def check_share(name: str, share: float) -> None:
    """Raises ValueError where an option is not in [0, 1]."""
    if not 0 <= share <= 1:
        raise ValueError(f'{name} must be in [0, 1], got {share}')


def check_area_and_ratio(area: tuple[float, float], ratio: tuple[float, float]) -> None:
    """Raises ValueError where the options of a random resized crop are no ranges."""
    if not 0 < area[0] <= area[1] <= 1:
        raise ValueError(f'area must be two shares of the image, 0 < least <= largest <= 1, got {area}')
    if not 0 < ratio[0] <= ratio[1]:
        raise ValueError(f'ratio must be 0 < least <= largest, got {ratio}')


def check_scales(size: Collection[int], scales: tuple[int, int]) -> None:
    """Raises ValueError where a patch of `size` does not fit into an image whose short side is one of `scales`."""
    if not max(size) <= scales[0] <= scales[1]:
        raise ValueError(
            f'scales must be size <= least <= largest: a patch of {tuple(size)} pixels does not fit into {scales}'
        )


def _implied(example: Mapping[str, Any]) -> dict[str, Any]:
    """Features that are missing: `box_valid` of boxes and its like, all True, and the area of a pixel of boxes, 1."""
    added: dict[str, Any] = {}
    for name in moved_features(example):
        valid = FEATURES[name].valid
        if valid and valid not in example:
            value, axes = example[name], FEATURES[name].axes.split()
            shape = tuple(value.shape[axes.index(axis)] for axis in FEATURES[valid].axes.split())
            added[valid] = value.__array_namespace__().ones(shape, dtype=bool)
        if FEATURES[name].moved == 'corners':
            ones = example[name].__array_namespace__().ones((), dtype='float32')
            added |= {row: ones for row, feature in FEATURES.items() if feature.moved == 'area' and row not in example}
    return added


def _continued(frame: Any, move: Move) -> Any:
    """The scale and the shift of a map that is followed by another, `[2 2]`."""
    arrays = frame.__array_namespace__()
    scale, shift = (arrays.asarray(pair, dtype=frame.dtype) for pair in (move.scale, move.shift))
    return arrays.stack([frame[0] * scale, frame[1] * scale + shift])


def _times(values: Any, factors: tuple[Any, ...]) -> Any:
    """Multiply values by one factor, or the last axis of `[... c]` by c factors; integers become float32."""
    arrays = values.__array_namespace__()
    if not arrays.isdtype(values.dtype, 'real floating'):
        values = values.astype('float32')
    factor = arrays.stack([arrays.asarray(factor, dtype=values.dtype) for factor in factors])
    return values * (factor if len(factors) > 1 else factor[0])


def _area(corners: Any) -> Any:
    sides = corners[:, 1] - corners[:, 0]
    return sides[:, 0] * sides[:, 1]
