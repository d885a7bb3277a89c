"""Training of a cascade: stages of boosted stumps, each on the windows that all earlier stages let pass.

Rates multiply: with stages that keep a share d of the faces and f of the other windows, S stages keep d^S and f^S; ten
stages of 0.99 and 0.3 keep 90 % of the faces and 6 of a million other windows. A stage

1. adds stumps (`adaboost`) one after another;
2. after each lowers its threshold until it keeps a share d of the held-out faces that reached it;
3. ends when it keeps no more than a share f of held-out windows without faces.

Then it is applied to all windows of photos without faces, and the next stage is trained on some of those that it kept:
the false positives of the cascade so far.

Viola and Jones, "Robust Real-Time Face Detection", 2004.
"""

import math
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped, UInt

from jaxcv.arguments import AtLeast1, Range, checked
from jaxcv.classical import adaboost
from jaxcv.classical.cascade import THRESHOLD_MARGIN, Cascade, stumps
from jaxcv.classical.cascade_checkpoints import Stage, open_folder, save_stage
from jaxcv.classical.haar import HaarFeatures
from jaxcv.classical.haar_enumeration import Corners, corner_values, corners_of, select
from jaxcv.classical.photo_windows import PhotoWindows, Stumps, contrast_scales, crops, photo_windows, stump_sums, votes
from jaxcv.types import Array, Int, PRNGKeyArray, UInt8

__all__ = ['Goals', 'Progress', 'Trained', 'order_bytes', 'sort_features', 'to_cascade', 'train']

_FEWEST_FACES = 10
_FEWEST_WINDOWS = 30
_BLOCK = 2**23
"""Values that are sorted at a time."""
_SLACK = 1e-4
"""A lowered threshold is so far below the sum of the last face: another program may round sums of votes otherwise."""

Rate = Annotated[float, Range(0, 1, '()')]


@checked
class Goals(NamedTuple):
    """When a stage, and the training, end."""

    detection: Annotated[float, Range(0, 1, '(]')] = 0.995
    """The least share of held-out faces that a stage keeps, of those that reached it."""
    false_positives: Rate = 0.5
    """The largest share of other windows that a stage keeps."""
    overall: Rate = 1e-6
    """The training ends when the cascade keeps no more than this share of the photos' windows."""
    stages: AtLeast1 = 20
    """The most stages."""
    stumps: AtLeast1 = 200
    """The most stumps of a stage, which then ends without its goal."""


class Progress(NamedTuple):
    """The state of a training after a stump, or at the end of a stage."""

    stage: int
    """Its number, from 0."""
    stumps: int
    """Of the stage so far."""
    detection: float
    """The share of all held-out faces that pass all stages, this one included."""
    false_positives: float
    """The share of the held-out windows of this stage that pass it."""
    windows: int | None
    """At the end of a stage, the number of the photos' windows that are left; else None."""
    seconds: float
    """Since the stage began."""


class Trained(NamedTuple):
    """The result of a training."""

    cascade: Cascade
    stages: tuple[Stage, ...]
    reason: str
    """The reason for its end, a clause."""
    windows: int
    """In the photos, at all scales; a stage has the number that it left."""


class _Problem(NamedTuple):
    """All that stays the same from stage to stage."""

    key: PRNGKeyArray
    faces: np.ndarray
    held_out: np.ndarray
    photos: PhotoWindows
    corners: Corners
    negatives: int
    goals: Goals
    report: Callable[[Progress], Any]


class _State(NamedTuple):
    """The examples that pass all stages so far."""

    faces: np.ndarray
    """Whether, of each face."""
    held_out: np.ndarray
    windows: np.ndarray
    """The numbers of the photos' windows that do."""


@checked
def train(
    key: PRNGKeyArray,
    faces: Shaped[Any, '...'],
    held_out: Shaped[Any, '...'],
    photos: Sequence[Shaped[Any, '...']],
    features: HaarFeatures,
    *,
    goals: Goals | None = None,
    negatives: Annotated[int, Range(_FEWEST_WINDOWS)] = 1500,
    scale_factor: Annotated[float, Range(1, ends='()')] = 1.25,
    folder: str | os.PathLike[str] | None = None,
    report: Callable[[Progress], Any] | None = None,
) -> Trained:
    """Train a cascade of stumps.

    All windows of the photos are tried after each stage, so that the rates of false positives are counted, not
    estimated. Two thirds of a stage's windows without faces train it, the others decide when it ends.

    Args:
        key: the random key of the windows that are drawn.
        faces: uint8 `[n, h, w]`: windows with faces, as the detector is to find them. Mirror images and small shifts
            count as further faces.
        held_out: uint8 `[m, h, w]`: faces of other people, which thresholds are lowered for. With fewer than
            1 / (1 - goals.detection) of them a stage may lose none.
        photos: uint8 `[h, w]` each, without faces: a face in them would be learned as a mistake.
        features: all that a stump may use, as of `haar_enumeration.all_features`.
        goals: when a stage, and the training, end; by default `Goals()`.
        negatives: windows without faces that a stage is trained and judged on.
        scale_factor: from one size of a photo to the next.
        folder: where each stage is saved when it is done; a training that finds stages there goes on after the last.
            It ends with the same cascade as one that was never interrupted.
        report: called after each stump and each stage, to show the progress.

    Returns:
        The cascade, its stages, and why the training ended: the goal is reached, as many stages as allowed, no window
        was left to train on, or a stage rejected none.

    Raises:
        ValueError: (before the training) shapes or types are wrong, there are too few faces or windows, faces are
            flat, features leave the window, or the folder holds another training, with all differences.

    Example:
        >>> from jaxcv.classical.haar_enumeration import all_features
        >>> rng = np.random.default_rng(0)
        >>> faces = rng.integers(0, 99, (30, 6, 6), np.uint8)
        >>> faces[:, 3:] += 120
        >>> photo = rng.integers(0, 255, (40, 40), np.uint8)
        >>> features = all_features(width=6, height=6, kinds=('two_rows',))
        >>> trained = train(jax.random.key(0), faces[:20], faces[20:], [photo], features, goals=Goals(overall=0.01))
        >>> len(trained.cascade.stage_thresholds) >= 1
        True
    """
    goals = goals or Goals()
    problem = _prepare(key, faces, held_out, photos, features, goals, negatives, scale_factor, report)
    stages: list[Stage] = []
    if folder is not None:
        options = {'negatives': negatives, 'scale_factor': scale_factor}
        arrays = {'faces': problem.faces, 'held-out faces': problem.held_out, 'features': features}
        arrays |= {'photos': [np.asarray(photo) for photo in photos], 'key': jax.random.key_data(key)}
        rates = {'detection': goals.detection, 'false_positives': goals.false_positives, 'stumps': goals.stumps}
        stages = open_folder(folder, options | rates, arrays)
    state = _State(
        np.ones(len(problem.faces), bool), np.ones(len(problem.held_out), bool), np.arange(len(problem.photos.corner))
    )
    for stage in stages:
        state = _apply(problem, state, stage)
    while (reason := _ended(problem, state, stages)) is None:
        stage, state = _train_stage(problem, state, len(stages))
        stages.append(stage)
        if folder is not None:
            save_stage(folder, len(stages) - 1, stage)
    cascade = to_cascade(features, stages, size=(int(problem.photos.size[0]), int(problem.photos.size[1])))
    return Trained(cascade, tuple(stages), reason, len(problem.photos.corner))


def to_cascade(features: HaarFeatures, stages: Sequence[Stage], *, size: tuple[int, int]) -> Cascade:
    """Join stages to a cascade, with the features that they use.

    Args:
        features: those of the training.
        stages: at least one.
        size: (width, height) of the window in pixels.

    Returns:
        The cascade.

    Raises:
        ValueError: there is no stage.

    Example:
        >>> from jaxcv.classical.haar_enumeration import all_features
        >>> one = np.ones(1, np.float32)
        >>> stage = Stage(np.array([7]), one, np.array([1]), one, one, np.float32(0.5), 1.0, 0.4, 99, 0.1)
        >>> to_cascade(all_features(width=4, height=4), [stage], size=(4, 4)).leaves.tolist()
        [[1.0, 0.0]]
    """
    if not stages:
        raise ValueError('a cascade has at least one stage')
    used, places = np.unique(np.concatenate([stage.feature for stage in stages]), return_inverse=True)
    return stumps(
        select(features, used),
        places,
        np.concatenate([stage.threshold for stage in stages]),
        np.concatenate([_leaves(stage) for stage in stages]),
        np.repeat(np.arange(len(stages)), [len(stage.feature) for stage in stages]),
        np.array([stage.stage_threshold for stage in stages], np.float32),
        size=size,
    )


def order_bytes(faces: int, features: int, *, negatives: int) -> int:
    """Count the bytes of the order of all values, the largest array of a training; each stage makes it once.

    Args:
        faces: windows with faces.
        features: that a stump may use.
        negatives: as in `train`; two thirds of them are sorted.

    Returns:
        Bytes.

    Example:
        >>> order_bytes(4916, 162_336, negatives=15_000) // 2**20
        4618
    """
    count = faces + negatives - negatives // 3
    return count * features * _order_type(count)().itemsize


def sort_features(
    integrals: Int[Array, 'n y x'], scales: Shaped[np.ndarray, ' n'], corners: Corners
) -> UInt[np.ndarray, 'n f']:
    """Sort windows by each feature, as `adaboost.sort_values`, a block of features at a time.

    Values are computed on the device and not kept: 162,336 features of 2,000 windows would take 1.2 GiB, their order
    takes half of it.

    Args:
        integrals: integral images of the windows.
        scales: their `haar.window_scales`.
        corners: of the features.

    Returns:
        `[n, f]`.

    Example:
        >>> from jaxcv.classical.haar_enumeration import all_features
        >>> from jaxcv.ops import integral_image
        >>> windows = jnp.array([[[0, 9], [0, 9]], [[0, 5], [0, 5]]], jnp.uint8)
        >>> corners = corners_of(all_features(width=2, height=2, kinds=('two_columns',)), width=2, height=2)
        >>> (sort_features(integral_image(windows), np.ones(2, np.float32), corners) & 1).T.tolist()
        [[1, 0], [1, 0], [1, 0]]
    """
    n, f = len(scales), len(corners.place)
    size = max(1, min(f, _BLOCK // n))
    surplus = -f % size  # all blocks have one size, so that they compile once
    place, weight = (np.pad(part, ((0, surplus), (0, 0))) for part in corners)
    order: np.ndarray = np.empty((n, f), _order_type(n))

    def one(first: int) -> None:
        part = slice(first, first + size)
        values = np.asarray(_normalized(integrals, scales, place[part], weight[part]))[: f - first]
        order[:, part] = adaboost.sort_values(values.T)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # NumPy's sort runs without Python's lock
        list(pool.map(one, range(0, f, size)))
    return order


def _order_type(count: int) -> type[np.uint16] | type[np.uint32]:
    return np.uint16 if count <= 2**15 else np.uint32


@jax.jit
def _normalized(integrals: Array, scales: Array, place: Array, weight: Array) -> Array:
    return corner_values(integrals, place, weight).astype(jnp.float32) * scales


def _prepare(
    key: PRNGKeyArray,
    faces: Any,
    held_out: Any,
    photos: Sequence[Any],
    features: HaarFeatures,
    goals: Goals,
    negatives: int,
    scale_factor: float,
    report: Callable[[Progress], Any] | None,
) -> _Problem:
    """Checks everything that the training needs."""
    given = {'faces': np.asarray(faces), 'held_out': np.asarray(held_out)}
    wrong = [
        f'{name} must be uint8 [n, h, w], of one size from 3 x 3 on, got {windows.dtype} {windows.shape}'
        for name, windows in given.items()
        if windows.dtype != np.uint8 or windows.ndim != 3 or min(windows.shape[1:]) < 3
    ]
    if not wrong and len({windows.shape[1:] for windows in given.values()}) > 1:
        wrong.append(
            f'held_out must have the size of faces, {given["faces"].shape[1:]}, got {given["held_out"].shape[1:]}'
        )
    for name, part in given.items() if not wrong else ():
        if len(part) < _FEWEST_FACES:
            wrong.append(f'{name} must be at least {_FEWEST_FACES}, got {len(part)}')
        if flat := int((contrast_scales(part) == 0).sum()):
            wrong.append(f'{flat} of {len(part)} {name} are flat, which a detector rejects: leave them out')
    if wrong:
        raise ValueError('; '.join(wrong))
    height, width = given['faces'].shape[1:]
    corners = corners_of(features, width=width, height=height)
    windows = photo_windows(photos, width=width, height=height, scale_factor=scale_factor)
    if len(windows.corner) < negatives:
        raise ValueError(
            f'the photos have {len(windows.corner):,} windows of {height} x {width} pixels at all scales that are not '
            f'flat, fewer than the {negatives:,} negatives of a stage: give more or larger photos'
        )
    return _Problem(
        key, given['faces'], given['held_out'], windows, corners, negatives, goals, report or (lambda progress: None)
    )


def _ended(problem: _Problem, state: _State, stages: Sequence[Stage]) -> str | None:
    """The reason to end the training, if there is one."""
    total, left = len(problem.photos.corner), len(state.windows)
    if not stages:
        return None
    if left <= problem.goals.overall * total:
        return f'the goal is reached: {left:,} of {total:,} windows of the photos pass'
    if left < _FEWEST_WINDOWS:
        return f'only {left} of {total:,} windows of the photos pass, too few to train on: more photos are needed'
    if len(stages) >= problem.goals.stages:
        return f'{len(stages)} stages, as many as allowed: {left:,} of {total:,} windows of the photos pass'
    if left == (stages[-2].windows if len(stages) > 1 else total):
        return f'stage {len(stages)} rejects none of the {left:,} windows that reach it'
    if state.faces.sum() < _FEWEST_FACES or not state.held_out.any():
        return f'only {state.faces.sum()} faces and {state.held_out.sum()} held-out ones pass all stages'
    return None


def _train_stage(problem: _Problem, state: _State, number: int) -> tuple[Stage, _State]:
    began = time.perf_counter()
    rng = np.random.Generator(
        np.random.PCG64(np.asarray(jax.random.key_data(jax.random.fold_in(problem.key, number))).tolist())
    )
    count = min(problem.negatives, len(state.windows))
    drawn = crops(problem.photos, rng.choice(state.windows, count, replace=False))
    trained_on = count - count // 3
    examples = _Examples.of(np.concatenate([problem.faces[state.faces], drawn[:trained_on]]))
    labels = np.arange(len(examples.scales)) < state.faces.sum()
    judged = _Examples.of(np.concatenate([problem.held_out[state.held_out], drawn[trained_on:]]))
    reached = int(state.held_out.sum())

    order = jnp.asarray(sort_features(jnp.asarray(examples.integrals), examples.scales, problem.corners))
    weights, sums = adaboost.balanced_weights(labels), np.zeros(len(judged.scales))
    chosen: list[tuple[int, float, int, float, float]] = []
    lost = reached - math.ceil(problem.goals.detection * reached - 1e-9)
    kept, rate, threshold = reached, 1.0, np.float32(0)
    while len(chosen) < problem.goals.stumps:
        cut = adaboost.best_cut(order, labels, weights)
        feature, polarity = int(cut.feature), int(cut.polarity)
        values = examples.values(problem.corners, feature)
        middle = adaboost.threshold_between(values[int(cut.below)], values[int(cut.above)])
        wrong = ((values < middle) == (polarity > 0)) != labels
        weights, alpha, error = adaboost.reweight(weights, wrong)
        if chosen and (not bool(cut.found) or float(error) > 0.5 - 1e-7):
            break
        chosen.append((feature, float(middle), polarity, float(alpha), float(error)))
        sums += np.where((judged.values(problem.corners, feature) < middle) == (polarity > 0), np.float32(alpha), 0)

        half = sum(stump[3] for stump in chosen) / 2
        threshold = np.float32(min(half, np.sort(sums[:reached])[lost] - _SLACK))
        passes = sums >= threshold - THRESHOLD_MARGIN
        kept, rate = int(passes[:reached].sum()), float(passes[reached:].mean())
        detection = kept / len(problem.held_out)
        problem.report(Progress(number, len(chosen), detection, rate, None, time.perf_counter() - began))
        if rate <= problem.goals.false_positives or not wrong.any():
            break
    features, thresholds, polarities, alphas, errors = zip(*chosen, strict=True)
    stage = Stage(
        np.array(features, np.int32),
        np.array(thresholds, np.float32),
        np.array(polarities, np.int32),
        np.array(alphas, np.float32),
        np.array(errors, np.float32),
        threshold,
        kept / len(problem.held_out),
        rate,
        0,
        0.0,
    )
    state = _apply(problem, state, stage)
    stage = stage._replace(windows=len(state.windows), seconds=time.perf_counter() - began)
    problem.report(Progress(number, len(chosen), stage.detection, rate, stage.windows, stage.seconds))
    return stage, state


class _Examples(NamedTuple):
    """Windows, as features are computed from them."""

    integrals: np.ndarray
    scales: np.ndarray

    @classmethod
    def of(cls, windows: UInt8[np.ndarray, 'n h w']) -> '_Examples':
        # On the host: each stage has another number of windows, which JAX would compile anew for.
        sums = windows.cumsum(axis=1, dtype=np.int32).cumsum(axis=2, dtype=np.int32)
        return cls(np.pad(sums, ((0, 0), (1, 0), (1, 0))), contrast_scales(windows))

    def values(self, corners: Corners, feature: int) -> np.ndarray:
        """Normalized values of one feature: those that `sort_features` has sorted."""
        columns = self.integrals.reshape(len(self.integrals), -1)[:, corners.place[feature]]
        return (columns @ corners.weight[feature]).astype(np.float32) * self.scales


def _apply(problem: _Problem, state: _State, stage: Stage) -> _State:
    """The examples that pass a further stage."""
    corners = Corners(problem.corners.place[stage.feature], problem.corners.weight[stage.feature])
    of_stage = Stumps(corners, stage.threshold, _leaves(stage))
    least = stage.stage_threshold - THRESHOLD_MARGIN

    def passing(windows: np.ndarray, before: np.ndarray) -> np.ndarray:
        examples = _Examples.of(windows)
        of = [votes(examples.values(corners, k), of_stage, stump=k) for k in range(len(stage.feature))]
        return before & (np.sum(of, axis=0, dtype=np.float64) >= least)

    sums = stump_sums(problem.photos, state.windows, of_stage)
    return _State(
        passing(problem.faces, state.faces), passing(problem.held_out, state.held_out), state.windows[sums >= least]
    )


def _leaves(stage: Stage) -> np.ndarray:
    below = stage.polarity > 0
    return np.stack([np.where(below, stage.alpha, 0), np.where(below, 0, stage.alpha)], axis=-1).astype(np.float32)
