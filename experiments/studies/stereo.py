"""Disparity and flow by OpenCV's methods, by a constant and by trained networks, in one table and figures.

    python -m experiments.studies.stereo --workdir=runs/stereo [--trained=GC-Net=runs/gcnet,FlowNetC=runs/flownet_c]

Three sets: `shifted_photos` (stereo) and `moving_photos` (flow), 100 test pairs each, whose truth is exact, and the
motorcycle, Middlebury's pair that scikit-image holds. Of a trained run the network is measured on the set of its kind,
and for stereo also on the motorcycle, as `experiments.predict` answers it.

OpenCV's stereo methods have no answer in the first columns, as many as there are disparities: so both views are
continued to the left by their border first. A missing answer is wrong in `bad 1` and `D1/Fl`, and not in the mean.
Measured here, errors in pixels (of all answered pixels, and of those that both images show):

                              EPE  visible  bad 1 visible  D1/Fl  density
    shifted_photos  constant  4.45    4.53         82.9 %  52.4 %   100 %
                    StereoBM  0.48    0.27         22.1 %  27.1 %  75.5 %
                    SGBM      0.52    0.36          4.4 %   8.3 %  94.7 %
    motorcycle      constant 14.79   14.60         98.2 %  94.1 %   100 %
                    StereoBM  1.19    0.76         16.9 %  21.5 %  83.7 %
                    SGBM      1.07    0.67          8.0 %  12.3 %  92.6 %
    moving_photos   zero      6.35    6.25         98.5 %  85.4 %   100 %
                    Farneback 2.43    2.03         31.3 %  24.1 %   100 %
                    DIS       1.33    0.96         17.9 %  10.9 %   100 %
"""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import jax
import numpy as np
from absl import flags
from matplotlib.figure import Figure

from experiments import launch
from experiments.run import tables, workdir
from experiments.run.assemble import assemble
from experiments.run.variables import restore
from experiments.studies import study as studies
from jaxcv import config, data, presentation, training, viz
from jaxcv.data.photos import motorcycle
from jaxcv.metrics.fields import Field
from jaxcv.task import PhotoOptions

SHOWN = 3
"""Pairs of each set in its figure."""
FROM_TRAINING = 50
"""Training pairs whose median is the constant."""
IMAGES = {'disparity': ('left', 'right'), 'flow': ('image', 'next_image')}
SETS: Mapping[str, Literal['flow', 'disparity']] = {
    'shifted_photos': 'disparity',
    'motorcycle': 'disparity',
    'moving_photos': 'flow',
}
DISPARITIES = {'shifted_photos': 32, 'motorcycle': 64}

RUNS = flags.DEFINE_list('trained', [], 'Trained networks to measure too, as NAME=WORKDIR.')
USES = ('workdir',)

Method = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(first image, second image), uint8 [h w 3] -> the field, NaN where there is no answer."""


class Pairs(NamedTuple):
    """The pairs of a set."""

    first: Sequence[np.ndarray]
    second: Sequence[np.ndarray]
    truth: Sequence[np.ndarray]
    """NaN where it is not known."""
    visible: Sequence[np.ndarray]
    """Whether the second image shows the pixel; all True where it is not known."""


def main() -> int:
    """Runs the study of the flags; returns the exit code."""
    runs = {}
    for word in RUNS.value:
        name, equals, place = word.partition('=')
        if not (name and equals and place):
            raise config.ConfigError(f'--trained={word}: expected NAME=WORKDIR, such as GC-Net=runs/gcnet')
        runs[name] = Path(place).expanduser()
    return study(launch.workdir(), runs)


def study(folder: Path, runs: Mapping[str, Path]) -> int:
    """Measures each method that the workdir lacks, and writes the table and the figures; returns the exit code."""
    workdir.describe(folder / 'study.json', {'config': {'sets': list(SETS)}}, what='study')
    found: dict[str, dict[str, Any]] = {}
    figures = {}
    for name, field in SETS.items():
        pairs = read(name)
        methods = {**classical(name), **networks(field, runs)}
        found[name] = {}
        for method, make in methods.items():
            own = folder / name / method
            compute = functools.partial(measured, make, pairs, own)
            found[name][method] = studies.result(own / 'result.json', compute)
            print(f'{name}  {method}: EPE {found[name][method]["epe"]:.2f}', flush=True)
        shown = {method: list(np.load(folder / name / method / 'fields.npz').values()) for method in methods}
        figures[name] = picture(name, pairs, shown)
    viz.save(view(), folder / 'motorcycle_view.png')
    return studies.conclude(folder, table(found), figures)


def read(name: str, split: str = 'test', count: int | None = None) -> Pairs:
    """The pairs of a set, or the first of them."""
    if name == 'motorcycle':
        left, right, disparity, _ = motorcycle()
        truth = np.where(disparity.valid, disparity.values, np.nan)
        return Pairs([left], [right], [truth], [seen_by_both(truth)])
    field = SETS[name]
    source = data.source(name, split=split)
    source = source if count is None else data.subset(source, range(count))
    batches = list(data.eval_batches(source, batch_size=50, transforms=[data.transforms.decode()]))
    features = (*IMAGES[field], field, f'{field}_visible')
    return Pairs(*([row for batch in batches for row in batch[one][batch['valid']]] for one in features))


def seen_by_both(disparity: np.ndarray) -> np.ndarray:
    """The pixels of the left view that no nearer one covers in the right view, found by splatting disparities."""
    height, width = disparity.shape
    known = np.isfinite(disparity)
    there = np.rint(np.arange(width) - np.where(known, disparity, 0)).astype(int)
    inside = known & (there >= 0) & (there < width)
    nearest = np.zeros((height, width))
    rows = np.nonzero(inside)[0]
    np.maximum.at(nearest, (rows, there[inside]), disparity[inside])
    visible = np.zeros((height, width), bool)
    visible[inside] = disparity[inside] > nearest[rows, there[inside]] - 1
    return visible


def classical(name: str) -> dict[str, Callable[[], Method]]:
    """The methods that are not trained, by their names; each is made when it is measured."""
    if SETS[name] == 'flow':
        return {
            'zero': lambda: lambda first, second: np.zeros((*first.shape[:2], 2), np.float32),
            'constant': lambda: constant(name),
            'Farneback': lambda: farneback,
            'DIS': lambda: dis,
        }
    return {
        'zero': lambda: lambda first, second: np.zeros(first.shape[:2], np.float32),
        'constant': lambda: constant(name),
        'StereoBM': lambda: functools.partial(block_matching, disparities=DISPARITIES[name]),
        'StereoSGBM': lambda: functools.partial(semi_global, disparities=DISPARITIES[name]),
    }


def constant(name: str) -> Method:
    """The median of the training pairs; of the motorcycle, which has none, its own."""
    pairs = read(name) if name == 'motorcycle' else read(name, 'train', FROM_TRAINING)
    value = np.nanmedian(np.stack(pairs.truth), axis=(0, 1, 2)).astype(np.float32)
    return lambda first, second: np.broadcast_to(value, (*first.shape[:2], *value.shape)).copy()


def block_matching(left: np.ndarray, right: np.ndarray, *, disparities: int) -> np.ndarray:
    """OpenCV's StereoBM with blocks of 15 pixels."""
    return _matched(cv2.StereoBM.create(disparities, 15), left, right, disparities)


def semi_global(left: np.ndarray, right: np.ndarray, *, disparities: int) -> np.ndarray:
    """OpenCV's StereoSGBM, its penalties those of its documentation for blocks of 5 gray pixels."""
    matcher = cv2.StereoSGBM.create(0, disparities, 5, P1=200, P2=800, disp12MaxDiff=1, uniquenessRatio=10,
                                    speckleWindowSize=100, speckleRange=2)  # fmt: skip
    return _matched(matcher, left, right, disparities)


def farneback(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """OpenCV's flow by polynomial expansion, with the parameters of its tutorial."""
    start = np.zeros((*first.shape[:2], 2), np.float32)
    return cv2.calcOpticalFlowFarneback(_gray(first), _gray(second), start, 0.5, 3, 15, 3, 5, 1.2, 0)


def dis(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """OpenCV's flow by dense inverse search, preset medium."""
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return method.calc(_gray(first), _gray(second), None)  # type: ignore[call-overload]  # its stubs lack None


def networks(field: str, runs: Mapping[str, Path]) -> dict[str, Callable[[], Method]]:
    """The trained networks of a kind."""
    found: dict[str, Callable[[], Method]] = {}
    for name, place in runs.items():
        checked = workdir.trained(place, None)
        experiment = assemble(checked, workdir.facts_of(place, checked))
        if all(image in experiment.facts.example for image in IMAGES[field]):
            found[name] = functools.partial(network, experiment, place, field)
    return found


def network(experiment: Any, place: Path, field: str) -> Method:
    """A trained network, as a method for pairs of any size."""
    variables, _ = restore(experiment, place, 'last', training.make_mesh(), averaged=False)
    compiled = functools.partial(jax.jit(experiment.task.predict), variables)
    show = presentation.fields(field='flow' if field == 'flow' else 'disparity')
    shape = tuple(experiment.facts.example[IMAGES[field][0]]['shape'])

    def method(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        example = {**dict(zip(IMAGES[field], (first, second), strict=True)), 'seed': 0}
        (answer,) = show.photos(compiled, [example], PhotoOptions(shape, dict, dict))
        return answer[field]

    return method


def measured(make: Callable[[], Method], pairs: Pairs, own: Path) -> dict[str, float]:
    """The errors of a method over a set, in pixels and shares; writes the fields of the figure."""
    method, fields, seconds = make(), [], []
    for first, second in zip(pairs.first, pairs.second, strict=True):
        began = time.perf_counter()
        fields.append(method(first, second))
        seconds.append(time.perf_counter() - began)
    own.mkdir(parents=True, exist_ok=True)
    np.savez(own / 'fields.npz', *fields[:SHOWN])
    parts = [_flat(part) for part in (fields, pairs.truth, pairs.visible)]
    values, truth, visible = parts
    error = np.linalg.norm(values - truth, axis=-1)
    known = np.isfinite(truth).all(-1)
    answered, length = np.isfinite(error), np.linalg.norm(truth, axis=-1)
    seen = known & visible[:, 0].astype(bool)
    with np.errstate(invalid='ignore'):
        bad, outlier = ~(error <= 1), ~((error <= 3) | (error <= 0.05 * length))
    return {
        'epe': float(error[known & answered].mean()),
        'epe_visible': float(error[seen & answered].mean()),
        'bad_1_visible': float(bad[seen].mean()),
        'outliers': float(outlier[known].mean()),
        'density': float(answered[known].mean()),
        'seconds_a_pair': float(np.median(seconds)),
    }


def table(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Markdown: the errors of each method, a table for each set."""
    head = ['', 'EPE', 'EPE visible', 'bad 1 visible, %', 'D1/Fl, %', 'density, %', 'ms a pair']
    texts = []
    for name, methods in found.items():
        rows = [[name, *head[1:]]]
        for method, values in methods.items():
            shares = (f'{100 * values[one]:.1f}' for one in ('bad_1_visible', 'outliers', 'density'))
            errors = (f'{values[one]:.2f}' for one in ('epe', 'epe_visible'))
            rows.append([method, *errors, *shares, f'{1000 * values["seconds_a_pair"]:.0f}'])
        texts.append(tables.markdown(rows))
    return '\n\n'.join(texts)


def picture(name: str, pairs: Pairs, shown: Mapping[str, Sequence[np.ndarray]]) -> Figure:
    """The first pairs of a set, their truth, and the fields of the methods with their errors."""
    drawn = {method: fields for method, fields in shown.items() if method not in ('zero', 'constant')}
    field: Field = 'flow' if SETS[name] == 'flow' else 'disparity'
    return viz.field_grid(pairs.first[:SHOWN], pairs.truth[:SHOWN], drawn, field=field, title=name)


def view() -> Figure:
    """The motorcycle from its right, by its true depth."""
    left, _, disparity, calibration = motorcycle()
    depth = calibration.depth(np.where(disparity.valid, disparity.values, np.nan))
    seen = viz.depth_view(left, depth, focal=calibration.focal, center=calibration.center)
    figure = Figure(figsize=(13, 4.7), layout='constrained')
    titles = ('left view', 'turned by 20 degrees, by the true disparity')
    for axes, image, title in zip(figure.subplots(1, 2), (left, seen), titles, strict=True):
        axes.imshow(image)
        axes.set_axis_off()
        axes.set_title(title, fontsize=11)
    return figure


def _matched(matcher: Any, left: np.ndarray, right: np.ndarray, disparities: int) -> np.ndarray:
    """The disparity of a matcher of OpenCV: 16 times the pixels, negative where there is none."""
    wider = [cv2.copyMakeBorder(_gray(x), 0, 0, disparities, 0, cv2.BORDER_REPLICATE) for x in (left, right)]
    found = matcher.compute(*wider)[:, disparities:].astype(np.float32) / 16
    return np.where(found >= 0, found, np.nan)


def _gray(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def _flat(parts: Sequence[np.ndarray]) -> np.ndarray:
    """All pixels of all pairs, [n 1] or [n 2]."""
    rows = (part.reshape(-1, part.shape[2] if part.ndim == 3 else 1) for part in parts)
    return np.concatenate(list(rows))


if __name__ == '__main__':
    launch.launch(main, uses=USES)
