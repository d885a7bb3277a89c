"""Pixel features by loops, the draw of pixels by counting, and masks of shapes that only their surroundings tell."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.classical import pixel_forest

KEY = jax.random.key(0)


@pytest.mark.parametrize('with_depth', [False, True])
def test_features_by_loops(with_depth):
    rng = np.random.default_rng(0)
    images = rng.random((2, 5, 7, 3)).astype(np.float32)
    depth = rng.uniform(0.5, 3, (2, 5, 7)).astype(np.float32) if with_depth else None
    offsets = pixel_forest.draw_offsets(KEY, num_features=6, radius=4, channels=3)
    found = pixel_forest.intensity_difference_features(
        jnp.asarray(images), None if depth is None else jnp.asarray(depth), offsets
    )
    first, second, channels = (np.asarray(part) for part in offsets)
    for n, y, x, feature in np.ndindex(2, 5, 7, 6):
        read = []
        for offset, channel in zip((first[feature], second[feature]), channels[feature], strict=True):
            dx, dy = np.round(offset * (np.float32(1) / depth[n, y, x] if with_depth else 1)).astype(int)
            read.append(images[n, np.clip(y + dy, 0, 4), np.clip(x + dx, 0, 6), channel])
        np.testing.assert_allclose(found[n, y, x, feature], read[0] - read[1], atol=1e-6)


def test_depth_makes_features_scale_free():
    """An object twice as near is twice as large: around its centre the features are the same."""
    small = np.random.default_rng(0).random((9, 9)).astype(np.float32)
    large = np.kron(small, np.ones((3, 3), np.float32))
    offsets = pixel_forest.draw_offsets(KEY, num_features=20, radius=4, channels=1)
    offsets = offsets._replace(first=jnp.round(offsets.first), second=jnp.round(offsets.second))
    here = pixel_forest.intensity_difference_features(jnp.asarray(small)[None, ..., None], jnp.ones((1, 9, 9)), offsets)
    near = pixel_forest.intensity_difference_features(
        jnp.asarray(large)[None, ..., None], jnp.full((1, 27, 27), 1 / 3), offsets
    )
    np.testing.assert_allclose(near[:, 1::3, 1::3], here, atol=1e-6)


def test_offsets():
    first, second, channels = pixel_forest.draw_offsets(KEY, num_features=1000, radius=10, channels=3)
    assert np.abs(first).max() <= 10
    assert 9 < np.abs(second).max() <= 10
    assert (first[1::2] == 0).all()
    assert np.mean(np.abs(second) < 2.5) == pytest.approx(0.5, abs=0.05)
    assert set(np.unique(channels)) == {0, 1, 2}
    with pytest.raises(ValueError, match=r'num_features must be in \[1, inf\), got 0'):
        pixel_forest.draw_offsets(KEY, num_features=0, radius=1, channels=1)


def test_pixels_are_drawn_of_those_with_a_class():
    masks = np.full((3, 20, 20), 255, np.int32)
    masks[0, :, :10] = 0
    masks[0, 3:5, 2:4] = 2  # 4 of 200 pixels
    masks[1, 7, 7] = 1
    flat = masks.ravel()
    for balanced, share in ((True, 0.5), (False, 0.02)):
        pixels, weights = pixel_forest._draw_pixels(
            KEY, jnp.asarray(masks), num_classes=3, count=4000, balanced=balanced
        )
        assert pixels.shape == (12000,)
        assert (weights[:8000] == 1).all()
        assert (weights[8000:] == 0).all()  # of an image without classes
        drawn = flat[np.asarray(pixels)]
        assert set(drawn[:4000]) == {0, 2}
        assert (drawn[4000:8000] == 1).all()
        assert np.mean(drawn[:4000] == 2) == pytest.approx(share, abs=0.03)


@pytest.fixture(scope='module')
def scenes():
    """Noisy grey discs (class 1) and squares (2), on a border of no class; the inside of both looks the same."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32]
    images, masks = [], []
    for _ in range(24):
        mask = np.zeros((32, 32), np.uint8)
        centre = rng.integers(6, 10, 2)
        mask[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= 20] = 1
        corner = rng.integers(16, 22, 2)
        mask[corner[0] : corner[0] + 7, corner[1] : corner[1] + 7] = 2
        image = np.where(mask == 0, 60, 0)[..., None] + [[[80, 90, 100]]] + rng.normal(0, 5, (32, 32, 1))
        mask[0] = 255
        images.append(image.astype(np.uint8))
        masks.append(mask)
    return jnp.asarray(np.stack(images)), jnp.asarray(np.stack(masks))


@pytest.mark.slow
def test_masks_are_learned(scenes):
    images, masks = scenes
    forest = pixel_forest.fit(
        KEY, images[:16], masks[:16], None, num_classes=3, num_features=60, num_trees=10, pixels_per_image=200
    )
    probabilities = pixel_forest.predict_probabilities(forest, images[16:], None)
    assert probabilities.shape == (8, 32, 32, 3)
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)
    found, truth = np.asarray(pixel_forest.predict(forest, images[16:], None)), np.asarray(masks[16:])
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, probabilities.argmax(-1))
    for label in range(3):
        both = np.sum((found == label) & (truth == label))
        assert both / np.sum(((found == label) | (truth == label)) & (truth != 255)) > 0.7
    # Blocks do not show, and another size of image is fine.
    part = pixel_forest.predict_probabilities(forest, images[16:17], None, block_size=100)
    np.testing.assert_allclose(part, probabilities[:1], atol=1e-6)
    assert pixel_forest.predict(forest, images[:2, :20, :25], None).shape == (2, 20, 25)


@pytest.mark.slow
def test_memory_is_bounded_by_the_block(scenes):
    images, masks = scenes
    forest = pixel_forest.fit(KEY, images, masks, None, num_classes=3, num_trees=2, pixels_per_image=20)
    large = jax.ShapeDtypeStruct((1, 1000, 1000, 3), jnp.uint8)

    def run(images):
        return pixel_forest.predict(forest, images, None, block_size=1024)

    scratch = jax.jit(run).lower(large).compile().memory_analysis().temp_size_in_bytes
    assert scratch < 40e6 < 4 * 200 * 1000**2  # probabilities twice, and a block


def test_bad_arguments(scenes):
    images, masks = scenes
    fit = pixel_forest.fit.__wrapped__
    with pytest.raises(ValueError, match='masks must be of shape'):
        fit(KEY, images, masks[:3], None, num_classes=3)
    with pytest.raises(ValueError, match='from 0 to 1 or 255, got uint8 from 0 to 2'):
        fit(KEY, images, masks, None, num_classes=2)
    with pytest.raises(ValueError, match='no pixel has a class'):
        fit(KEY, images, jnp.full_like(masks, 255), None, num_classes=2)
    with pytest.raises(ValueError, match='depth must be of shape'):
        fit(KEY, images, masks, jnp.ones((1, 2, 2)), num_classes=3)
    with pytest.raises(ValueError, match="'gini' or 'entropy'"):
        fit(KEY, images, masks, None, num_classes=3, criterion='variance')


@pytest.mark.parametrize('with_depth', [False, True])
def test_predictions_need_what_the_training_had(with_depth):
    images, masks = jnp.zeros((1, 6, 6, 3)).at[:, :3].set(1), jnp.zeros((1, 6, 6), int).at[:, :3].set(1)
    depth, other = (jnp.ones((1, 6, 6)), None) if with_depth else (None, jnp.ones((1, 6, 6)))
    forest = pixel_forest.fit(KEY, images, masks, depth, num_classes=2, num_trees=1, num_features=4)
    found = pixel_forest.predict(forest, images, depth)
    np.testing.assert_array_equal(jax.jit(pixel_forest.predict)(forest, images, depth), found)
    for predict in (pixel_forest.predict, pixel_forest.predict_probabilities):
        with pytest.raises(ValueError, match='images of 3 channels, these have 1'):
            predict(forest, images[..., :1], depth)
        with pytest.raises(ValueError, match='with depth, which' if with_depth else 'without depth: pass None'):
            predict(forest, images, other)
