"""Error rates by a threshold on a distance, in NumPy: ROC, EER, TAR at FAR, LFW's folds, DIR at FAR;
and the average precision of a ranking.

A pair is accepted, "the same", where its distance is below the threshold. Two sets of pairs are compared: `same` is
True for genuine pairs and False for impostors. All thresholds between two distances are tried: nothing is interpolated
but the equal error rate.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Roc(NamedTuple):
    """Rates at every threshold that changes a decision, from nothing accepted to everything."""

    far: np.ndarray
    """False accept rate: the share of impostors that are accepted."""
    tar: np.ndarray
    """True accept rate: the share of genuine pairs that are accepted."""
    thresholds: np.ndarray
    """Distances below which a pair is accepted, halfway between two."""


def roc(distances: np.ndarray, same: np.ndarray) -> Roc:
    """Receiver operating characteristic of distances.

    Args:
        distances: `[n]`.
        same: bool `[n]`, with pairs of both kinds.

    Returns:
        Roc: arrays `[distinct distances + 1]`.

    Raises:
        ValueError: there are no pairs of one kind, or distances are not finite.

    Example:
        >>> roc(np.array([0.1, 0.3, 0.5]), np.array([True, False, True])).tar.tolist()
        [0.0, 0.5, 0.5, 1.0]
    """
    values, same = np.asarray(distances, np.float64), np.asarray(same, bool)
    if same.all() or not same.any() or not np.isfinite(values).all():
        raise ValueError(
            f'error rates need finite distances of pairs of both kinds, got {int(same.sum())} of one identity and '
            f'{int((~same).sum())} of two'
        )
    order = np.argsort(values, kind='stable')
    values, same = values[order], same[order]
    # Equal distances are accepted together: only after the last of them is a threshold.
    last = np.append(values[1:] != values[:-1], True)
    accepted = np.stack([np.cumsum(~same), np.cumsum(same)])[:, last]
    rates = np.concatenate([np.zeros((2, 1)), accepted], axis=1) / accepted[:, -1:]
    distinct = values[last]
    between = distinct[:-1] + np.diff(distinct) / 2
    return Roc(rates[0], rates[1], np.concatenate([[distinct[0] - 1], between, [distinct[-1] + 1]]))


def equal_error_rate(distances: np.ndarray, same: np.ndarray) -> float:
    """Equal error rate: where the share of impostors accepted is that of genuine pairs rejected.

    Args:
        distances: `[n]`.
        same: bool `[n]`.

    Returns:
        The rate, interpolated between the two thresholds at which the one passes the other.

    Example:
        >>> equal_error_rate(np.array([0.1, 0.3, 0.2, 0.5]), np.array([True, True, False, False]))
        0.5
    """
    far, tar, _ = roc(distances, same)
    gap = far - (1 - tar)  # from -1 to 1, rising
    i = int(np.argmax(gap >= 0))
    share = -gap[i - 1] / (gap[i] - gap[i - 1])
    return float(far[i - 1] + share * (far[i] - far[i - 1]))


def true_accept_rate(distances: np.ndarray, same: np.ndarray, *, far: float) -> float:
    """True accept rate at a false accept rate: of the thresholds whose FAR is not above it, the largest TAR.

    Args:
        distances: `[n]`.
        same: bool `[n]`.
        far: the false accept rate, in (0, 1).

    Returns:
        The share of genuine pairs that are accepted.

    Raises:
        ValueError: there are fewer than 1 / far impostors.

    Example:
        >>> true_accept_rate(np.array([0.1, 0.3, 0.2, 0.5]), np.array([True, True, False, False]), far=0.5)
        1.0
    """
    _check_far(far, int(np.sum(~np.asarray(same, bool))), 'pairs of different identities')
    rates = roc(distances, same)
    return float(rates.tar[rates.far <= far + 1e-12].max())


def cross_validated_accuracy(
    distances: np.ndarray, same: np.ndarray, *, folds: int | np.ndarray = 10, balanced: bool = False
) -> tuple[float, float]:
    """Accuracy of verification as LFW has it: of each fold, with the threshold that is best on the others.

    Args:
        distances: `[n]`.
        same: bool `[n]`.
        folds: contiguous parts, as in LFW's `pairs.txt`, as equal as can be; or the fold of each pair, `[n]`.
        balanced: whether both kinds of pairs count alike (the mean of both kinds' accuracies), whatever their numbers.

    Returns:
        The mean over the folds, and its standard error: their sample deviation over the root of their number. Of
        several best thresholds it takes the smallest.

    Raises:
        ValueError: there are fewer than 2 folds, more than pairs, or the other folds of one lack a kind of pair.

    Example:
        >>> cross_validated_accuracy(np.array([0.1, 0.9, 0.2, 0.8]), np.array([True, False, True, False]), folds=2)
        (1.0, 0.0)
    """
    values, same = np.asarray(distances, np.float64), np.asarray(same, bool)
    number = len(np.unique(folds)) if isinstance(folds, np.ndarray) else folds
    if not 2 <= number <= len(values):
        raise ValueError(f'{len(values)} pairs cannot be parted into {number} folds: at least 2, and a pair for each')
    parts: Sequence[np.ndarray]
    if isinstance(folds, np.ndarray):
        parts = [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
    else:
        parts = np.array_split(np.arange(len(values)), folds)
    accuracies = []
    for fold in parts:
        rest = np.ones(len(values), bool)
        rest[fold] = False
        accepted = values[fold] < best_threshold(values[rest], same[rest], balanced=balanced)
        right = accepted == same[fold]
        if balanced:
            accuracies.append(np.mean([right[same[fold] == kind].mean() for kind in np.unique(same[fold])]))
        else:
            accuracies.append(right.mean())
    return float(np.mean(accuracies)), float(np.std(accuracies, ddof=1) / np.sqrt(number))


def best_threshold(distances: np.ndarray, same: np.ndarray, *, balanced: bool = False) -> float:
    """Threshold of the highest accuracy: the smallest one, halfway between two distances.

    Args:
        distances: `[n]`.
        same: bool `[n]`, with pairs of both kinds.
        balanced: whether both kinds count alike.

    Returns:
        The distance below which a pair is accepted.

    Example:
        >>> round(best_threshold(np.array([0.1, 0.9, 0.3, 0.8]), np.array([True, False, True, False])), 2)
        0.55
    """
    far, tar, thresholds = roc(distances, same)
    genuine = 0.5 if balanced else np.mean(same)
    # Rounded, so that of accuracies that are equal but for rounding the first is taken.
    return float(thresholds[np.argmax(np.round(genuine * tar + (1 - genuine) * (1 - far), 12))])


def true_identification_rate(
    distances: np.ndarray, probes: np.ndarray, gallery: np.ndarray, *, far: float, rank: int = 1
) -> float:
    """Detection and identification rate at a false alarm rate, DIR at FAR (NIST: 1 - FNIR at FPIR).

    Of the thresholds with which at most this share of unknown probes is nearer to somebody, the largest share of known
    probes whose own identity is nearer than it, and among the `rank` nearest identities.

    Args:
        distances: of each probe to each row of the gallery, `[probes gallery]`.
        probes: identities of the probes; those without a row in the gallery are unknown.
        gallery: identities of the gallery's rows; several rows may be of one, of which the nearest counts.
        far: the share of unknown probes, in (0, 1).
        rank: identities that are proposed.

    Returns:
        The share of known probes.

    Raises:
        ValueError: there are fewer than 1 / far unknown probes, or no known ones.

    Example:
        >>> distances = np.array([[0.1, 0.9], [0.8, 0.2], [0.5, 0.6]])  # of a, b and somebody else to a and b
        >>> true_identification_rate(distances, np.array([0, 1, 2]), np.array([0, 1]), far=0.99)
        Traceback (most recent call last):
        ValueError: a rate of 0.99 cannot be measured on 1 probes of unknown identities: it needs at least 2 of them...
        >>> true_identification_rate(distances[[0, 1, 2, 2]], np.array([0, 1, 2, 2]), np.array([0, 1]), far=0.5)
        1.0
    """
    nearest, identities = _by_identity(distances, gallery)
    known = np.isin(probes, identities)
    if not known.any():
        raise ValueError('none of the probes is of an identity in the gallery')
    _check_far(far, int((~known).sum()), 'probes of unknown identities')
    alarms = np.sort(nearest[~known].min(axis=1))
    allowed = int(np.floor(far * len(alarms) + 1e-9))
    own = nearest[known, np.searchsorted(identities, probes[known])]
    before = (nearest[known] < own[:, None]).sum(axis=1)
    found = before < rank
    if allowed < len(alarms):
        found &= own < alarms[allowed]
    return float(found.mean())


def rank_rates(distances: np.ndarray, probes: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Cumulative match characteristic: the share of probes whose identity is among the k nearest of the gallery.

    Args:
        distances: `[probes gallery]`.
        probes: identities of the probes, all of them in the gallery.
        gallery: identities of its rows, of which the nearest of each identity counts.

    Returns:
        `[identities]`, for k = 1, 2, ...

    Raises:
        ValueError: a probe is of no identity in the gallery.

    Example:
        >>> rank_rates(np.array([[0.1, 0.9], [0.3, 0.4]]), np.array([0, 1]), np.array([0, 1])).tolist()
        [0.5, 1.0]
    """
    nearest, identities = _by_identity(distances, gallery)
    if not np.isin(probes, identities).all():
        raise ValueError('a probe is of no identity in the gallery: for open sets there is true_identification_rate')
    own = nearest[np.arange(len(probes)), np.searchsorted(identities, probes)]
    before = (nearest < own[:, None]).sum(axis=1)
    return np.cumsum(np.bincount(before, minlength=len(identities))) / len(probes)


def _by_identity(distances: np.ndarray, gallery: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least distance to each identity, `[probes identities]`, and the identities, ascending."""
    identities, starts = np.unique(np.sort(gallery), return_index=True)
    by_row = np.asarray(distances, np.float64)[:, np.argsort(gallery, kind='stable')]
    return np.minimum.reduceat(by_row, starts, axis=1), identities


def _check_far(far: float, number: int, what: str) -> None:
    if not 0 < far < 1 or number * far < 1 - 1e-9:
        least = int(np.ceil(1 / far)) if far > 0 else 0
        raise ValueError(
            f'a rate of {far:g} cannot be measured on {number:,} {what}: it needs at least {least:,} of them, and '
            'about a hundred times as many to be accurate'
        )


def average_precision(scores: np.ndarray, present: np.ndarray) -> float:
    """Average precision of a ranking, `Σ_k (R_k - R_{k-1}) P_k` over all thresholds; nothing is interpolated.

    Args:
        scores: `[n]`, higher for those that are ranked first; equal scores are one threshold.
        present: bool `[n]`, the ones to be found.

    Returns:
        The average precision; NaN where there is none to be found, or a score is NaN.

    Example:
        >>> average_precision(np.array([0.9, 0.8, 0.8]), np.array([True, True, False]))
        0.8333333333333333
    """
    values, present = np.asarray(scores, np.float64), np.asarray(present, bool)
    if not present.any() or np.isnan(values).any():
        return float('nan')
    order = np.argsort(-values, kind='stable')
    values, found = values[order], np.cumsum(present[order])
    last = np.append(values[1:] != values[:-1], True)
    precision, recall = (found / np.arange(1, len(found) + 1))[last], found[last] / found[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))
