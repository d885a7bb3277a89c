"""Errors of flow and disparity against their definitions, merged from batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.metrics import field_errors

RNG = np.random.default_rng(0)
TRUTH = (60 * RNG.standard_normal((5, 6, 7, 2))).astype(np.float32)
FOUND = (TRUTH + 4 * RNG.standard_normal(TRUTH.shape)).astype(np.float32)
KNOWN = RNG.random(TRUTH.shape[:3]) < np.array([0.9, 0.5, 0.1, 0.9, 0.9])[:, None, None]
VISIBLE = RNG.random(TRUTH.shape[:3]) < 0.6
VALID = np.array([True, True, True, False, True])
FOUND[0, 0, 0] = np.nan
KNOWN[0, 0, 0] = VISIBLE[0, 0, 0] = True
KNOWN[4] = False  # an image without any truth


def computed(metric, predictions, batch):
    """From two batches."""
    parts = [
        jax.jit(metric.measure)(*({name: x[rows] for name, x in features.items()} for features in (predictions, batch)))
        for rows in (slice(0, 2), slice(2, 5))
    ]
    return {name: float(value) for name, value in metric.compute(metric.merge(*parts)).items()}


def expected(known):
    known = known & VALID[:, None, None]
    errors = np.linalg.norm(FOUND - TRUTH, axis=-1)
    answered, missing = known & np.isfinite(errors), known & ~np.isfinite(errors)
    length = np.linalg.norm(TRUTH, axis=-1)
    wrong = (np.nan_to_num(errors) > 3) & (np.nan_to_num(errors) > 0.05 * length)
    return {
        'epe': errors[answered].mean(),
        'image_epe': np.mean([errors[i][answered[i]].mean() for i in range(5) if answered[i].any()]),
        'outliers': ((wrong | missing) & known).sum() / known.sum(),
        'bad_1': ((np.nan_to_num(errors) > 1) & known | missing).sum() / known.sum(),
        'density': answered.sum() / known.sum(),
    }


def test_flow():
    batch = {'flow': np.where(KNOWN[..., None], TRUTH, 1e10), 'flow_valid': KNOWN, 'flow_visible': VISIBLE}
    predictions = {'flow': FOUND, 'valid': VALID}
    for region, known in (('all', KNOWN), ('visible', KNOWN & VISIBLE)):
        metric = field_errors(field='flow', thresholds=(1.0,), region=region)
        values = computed(metric, predictions, batch)
        end = '' if region == 'all' else '_visible'
        assert values.keys() == metric.units.keys()
        assert values == pytest.approx({f'{name}{end}': v for name, v in expected(known).items()}, rel=1e-5)
    assert values['epe_visible'] != pytest.approx(values['image_epe_visible'])


def test_disparity_with_missing_answers():
    """Infinite truth is unknown; what the predictions mark as missing is wrong, and leaves the mean error as it is."""
    metric = field_errors(field='disparity', thresholds=(0.5, 2.0))
    batch = {'disparity': jnp.array([[[100.0, 100.0, 8.0, jnp.inf]]])}
    found = {'disparity': jnp.array([[[104.0, 0.0, 8.25, 5.0]]]), 'valid': jnp.array([True])}
    found['disparity_valid'] = jnp.array([[[True, False, True, True]]])
    values = metric.compute(metric.measure(found, batch))
    assert {name: round(float(value), 3) for name, value in values.items()} == {
        'epe': 2.125,
        'image_epe': 2.125,
        'outliers': 0.333,  # 4 pixels of 100 are within 5 %
        'bad_0.5': 0.667,
        'bad_2': 0.667,
        'density': 0.667,
    }


def test_wrong_shapes():
    metric = field_errors(field='disparity')
    truth, valid = jnp.ones((1, 8, 8)), jnp.array([True])
    with pytest.raises(ValueError, match=r'with shape \(1, 2, 2, 1\) for truth of shape .* at the full size'):
        metric.measure({'disparity': truth[:, :2, :2], 'valid': valid}, {'disparity': truth})
    with pytest.raises(ValueError, match=r'disparity has the shape \[n h w\], got \(1, 8, 8, 1\)'):
        metric.measure({'disparity': truth[..., None], 'valid': valid}, {'disparity': truth})
    visible = field_errors(field='disparity', region='visible')
    with pytest.raises(ValueError, match="the errors need 'disparity_visible', but there are disparity"):
        visible.measure({'disparity': truth, 'valid': valid}, {'disparity': truth})
