"""Faces and five landmarks in images of any size, by the cascade of MTCNN's three networks.

1. An image pyramid, from faces of `min_size` pixels up to the image; `pnet` judges every window of 12 x 12 pixels.
   Suppression at an IoU of 0.5 within each level, then at 0.7 among all; the boxes move by their offsets.
2. `rnet` judges the boxes, made square, in 24 x 24 pixels; suppression at 0.7, and the boxes move again.
3. `onet` judges them in 48 x 48 pixels and gives landmarks; of two boxes that share more than 0.7 of the smaller one
   the better one is kept.

Shapes are fixed, so that all of it is one program under `jit`, for each size of images. Called as it is, most of it is
compiled once for all sizes. Levels and windows are averages over rectangles of pixels, from one integral image, which
is exact.

Zhang et al. 2016, Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks. Constants, the
order of the steps and the pixel conventions are those of facenet-pytorch.
"""

import functools
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcv.arguments import AtLeast1, Range, Share, checked
from jaxcv.models import embedding as networks
from jaxcv.ops.boxes import box_intersection
from jaxcv.ops.convolution import plain
from jaxcv.ops.integral import integral_image
from jaxcv.ops.suppression import nms
from jaxcv.types import Array, Bool, Float, Int, UInt8, Variables

CELL = 12
"""Rows and columns of the windows of `pnet`."""
STRIDE = 2
FEW_SIZES = 2048
"""The windows of all levels are padded to a multiple of this."""
WITHIN_LEVEL, AMONG_BOXES, OF_SMALLER = 0.5, 0.7, 0.7
"""Overlaps beyond which the box with the lower score is dropped."""


class Detected(NamedTuple):
    """Faces in images, the best of each image first. `valid` marks those that are real."""

    boxes: Float[Any, 'n k 4']
    """xyxy in pixels; they may reach beyond the image."""
    scores: Float[Any, 'n k']
    """Probabilities; 0 for padding."""
    landmarks: Float[Any, 'n k 5 2']
    """(x, y) in pixels, of the eye on the left of the image, the one on the right, the nose, and the left and the right
    corner of the mouth."""
    valid: Bool[Any, 'n k']


class Networks(NamedTuple):
    """The variables of MTCNN's networks."""

    pnet: Variables
    rnet: Variables
    onet: Variables


class Most(NamedTuple):
    """The most boxes that are kept after each step; beyond them the least probable are dropped."""

    level: int = 512
    """Windows of a level of the pyramid, before suppression."""
    all: int = 1024
    """Windows of all levels, after suppression within each."""
    windows: int = 512
    """Boxes that `rnet` judges."""
    boxes: int = 128
    """Boxes that `onet` judges."""
    faces: int = 64


@checked
def mtcnn(
    variables: Networks,
    *,
    min_size: AtLeast1 = 20,
    thresholds: tuple[Share, Share, Share] = (0.6, 0.7, 0.7),
    factor: Annotated[float, Range(0, 1, '()')] = 0.709,
    most: Most = Most(),  # noqa: B008 (it cannot be changed)
) -> Callable[[UInt8[Any, 'n h w 3']], Detected]:
    """Make a detector of faces.

    Args:
        variables: of the three networks; `faces.load_mtcnn()` loads those of facenet-pytorch.
        min_size: the least side of a face in pixels.
        thresholds: probabilities from which on each network lets a box pass.
        factor: of neighbouring levels of the pyramid.
        most: boxes that are kept after each step.

    Returns:
        The detector, a pure function: uint8 images `[n, h, w, 3]`, RGB -> Detected. It has no gradient. An image with
        a side shorter than `min_size` has no faces.

    Raises:
        ValueError: an option is out of range; the detector: the images are no uint8 arrays of that shape.

    Example:
        >>> detect = mtcnn(Networks({}, {}, {}), min_size=40)  # with weights: mtcnn(faces.load_mtcnn(), min_size=40)
        >>> detect(jnp.zeros((2, 24, 32, 3), jnp.uint8)).boxes.shape
        (2, 64, 4)
    """

    def detect(images: Any) -> Detected:
        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != jnp.uint8:
            raise ValueError(f'the detector takes uint8 images [n, h, w, 3], got {images.dtype} {images.shape}')
        detect_one = functools.partial(_detect, variables, min_size, thresholds, factor, most)
        return Detected(*jax.vmap(detect_one)(jnp.asarray(images)))

    return detect


def _detect(
    variables: Networks, min_size: int, thresholds: tuple[float, float, float], factor: float, most: Most, image: Array
) -> tuple[Array, ...]:
    """Find the faces of an image. Only the first step and the cutting out are compiled anew for another size."""
    if min(image.shape[:2]) < min_size:
        none = jnp.zeros(most.faces)
        return none[:, None].repeat(4, 1), none, jnp.zeros((most.faces, 5, 2)), none > 0
    integral = _integral(image)
    windows = _judged_windows(variables.pnet, integral, min_size=min_size, factor=factor, most=most.level)
    boxes, valid = _proposals(*windows, thresholds[0], most=most)
    crops, real = _crops(integral, boxes, size=24)
    boxes, valid = _refined(variables.rnet, crops, boxes, valid & real, thresholds[1], most=most.boxes)
    crops, real = _crops(integral, boxes, size=48)
    return _faces(variables.onet, crops, boxes, valid & real, thresholds[2], most=most.faces)


@jax.jit
def _integral(image: Array) -> Array:
    return jnp.moveaxis(integral_image(jnp.moveaxis(image, -1, 0)), 0, -1)


def _scales(height: int, width: int, min_size: int, factor: float) -> list[float]:
    """The scales of the levels, down to an image whose short side is one window."""
    scale = CELL / min_size
    short, scales = min(height, width) * scale, []
    while short >= CELL:
        scales.append(scale)
        scale, short = scale * factor, short * factor
    return scales


def _judge(network: networks.MTCNNStage, variables: Variables, images: Array) -> Any:
    """The `Faces` of windows; under `plain`, which compiles faster."""
    with plain():
        return network.apply(variables, images)


@functools.partial(jax.jit, static_argnames=('min_size', 'factor', 'most'))
def _judged_windows(
    variables: Variables, integral: Array, *, min_size: int, factor: float, most: int
) -> tuple[Array, Array, Array, Array]:
    """The best windows of all levels: boxes, probabilities, offsets, and numbers of the levels."""
    height, width = integral.shape[0] - 1, integral.shape[1] - 1
    parts = []
    for number, scale in enumerate(_scales(height, width, min_size, factor)):
        level = _level(integral, int(height * scale + 1), int(width * scale + 1))
        found = _judge(networks.pnet(), variables, level[None])
        probabilities = found.probabilities[0]
        scores, places = jax.lax.top_k(probabilities.ravel(), min(most, probabilities.size))
        row, column = jnp.divmod(places, probabilities.shape[1])
        corner = STRIDE * jnp.stack([column, row], axis=-1)
        # In float32, as theirs: the rounding decides where a quotient is nearly whole.
        low, high = (jnp.floor((corner + end).astype(jnp.float32) / np.float32(scale)) for end in (1, CELL))
        offsets = found.offsets[0].reshape(-1, 4)[places]
        parts.append([jnp.concatenate([low, high], axis=-1), scores, offsets, jnp.full(len(scores), number)])
    boxes, scores, offsets, levels = (jnp.concatenate(part) for part in zip(*parts, strict=True))
    # Of a few sizes only, so that images of many sizes share what is compiled next.
    more = (0, -len(scores) % FEW_SIZES)
    return (
        jnp.pad(boxes, (more, (0, 0))),
        jnp.pad(scores, more, constant_values=-1.0),
        jnp.pad(offsets, (more, (0, 0))),
        jnp.pad(levels, more),
    )


@functools.partial(jax.jit, static_argnames=('most',))
def _proposals(
    boxes: Array, scores: Array, offsets: Array, levels: Array, threshold: float | Array, *, most: Most
) -> tuple[Array, Array]:
    """The square boxes that `rnet` judges, and which are real."""
    valid = scores >= jnp.maximum(threshold, 0)
    alone = nms(boxes, scores, valid=valid, groups=levels, threshold=WITHIN_LEVEL, max_out=most.all)
    boxes, scores, offsets = (part[alone.indices] for part in (boxes, scores, offsets))
    kept = nms(boxes, scores, valid=alone.valid, threshold=AMONG_BOXES, max_out=most.windows)
    return _square(_moved(boxes[kept.indices], offsets[kept.indices], 0.0)), kept.valid


@functools.partial(jax.jit, static_argnames=('most',))
def _refined(
    variables: Variables, crops: Array, boxes: Array, valid: Array, threshold: float | Array, *, most: int
) -> tuple[Array, Array]:
    """The square boxes that `onet` judges, and which are real."""
    found = _judge(networks.rnet(), variables, crops)
    valid &= found.probabilities > threshold
    kept = nms(boxes, found.probabilities, valid=valid, threshold=AMONG_BOXES, max_out=most)
    return _square(_moved(boxes[kept.indices], found.offsets[kept.indices], 1.0)), kept.valid


@functools.partial(jax.jit, static_argnames=('most',))
def _faces(
    variables: Variables, crops: Array, boxes: Array, valid: Array, threshold: float | Array, *, most: int
) -> tuple[Array, ...]:
    found = _judge(networks.onet(), variables, crops)
    valid &= found.probabilities > threshold
    sizes = boxes[:, 2:] - boxes[:, :2] + 1
    landmarks = found.landmarks.reshape(-1, 2, 5).swapaxes(1, 2) * sizes[:, None] + boxes[:, None, :2] - 1
    boxes = _moved(boxes, found.offsets, 1.0)
    order, valid = _without_shared(boxes, found.probabilities, valid, most)
    return boxes[order], jnp.where(valid, found.probabilities[order], 0), landmarks[order], valid


def _level(integral: Array, rows: int, columns: int) -> Array:
    """The image in another size: each pixel is the mean of those that it covers, as (x - 127.5) / 128."""

    def edges(size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        places = np.arange(count)
        return places * size // count, -(-(places + 1) * size // count)

    (top, bottom), (left, right) = edges(integral.shape[0] - 1, rows), edges(integral.shape[1] - 1, columns)
    below, above = integral[bottom], integral[top]
    sums = below[:, right] - above[:, right] - below[:, left] + above[:, left]
    return _normalized(sums, (bottom - top)[:, None, None] * (right - left)[None, :, None])


def _normalized(sums: Int[Array, '*n'], counts: Array | np.ndarray) -> Float[Array, '*n']:
    return (sums.astype(jnp.float32) / counts - 127.5) / 128


@functools.partial(jax.jit, static_argnames=('size',))
def _crops(integral: Array, boxes: Array, *, size: int) -> tuple[Float[Array, 'm s s 3'], Bool[Array, ' m']]:
    """The pixels of boxes in another size, as (x - 127.5) / 128, and whether there are any within the image.

    Pixels outside of the image do not count.
    """
    left, top, right, bottom = _pixels(boxes, integral.shape[0] - 1, integral.shape[1] - 1)

    def edges(low: Array, high: Array) -> tuple[Array, Array]:
        places, side = jnp.arange(size), jnp.maximum(high - low, 1)[:, None]
        return low[:, None] + places * side // size, low[:, None] - (-(places + 1) * side // size)

    (y1, y2), (x1, x2) = edges(top, bottom), edges(left, right)

    def corners(y: Array, x: Array) -> Array:
        return integral[y[:, :, None], x[:, None, :]]

    sums = corners(y2, x2) - corners(y1, x2) - corners(y2, x1) + corners(y1, x1)
    counts = (y2 - y1)[:, :, None] * (x2 - x1)[:, None, :]
    return _normalized(sums, counts[..., None]), (right > left) & (bottom > top)


def _pixels(boxes: Array, height: int, width: int) -> tuple[Array, Array, Array, Array]:
    """The first and the end of the columns and rows of boxes that count from 1 and hold their ends."""
    whole = jnp.trunc(jnp.clip(boxes, -(2.0**20), 2.0**20)).astype(jnp.int32)
    left, top = (jnp.maximum(whole[:, i], 1) - 1 for i in (0, 1))
    return left, top, jnp.minimum(whole[:, 2], width), jnp.minimum(whole[:, 3], height)


def _moved(boxes: Array, offsets: Array, more: float) -> Array:
    """Move the corners by offsets in sizes of the boxes, which are `more` than the differences of their ends."""
    sizes = boxes[:, 2:] - boxes[:, :2] + more
    return boxes + offsets * jnp.concatenate([sizes, sizes], axis=-1)


def _square(boxes: Array) -> Array:
    """Squares with the same centres and the longer sides."""
    sizes = boxes[:, 2:] - boxes[:, :2]
    side = sizes.max(axis=-1, keepdims=True)
    corner = boxes[:, :2] + sizes * 0.5 - side * 0.5
    return jnp.concatenate([corner, corner + side], axis=-1)


def _without_shared(boxes: Array, scores: Array, valid: Array, most: int) -> tuple[Array, Array]:
    """Drop boxes that share more than `OF_SMALLER` of the smaller one with a better one; sides count both ends."""
    ends = boxes + jnp.array([0, 0, 1, 1])
    sides = ends[:, 2:] - ends[:, :2]
    areas = sides[:, 0] * sides[:, 1]
    over = box_intersection(ends[:, None], ends) / jnp.minimum(areas[:, None], areas) > OF_SMALLER
    order = jnp.argsort(-jnp.where(valid, scores, -jnp.inf))

    def step(alive: Array, i: Array) -> tuple[Array, None]:
        later = jnp.arange(len(order)) > i
        return alive & ~(alive[i] & over[order[i], order] & later), None

    alive, _ = jax.lax.scan(step, valid[order], jnp.arange(len(order)))
    (places,) = jnp.nonzero(alive, size=most, fill_value=-1)
    return order[places], places >= 0
