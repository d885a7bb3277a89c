"""Alignment of faces against OpenCV, SciPy and scikit-image."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxcv import ops

RNG = np.random.default_rng(0)
LANDMARKS = np.array([(60, 70), (105, 62), (86, 95), (70, 118), (108, 112)], np.float32)


def test_the_similarity_is_the_least_squares_solution():
    """Of a x - b y + s, b x + a y + t, solved by NumPy."""
    targets = np.asarray(ops.arcface_template())
    (x, y), one, zero = LANDMARKS.T, np.ones(5), np.zeros(5)
    system = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    a, b, s, t = np.linalg.lstsq(system, targets.T.ravel(), rcond=None)[0]
    found = ops.similarity_transform(jnp.asarray(LANDMARKS), jnp.asarray(targets))
    np.testing.assert_allclose(found, [[a, -b, s], [b, a, t]], rtol=1e-4, atol=1e-4)
    two = jnp.stack([jnp.asarray(LANDMARKS), 2 * jnp.asarray(LANDMARKS)])
    np.testing.assert_allclose(
        ops.similarity_transform(two, jnp.broadcast_to(targets, two.shape))[1, :, :2], found[:, :2] / 2, rtol=1e-4
    )


def test_a_face_is_cut_out_as_by_opencv():
    # Dark at the borders: OpenCV rounds places to 1/32, which shows at an edge.
    inner = np.pad(RNG.random((110, 90, 3)), ((20, 20), (20, 20), (0, 0)))
    image = ndimage.gaussian_filter(inner, (3, 3, 0)).astype(np.float32)
    faces = jax.jit(ops.align_faces)(jnp.asarray(image)[None], jnp.asarray(LANDMARKS)[None])
    matrix = np.asarray(ops.similarity_transform(jnp.asarray(LANDMARKS), ops.arcface_template()), np.float64)
    by_opencv = cv2.warpAffine(image, matrix, (112, 112), borderValue=0)
    np.testing.assert_allclose(faces[0], by_opencv, atol=3e-3)
    inverse = np.linalg.inv(np.concatenate([matrix, [[0, 0, 1]]]))
    x, y, _ = np.moveaxis(
        np.stack([*np.meshgrid(np.arange(112), np.arange(112)), np.ones((112, 112))], -1) @ inverse.T, -1, 0
    )
    exact = [ndimage.map_coordinates(image[..., c], [y, x], order=1, mode='grid-constant') for c in range(3)]
    np.testing.assert_allclose(faces[0], np.stack(exact, -1), atol=1e-4)


def test_templates_of_other_sizes():
    template = np.asarray(ops.arcface_template())
    np.testing.assert_allclose(ops.arcface_template(size=224), 2 * template)
    np.testing.assert_allclose(ops.arcface_template(size=128), template + np.array([8, 0]), rtol=1e-6)
    np.testing.assert_allclose(ops.arcface_template(size=96), 0.75 * (template + np.array([8, 0])), rtol=1e-6)
    with pytest.raises(ValueError, match='size must be'):
        ops.align_faces(jnp.zeros((1, 8, 8, 1)), jnp.zeros((1, 5, 2)), size=0)


def test_landmarks_in_another_order_and_images_without_a_face():
    image, turned = jnp.ones((3, 9, 9, 1)), jnp.asarray(LANDMARKS) @ jnp.array([[-0.6, 0.8], [-0.8, -0.6]])
    there = jnp.stack([turned, jnp.zeros((5, 2)), jnp.full((5, 2), jnp.nan)])
    for align in (ops.align_faces, jax.jit(ops.align_faces)):
        assert not align(image, there)[1:].any()  # as many faces as images, whatever was found
    of_person, rows_first = there.at[0].set(turned[jnp.array([1, 0, 2, 4, 3])]), there.at[0].set(turned[:, ::-1])
    for wrong in (of_person, rows_first):
        with pytest.raises(ValueError, match=r'of 1 of 3 faces, such as face 0, .* the eye on the left of the image'):
            ops.align_faces(image, wrong)
