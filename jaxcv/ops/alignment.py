"""Alignment of faces: the similarity transform that brings landmarks to a template, and the pixels that it moves.

Without it a network for aligned faces loses much: 95 to 98 % instead of 99.8 % on Labeled Faces in the Wild.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcv.arguments import AtLeast1, NonNegative, checked
from jaxcv.types import Array, Float

ARCFACE_TEMPLATE = np.array(
    [
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ],
    np.float32,
)
"""(x, y) in a face of 112 x 112 pixels: the eye on the left of the image, the one on the right, the nose, and the left
and the right corner of the mouth; those of insightface."""

DLIB_TEMPLATE = np.array(
    [
        (0.8595674595992, 0.2134981538014),
        (0.6460604764104, 0.2289674387677),
        (0.1205750620789, 0.2137274526848),
        (0.3340850613712, 0.2290642403242),
        (0.4901123135679, 0.6277975316475),
    ]
)
"""(x, y) in a face of side 1 without padding: see `dlib_faces`."""

HALVED = (1.25, 0.75)
"""The place of pixel (0, 0) of a halved image, by half of dlib's coordinates; (1, 1) would be exact."""


@checked
def arcface_template(*, size: AtLeast1 = 112) -> Float[Array, '5 2']:
    """Landmarks of an aligned face of another size than 112, as insightface places them.

    Args:
        size: rows and columns. A multiple of 112 scales the template; any other size scales that of 128 x 128 pixels,
            which is the one of 112 with 8 columns more on the left.

    Returns:
        (x, y) in pixels, `[5, 2]`: see `align_faces`.

    Example:
        >>> print(arcface_template(size=224)[0])
        [ 76.5892 103.3926]
    """
    if size % 112 == 0:
        return jnp.asarray(ARCFACE_TEMPLATE * (size / 112))
    return jnp.asarray((ARCFACE_TEMPLATE + np.array([8, 0], np.float32)) * (size / 128))


def similarity_transform(points: Float[Array, '*n k 2'], targets: Float[Array, '*n k 2']) -> Float[Array, '*n 2 3']:
    """Similarity transform (rotation, one scale, shift) that maps points nearest to targets, by least squares.

    `min Σ ‖a R p + t - q‖²`: with p and q relative to their means, `a cos = Σ p·q / Σ p·p` and `a sin = Σ p×q / Σ p·p`.

    Args:
        points: (x, y), at least two different ones.
        targets: (x, y) of each.

    Returns:
        The matrix M: `[x', y'] = M [x, y, 1]`.

    Example:
        >>> points = jnp.array([[0.0, 0.0], [1.0, 0.0]])
        >>> print(similarity_transform(points, jnp.array([[2.0, 3.0], [2.0, 5.0]])))  # a quarter turn, twice the size
        [[ 0. -2.  2.]
         [ 2.  0.  3.]]

    Umeyama 1991, Least-squares estimation of transformation parameters between two point patterns, without mirroring.
    """
    means = [x.mean(axis=-2, keepdims=True) for x in (points, targets)]
    p, q = points - means[0], targets - means[1]
    squares = jnp.sum(p * p, axis=(-2, -1))
    cos = jnp.sum(p * q, axis=(-2, -1)) / squares
    sin = jnp.sum(p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0], axis=-1) / squares
    turn = jnp.stack([jnp.stack([cos, -sin], -1), jnp.stack([sin, cos], -1)], -2)
    shift = jnp.swapaxes(means[1], -1, -2) - turn @ jnp.swapaxes(means[0], -1, -2)
    return jnp.concatenate([turn, shift], axis=-1)


@checked
def align_faces(
    images: Float[Array, 'n h w c'], landmarks: Float[Array, 'n 5 2'], *, size: AtLeast1 = 112
) -> Float[Array, 'n s s c']:
    """Cut out aligned faces, as ArcFace's networks take them.

    The similarity transform that maps the landmarks to `arcface_template` moves the pixels; they are interpolated
    bilinearly, and pixels from outside of the image are 0. It is OpenCV's `warpAffine`, without its rounding of places
    to 1/32 of a pixel.

    Args:
        images: one for each face.
        landmarks: (x, y) in pixels of the image, of the eye on the left *of the image*, the eye on the right, the nose,
            and the left and the right corner of the mouth.
        size: rows and columns of a face.

    Returns:
        The faces, `[n, size, size, c]`; where there are no landmarks (all in one place, or not finite), zeros.

    Raises:
        ValueError: landmarks are in another order, or (y, x): no turned face has them like that. Not under `jit`.

    Example:
        >>> faces = align_faces(jnp.ones((1, 112, 112, 1)), arcface_template()[None])
        >>> faces.shape, round(float(faces.mean()), 3)
        ((1, 112, 112, 1), 1.0)
    """
    if not isinstance(landmarks, jax.core.Tracer):
        _check_order(np.asarray(landmarks))
    template = arcface_template(size=size)
    found = jnp.isfinite(landmarks).all(axis=(1, 2)) & (jnp.ptp(landmarks, axis=1).max(axis=-1) > 0)
    landmarks = jnp.where(found[:, None, None], landmarks, template)
    matrices = similarity_transform(landmarks, jnp.broadcast_to(template, landmarks.shape))
    # The inverse of a similarity is its transpose over the squared scale.
    turns = jnp.swapaxes(matrices[:, :, :2], 1, 2) / jnp.sum(jnp.square(matrices[:, 0, :2]), axis=-1)[:, None, None]

    def one(image: Array, turn: Array, shift: Array) -> Array:
        return _bilinear(image, (_places(size) - shift) @ turn.T)

    return jnp.where(found[:, None, None, None], jax.vmap(one)(images, turns, matrices[:, :, 2]), 0)


@checked
def dlib_template(*, size: AtLeast1 = 150, padding: NonNegative = 0.25) -> Float[Array, '5 2']:
    """Landmarks of an aligned face, as dlib places them.

    Args:
        size: rows and columns of the face.
        padding: around the face, as a share of its size.

    Returns:
        (x, y) in pixels, `[5, 2]`: see `dlib_faces`.

    Example:
        >>> print(dlib_template()[4].round(2))
        [74.01 87.78]
    """
    return jnp.asarray(size * (padding + DLIB_TEMPLATE) / (1 + 2 * padding), jnp.float32)


@checked
def dlib_faces(
    image: Float[Array, 'h w c'], landmarks: Float[Array, 'n 5 2'], *, size: AtLeast1 = 150, padding: NonNegative = 0.25
) -> Float[Array, 'n s s c']:
    """Cut out aligned faces of one image, as dlib's recognition network takes them.

    The similarity transform from `dlib_template` to the landmarks gives the place, angle and side of a square, which is
    read bilinearly; pixels from outside of the image are 0. Where the square has more than twice the side of the face,
    the image is halved before, after a binomial filter of 5 x 5, until it has not: the face of a large photo is no
    sample of single pixels. It is dlib's `get_face_chip`, without its rounding of pixels to whole numbers.

    Args:
        image: one image. `jax.vmap` takes several.
        landmarks: (x, y) in pixels of the image, of the corners of the eyes: of the eye on the right *of the image* the
            outer and the inner one, of the eye on the left the outer and the inner one; and of the place under the
            nose. `classical.shape_predictor` finds them.
        size: rows and columns of a face.
        padding: around the face, as a share of its size.

    Returns:
        The faces, `[n, size, size, c]`.

    Example:
        >>> dlib_faces(jnp.ones((400, 300, 3)), 2 * dlib_template()[None]).shape
        (1, 150, 150, 3)
    """
    template = jnp.broadcast_to(dlib_template(size=size, padding=padding), landmarks.shape)
    matrices = similarity_transform(template, landmarks)
    turns = matrices[:, :, :2]
    scales = jnp.sqrt(jnp.sum(jnp.square(turns[:, 0]), axis=-1))
    # Of a square of `size * scale` pixels the outermost are at the outermost pixels of the face.
    stretched = (size * scales - 1) / (max(size - 1, 1) * scales)
    centers = jnp.einsum('nij,j->ni', turns, jnp.full(2, size // 2, jnp.float32), precision='highest')
    centers += matrices[:, :, 2]
    levels = [image]
    while min(levels[-1].shape[:2]) >= 2 * max(size, 5):
        levels.append(_halved(levels[-1]))

    def one(turn: Array, scale: Array, stretch: Array, center: Array) -> Array:
        offsets = _places(size) - (size - 1) / 2
        places = center + stretch * jnp.einsum('hwj,ij->hwi', offsets, turn, precision='highest')
        side, faces = size * scale, _bilinear(levels[0], places)
        for level in levels[1:]:
            side, places = side / 2, places / 2 - jnp.array(HALVED)
            faces = jnp.where(side > size, _bilinear(level, places), faces)
        return faces

    return jax.vmap(one)(turns, scales, stretched, centers)


def _places(size: int) -> Float[Array, 's s 2']:
    """The (x, y) of the pixels of a square."""
    rows, columns = jnp.meshgrid(jnp.arange(size), jnp.arange(size), indexing='ij')
    return jnp.stack([columns, rows], axis=-1).astype(jnp.float32)


def _bilinear(image: Float[Array, 'h w c'], places: Float[Array, '*n 2']) -> Float[Array, '*n c']:
    """The values of an image between its pixels; 0 outside."""
    x, y = places[..., 0], places[..., 1]
    left, above = jnp.floor(x), jnp.floor(y)
    total = jnp.zeros((*x.shape, image.shape[-1]), image.dtype)
    for right, below in np.ndindex(2, 2):
        j, i = (left + right).astype(jnp.int32), (above + below).astype(jnp.int32)
        weight = (1 - jnp.abs(x - j)) * (1 - jnp.abs(y - i))
        inside = (i >= 0) & (i < image.shape[0]) & (j >= 0) & (j < image.shape[1])
        pixels = image[jnp.clip(i, 0, image.shape[0] - 1), jnp.clip(j, 0, image.shape[1] - 1)]
        total += jnp.where(inside, weight, 0)[..., None].astype(image.dtype) * pixels
    return total


def _halved(image: Float[Array, 'h w c']) -> Float[Array, 'i j c']:
    """Every second pixel after a binomial filter of 5 x 5: the first one is at (2, 2)."""
    for _ in range(2):
        rows = (image.shape[0] - 3) // 2
        parts = [image[i : i + 2 * rows - 1 : 2] for i in range(5)]
        total = sum(weight * part for weight, part in zip((1, 4, 6, 4, 1), parts, strict=True))
        image = jnp.swapaxes(total / 16, 0, 1)
    return image


def _check_order(landmarks: np.ndarray) -> None:
    """Raise a ValueError for a mirrored face: on the right of the way from the left eye to the right one is the mouth.

    A face that is turned, even upside down, has it there; one with its eyes exchanged, or (y, x), has not.
    """
    across, down = landmarks[:, 1] - landmarks[:, 0], landmarks[:, 3:].mean(axis=1) - landmarks[:, :2].mean(axis=1)
    mirrored = np.flatnonzero(across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0] < 0)
    if len(mirrored):
        raise ValueError(
            f'the landmarks of {len(mirrored)} of {len(landmarks)} faces, such as face {mirrored[0]}, are those of a '
            'mirrored face: the order is the eye on the left of the image (not of the person), the eye on the right, '
            'the nose, the left and the right corner of the mouth, each (x, y)'
        )
