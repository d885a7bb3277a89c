"""dlib's vectors, landmarks and aligned faces, on a real photo."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data

from jaxcv import faces, models, ops, weights
from jaxcv.classical import shape_predictor
from jaxcv.faces.embedding import MEAN, STD, eye_boxes
from jaxcv.faces.loading import DLIB, NETWORK, PREDICTOR

ASTRONAUT = skimage.data.astronaut()


def test_faces_are_cut_out_as_by_dlib(answers):
    """Which rounds down; a few pixels are whole numbers within float32's error. The larger photo is halved first."""
    landmarks = jnp.asarray(answers['dlib/landmarks'], jnp.float32)
    face = ops.dlib_faces(jnp.asarray(ASTRONAUT[40:200, 120:300], jnp.float32), landmarks[None] - jnp.array([120, 40]))
    difference = np.abs(np.floor(face[0]) - answers['dlib/face'])
    inside = np.s_[:, 20:-20]  # the photo is cut here
    assert difference[inside].max() <= 1
    assert difference[inside].mean() < 1e-3
    twice = ASTRONAUT[40:200, 120:300].repeat(2, axis=0).repeat(2, axis=1)
    small = ops.dlib_faces(jnp.asarray(twice, jnp.float32), 2 * (landmarks[None] - jnp.array([120, 40])), size=100)
    difference = np.floor(small[0]) - answers['dlib/large']
    assert np.abs(difference[:, 20:-20]).mean() < 1.5


def test_the_eyes_of_the_mean_shape_are_those_of_the_face():
    mean_shape = jnp.array([[0.8, 0.3], [0.6, 0.32], [0.2, 0.31], [0.4, 0.33], [0.5, 0.6]])
    eyes = jnp.array([[[30.0, 40.0], [70.0, 44.0]], [[5.0, 9.0], [25.0, 9.0]]])
    boxes = eye_boxes(mean_shape, eyes)
    corner, side = boxes[:, None, :2], boxes[:, None, 2:] - 1 - boxes[:, None, :2]
    placed = corner + side * jnp.stack([mean_shape[2:4].mean(0), mean_shape[:2].mean(0)])
    np.testing.assert_allclose(placed.mean(axis=1), eyes.mean(axis=1), rtol=1e-5)
    distances = [jnp.linalg.norm(pair[:, 1] - pair[:, 0], axis=-1) for pair in (placed, eyes)]
    np.testing.assert_allclose(*distances, rtol=1e-5)


@pytest.mark.parametrize('image', [np.zeros((1, 8, 8, 3), np.uint8), np.zeros((8, 8)), np.zeros((8, 8, 3))])
def test_images_that_are_refused(image):
    embed = faces.face_embedder({}, shape_predictor.ShapePredictor(*(None,) * 7))
    with pytest.raises(ValueError, match=r'takes a uint8 image \[h, w, 3\], got'):
        embed(image, np.zeros((1, 5, 2)))


@pytest.mark.slow
def test_vectors_are_those_of_dlib(answers):
    path = weights.packaged(DLIB, file=NETWORK)
    variables = jax.tree.map(jnp.asarray, weights.load('dlib_embedder', path, source='dlib'))
    network = models.embedding.dlib_embedder()
    apply = jax.jit(lambda face: network.apply(variables, (face[None] - jnp.array(MEAN)) / STD)[0])
    found = apply(jnp.asarray(answers['dlib/face'], jnp.float32))
    np.testing.assert_allclose(found, answers['dlib/vector'], atol=2e-6)
    # From dlib's box to dlib's vector, by our own landmarks and our own alignment.
    predictor = weights.read_shape_predictor(weights.packaged(DLIB, file=PREDICTOR))
    box = jnp.asarray(answers['dlib/box'], jnp.float32)
    landmarks = shape_predictor.predict(predictor, jnp.asarray(ASTRONAUT), box[None])
    whole = jnp.floor(landmarks + 0.5)
    np.testing.assert_array_equal(whole[0], answers['dlib/landmarks'])
    face = jnp.floor(ops.dlib_faces(jnp.asarray(ASTRONAUT, jnp.float32), whole)[0])
    np.testing.assert_allclose(apply(face), answers['dlib/vector'], atol=1e-3)


@pytest.mark.slow
def test_sixty_eight_landmarks_agree_with_five(answers):
    """Another predictor of dlib's, whose corners of the eyes and base of the nose are those of the one with five."""
    path = weights.packaged(DLIB, file='shape_predictor_68_face_landmarks.dat')
    predictor = weights.read_shape_predictor(path)
    assert predictor.initial.shape == (68, 2)
    box = jnp.asarray(answers['dlib/box'], jnp.float32)
    landmarks = shape_predictor.predict(predictor, jnp.asarray(ASTRONAUT), box[None])[0]
    same = landmarks[np.array([45, 42, 36, 39, 33])]
    assert np.linalg.norm(same - answers['dlib/landmarks'], axis=1).max() < 0.06 * (box[2] - box[0])


@pytest.mark.slow
def test_the_same_face_is_near_and_a_cat_is_not(answers):
    embed = faces.load_embedder()
    eyes = answers['mtcnn/astronaut/landmarks']
    vector = embed(ASTRONAUT, eyes)[0]
    assert np.linalg.norm(vector - answers['dlib/vector']) < 0.15
    mirrored = (511 - eyes[:, [1, 0]]) * np.array([1, -1]) + np.array([0, 511])
    noisy = np.clip(ASTRONAUT + np.random.default_rng(0).normal(0, 10, ASTRONAUT.shape), 0, 255).astype(np.uint8)
    near = [embed(ASTRONAUT[:, ::-1], mirrored)[0], embed(noisy, eyes)[0]]
    assert np.linalg.norm(near - vector, axis=1).max() < 0.3
    cat = embed(skimage.data.chelsea(), np.array([[[140, 110], [240, 130]]]))[0]
    assert np.linalg.norm(cat - vector) > faces.THRESHOLD
    assert len(embed(ASTRONAUT, eyes.repeat(3, axis=0))) == 3
