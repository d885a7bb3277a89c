"""Pieces that schedules are made of: curves of the share of updates still to come, and checks of counts."""

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


def check_positive(**counts: int) -> None:
    """Raise ValueError for a count below 1."""
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f'{name} is {count}; it must be at least 1')
