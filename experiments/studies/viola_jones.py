"""A face detector after Viola and Jones, trained from the faces and photos of installed packages, and what it costs.

    python -m experiments.studies.viola_jones --workdir=runs/viola_jones [--haar_step=2]

Trains a cascade of stumps on Haar-like features and saves each stage, so that the same command goes on after an
interruption. Faces are 60 people of scikit-image's subset of "Labeled Faces in the Wild"; thresholds are lowered for
the faces of 20 others; the rest, and the photo `astronaut`, test it. With so few faces it does not reach the published
rates, and is meant to show how they come about: with --haar_step=2 --most_stages=9, 83.8 % of the test faces pass 280
stumps, of which 9.1 are computed for a window on average, and 292 of 458,542 other windows of the test photo.

The table has a row for each stage: stumps, the share of the faces and of the photos' windows that are left, and the
seconds of its training. Below it: features computed for a window on average, with and without the cascade, of this
cascade and of OpenCV's. Figures: the first features over a face, windows left after each stage, test faces over false
positives, and the test photo. `cascade.xml` is the cascade, which OpenCV reads too. Nothing is downloaded.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from experiments import launch
from experiments.run import tables, workdir
from experiments.studies import face_windows
from experiments.studies import study as studies
from jaxcv import viz
from jaxcv.classical import cascade_detector, cascade_training, cascade_xml, haar_enumeration
from jaxcv.classical.cascade import Cascade, score_windows
from jaxcv.classical.cascade_training import Goals, Progress, Trained
from jaxcv.classical.photo_windows import (
    PhotoWindows,
    contrast_scales,
    photo_windows,
    places,
    stage_stumps,
    stump_sums,
    surviving,
)
from jaxcv.viz.figures import BLUE, GREEN, ORANGE, headline, style

STEP = flags.DEFINE_integer(
    'haar_step', 1, 'Places and sizes of features in multiples of it: 1 has 162,336, 2 has 16,884.', lower_bound=1
)
STAGES = flags.DEFINE_integer('most_stages', 15, 'Stages, at most.', lower_bound=1)
NEGATIVES = flags.DEFINE_integer('negatives', 1500, 'Windows without faces in a stage.', lower_bound=30)
SEED = flags.DEFINE_integer('cascade_seed', 0, 'Of the windows that are drawn.')
USES = ('workdir',)

CASCADE_FILE = 'cascade.xml'
OPENCV = Path(cv2.__file__).parent / 'data'
"""The folder of OpenCV's own cascades."""
SHOWN = 6
"""Features in the figure."""
TIMED = 20_000
"""Windows that the time without a cascade is measured on."""


class Judged(NamedTuple):
    """A cascade on the test faces and the test photo."""

    kept: np.ndarray
    """The share of the test faces that is left after each stage, the first is 1."""
    false: np.ndarray
    """Windows of the test photo away from its face, likewise."""
    found: bool
    """Whether a window at the face is left at the end."""


def main() -> int:
    """Runs the study of the flags; returns the exit code."""
    folder = launch.workdir()
    workdir.check_writable(folder)
    goals = Goals(detection=0.99, false_positives=0.4, overall=1e-6, stages=STAGES.value, stumps=60)
    names = face_windows.PHOTOS
    with workdir.alone(folder):
        return study(folder, goals, names, step=STEP.value, negatives=NEGATIVES.value, seed=SEED.value)


def study(folder: Path, goals: Goals, photos: Sequence[str], *, step: int, negatives: int, seed: int) -> int:
    """Trains a cascade, writes the table and the figures; returns the exit code."""
    faces = face_windows.faces()
    usable = [part[contrast_scales(part) > 0] for part in faces]
    features = haar_enumeration.all_features(step=step)
    pictures = [face_windows.photo(name) for name in photos]
    workdir.say(
        f'{len(usable[0])} windows of faces to train and {len(usable[1])} held out, {len(pictures)} photos, '
        f'{len(features.boxes):,} features; stages are saved in {folder}'
    )
    trained = cascade_training.train(
        jax.random.key(seed),
        usable[0],
        usable[1],
        pictures,
        features,
        goals=goals,
        negatives=negatives,
        folder=folder / 'stages',
        report=progress,
    )
    workdir.say(f'ended: {trained.reason}')
    picture = face_windows.photo(face_windows.TEST_PHOTO)
    test = photo_windows([picture])
    judged = judge(trained.cascade, faces.test, test)
    ours = costs(trained.cascade, test)
    counts = {'training photos': [trained.windows, *(stage.windows for stage in trained.stages)]}
    counts['astronaut'] = ours['left'].tolist()
    theirs = opencv()
    others = [len(windows) for windows in surviving(test, theirs)]
    counts["astronaut, OpenCV's cascade"] = others
    lines = {**summary(trained, judged, ours), "OpenCV's cascade": features_line(theirs, others)}
    text = f'{table(trained, judged)}\n\n{tables.pairs(lines)}'
    figures = {
        'features': first_features(trained.cascade, np.mean(faces.train, axis=0) / 255),
        'stages': stages(counts),
        'roc': roc(judged),
        'detections': detections(trained.cascade, picture),
    }
    cascade_xml.save(trained.cascade, folder / CASCADE_FILE)
    return studies.conclude(folder, text, figures)


def progress(state: Progress) -> None:
    """Prints a line for each stage; on a terminal also the stump that is added."""
    line = (
        f'stage {state.stage + 1}: {state.stumps} stumps, held-out faces {100 * state.detection:.1f} %, '
        f'other windows {100 * state.false_positives:.1f} %, {state.seconds:.0f} s'
    )
    if state.windows is not None:
        workdir.say(f'{line}; {state.windows:,} windows of the photos are left')
    elif sys.stdout.isatty():
        print(line, end='\r', flush=True)


def judge(cascade: Cascade, faces: np.ndarray, photo: PhotoWindows) -> Judged:
    """Applies a cascade to faces and to a photo with one face.

    Args:
        cascade: of stumps.
        faces: windows with faces, uint8 `[n, h, w]`.
        photo: `face_windows.TEST_PHOTO`, with the cascade's window.
    """
    passed = np.asarray(jax.jit(lambda part: score_windows(part, cascade).passed)(jnp.asarray(faces)))
    number = len(cascade.stage_thresholds)
    kept = np.array([np.mean(passed >= stage) for stage in range(number + 1)])
    left = surviving(photo, cascade)
    away = [~_at_the_face(photo, windows) for windows in left]
    return Judged(kept, np.array([int(part.sum()) for part in away]), not away[-1].all())


def costs(cascade: Cascade, photo: PhotoWindows) -> dict[str, Any]:
    """Features and seconds for a photo's windows, with early rejection and without.

    Args:
        cascade: of stumps.
        photo: its windows.

    Returns:
        Windows `left`, of all and after each stage; `seconds` with the cascade, and `seconds_without` it, with all
        features of all windows, which is measured on some of them.
    """
    began = time.perf_counter()
    left = np.array([len(windows) for windows in surviving(photo, cascade)])
    middle = time.perf_counter()
    of_stage = stage_stumps(cascade)
    some = np.arange(0, len(photo.corner), max(1, len(photo.corner) // TIMED))
    for stage in of_stage:
        stump_sums(photo, some, stage)
    without = (time.perf_counter() - middle) * len(photo.corner) / len(some)
    return {
        'left': left,
        'seconds': middle - began,
        'seconds_without': without,
    }


def table(trained: Trained, judged: Judged) -> str:
    """Markdown: a row for each stage."""
    head = ['stage', 'stumps', 'held-out faces, %', 'test faces, %', 'windows left', 'of all, %', 'seconds']
    rows = [head]
    for number, stage in enumerate(trained.stages):
        rows.append(
            [
                str(number + 1),
                str(len(stage.feature)),
                f'{100 * stage.detection:.1f}',
                f'{100 * judged.kept[number + 1]:.1f}',
                f'{stage.windows:,}',
                f'{100 * stage.windows / trained.windows:.2g}',
                f'{stage.seconds:.0f}',
            ]
        )
    return tables.markdown(rows)


def summary(trained: Trained, judged: Judged, ours: Mapping[str, Any]) -> dict[str, str]:
    """The costs, and the result on the test photo, in lines."""
    windows, false = int(judged.false[0]), int(judged.false[-1])
    found = 'found' if judged.found else 'not found'
    return {
        'training': trained.reason,
        'test faces': f'{100 * judged.kept[-1]:.1f} % pass all stages',
        'astronaut': f'face {found}; {false:,} false positives in {windows:,} windows, before grouping',
        'seconds': f'{ours["seconds"]:.2f} with early rejection, {ours["seconds_without"]:.2f} with all features',
        'this cascade': features_line(trained.cascade, ours['left']),
    }


def features_line(cascade: Cascade, left: Sequence[int] | np.ndarray) -> str:
    """The mean number of features that are computed for a window, if `left` windows reach each stage."""
    sizes = np.bincount(np.asarray(cascade.stage))
    mean = np.asarray(left)[:-1] @ sizes / left[0]
    return f'{mean:.1f} of {sizes.sum():,} features for a window of the photo astronaut, on average'


def opencv() -> Cascade:
    """OpenCV's cascade of faces from the front, which has stumps of the same window."""
    return cascade_xml.load(OPENCV / 'haarcascade_frontalface_default.xml')


def detections(cascade: Cascade, image: np.ndarray) -> Figure:
    """The windows of a photo that pass, and their groups.

    Args:
        cascade: of stumps.
        image: uint8 `[h, w]`.
    """
    pictures, captions = [], []
    for neighbors, name in ((0, 'windows'), (3, 'groups of more than 3')):
        found = cascade_detector.detect(image, cascade=cascade, min_neighbors=neighbors)
        objects = viz.Objects(found.boxes.astype(float), np.zeros(len(found.boxes), int))
        pictures.append(viz.draw_boxes(image, objects, ['face']))
        captions.append(f'{len(found.boxes)} {name}')
    return viz.image_grid(pictures, captions=captions, columns=2, title='Windows before and after grouping')


def first_features(cascade: Cascade, face: np.ndarray) -> Figure:
    """The first features, over the mean face."""
    chosen = np.asarray(cascade.feature)[:SHOWN, 0]
    captions = [f'stage {stage + 1}' for stage in np.asarray(cascade.stage)[:SHOWN].tolist()]
    boxes, weights = (np.asarray(part)[chosen] for part in cascade.features[:2])
    stretched = (face - face.min()) / np.ptp(face)
    return viz.haar_grid(stretched, boxes, weights, captions=captions, title='The first features: white less black')


def stages(counts: Mapping[str, Sequence[int]]) -> Figure:
    """The share of windows that is left after each stage.

    Args:
        counts: name -> windows, of all and after each stage.
    """
    figure = Figure(figsize=(6.4, 4.2), layout='constrained')
    axes = figure.subplots()
    for (name, left), color in zip(counts.items(), (BLUE, ORANGE, GREEN), strict=False):
        shares = np.asarray(left, float) / left[0]
        axes.plot(np.where(shares > 0, shares, np.nan), color=color, marker='o', markersize=4, label=name)
    axes.set_yscale('log')
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f'{100 * share:g} %'))
    axes.set(xlabel='stages', ylabel='windows left')
    axes.legend(frameon=False, fontsize=9)
    style(axes)
    headline(figure, 'Most windows are rejected by the first stages')
    return figure


def roc(judged: Judged) -> Figure:
    """Test faces that are kept over false positives, with 1, 2, ... stages."""
    figure = Figure(figsize=(6.0, 4.2), layout='constrained')
    axes = figure.subplots()
    false = judged.false[1:] / judged.false[0]
    axes.plot(np.maximum(false, 1 / judged.false[0]), 100 * judged.kept[1:], color=BLUE, marker='o', markersize=4)
    for number, place in enumerate(zip(false.tolist(), (100 * judged.kept[1:]).tolist(), strict=True), 1):
        axes.annotate(str(number), place, (4, -9), textcoords='offset points', fontsize=8)
    axes.set_xscale('log')
    axes.set(xlabel='false positives a window of the photo', ylabel='test faces kept, %', ylim=(0, 102))
    style(axes)
    headline(figure, 'Test faces and false positives, by the number of stages')
    return figure


def _at_the_face(photo: PhotoWindows, windows: np.ndarray) -> np.ndarray:
    """Whether the centre of each window is within the face of the test photo."""
    x1, y1, x2, y2 = places(photo, windows)[:, 1:].T
    left, top, right, bottom = face_windows.TEST_FACE
    return (left <= (x1 + x2) / 2) & ((x1 + x2) / 2 <= right) & (top <= (y1 + y2) / 2) & ((y1 + y2) / 2 <= bottom)


if __name__ == '__main__':
    launch.launch(main, uses=USES)
