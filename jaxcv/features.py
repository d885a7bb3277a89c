"""Table of the features of an example: shape, type, decoder, how each is moved and padded, and whether it has names.

The host's transforms (`jaxcv.data.transforms`), the device's augmentations (`jaxcv.augment`) and the pipeline's checks
read this table, so a crop, a flip or a resize moves all features of an example alike (`jaxcv.moves`), and a new feature
is one row. Features that are not in it (`index`, `id`, a user's own numbers) pass through as they are.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

IGNORED = 255
"""The class of pixels that are excluded from losses and metrics."""

OF_CLASSES = 'classes'
"""The axes of a feature that has one value for each class."""

Example = Mapping[str, Any]
"""One example: its features by their names, arrays without a batch's axis; an image or mask may still be encoded."""

Names = Mapping[str, Sequence[str]]
"""Feature -> the names of its classes, in order, `{'label': ('cat', 'dog')}`. Features without names are not there."""


class Feature(NamedTuple):
    """One named feature of an example."""

    axes: str
    """The axes without the batch's, in jaxtyping's words: 'h w c'; 'h' and 'w' are the image's rows and columns."""
    dtype: str
    """The type in a batch on the host."""
    moved: Literal['', 'resampled', 'nearest', 'corners', 'area', 'frame', 'disparity', 'flow'] = ''
    """How it follows the image's pixels: interpolated ('resampled'); by the nearest pixel ('nearest'); as corners of
    boxes ('corners'); divided by the product of both scales ('area'); as the map that led here, which is continued
    ('frame'); by the nearest pixel, with its values multiplied by the scale of the columns ('disparity') or `(dx, dy)`
    by those of both axes ('flow'); not at all ('')."""
    outside: Any = 0
    """The value of pixels that come in from outside of the image."""
    valid: str = ''
    """The boolean feature that marks the real ones among objects or pixels."""
    names: bool = False
    """Whether its numbers are classes, which have names."""
    decoder: str = ''
    """The transform that decodes it from encoded bytes."""


FEATURES: dict[str, Feature] = {
    'image': Feature('h w c', 'uint8', 'resampled', decoder='decode'),
    # The frame after `image`, to which its `flow` leads.
    'next_image': Feature('h w c', 'uint8', 'resampled', decoder='decode'),
    # The two views of a stereo pair.
    'left': Feature('h w c', 'uint8', 'resampled', decoder='decode'),
    'right': Feature('h w c', 'uint8', 'resampled', decoder='decode'),
    'label': Feature('', 'int32', names=True),
    # One value for each class, 1 where the image has it: several labels an image, or none. Shares are in between.
    'labels': Feature('classes', 'float32', names=True),
    'mask': Feature('h w', 'int32', 'nearest', outside=IGNORED, names=True, decoder='decode_mask'),
    'boxes': Feature('k 4', 'float32', 'corners', valid='box_valid'),
    'box_labels': Feature('k', 'int32', valid='box_valid', names=True),
    'box_crowd': Feature('k', 'bool', valid='box_valid'),
    # Objects that are hard to recognize; Pascal VOC counts them neither as found nor as missed.
    'box_difficult': Feature('k', 'bool', valid='box_valid'),
    # Pixels of the original image that the object covers: the size that COCO's small, medium and large are of.
    'box_areas': Feature('k', 'float32', valid='box_valid'),
    'box_valid': Feature('k', 'bool'),
    # Pixels of the original image in one pixel of this one; 1 where it is missing. A move of boxes adds it.
    'pixel_area': Feature('', 'float32', 'area'),
    'boxes_dropped': Feature('', 'int32'),
    # Regions of an image that may hold an object, for a detector that proposes none itself.
    'proposals': Feature('p 4', 'float32', 'corners', valid='proposal_valid'),
    'proposal_valid': Feature('p', 'bool'),
    'instance_masks': Feature('k h w', 'uint8', 'nearest', valid='box_valid'),
    # Masks in the pixels of the original image, eight columns in a byte, for metrics; its rows and columns; and the map
    # from its pixels to those of this one, scale and shift, (down, across). `transforms.pack_masks` makes all three.
    'original_masks': Feature('k y b', 'uint8', valid='box_valid'),
    'original_size': Feature('2', 'int32'),
    'original_frame': Feature('2 2', 'float32', 'frame'),
    'disparity': Feature('h w', 'float32', 'disparity', valid='disparity_valid'),
    'disparity_valid': Feature('h w', 'bool', 'nearest'),
    # Whether the other image shows the pixel too: it is not covered there, nor outside. KITTI's 'noc'.
    'disparity_visible': Feature('h w', 'bool', 'nearest'),
    # The disparity of the right view, positive too: that of the left one after a mirror, which exchanges the views.
    'right_disparity': Feature('h w', 'float32', 'disparity', valid='right_disparity_valid'),
    'right_disparity_valid': Feature('h w', 'bool', 'nearest'),
    'right_disparity_visible': Feature('h w', 'bool', 'nearest'),
    'flow': Feature('h w 2', 'float32', 'flow', valid='flow_valid'),
    'flow_valid': Feature('h w', 'bool', 'nearest'),
    'flow_visible': Feature('h w', 'bool', 'nearest'),
}


class FeatureError(ValueError):
    """A feature of one example that is wrong: a damaged image, a mask with numbers that are no classes.

    `feature` is its name, so that a message can begin with the file of that feature.
    """

    def __init__(self, feature: str, message: str):
        super().__init__(message)
        self.feature = feature


class MisuseError(ValueError):
    """A function of examples got one that it cannot work on: an error of the config, not of a single example.

    `feature` is the feature that is not there or not as it has to be.
    """

    def __init__(self, message: str, feature: str = ''):
        super().__init__(message)
        self.feature = feature


SEEDS = frozenset({'seed', 'batch_seed'})
"""Entries of an example on the host that are no features: the transforms draw from them. All examples of a batch have
the same `batch_seed`."""


def lookup(example: Mapping[str, Any], name: str) -> Any:
    """The feature of that name.

    Raises:
        MisuseError: there is none; the message lists those that there are.

    Example:
        >>> lookup({'photo': 1, 'seed': 2}, 'image')
        Traceback (most recent call last):
        jaxcv.features.MisuseError: there is no feature 'image', but photo; if it has another name, 'rename' it first
    """
    if name not in example:
        there = ', '.join(sorted(example.keys() - SEEDS)) or 'none at all'
        message = f"there is no feature {name!r}, but {there}; if it has another name, 'rename' it first"
        raise MisuseError(message, name)
    return example[name]


def moved_features(example: Mapping[str, Any]) -> list[str]:
    """The names of those features of an example or a batch that follow the image's pixels, in the table's order.

    Example:
        >>> moved_features({'label': 3, 'boxes': 1, 'image': 0, 'mine': 2})
        ['image', 'boxes']
    """
    # Asked several times of each example: a walk through the whole table takes ten times as long.
    found = [name for name in example if (feature := FEATURES.get(name)) and feature.moved]
    return found if len(found) < 2 else [name for name in FEATURES if name in found]
