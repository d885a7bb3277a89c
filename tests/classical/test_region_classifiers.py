"""R-CNN's last two steps on features whose classes and boxes are known."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from jaxcv import ops
from jaxcv.classical import region_classifiers as classifiers


def example(rng, labels=(0, 1), regions=30):
    """Features that say which object a region overlaps, and by how much it is shifted."""
    boxes = np.array([[10.0 + 40 * i, 10, 30 + 40 * i, 40] for i in range(len(labels))])
    shift = rng.uniform(-6, 6, (regions, 4))
    place = rng.integers(0, len(labels) + 1, regions)
    around = np.concatenate([boxes, [[200.0, 200, 220, 230]]])[place] + shift
    kinds = np.eye(3)[np.append(np.array(labels), 2)[place]]
    close = np.exp(-np.abs(shift).sum(axis=1, keepdims=True) / 10)
    codes = np.asarray(ops.box_coder().encode(jnp.asarray(around - shift), jnp.asarray(around)))
    own = np.eye(3)[list(labels)]
    return classifiers.RegionExample(around, kinds * close, codes, boxes, np.array(labels), own)


def test_machines_rank_the_objects_of_a_class_first_however_often_they_are_fitted():
    rng = np.random.default_rng(0)
    examples = [example(rng) for _ in range(40)]
    for refit_after in (50, 10_000):
        machines = classifiers.fit_region_svms(examples, num_classes=3, penalty=1.0, refit_after=refit_after)
        margins = classifiers.margins(machines, np.eye(3))
        assert (np.diag(margins)[:2] > 0.5).all()
        assert (margins[~np.eye(3, dtype=bool)] < 0).all()
        np.testing.assert_array_equal(margins[:, 2], [-1, -1, -1])  # no object of this class


def test_ridges_are_scikit_learns_on_whitened_targets_and_boxes_come_back():
    rng = np.random.default_rng(1)
    examples = [example(rng, labels=(0,)) for _ in range(20)]
    encode = ops.box_coder().encode
    ridges = classifiers.fit_box_ridges(examples, num_classes=2, encode=encode, penalty=1e-6, least_iou=0.5)
    one = example(rng, labels=(0,))
    near = one.pooled[np.abs(one.pooled).max(axis=1) < 0.3]
    np.testing.assert_allclose(classifiers.box_codes(ridges, near)[:, 0], near, atol=2e-3)
    np.testing.assert_array_equal(classifiers.box_codes(ridges, near)[:, 1], 0)

    # Whitening is linear, so that it changes a regression only by the ridge; bias and weights are penalized alike.
    x, y = rng.normal(size=(50, 3)), rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4))
    weights, bias = classifiers._ridge(x, y, 10.0)
    mean = y.mean(axis=0)
    covariance = np.cov(y.T, bias=True)
    values, axes = np.linalg.eigh(covariance)
    white = axes @ np.diag((values + 1e-3) ** -0.5) @ axes.T
    expected = Ridge(alpha=10.0, fit_intercept=False).fit(np.c_[x, np.ones(50)], (y - mean) @ white)
    np.testing.assert_allclose(
        x @ weights + bias, expected.predict(np.c_[x, np.ones(50)]) @ np.linalg.inv(white) + mean
    )


def test_nothing_to_fit_on_is_told():
    with pytest.raises(ValueError, match='there are no images'):
        classifiers.fit_region_svms([], num_classes=1)
