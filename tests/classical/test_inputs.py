"""Types that are converted and values that are refused, of all classical methods; without the tests' shape checks.

pandas is not installed: a frame is an object with `__array__`, which is all that is used of one.
"""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.classical import inputs, knn, pixel_forest, random_forest

fit, predict, neighbors = (inspect.unwrap(f) for f in (knn.fit, knn.predict, knn.neighbors))
grow, vote = inspect.unwrap(random_forest.fit), inspect.unwrap(random_forest.predict)
FEATURES = [[0, 0], [1, 0], [9, 8], [9, 9]]
LABELS = [0, 0, 1, 1]
OPTIONS = {'num_trees': 1, 'bootstrap': False}
KEY = jax.random.key(0)


class Frame:
    """As much of a pandas frame as is used."""

    def __init__(self, rows):
        self.rows = np.asarray(rows)

    def __array__(self, dtype=None, copy=None):
        return self.rows.astype(dtype or self.rows.dtype)

    def __len__(self):
        return len(self.rows)


TYPES = {
    **{f'numpy {t.__name__}': lambda x, t=t: np.asarray(x, t) for t in (np.float16, np.float64, np.int64, np.uint8)},
    **{f'jax {t.__name__}': lambda x, t=t: jnp.asarray(x, t) for t in (jnp.float16, jnp.bfloat16, jnp.int32)},
    'lists': list,
    'frame': Frame,
    'objects': lambda x: np.asarray(x, object).astype(float),
}


@pytest.mark.parametrize('name', TYPES)
def test_knn_takes_any_real_type(name):
    convert = TYPES[name]
    model = fit(convert(FEATURES), convert(LABELS))
    assert model.features.dtype == jnp.float32
    assert model.labels.dtype == jnp.int32
    np.testing.assert_array_equal(predict(model, convert([[1, 1], [8, 8]]), k=2), [0, 1])


def test_booleans():
    model = fit(np.array(FEATURES) > 4, np.array(LABELS) > 0)
    np.testing.assert_array_equal(predict(model, [[True, True], [False, False]], k=1), [1, 0])


@pytest.mark.parametrize('name', ['lists', 'frame', 'numpy uint8'])
def test_forests_take_any_real_type(name):
    convert = TYPES[name]
    forest = grow(KEY, convert(FEATURES), convert(LABELS), convert([1, 2, 1, 1]), **OPTIONS)
    np.testing.assert_array_equal(vote(forest, convert([[1, 1], [8, 8]])), [0, 1])


WRONG_ROWS = {
    'NaN': ([[0.0, np.nan]], r'must be finite, but 1 of 2 .* at \[0, 1\]'),
    'too large': (np.array([[1e300, 0.0]]), 'too large for float32'),
    'one axis': ([1.0, 2.0], 'reshape'),
    'ragged': ([[1.0], [1.0, 2.0]], 'rows of equal length'),
    'strings': ([['a', 'b']], 'must be real numbers, got strings'),
    'missing': (np.array([[1.0, None]], object), 'must be real numbers, got objects of type NoneType'),
    'complex': (np.ones((1, 2), complex), 'must be real numbers, got complex128'),
    'another number': ([[1.0, 2.0, 3.0]], r'must be of shape \[m, 2\], as those of the training, got \(1, 3\)'),
}


@pytest.mark.parametrize('name', WRONG_ROWS)
def test_rows_that_cannot_be_meant(name):
    rows, message = WRONG_ROWS[name]
    model = fit(FEATURES, LABELS)
    forest = grow(KEY, FEATURES, LABELS, None, **OPTIONS)
    asked = [lambda: predict(model, rows, k=1), lambda: vote(forest, rows)]
    if name != 'another number':
        asked += [lambda: fit(rows, LABELS[:1]), lambda: grow(KEY, rows, LABELS[:1], None, **OPTIONS)]
    for ask in asked:
        with pytest.raises(ValueError, match=message):
            ask()


WRONG_LABELS = {
    'strings': (np.array(['cat', 'cat', 'dog', 'dog']), r'np.unique\(labels, return_inverse=True\)'),
    'negative': ([-1, 0, 1, 1], 'integers from 0 on, got int64 from -1 to 1'),
    'a column': (np.zeros((4, 1), int), r'labels.ravel\(\)'),
    'too few': ([0, 1], 'got 4 and 2'),
}


@pytest.mark.parametrize('name', WRONG_LABELS)
def test_labels_that_cannot_be_meant(name):
    labels, message = WRONG_LABELS[name]
    for ask in (lambda: fit(FEATURES, labels), lambda: grow(KEY, FEATURES, labels, None, **OPTIONS)):
        with pytest.raises(ValueError, match=message):
            ask()


def test_labels_are_whole_numbers_in_range():
    with pytest.raises(ValueError, match=r'integers from 0 on, got float64 from 0 to 1\.5'):
        fit(FEATURES, [0, 0.5, 1.5, 1])
    np.testing.assert_array_equal(fit(FEATURES, [0.0, 2.0, 1.0, 1.0]).labels, [0, 2, 1, 1])
    with pytest.raises(ValueError, match='from 0 to 1, got int64 from 0 to 2'):
        fit(FEATURES, [0, 1, 2, 1], num_classes=2)
    with pytest.raises(ValueError, match="criterion='variance'"):  # a forest predicts numbers too
        grow(KEY, FEATURES, [0.0, 1.0, 1.0, 1.0], None, **OPTIONS)


@pytest.mark.parametrize(
    ('weights', 'message'),
    [([1, 1, 1], 'of shape'), ([1, -1, 1, 1], 'at least 0'), ([0, 0, 0, 0], 'not all'), ([1, 1, 1, np.nan], 'finite')],
)
def test_weights_that_cannot_be_meant(weights, message):
    with pytest.raises(ValueError, match=message):
        grow(KEY, FEATURES, LABELS, weights, **OPTIONS)


@pytest.mark.parametrize('k', [0, 5, 1.5, True, '3'])
def test_counts(k):
    with pytest.raises(ValueError, match=r'k must be .*from 1 to the 4 training examples'):
        neighbors(fit(FEATURES, LABELS), FEATURES, k=k)
    assert inputs.check_count('k', np.int64(3)) == 3


def test_under_jit_shapes_are_checked_and_values_are_not():
    model = fit(FEATURES, LABELS)
    asked = jax.jit(lambda queries: predict(model, queries, k=1))
    np.testing.assert_array_equal(asked(jnp.array([[9.0, 9.0]])), [1])
    with pytest.raises(ValueError, match=r'\[m, 2\]'):
        asked(jnp.ones((1, 3)))


def test_pixel_forests_check_images_masks_and_depth():
    image = np.zeros((1, 4, 4, 1), np.float32)
    mask = np.zeros((1, 4, 4), int)
    grow_pixels = inspect.unwrap(pixel_forest.fit)
    for images, masks, depth, message in [
        (image[..., 0], mask, None, r'images\[..., None\]'),
        (image + np.nan, mask, None, 'images must be finite'),
        (image, mask + 0.5, None, 'masks must be integers from 0 to 1 or 255'),
        (image, mask - 1, None, 'masks must be integers from 0 to 1 or 255'),
        (image, mask, mask, 'depth must be above 0'),
    ]:
        with pytest.raises(ValueError, match=message):
            grow_pixels(KEY, images, masks, depth, num_classes=2)
    with pytest.raises(ValueError, match='values up to 255, these go up to 1'):
        pixel_forest._check_range(jnp.ones((1, 2, 2, 1)), jnp.float32(255))
    pixel_forest._check_range(jnp.ones((1, 2, 2, 1), jnp.uint8), jnp.float32(255))


@pytest.mark.parametrize('unit', [1e-30, 1e30])
def test_targets_whose_squares_are_out_of_range(unit):
    forest = grow(KEY, FEATURES, unit * np.array([1.0, 1.0, 3.0, 3.0]), None, criterion='variance', **OPTIONS)
    found = inspect.unwrap(random_forest.predict_values)(forest, FEATURES)
    np.testing.assert_allclose(found, unit * np.array([1.0, 1.0, 3.0, 3.0]), rtol=1e-6)
