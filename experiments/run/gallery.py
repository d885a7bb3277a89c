"""The worst examples of an evaluation, collected as its batches go by."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from jaxcv.task import Answer, Example, Gallery, Judged, Presentation, Shown

See = Callable[[Mapping[str, Any], Mapping[str, Any]], None]
"""(batch, answer) -> None, for `training.evaluate`."""


class Worst:
    """The examples whose answers are the worst, of all that were seen; of equally bad ones the first stay."""

    def __init__(self, presentation: Presentation):
        """Empty."""
        self._presentation = presentation
        self.gallery = Gallery()

    def see(self, batch: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Judges one more batch."""
        batch, answer = jax.device_get((dict(batch), dict(answer)))
        for i in np.flatnonzero(batch['valid']).tolist():
            example, own = row(batch, i), row(answer, i)
            self._add(example, own, self._presentation.judge(example, own))

    def _add(self, example: Example, answer: Answer, judged: Judged) -> None:
        before = self.gallery
        rows = [*before.rows, Shown(example, answer, judged)]
        worst_first = sorted(rows, key=lambda shown: -_badness(shown))[: self._presentation.most]
        seen = before.seen + 1, before.mistakes + judged.mistakes, before.of + judged.of
        self.gallery = Gallery(tuple(worst_first), *seen)


def first(presentation: Presentation, batch: Mapping[str, Any], answer: Mapping[str, Any], count: int) -> Gallery:
    """The first valid examples of a batch, for pictures that stay the same ones during training."""
    batch, answer = jax.device_get((dict(batch), dict(answer)))
    places = np.flatnonzero(batch['valid']).tolist()[:count]
    pairs = [(row(batch, i), row(answer, i)) for i in places]
    return Gallery(tuple(Shown(example, own, presentation.judge(example, own)) for example, own in pairs))


def row(batch: Mapping[str, Any], i: int) -> dict[str, Any]:
    """Example i of a batch on the host; a copy, so that the batch is not kept."""
    return {name: np.array(value[i]) for name, value in batch.items()}


def _badness(shown: Shown) -> float:
    badness = shown.judged.badness if shown.judged else 0.0
    return np.inf if np.isnan(badness) else badness
