"""A face detector after Viola and Jones, trained from the faces and photos of installed packages, and what it costs.

    python -m experiments.studies.viola_jones --workdir=runs/viola_jones [--haar_step=2]

Trains a cascade of stumps on Haar-like features and saves each stage, so that the same command goes on after an
interruption. Faces are 60 people of scikit-image's subset of "Labeled Faces in the Wild"; thresholds are lowered for
the faces of 20 others; the rest, and the photo `astronaut`, test it. With so few faces it does not reach the published
rates, and is meant to show how they come about. With all 162,336 features it ends after 11 stages of 344 stumps, when
28 of 6.6 million windows of the photos are left and no more can be learned from them: 11.1 stumps are computed for a
window on average, and 71.9 % of the windows of the test faces pass, and 51 of 458,542 other windows of the test photo.
With --haar_step=2 --most_stages=9, a tenth of the features, it is 83.8 % and 292. Of all thresholds, at 1 false
positive in 1,000 windows, 80.6 % of the test faces pass by the last stages, and 96.9 % by the sum of all votes, which
takes 37 times as long.

The table has a row for each stage: stumps, the share of the faces and of the photos' windows that are left, the seconds
of its training, and the time it takes for the test photo. A second one has the test faces over false positives, for all
thresholds (`experiments.studies.cascade_roc`). Below: features computed for a window on average, with and without the
cascade, of this cascade and of OpenCV's. Figures: the first features over a face, windows left after each stage, test
faces over false positives, and the test photo. `cascade.xml` is the cascade, which OpenCV reads too. Nothing is
downloaded. The largest array, the order of all windows by each feature, takes 0.74 GiB (2 bytes for each of 162,336
features of 2,440 windows), and the process 2.4 GB.
"""

import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from experiments import launch
from experiments.run import tables, workdir
from experiments.studies import cascade_roc, face_windows
from experiments.studies import study as studies
from experiments.studies.cascade_roc import Judged
from jaxcv import presentation, viz
from jaxcv.classical import cascade_detector, cascade_training, cascade_xml, haar_enumeration
from jaxcv.classical.cascade import Cascade
from jaxcv.classical.cascade_detector import Detections
from jaxcv.classical.cascade_training import Goals, Progress, Trained
from jaxcv.classical.photo_windows import PhotoWindows, contrast_scales, photo_windows, surviving
from jaxcv.features import Names
from jaxcv.viz.figures import BLUE, GREEN, ORANGE, headline, style

STEP = flags.DEFINE_integer(
    'haar_step', 1, 'Places and sizes of features in multiples of it: 1 has 162,336, 2 has 16,884.', lower_bound=1
)
STAGES = flags.DEFINE_integer('most_stages', 15, 'Stages, at most.', lower_bound=1)
NEGATIVES = flags.DEFINE_integer('negatives', 1500, 'Windows without faces in a stage.', lower_bound=30)
SEED = flags.DEFINE_integer('cascade_seed', 0, 'Of the windows that are drawn.')
USES = ('workdir',)

CASCADE_FILE = 'cascade.xml'
SHOWN = 6
"""Features in the figure."""
GROUPED = 3
"""Groups of more windows are objects."""
SHOW = presentation.boxes(score=-math.inf, percent=False)
"""How detections are shown."""


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
    picture, theirs = face_windows.photo(face_windows.TEST_PHOTO), opencv()
    size = cascade_training.order_bytes(len(usable[0]), len(features.boxes), negatives=negatives)
    workdir.say(
        f'{len(usable[0])} windows of faces to train and {len(usable[1])} held out, {len(pictures)} photos, '
        f'{len(features.boxes):,} features, whose order takes {size / 2**30:.2f} GiB; stages are saved in {folder}'
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
    cascade_xml.save(trained.cascade, folder / CASCADE_FILE)
    test = photo_windows([picture])
    judged = cascade_roc.judge(trained.cascade, faces.test, test)
    ours = costs(trained.cascade, test)
    counts = {'training photos': [trained.windows, *(stage.windows for stage in trained.stages)]}
    counts['astronaut'] = ours['left'].tolist()
    others = [len(windows) for windows in surviving(test, theirs)]
    counts["astronaut, OpenCV's cascade"] = others
    found = {
        name: cascade_detector.detect(picture, cascade=trained.cascade, min_neighbors=neighbors)
        for neighbors, name in ((0, 'windows'), (GROUPED, f'groups of more than {GROUPED}'))
    }
    lines = summary(trained, judged, ours, [*found.values()][1])
    lines["OpenCV's cascade"] = features_line(theirs, others)
    text = f'{table(trained, judged, ours)}\n\n{cascade_roc.table(judged)}\n\n{tables.pairs(lines)}'
    figures = {
        'features': first_features(trained.cascade, np.mean(faces.train, axis=0) / 255),
        'stages': stages(counts),
        'roc': cascade_roc.figure(judged),
        'detections': detections(picture, found),
    }
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


def costs(cascade: Cascade, photo: PhotoWindows) -> dict[str, Any]:
    """Features and seconds for a photo's windows, with early rejection and without.

    Args:
        cascade: of stumps.
        photo: its windows.

    Returns:
        Windows `left`, of all and after each stage; `seconds` of each stage with early rejection; and
        `seconds_without` it, with all features of all windows, which is measured on some of them.
    """
    left, ended = [len(photo.corner)], [time.perf_counter()]
    for reached in cascade_roc.through_stages(photo, cascade):
        ended.append(time.perf_counter())
        left.append(int((reached.margins >= 0).sum()))
    some = np.arange(0, len(photo.corner), max(1, len(photo.corner) // cascade_roc.SAMPLED))
    began = time.perf_counter()
    cascade_roc.votes(photo, cascade, some)
    without = (time.perf_counter() - began) * len(photo.corner) / len(some)
    return {'left': np.array(left), 'seconds': np.diff(ended), 'seconds_without': without}


def table(trained: Trained, judged: Judged, ours: Mapping[str, Any]) -> str:
    """Markdown: a row for each stage."""
    head = ['stage', 'stumps', 'held-out faces, %', 'test faces, %', 'windows left', 'of all, %', 'training, s']
    head.append('test photo, ms')
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
                f'{1000 * ours["seconds"][number]:.0f}',
            ]
        )
    return tables.markdown(rows)


def summary(trained: Trained, judged: Judged, ours: Mapping[str, Any], grouped: Detections) -> dict[str, str]:
    """The costs, and the result on the test photo, in lines."""
    windows, false = int(judged.false[0]), int(judged.false[-1])
    found = 'found' if judged.found else 'not found'
    wrong = int((~face_windows.at_the_face(grouped.boxes)).sum())
    return {
        'training': trained.reason,
        'test faces': f'{100 * judged.kept[-1]:.1f} % pass all stages',
        'astronaut': f'face {found}; {false:,} false positives in {windows:,} windows ({false / windows:.1e} a window)',
        'grouped': f'{len(grouped.boxes)} groups of more than {GROUPED} windows, {wrong} of them not at the face',
        'seconds': f'{ours["seconds"].sum():.2f} with early rejection, {ours["seconds_without"]:.2f} with all features',
        'this cascade': features_line(trained.cascade, ours['left']),
    }


def features_line(cascade: Cascade, left: Sequence[int] | np.ndarray) -> str:
    """The mean number of features that are computed for a window, if `left` windows reach each stage."""
    sizes = np.bincount(np.asarray(cascade.stage))
    mean = np.asarray(left)[:-1] @ sizes / left[0]
    return f'{mean:.1f} of {sizes.sum():,} features for a window of the photo astronaut, on average'


def opencv() -> Cascade:
    """OpenCV's cascade of faces from the front, which has stumps of the same window."""
    return cascade_xml.load(cascade_xml.opencv_file('frontalface_default'))


def detections(image: np.ndarray, found: Mapping[str, Detections]) -> Figure:
    """Windows of a photo that pass, and their groups.

    Args:
        image: uint8 `[h, w]`.
        found: caption -> detections in it.
    """
    pictures = [SHOW.write(image, answer(part), named('')).pictures['boxes'] for part in found.values()]
    captions = [f'{len(part.boxes)} {name}' for name, part in found.items()]
    return viz.image_grid(pictures, captions=captions, columns=3, title='Windows before and after grouping')


def named(name: str) -> Names:
    """The names of classes for `SHOW`: one, or '' where boxes are so many that texts would hide them."""
    return {'box_labels': (name,)}


def answer(found: Detections) -> dict[str, np.ndarray]:
    """Detections as the answer that `presentation.boxes` shows; all are of class 0.

    Example:
        >>> one = Detections(np.array([[1, 2, 9, 8]]), np.array([4]), np.array([7.5]))
        >>> SHOW.write(np.zeros((16, 16), np.uint8), answer(one), named('face')).row['objects']
        [{'label': 0, 'class': 'face', 'score': 7.5, 'bbox': [1.0, 2.0, 8.0, 6.0]}]
    """
    count = len(found.boxes)
    labels, valid = np.zeros(count, np.int32), np.ones(count, bool)
    return {'boxes': found.boxes, 'scores': found.scores, 'box_labels': labels, 'box_valid': valid}


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
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel='stages', ylabel='windows left')
    axes.legend(frameon=False, fontsize=9)
    style(axes)
    headline(figure, 'Most windows are rejected by the first stages')
    return figure


if __name__ == '__main__':
    launch.launch(main, uses=USES)
