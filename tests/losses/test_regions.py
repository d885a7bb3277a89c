"""Losses of regions against NumPy; padding has no loss and no gradient that is not finite."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcv import losses, ops


def smooth(x, beta):
    return np.where(np.abs(x) < beta, x**2 / (2 * beta), np.abs(x) - beta / 2)


def codes_of(boxes, anchors, weights):
    sides, own = boxes[:, 2:] - boxes[:, :2], anchors[:, 2:] - anchors[:, :2]
    centres, around = (boxes[:, 2:] + boxes[:, :2]) / 2, (anchors[:, 2:] + anchors[:, :2]) / 2
    return np.concatenate([(centres - around) / own, np.log(sides / own)], axis=1) * weights


def test_terms_equal_numpy():
    rng = np.random.default_rng(0)
    truth_boxes = np.float32([[4, 4, 20, 24], [30, 8, 50, 40], [0, 0, 0, 0]])
    truth = losses.Truth(jnp.asarray(truth_boxes), jnp.array([2, 0, 1]), jnp.array([True, True, False]))
    regions = np.float32([[5, 4, 20, 22], [28, 8, 52, 44], [60, 60, 70, 70], [0, 0, 0, 0]])
    drawn = ops.SampledRegions(
        jnp.asarray(regions),
        jnp.array([0, 1, 0, 0]),
        jnp.array([True, True, False, False]),
        jnp.array([True, True, True, False]),
    )
    logits = rng.standard_normal((4, 4)).astype(np.float32)
    codes = rng.standard_normal((4, 4, 4)).astype(np.float32)
    masks = rng.standard_normal((4, 3, 3, 4)).astype(np.float32)
    targets = rng.uniform(size=(4, 3, 3)).astype(np.float32)

    @jax.jit
    def run(logits, codes, masks, proposal_logits):
        def total(logits, codes, masks, proposal_logits):
            terms = dict(losses.region_loss(logits, codes, drawn, truth))
            labels = losses.region_labels(drawn.indices, drawn.positive, truth.box_labels)
            terms['masks'] = losses.mask_loss(masks, jnp.asarray(targets), labels, drawn.positive)
            of_anchors = losses.proposal_loss(
                jax.random.key(0), proposal_logits, codes[:, 0], drawn.boxes, truth, positive=0.5, negative=0.3
            )
            return sum({**terms, **of_anchors}.values()), {**terms, **of_anchors}

        return jax.grad(total, argnums=(0, 1, 2, 3), has_aux=True)(logits, codes, masks, proposal_logits)

    gradients, terms = run(logits, codes, masks, logits[:, 0])
    assert all(np.isfinite(x).all() for x in gradients)
    assert not np.asarray(gradients[0][3]).any()
    labels = np.array([3, 1, 0])
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(terms['classes'], -np.log(probabilities[range(3), labels]).mean(), rtol=1e-5)
    wanted = codes_of(truth_boxes[:2], regions[:2], np.array([10, 10, 5, 5]))
    own = np.stack([codes[0, 3], codes[1, 1]])
    np.testing.assert_allclose(terms['boxes'], smooth(own - wanted, 1 / 9).sum() / 3, rtol=1e-5)
    picked = np.stack([masks[0, ..., 3], masks[1, ..., 1]]).astype(np.float64)
    entropy = np.logaddexp(0, picked) - picked * targets[:2]
    np.testing.assert_allclose(terms['masks'], entropy.mean(), rtol=1e-5)
    # Anchors: two positives, two negatives, all of them sampled.
    signs = np.array([1, 1, 0, 0])
    entropy = np.logaddexp(0, logits[:, 0]) - logits[:, 0] * signs
    np.testing.assert_allclose(terms['objectness'], entropy.mean(), rtol=1e-5)
    wanted = codes_of(truth_boxes[:2], regions[:2], 1.0)
    np.testing.assert_allclose(terms['proposal_boxes'], smooth(codes[:2, 0] - wanted, 1 / 9).sum() / 4, rtol=1e-5)
