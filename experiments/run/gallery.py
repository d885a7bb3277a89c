"""The worst examples of an evaluation, and all its answers where they are compared, collected batch by batch."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from jaxcv.task import Compared, Gallery, Judged, Presentation, Shown

INDEX = 'index'
See = Callable[[Mapping[str, Any], Mapping[str, Any]], None]
"""(batch, answer) -> None, for `training.evaluate`."""


class Worst:
    """The examples whose answers are the worst, of all that were seen; of equals the first in the data set."""

    def __init__(self, presentation: Presentation):
        """Empty."""
        self._presentation = presentation
        self.gallery = Gallery()

    def see(self, batch: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Judges one more batch."""
        batch, answer = jax.device_get((dict(batch), dict(answer)))
        for i in np.flatnonzero(batch['valid']).tolist():
            example, own = row(batch, i), row(answer, i)
            self._add(Shown(example, own, self._presentation.judge(example, own)))

    def _add(self, shown: Shown) -> None:
        before, rows, judged = self.gallery, self.gallery.rows, shown.judged or Judged(0.0, 0, 0)
        if len(rows) < self._presentation.most or _rank(shown) < _rank(rows[-1]):
            worst_first = sorted([*rows, _copied(shown)], key=_rank)
            rows = tuple(worst_first[: self._presentation.most])
        self.gallery = Gallery(rows, before.seen + 1, before.mistakes + judged.mistakes, before.of + judged.of)


class Kept:
    """What `Presentation.compared` keeps of all examples of an evaluation, in their order."""

    def __init__(self, compared: Compared):
        """Empty."""
        self._compared = compared
        self._parts: list[Mapping[str, np.ndarray]] = []

    def see(self, batch: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Keeps the rows of one more batch."""
        batch, answer = jax.device_get((dict(batch), dict(answer)))
        rows = {**self._compared.collect(batch, answer), INDEX: batch[INDEX]}
        self._parts.append({name: value[batch['valid']] for name, value in rows.items()})

    @property
    def rows(self) -> dict[str, np.ndarray]:
        """{name: [n ...]}, with the places of the examples in the data set, 'index'; {} if nothing was seen."""
        return {name: np.concatenate([part[name] for part in self._parts]) for name in (self._parts or [{}])[0]}


def first(presentation: Presentation, batch: Mapping[str, Any], answer: Mapping[str, Any], count: int) -> Gallery:
    """The first valid examples of a batch, for pictures that stay the same ones during training."""
    batch, answer = jax.device_get((dict(batch), dict(answer)))
    places = np.flatnonzero(batch['valid']).tolist()[:count]
    pairs = [(row(batch, i), row(answer, i)) for i in places]
    return Gallery(tuple(Shown(example, own, presentation.judge(example, own)) for example, own in pairs))


def row(batch: Mapping[str, Any], i: int) -> dict[str, Any]:
    """Example i of a batch on the host."""
    return {name: value[i] for name, value in batch.items()}


def _copied(shown: Shown) -> Shown:
    """The same in memory of its own, so that the batch need not be kept."""
    example, answer = ({name: np.array(x) for name, x in part.items()} for part in (shown.example, shown.answer))
    return Shown(example, answer, shown.judged)


def _rank(shown: Shown) -> tuple[float, int]:
    badness = shown.judged.badness if shown.judged else 0.0
    return -np.inf if np.isnan(badness) else -badness, int(shown.example.get(INDEX, 0))
