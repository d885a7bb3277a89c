"""Pieces that schedules are made of: curves of the share of updates still to come, and the check of the end."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

LAST_COUNT = 2**31 - 1
"""The largest count of updates, an int32."""


def half_cosine(left: Any) -> Any:
    """(1 - cos(π left)) / 2, in a form without cancellation near 0 in float32."""
    return jnp.sin(jnp.pi / 2 * left) ** 2


def interpolated(start: Any, end: Any, share: Any) -> Any:
    """Interpolate linearly: `start` where the share is 1, `end` where it is 0, both exactly."""
    return start * share + end * (1 - share)


def number_passed(t: Any, places: Sequence[float]) -> Any:
    """Return the number of places that are at most t."""
    return jnp.sum(jnp.asarray(t)[..., None] >= jnp.asarray(places), axis=-1, dtype=jnp.int32)


def check_at_most_peak(name: str, rate: float, peak: float) -> None:
    """Raise ValueError for a learning rate over the peak."""
    if rate > peak:
        raise ValueError(f'{name} must be at most peak, which is {peak}, got {rate}')
