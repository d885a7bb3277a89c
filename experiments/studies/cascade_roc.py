"""Detected faces over false positives of a cascade, for all thresholds.

The cascade has a threshold in each stage. Two ways to trade faces for false positives are compared:

* the threshold of the last stage moves, and where that is used up the last stage is left out and the one before it
  moves, as in the paper: windows are ranked by the last stage that they reach, then by their margin there;
* all votes of all stages are added up for each window, and one threshold decides: a classifier without a cascade.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from experiments.run import tables
from experiments.studies import face_windows
from jaxcv.classical.cascade import THRESHOLD_MARGIN, Cascade
from jaxcv.classical.photo_windows import PhotoWindows, photo_windows, places, stage_stumps, stump_sums
from jaxcv.metrics.scores import roc
from jaxcv.viz.figures import BLUE, ORANGE, headline, style

SAMPLED = 20_000
"""Windows whose votes are all added up, about."""
RATES = (1e-2, 1e-3, 1e-4, 1e-5, 0.0)
"""False positives a window, in the table."""


class Curve(NamedTuple):
    """Faces that are kept over false positives, at every threshold that changes something."""

    false: np.ndarray
    """The share of the other windows that pass, ascending from 0."""
    kept: np.ndarray
    """The share of the faces that do."""
    windows: int
    """Other windows in all."""


class Reached(NamedTuple):
    """The windows that reach a stage."""

    windows: np.ndarray
    """Their numbers, ascending."""
    margins: np.ndarray
    """Their sums of votes in the stage, less its threshold: at least 0 for those that pass."""


class Judged(NamedTuple):
    """A cascade on the test faces and the test photo."""

    kept: np.ndarray
    """The share of the test faces that is left after each stage, the first is 1."""
    false: np.ndarray
    """Windows of the test photo away from its face, likewise."""
    found: bool
    """Whether a window at the face is left at the end."""
    cascade: Curve
    """By the threshold of the last stage, and of those before it."""
    vote: Curve
    """By the sum of all votes, of some of the windows."""


def judge(cascade: Cascade, faces: np.ndarray, photo: PhotoWindows) -> Judged:
    """Applies a cascade to faces and to a photo with one face.

    Args:
        cascade: of stumps.
        faces: windows with faces, uint8 `[n, h, w]`.
        photo: `face_windows.TEST_PHOTO`, with the cascade's window.
    """
    width, height = photo.size.tolist()
    patches = photo_windows(list(faces), width=width, height=height)
    flat = len(faces) - len(patches.corner)
    away = ~at_the_face(photo, np.arange(len(photo.corner)))
    of_faces = np.concatenate([np.tile([-1.0, 0.0], (flat, 1)), ranks(patches, cascade)])
    of_windows = ranks(photo, cascade)
    steps = np.arange(len(cascade.stage_thresholds) + 1)
    kept = (of_faces[:, :1] >= steps).mean(axis=0)
    some = np.flatnonzero(away)[:: max(1, int(away.sum()) // SAMPLED)]
    summed = np.concatenate([np.full(flat, -np.inf), votes(patches, cascade)])
    return Judged(
        np.append(1.0, kept[1:]),
        (of_windows[away, :1] >= steps).sum(axis=0),
        bool((of_windows[~away, 0] == steps[-1]).any()),
        curve(of_faces, of_windows[away]),
        curve(summed[:, None], votes(photo, cascade, some)[:, None]),
    )


def through_stages(windows: PhotoWindows, cascade: Cascade) -> Iterator[Reached]:
    """Takes windows through the stages of a cascade; each stage is computed when it is asked for, and may be timed."""
    left = np.arange(len(windows.corner))
    for stage, threshold in zip(stage_stumps(cascade), np.asarray(cascade.stage_thresholds), strict=True):
        margins = stump_sums(windows, left, stage) - np.float64(threshold - THRESHOLD_MARGIN)
        yield Reached(left, margins)
        left = left[margins >= 0]


def ranks(windows: PhotoWindows, cascade: Cascade) -> np.ndarray:
    """The number of stages that each window passes, and its margin in the last one that it reaches, `[n, 2]`."""
    found = np.zeros((len(windows.corner), 2))
    for reached in through_stages(windows, cascade):
        found[reached.windows, 1] = reached.margins
        found[reached.windows[reached.margins >= 0], 0] += 1
    return found


def votes(windows: PhotoWindows, cascade: Cascade, some: np.ndarray | None = None) -> np.ndarray:
    """The sum of the votes of all stages, for all windows or for some, whose ascending numbers are given."""
    chosen = np.arange(len(windows.corner)) if some is None else some
    return np.sum([stump_sums(windows, chosen, stage) for stage in stage_stumps(cascade)], axis=0)


def curve(faces: np.ndarray, others: np.ndarray) -> Curve:
    """The curve of ranks, of which a later column decides where the earlier ones are equal.

    Args:
        faces: `[n, columns]`, larger ones are more like a face.
        others: `[m, columns]`.

    Example:
        >>> found = curve(np.array([[2, 0.5], [1, 0.5]]), np.array([[1, 0.7], [0, 3.0]]))
        >>> found.false.tolist(), found.kept.tolist()
        ([0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0])
    """
    _, rank = np.unique(np.concatenate([faces, others]), axis=0, return_inverse=True)
    found = roc(-rank.ravel().astype(float), np.arange(len(rank)) < len(faces))
    return Curve(found.far, found.tar, len(others))


def kept_at(found: Curve, rate: float) -> float | None:
    """The share of the faces that is kept with at most that rate of false positives; None if it cannot be measured.

    Example:
        >>> found = curve(np.array([[3.0], [1.0]]), np.array([[2.0], [0.0]]))
        >>> [kept_at(found, rate) for rate in (0.5, 0.1, 0.0)]
        [1.0, None, 0.5]
    """
    if 0 < rate < 1 / found.windows:
        return None
    return float(found.kept[found.false <= rate].max())


def table(judged: Judged) -> str:
    """Markdown: the share of the test faces that is kept at rates of false positives."""
    rows = [['false positives a window', 'in the photo', 'test faces, by the last stages, %', 'by the sum of votes, %']]
    for rate in RATES:
        sampled = judged.vote.windows < judged.cascade.windows
        by_vote = None if sampled and not rate else kept_at(judged.vote, rate)
        shares = [kept_at(judged.cascade, rate), by_vote]
        in_photo = f'{rate * judged.cascade.windows:,.0f}'
        rows.append([f'{rate:g}', in_photo, *('-' if share is None else f'{100 * share:.1f}' for share in shares)])
    return tables.markdown(rows)


def figure(judged: Judged) -> Figure:
    """Test faces that are kept over false positives, for all thresholds, and after 1, 2, ... stages."""
    drawn = Figure(figsize=(6.4, 4.6), layout='constrained')
    axes = drawn.subplots()
    of_all = judged.cascade.windows
    for name, found, color in (
        ('threshold of the last stage, then of those before it', judged.cascade, BLUE),
        (f'threshold of the sum of all votes, of {judged.vote.windows:,} windows', judged.vote, ORANGE),
    ):
        seen = found.false > 0
        axes.plot(found.false[seen], 100 * found.kept[seen], color=color, label=name, linewidth=1.6)
    points = np.maximum(judged.false[1:] / of_all, 1 / of_all), 100 * judged.kept[1:]
    axes.plot(
        *points, color=BLUE, marker='o', markersize=4, linestyle='none', label='as trained, after 1, 2, ... stages'
    )
    for number, place in enumerate(zip(*(part.tolist() for part in points), strict=True), 1):
        axes.annotate(str(number), place, (4, -11 if number % 2 else 5), textcoords='offset points', fontsize=8)
    axes.set_xscale('log')
    axes.set(xlabel='false positives a window of the photo', ylabel='test faces kept, %', ylim=(0, 102))
    above = axes.secondary_xaxis('top', functions=(partial(np.multiply, of_all), partial(np.multiply, 1 / of_all)))
    above.set_xlabel('false positives in the photo, before grouping', fontsize=9)
    axes.legend(frameon=False, fontsize=8, loc='lower right')
    style(axes)
    headline(drawn, 'Test faces and false positives, for all thresholds')
    return drawn


def at_the_face(photo: PhotoWindows, windows: np.ndarray) -> np.ndarray:
    """Whether the centre of each window is within the face of the test photo."""
    return face_windows.at_the_face(places(photo, windows)[:, 1:])
