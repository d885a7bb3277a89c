"""Disparity and flow by OpenCV's methods, by a constant and by trained networks, in one table and figures.

    python -m experiments.studies.stereo --workdir=runs/stereo [--stereo_networks=dispnet_c,gcnet --stereo_seeds=0,1]
    python -m experiments.studies.stereo --workdir=runs/stereo --stereo_networks=gcnet --stereo_seeds=1 --only_train
    python -m experiments.studies.stereo --workdir=runs/opencv --stereo_networks=

Three sets: `shifted_photos` (stereo) and `moving_photos` (flow), 100 test pairs each, whose truth is exact, and the
motorcycle, Middlebury's pair that scikit-image holds. The networks are those of the configs `stereo/shifted_photos` and
`stereo/moving_photos`; each is measured on the set of its kind, and for stereo also on the motorcycle, as
`experiments.predict` answers it. The second command only trains and measures: several such may run at the same time,
each with networks or seeds of its own, and the first one then makes the table. `--trained=NAME=WORKDIR` measures
another run too.

OpenCV's stereo methods have no answer in the first columns, as many as there are disparities: so both views are
continued to the left by their border first. A missing answer is wrong in `bad 1` and `D1/Fl`, and not in the mean;
`EPE filled` has it filled as KITTI's development kit does, by the smaller one of the next answers in its row. `median`
is of the pixels that both views show, and beside it that of the answers rounded to whole pixels.

Measured by the first command, one seed (`--stereo_seeds=0`), errors in pixels:

                                  EPE     of       median, of visible pixels
    shifted_photos             filled  visible   as it is  rounded  bad 1 visible  D1/Fl
                    constant     4.45     4.53       3.21     3.23         82.9 %  52.4 %
                    StereoBM     1.09     0.27       0.06     0.26         22.1 %  27.1 %
                    StereoSGBM   0.64     0.36       0.15     0.27          4.4 %   8.3 %
                    DispNet      2.02     1.93       0.88     0.93         46.3 %  20.1 %
                    DispNetC     1.90     1.80       0.72     0.79         41.3 %  18.6 %
                    GC-Net       0.82     0.64       0.25     0.36         10.8 %   5.9 %
    motorcycle      constant    14.79    14.60      14.56    14.41         98.2 %  94.1 %
                    StereoBM     2.33     0.76       0.16     0.30         16.9 %  21.5 %
                    StereoSGBM   1.40     0.67       0.21     0.29          8.0 %  12.3 %
                    DispNet      7.84     7.77       4.37     4.34         84.1 %  61.3 %
                    DispNetC     8.56     8.50       3.96     3.96         80.0 %  56.9 %
                    GC-Net       4.73     4.26       0.57     0.65         34.7 %  23.7 %
    moving_photos   zero         6.35     6.25       5.90     5.90         98.5 %  85.4 %
                    Farneback    2.43     2.03       0.40     0.62         31.3 %  24.1 %
                    DIS          1.33     0.96       0.29     0.53         17.9 %  10.9 %
                    FlowNetS     2.38     2.14       1.35     1.42         63.0 %  24.6 %
                    FlowNetC     2.03     1.80       1.08     1.16         53.3 %  19.1 %

StereoBM answers 75.5 and 83.7 % of the pixels, SGBM 94.7 and 92.6 %, all others every one. GC-Net has fewer wrong
pixels than block matching, and by D1 than SGBM; its soft argmin is finer than whole pixels: rounded, its median error
is half as large again. The correlation helps, as the papers have it: DispNetC and FlowNetC are below their plain twins
on the set that they were trained on, and were from half of their updates on. All four are far from the classical
methods: a quarter of the papers' channels, 600 pairs and 6,000 updates (the papers: 22,000 pairs and more, 600,000 and
more updates of 8). The motorcycle, which has more than twice the disparities of most training pairs, is harder for all
networks; GC-Net answers half of its pixels within 0.6.

Convergence was judged by `disparity_curves.png` and `flow_curves.png`, the error on the validation pairs at every tenth
of a run: over the last fifth DispNet fell from 2.02 to 1.91, DispNetC from 1.83 to 1.76, FlowNetS from 2.18 to 2.17,
FlowNetC from 1.85 to 1.81 and GC-Net from 0.68 to 0.66. The trainings took 40 minutes of one core for GC-Net, and 3 to
6 minutes each for the others on an H200 that eleven trainings shared.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import jax
import numpy as np
from absl import flags
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from experiments import launch
from experiments.run import tables, workdir
from experiments.run.assemble import assemble
from experiments.run.check import check
from experiments.run.training import train
from experiments.run.variables import restore
from experiments.stereo import moving_photos, shifted_photos
from experiments.studies import study as studies
from jaxcv import config, data, presentation, training, viz
from jaxcv.data.photos import motorcycle
from jaxcv.metrics.fields import Field
from jaxcv.names import nearest
from jaxcv.task import PhotoOptions

NAMES = {
    'dispnet': 'DispNet',
    'dispnet_c': 'DispNetC',
    'gcnet': 'GC-Net',
    'flownet_s': 'FlowNetS',
    'flownet_c': 'FlowNetC',
}
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
BLOCK = 15
"""Of StereoBM, the side in pixels."""
COLUMNS = {
    'epe': 'EPE',
    'epe_visible': 'EPE visible',
    'epe_filled': 'EPE filled',
    'median_visible': 'median',
    'median_rounded': 'rounded',
    'bad_1_visible': 'bad 1 visible, %',
    'outliers': 'D1/Fl, %',
    'density': 'density, %',
}

NETWORKS = flags.DEFINE_list('stereo_networks', list(NAMES), 'The networks to train.')
SEEDS = flags.DEFINE_list('stereo_seeds', ['0', '1'], 'The seeds of each.')
EPOCHS = flags.DEFINE_float('stereo_epochs', None, "Epochs of each network; by default the config's.")
ONLY_TRAIN = flags.DEFINE_bool('only_train', False, 'Train and measure networks, and make no table.')
RUNS = flags.DEFINE_list('trained', [], 'Other trained networks to measure too, as NAME=WORKDIR.')
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


class Run(NamedTuple):
    """A trained network."""

    name: str
    """In the table; runs of one network with several seeds have one name."""
    workdir: Path
    measured: Path
    """The folder of its results, one for each set."""


def main() -> int:
    """Runs the study of the flags; returns the exit code."""
    if unknown := [name for name in NETWORKS.value if name not in NAMES]:
        raise config.ConfigError(f'--stereo_networks: no {unknown[0]!r}, {nearest(unknown[0], NAMES)}')
    if not all(seed.isdecimal() for seed in SEEDS.value) or not SEEDS.value:
        raise config.ConfigError(f'--stereo_seeds: whole numbers separated by commas, got {",".join(SEEDS.value)!r}')
    folder, others = launch.workdir(), []
    for word in RUNS.value:
        name, equals, place = word.partition('=')
        if not (name and equals and place):
            raise config.ConfigError(f'--trained={word}: expected NAME=WORKDIR, such as GC-Net=runs/gcnet')
        others.append(Run(name, Path(place).expanduser(), folder / 'trained' / name))
    seeds = [int(seed) for seed in SEEDS.value]
    settings = {(name, seed): run_settings(name, seed, EPOCHS.value) for name in NETWORKS.value for seed in seeds}
    return study(folder, settings, others, only_train=ONLY_TRAIN.value)


def study(
    folder: Path, settings: Mapping[tuple[str, int], ConfigDict], others: Sequence[Run], *, only_train: bool = False
) -> int:
    """Trains and measures what the workdir lacks, and writes the table and the figures; returns the exit code.

    Args:
        folder: the workdir.
        settings: (network, seed) -> its config.
        others: runs that are trained already.
        only_train: leave out OpenCV's methods, the table and the figures.
    """
    runs = list(others)
    for (name, seed), each in settings.items():
        own = folder / name / str(seed)
        checked = check(each)
        workdir.describe(own / 'study.json', {'config': checked.settings.to_dict()}, what='run')
        sets = [one for one, field in SETS.items() if field == kind_of(each)]
        if not all((own / 'measured' / one / 'result.json').exists() for one in sets):
            if code := train(checked, own):
                return code
            jax.clear_caches()
        runs.append(Run(NAMES[name], own, own / 'measured'))
    read_once = functools.cache(read)
    results = {one: networks(one, field, runs, read_once) for one, field in SETS.items()}
    if only_train:
        return 0
    figures = {}
    for one in SETS:
        found = {}
        for method, make in classical(one).items():
            own = folder / one / method
            found[method] = [
                studies.result(own / 'result.json', functools.partial(measured, make, read_once(one), own))
            ]
            print(f'{one}  {method}: EPE {found[method][0]["epe"]:.2f}', flush=True)
        shown = {method: folder / one / method for method in found}
        shown |= {run.name: run.measured / one for run in reversed(runs) if run.name in results[one]}
        results[one] = found | results[one]
        fields = {method: list(studies.arrays(place / 'fields.npz').values()) for method, place in shown.items()}
        figures[one] = picture(one, read_once(one), fields)
    for field in ('disparity', 'flow'):
        if trained := [key for key, each in settings.items() if kind_of(each) == field]:
            figures[f'{field}_curves'] = curves(folder, trained)
    viz.save(view(), folder / 'motorcycle_view.png')
    return studies.conclude(folder, table(results), figures)


def run_settings(name: str, seed: int, epochs: float | None) -> ConfigDict:
    """The config of a network: `experiments.train` takes it as it is."""
    config_of = shifted_photos.get_config if name in shifted_photos.NETWORKS else moving_photos.get_config
    settings = config_of(name)
    settings.seed = seed
    if epochs is not None:
        settings.training.epochs = epochs
    return settings


def kind_of(settings: ConfigDict) -> str:
    """The field that a network finds."""
    return 'flow' if settings.task.name == 'flow' else 'disparity'


def curves(folder: Path, trained: Sequence[tuple[str, int]]) -> Figure:
    """The error on the validation pairs over the updates, a line for each run."""
    lines = {
        f'{NAMES[name]}, seed {seed}': studies.progress(folder / name / str(seed), 'epe') for name, seed in trained
    }
    title = 'Mean endpoint error on the validation pairs while training'
    return viz.loss_curves(lines, log=True, label='EPE, pixels', title=title)


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
    """OpenCV's StereoBM with blocks of 15 pixels; of views that are no larger its answers would be random."""
    if min(left.shape[:2]) <= BLOCK:
        raise ValueError(f'StereoBM compares blocks of {BLOCK} pixels: views must be larger, got {left.shape[:2]}')
    return _matched(cv2.StereoBM.create(disparities, BLOCK), left, right, disparities)


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


def networks(
    name: str, field: str, runs: Sequence[Run], read_once: Callable[[str], Pairs]
) -> dict[str, list[dict[str, Any]]]:
    """The results of the trained networks of a kind on a set, for each seed."""
    found: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        checked = workdir.trained(run.workdir, None)
        facts = workdir.facts_of(run.workdir, checked)
        if not all(image in facts.example for image in IMAGES[field]):
            continue

        def compute(run: Run = run, checked: Any = checked, facts: Any = facts) -> Mapping[str, float]:
            experiment = assemble(checked, facts)
            make = functools.partial(network, experiment, run.workdir, field)
            return measured(make, read_once(name), run.measured / name)

        result = studies.result(run.measured / name / 'result.json', compute)
        found.setdefault(run.name, []).append(result)
        print(f'{name}  {run.name}: EPE {result["epe"]:.2f}', flush=True)
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
    own.mkdir(parents=True, exist_ok=True)
    method = make()
    fields = [method(first, second) for first, second in zip(pairs.first, pairs.second, strict=True)]
    np.savez(own / 'fields.npz', *(field.astype(np.float16) for field in fields[:SHOWN]))
    values, truth, visible, whole = (
        _flat(part) for part in (fields, pairs.truth, pairs.visible, [filled(field) for field in fields])
    )
    error, rounded, full = (np.linalg.norm(x - truth, axis=-1) for x in (values, np.rint(values), whole))
    known = np.isfinite(truth).all(-1)
    answered, length = np.isfinite(error), np.linalg.norm(truth, axis=-1)
    seen = known & visible[:, 0].astype(bool)
    with np.errstate(invalid='ignore'):
        bad, outlier = ~(error <= 1), ~((error <= 3) | (error <= 0.05 * length))
    return {
        'epe': float(error[known & answered].mean()),
        'epe_visible': float(error[seen & answered].mean()),
        'epe_filled': float(full[known].mean()),
        'median_visible': float(np.median(error[seen & answered])),
        'median_rounded': float(np.median(rounded[seen & answered])),
        'bad_1_visible': float(bad[seen].mean()),
        'outliers': float(outlier[known].mean()),
        'density': float(answered[known].mean()),
    }


def filled(field: np.ndarray) -> np.ndarray:
    """A disparity whose missing answers are the smaller one of the next answers in their row; flow as it is.

    The smaller one is of the background, which is more often hidden. A row without an answer gets that of the image.
    """
    known = np.isfinite(field)
    if field.ndim == 3 or known.all():
        return field
    columns = np.arange(field.shape[1])
    last = np.maximum.accumulate(np.where(known, columns, -1), axis=1)
    following = np.minimum.accumulate(np.where(known, columns, len(columns))[:, ::-1], axis=1)[:, ::-1]
    wider = np.pad(field, ((0, 0), (1, 1)), constant_values=np.inf)
    both = [np.take_along_axis(wider, at + 1, axis=1) for at in (last, following)]
    values = np.where(known, field, np.minimum(*both))
    middle = np.median(field[known]) if known.any() else 0.0
    return np.where(np.isfinite(values), values, middle)


def table(found: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]) -> str:
    """Markdown: the errors of each method, the means over its seeds, a table for each set."""
    texts = []
    for name, methods in found.items():
        rows = [[name, *COLUMNS.values(), 'EPE of the seeds']]
        for method, runs in methods.items():
            means = {value: float(np.mean([run[value] for run in runs])) for value in COLUMNS}
            cells = [_cell(value, mean) for value, mean in means.items()]
            each = ', '.join(f'{run["epe"]:.2f}' for run in runs) if len(runs) > 1 else '-'
            rows.append([method, *cells, each])
        texts.append(tables.markdown(rows))
    return '\n\n'.join(texts)


def _cell(value: str, mean: float) -> str:
    return f'{100 * mean:.1f}' if COLUMNS[value].endswith('%') else f'{mean:.2f}'


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
