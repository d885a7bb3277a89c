"""Integral images against OpenCV's and against sums of pixels; overflow."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import ops
from jaxcv.ops import integral

RNG = np.random.default_rng(0)


def tilted_mask(box, shape):
    """The pixels of a tilted rectangle: both diagonals, `x + y` and `y - x`, are in a range."""
    x, y, w, h = box
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    along, across = columns + rows - (x + y - 1), rows - columns - (y - x + 1)  # from the pixel (y, x - 1) on
    return (along >= 0) & (along < 2 * w) & (across >= 0) & (across < 2 * h)


@pytest.mark.parametrize('shape', [(1, 1), (7, 12), (2, 3, 13, 8)])
def test_equal_to_opencv(shape):
    images = RNG.integers(0, 256, shape, np.uint8)
    found = jax.jit(lambda x: (ops.integral_image(x), ops.squared_integral_image(x), ops.tilted_integral_image(x)))(
        images
    )
    for index in np.ndindex(*shape[:-2]):
        expected = cv2.integral3(images[index], sdepth=cv2.CV_32S, sqdepth=cv2.CV_64F)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one[index], other)


def test_both_forms_are_equal():
    values = jnp.asarray(RNG.integers(0, 1 << 31, (2, 5, 6), np.uint32))
    np.testing.assert_array_equal(integral._by_rows(values), integral._by_axes(values))


def test_sums_of_rectangles_equal_sums_of_pixels():
    image = RNG.integers(0, 256, (20, 24), np.uint8)
    boxes = np.array([[0, 0, 24, 20], [3, 5, 1, 1], [7, 2, 10, 13], [4, 4, 0, 3]])
    found = ops.rectangle_sums(ops.integral_image(jnp.asarray(image)), jnp.asarray(boxes))
    assert found.tolist() == [int(image[y : y + h, x : x + w].sum()) for x, y, w, h in boxes]
    squares = ops.rectangle_sums(ops.squared_integral_image(jnp.asarray(image)), jnp.asarray(boxes))
    assert squares.tolist() == [int(np.square(image[y : y + h, x : x + w], dtype=int).sum()) for x, y, w, h in boxes]
    tilted = np.array([[5, 0, 3, 5], [1, 4, 6, 1], [12, 0, 9, 11], [8, 6, 1, 1]])
    found = ops.tilted_sums(ops.tilted_integral_image(jnp.asarray(image)), jnp.asarray(tilted))
    masks = [tilted_mask(box, image.shape) for box in tilted]
    assert [int(mask.sum()) for mask in masks] == [2 * w * h for _, _, w, h in tilted]
    assert found.tolist() == [int(image[mask].sum()) for mask in masks]


def check_white(height, width):
    """In a white image, entries wrap around, and sums over rectangles stay exact."""
    image = jnp.full((height, width), 255, jnp.uint8)
    box = jnp.array([[width - 250, height - 200, 240, 190], [0, 0, 3, 3]])
    sums = ops.rectangle_sums(ops.integral_image(image), box)
    squares = ops.rectangle_sums(ops.squared_integral_image(image), box)
    assert sums.tolist() == [255 * 240 * 190, 255 * 9]
    assert squares.tolist() == [255**2 * 240 * 190, 255**2 * 9]
    tilted = ops.tilted_sums(ops.tilted_integral_image(image), jnp.array([[width - 100, height - 200, 90, 100]]))
    assert tilted.tolist() == [255 * 2 * 90 * 100]


def test_squares_of_a_white_image_wrap_around():
    assert 255**2 * 300 * 300 > 2**32
    check_white(300, 300)


@pytest.mark.slow
def test_a_white_8k_image():
    assert 255 * 4320 * 7680 > 2**32
    check_white(4320, 7680)
