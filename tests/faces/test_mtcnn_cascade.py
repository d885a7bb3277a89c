"""The cascade: its parts against plain NumPy, the whole against facenet-pytorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data

from jaxcv import faces
from jaxcv.faces import mtcnn_cascade
from tests.opencv import needs_cascades

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (23, 31, 3), np.uint8)


def area(image, rows, columns):
    """PyTorch's interpolation 'area', cell by cell."""
    h, w = image.shape[:2]
    cells = [
        [
            image[i * h // rows : -(-(i + 1) * h // rows), j * w // columns : -(-(j + 1) * w // columns)].mean((0, 1))
            for j in range(columns)
        ]
        for i in range(rows)
    ]
    return (np.array(cells) - 127.5) / 128


def test_levels_and_windows_are_means_over_pixels():
    integral = mtcnn_cascade._integral(jnp.asarray(IMAGE))
    np.testing.assert_allclose(mtcnn_cascade._level(integral, 14, 19), area(IMAGE, 14, 19), atol=1e-5)
    # Boxes count from 1 and hold their ends; the second leaves the image, the third has no pixels within it.
    boxes = jnp.array([[3.7, 2.2, 16.9, 20.0], [-5.0, 8.0, 9.0, 40.0], [40.0, 3.0, 50.0, 13.0]])
    crops, real = mtcnn_cascade._crops(integral, boxes, size=24)
    np.testing.assert_allclose(crops[0], area(IMAGE[1:20, 2:16], 24, 24), atol=1e-5)
    np.testing.assert_allclose(crops[1], area(IMAGE[7:23, 0:9], 24, 24), atol=1e-5)
    assert real.tolist() == [True, True, False]


def test_boxes_within_others_are_dropped():
    boxes = jnp.array(
        [[0, 0, 99, 99], [20, 20, 59, 59], [50, 0, 149, 99], [0, 0, 98, 99], [300, 0, 309, 9]], jnp.float32
    )
    scores = jnp.array([0.8, 0.9, 0.95, 0.99, 0.7])
    order, valid = mtcnn_cascade._without_shared(boxes, scores, jnp.arange(5) != 3, 4)
    assert order[valid].tolist() == [2, 1, 4]  # 0 holds 1, which is better; 3 is no real box


def test_scales_go_down_to_one_window():
    scales = mtcnn_cascade._scales(300, 200, 20, 0.5)
    np.testing.assert_allclose(scales, [0.6, 0.3, 0.15, 0.075])
    assert int(200 * scales[-1] + 1) >= mtcnn_cascade.CELL
    assert not mtcnn_cascade._scales(30, 19, 20, 0.5)


def test_bad_input_is_refused():
    detect = faces.mtcnn(faces.Networks({}, {}, {}))
    for images in (np.zeros((8, 8, 3), np.uint8), np.zeros((1, 8, 8, 1), np.uint8), np.zeros((1, 8, 8, 3))):
        with pytest.raises(ValueError, match=r'takes uint8 images \[n, h, w, 3\], got'):
            detect(images)
    with pytest.raises(ValueError, match=r'factor must be in \(0, 1\), got 1.*|min_size'):
        faces.mtcnn(faces.Networks({}, {}, {}), factor=1.0, min_size=0)


@pytest.mark.slow
def test_faces_are_those_of_facenet_pytorch(answers):
    """Within 1e-3 pixels; several images at a time, and under jit, too."""
    detect = faces.mtcnn(faces.load_mtcnn(), min_size=20)
    astronaut = skimage.data.astronaut()
    two = np.concatenate([astronaut[:300, :400], astronaut[20:320, 100:333][:, ::-1]], axis=1)
    for name, photo in (('astronaut', astronaut), ('two', two)):
        found = jax.device_get(detect(photo[None]))
        valid = found.valid[0]
        assert valid.sum() == len(answers[f'mtcnn/{name}/boxes'])
        for part in ('boxes', 'scores', 'landmarks'):
            own = getattr(found, part)[0][valid]
            np.testing.assert_allclose(own, answers[f'mtcnn/{name}/{part}'], atol=1e-3, err_msg=f'{name} {part}')
    both = jax.device_get(jax.jit(detect)(np.stack([np.zeros_like(two), two])))
    assert both.valid.sum(axis=1).tolist() == [0, 2]
    np.testing.assert_allclose(both.boxes[1, :2], answers['mtcnn/two/boxes'], atol=1e-2)


@needs_cascades
@pytest.mark.slow
def test_cascades_of_haar_like_features_find_the_face_and_its_eyes(answers):
    found = faces.haar(min_size=60, min_neighbors=8)(skimage.data.astronaut()[None])
    best = int(found.scores[0].argmax())
    eyes = answers['mtcnn/astronaut/landmarks'][0]
    np.testing.assert_allclose(found.landmarks[0, best], eyes, atol=25)
    np.testing.assert_allclose(found.landmarks[0, best, :2], eyes[:2], atol=6)
