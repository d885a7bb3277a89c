"""Metrics of flow and disparity.

All read `predictions = {'flow': [n, h, w, 2], 'valid': bool [n]}` and
`batch = {'flow': [n, h, w, 2], 'flow_valid': bool [n, h, w]}`, or 'disparity' `[n, h, w]` in their place. Images that
are not valid and pixels without known truth are left out; without 'flow_valid', those whose truth is finite are known.
A prediction that is not finite is missing, and so are those where the predictions' own 'flow_valid' is False, as where
a classical method has no answer.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxcv.arguments import Positive, checked
from jaxcv.losses.fields import endpoint_error
from jaxcv.metrics.sums import Count, Sum, count, exact, float_sum, merge, share, value
from jaxcv.task import SHARE, Metric, Unit
from jaxcv.types import Array

Field = Literal['flow', 'disparity']
Region = Literal['all', 'visible']

PIXELS = Unit('pixels', 'min', digits=3)
ERRORS = SHARE._replace(better='min')


class _Errors(NamedTuple):
    total: Sum
    """Of the endpoint errors."""
    image_total: Sum
    """Of the mean endpoint errors of images."""
    images: Count
    """Images with an answered pixel."""
    known: Count
    """Pixels with a truth."""
    answered: Count
    """Those of them with a prediction."""
    outliers: Count
    """Those of them that KITTI counts as wrong, missing ones too."""
    bad: Count
    """Of each threshold, the known pixels beyond it or without a prediction."""


@checked
def field_errors(*, field: Field, thresholds: Sequence[Positive] = (1.0, 2.0, 3.0), region: Region = 'all') -> Metric:
    """Errors of flow or disparity.

    The error of a pixel is the Euclidean length of the difference of its vectors, of a disparity its absolute value.

    Args:
        field: 'flow' or 'disparity', the feature and the prediction.
        thresholds: pixels x of the values bad-x.
        region: 'visible' takes only pixels that the second image shows as well, where the batch's feature
            `flow_visible` or `disparity_visible` is True; all names then end in '_visible'. KITTI calls the two 'occ'
            and 'noc', Middlebury 'all' and 'nonocc'.

    Returns:
        A Metric of the values

        * `epe`: the mean error of the known pixels of all images together that have a prediction, as of Sintel;
        * `image_epe`: the mean over images of each image's mean error. Where images have unequally many known pixels,
          as KITTI's, the two differ;
        * `outliers`: KITTI's Fl and D1: the share of known pixels whose error is above 3 pixels and above 5 % of the
          length of the truth;
        * `bad_1`, `bad_2`, ...: the share of known pixels whose error is above so many pixels. In it and in
          `outliers`, missing predictions are wrong;
        * `density`: the share of known pixels that have a prediction.

    Raises:
        ValueError: (when called) the predictions are not of the truth's size, a field is not of its shape, or the batch
            has no such feature.

    Example:
        >>> metric = field_errors(field='disparity', thresholds=(1.0,))
        >>> batch = {'disparity': jnp.array([[[10.0, 10.0, 10.0, jnp.inf]]])}
        >>> predictions = {'disparity': jnp.array([[[10.5, 14.5, jnp.nan, 3.0]]]), 'valid': jnp.array([True])}
        >>> values = metric.compute(metric.measure(predictions, batch))
        >>> {name: round(float(number), 2) for name, number in values.items()}
        {'epe': 2.5, 'image_epe': 2.5, 'outliers': 0.67, 'bad_1': 0.67, 'density': 0.67}

    Menze and Geiger 2015, Object scene flow for autonomous vehicles; Scharstein et al. 2014, High-resolution stereo
    datasets with subpixel-accurate ground truth.
    """
    end = '' if region == 'all' else '_visible'
    bad_names = [f'bad_{threshold:g}{end}' for threshold in thresholds]

    def measure(predictions: Mapping[str, Any], batch: Mapping[str, Any]) -> _Errors:
        truth, found = (_vectors(x, field) for x in (batch, predictions))
        if truth.shape != found.shape:
            raise ValueError(
                f'the {field} is predicted with shape {found.shape} for truth of shape {truth.shape}: predictions are '
                'at the full size of the images'
            )
        known = jnp.isfinite(truth).all(axis=-1) & jnp.asarray(predictions['valid'])[:, None, None]
        if f'{field}_valid' in batch:
            known &= jnp.asarray(batch[f'{field}_valid'])
        if region == 'visible':
            known &= jnp.asarray(_required(batch, f'{field}_visible'))
        answered = known & jnp.isfinite(found).all(axis=-1)
        if f'{field}_valid' in predictions:
            answered &= jnp.asarray(predictions[f'{field}_valid'])
        truth, found = (jnp.where(answered[..., None], x, 0) for x in (truth, found))
        errors = endpoint_error(found, truth)
        outlier = (errors > 3) & (errors > 0.05 * endpoint_error(truth, jnp.zeros_like(truth)))
        missing = known & ~answered
        pixels = answered.sum(axis=(1, 2))
        sums = errors.sum(axis=(1, 2))
        bad = jnp.stack([((errors > threshold) | missing).sum() for threshold in thresholds])
        return _Errors(
            float_sum(sums),
            float_sum(sums / jnp.maximum(pixels, 1)),
            count((pixels > 0).sum()),
            count(known.sum()),
            count(pixels.sum()),
            count((outlier | missing).sum()),
            count(bad),
        )

    def compute(errors: _Errors) -> dict[str, Any]:
        known, answered = exact(errors.known), exact(errors.answered)
        values = {
            'epe': share(np.asarray(value(errors.total)), answered),
            'image_epe': share(np.asarray(value(errors.image_total)), exact(errors.images)),
            'outliers': share(exact(errors.outliers), known),
            'density': share(answered, known),
        }
        named = {f'{name}{end}': number for name, number in values.items()}
        bad = dict(zip(bad_names, share(exact(errors.bad), known), strict=True))
        density = named.pop(f'density{end}')
        return {**named, **bad, f'density{end}': density}

    units = {
        **dict.fromkeys((f'epe{end}', f'image_epe{end}'), PIXELS),
        **dict.fromkeys((f'outliers{end}', *bad_names), ERRORS),
        f'density{end}': SHARE,
    }
    return Metric(measure, compute, units, merge)


def _vectors(features: Mapping[str, Any], field: Field) -> Array:
    """Return a field as vectors [n h w c]."""
    x = jnp.asarray(_required(features, field), jnp.float32)
    wanted = 4 if field == 'flow' else 3
    if x.ndim != wanted or (field == 'flow' and x.shape[-1] != 2):
        form = '[n h w 2]' if field == 'flow' else '[n h w]'
        raise ValueError(f'{field} has the shape {form}, got {x.shape}')
    return x if field == 'flow' else x[..., None]


def _required(features: Mapping[str, Any], name: str) -> Any:
    if name not in features:
        raise ValueError(f'the errors need {name!r}, but there are {", ".join(sorted(features))}')
    return features[name]
