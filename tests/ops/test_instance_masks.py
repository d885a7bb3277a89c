"""Mask targets against RoIAlign in NumPy, whole and cropped; pasting against a direct sum; warped regions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import ops
from tests.ops import roi_references as references


@pytest.mark.parametrize('aligned', [False, True])
def test_targets_are_the_aligned_mask_of_their_object(aligned):
    rng = np.random.default_rng(0)
    masks = np.zeros((2, 3, 20, 24), np.uint8)
    for i in range(2):
        for g in range(3):
            x, y = rng.integers(0, 10, 2)
            masks[i, g, y : y + 9, x : x + 12] = 1
    low = rng.uniform(-1, 12, (2, 5, 2))
    boxes = np.concatenate([low, low + rng.uniform(1, 10, (2, 5, 2))], -1).astype(np.float32)
    indices = rng.integers(0, 3, (2, 5))
    found = jax.jit(lambda *x: ops.mask_targets(*x, size=4, aligned=aligned))(masks, boxes, indices)
    for i in range(2):
        for r in range(5):
            mask = masks[i, indices[i, r], :, :, None].astype(np.float64)
            options = {'stride': 1, 'size': (4, 4), 'samples': 0, 'aligned': aligned}
            expected, _ = references.roi_align(mask, boxes[i, r : r + 1], np.zeros((1, 4, 4, 1)), **options)
            np.testing.assert_allclose(found[i, r], expected[0, ..., 0], atol=1e-5)


@pytest.mark.slow
def test_masks_cropped_to_their_boxes_give_the_same_targets():
    """The object's crop is as fine as its box, so nothing is lost."""
    masks = np.zeros((1, 1, 16, 16), np.uint8)
    masks[0, 0, 4:12, 4:10] = 1
    boxes = jnp.array([[[5.0, 5, 9, 11]]])

    @jax.jit
    def both(masks):
        first, around = jnp.zeros((1, 1), jnp.int32), jnp.array([[[2.0, 2, 14, 14]]])
        crops = masks[:, :, 2:14, 2:14]
        return (
            ops.mask_targets(masks, boxes, first, size=3),
            ops.mask_targets(crops, boxes, first, size=3, crops_of=around),
        )

    whole, cropped = both(masks)
    np.testing.assert_allclose(cropped, whole, atol=1e-5)


def test_pasting_inverts_the_crop_and_is_cut_at_the_image():
    found = ops.paste_mask(np.ones((28, 28), np.float32), np.float32([10, 20, 40, 30]), size=(50, 60))
    assert (found[20:30, 10:40] == 1).all()
    assert found[32:].sum() == found[:, 42:].sum() == 0  # up to a cell more, as torchvision has it
    assert found[:19].sum() == found[:, :9].sum() == 0
    over = ops.paste_mask(np.ones((28, 28), np.float32), np.float32([-10, -10, 80, 70]), size=(50, 60))
    assert over.all()
    assert not ops.paste_mask(np.ones((28, 28), np.float32), np.float32([90, 90, 99, 99]), size=(50, 60)).any()
    left = np.zeros((28, 28), np.float32)
    left[:, :14] = 1
    found = ops.paste_mask(left, np.float32([0, 0, 40, 40]), size=(40, 40))
    assert found[5:35, :18].all()
    assert not found[:, 22:].any()


def test_warped_regions_have_their_context_and_zeros_outside():
    image = np.arange(64, dtype=np.float32).reshape(1, 8, 8, 1)
    boxes = jnp.array([[[2.0, 2, 6, 6], [-4, 0, 4, 8], [0, 0, 8, 8]]])
    warp = jax.jit(lambda image: ops.warp_regions(image, boxes, size=8, context=2))
    found = np.asarray(warp(image)[0, ..., 0])
    np.testing.assert_allclose(found[0], image[0, :, :, 0], atol=1e-5)  # 4 pixels and 2 on each side, not scaled
    assert (found[1][:, :4] == 0).all()
    assert (found[1][3:5, -2:] > 0).all()
    assert (found[2][[0, -1]] == 0).all()


def test_both_ways_of_pasting_are_the_same():
    rng = np.random.default_rng(2)
    low = rng.uniform(-10, 30, (12, 2))
    boxes = np.concatenate([low, low + rng.uniform(0, 40, (12, 2))], -1).astype(np.float32)
    masks = rng.uniform(0, 1, (12, 7, 7)).astype(np.float32)
    found = np.asarray(jax.jit(lambda *x: ops.paste_masks(*x, size=(32, 40)))(masks, boxes))
    for mask, box, one in zip(masks, boxes, found, strict=True):
        np.testing.assert_array_equal(one, ops.paste_mask(mask, box, size=(32, 40)))
