"""Predictions for files of the user's: a line for each, predictions.json, and pictures, in a folder of their own."""

import collections
import functools
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import jax
import numpy as np
from absl import logging

from experiments.run import pictures, workdir
from experiments.run.assemble import Experiment, assemble
from experiments.run.batches import build_transforms, zeros
from experiments.run.check import Checked
from experiments.run.evaluation import EVALUATION
from experiments.run.exits import BAD_INPUT
from experiments.run.known import enrolled, gallery_of
from experiments.run.variables import evaluated_task, restore
from experiments.run.video import answer_video
from jaxcv import config, data, training, viz
from jaxcv.data.fields import write_field
from jaxcv.data.video import is_video
from jaxcv.features import Example, MisuseError, Names
from jaxcv.files import read_json
from jaxcv.moves import image_size
from jaxcv.task import Answer, Gallery, PhotoOptions, Presentation, Shown, Task
from jaxcv.types import Batch, Variables

LISTED = 'predictions.json'
Picture = Mapping[str, Path]
"""The files of one example by the names of its images."""
MOST_AT_A_TIME = 32
"""Pictures in a batch."""


class Ready(NamedTuple):
    """A network that is ready to predict: of a trained workdir, or of published weights."""

    experiment: Experiment
    task: Task
    """Of the variables."""
    load: Callable[[], Variables]
    evaluated: Mapping[str, Any] = {}
    """The values of its last evaluation; {} if there was none."""


def predict(
    checked: Checked,
    folder: Path,
    which: int | str,
    files: Sequence[Path] | Mapping[str, Sequence[Path]],
    output: Path,
    *,
    scale: float | None = None,
    averaged: bool | None = None,
    shown: Mapping[str, Any] | None = None,
    known: str | None = None,
) -> int:
    """Answers for each file by a trained workdir: `predict_by` of it.

    Args:
        checked: the config of the run, with the `data` and `views` to predict with.
        folder: the workdir.
        which: 'last', 'best' or a step.
        files: as there, as all that follow.
        output: a folder.
        scale: what a picture's sides are multiplied by, for answers about pixels.
        averaged: whether to predict with the average; None: as the config says.
        shown: options of the presentation by name.
        known: a folder of known pictures.

    Returns:
        The exit code.
    """
    averaged = checked.training.evaluate_averaged if averaged is None else averaged
    experiment = assemble(checked, workdir.facts_of(folder, checked))

    def load() -> Variables:
        trained_on = workdir.trained_on(folder, checked)
        mesh = training.make_mesh()
        variables, step = restore(experiment, folder, which, mesh, averaged=averaged, trained_on=trained_on)
        if known and evaluated and evaluated.get('step') != step:
            logging.warning(
                '%s is of step %s, and the network of step %s: evaluate that one, so that its threshold fits',
                *(folder / EVALUATION, evaluated.get('step'), step),
            )
        return variables

    evaluated = read_json(folder / EVALUATION) if (folder / EVALUATION).is_file() else {}
    ready = Ready(experiment, evaluated_task(experiment, averaged=averaged), load, evaluated)
    return predict_by(ready, files, output, scale=scale, shown=shown, known=known)


def predict_by(
    ready: Ready,
    files: Sequence[Path] | Mapping[str, Sequence[Path]],
    output: Path,
    *,
    scale: float | None = None,
    shown: Mapping[str, Any] | None = None,
    known: str | None = None,
) -> int:
    """Answers for each file, in the picture's own pixels, and writes the answers into the output folder.

    Args:
        ready: the network.
        files: pictures and videos, of any size, or {name of an image of the examples: its files}; for examples of
            several images, such as stereo pairs, the files of each.
        output: a folder that is new, empty, or of an earlier prediction.
        scale: what a picture's sides are multiplied by, for answers about pixels; None: as in the evaluation.
        shown: options of the presentation by name, such as a least score.
        known: a folder with a folder of known pictures for each name; each file gets the name of the nearest of them.

    Returns:
        The exit code, `BAD_INPUT` if a file could not be read; the others are predicted.
    """
    experiment, task = ready.experiment, ready.task
    presentation = experiment.task.presentation
    if presentation is None:
        raise config.ConfigError(f'{experiment.settings.task.name} has no presentation: its answers cannot be shown')
    if shown:
        presentation = _with_options(presentation, shown, experiment)
    if presentation.numbered is not None and experiment.facts.class_ids:
        presentation = presentation.numbered(experiment.facts.class_ids)
    inputs = _inputs(experiment)
    pictured = _examples(files, inputs)
    _check_output(output, [path for one in pictured for path in one.values()])
    _check_channels(experiment)
    first = [one[inputs[0]] for one in pictured]
    of_names = [] if known is None else gallery_of(known, presentation, inputs)
    names_of = dict(zip(first, _names(experiment, presentation, first), strict=True))
    names = experiment.facts.names
    options = _options(experiment, max(len(first), len(of_names)), scale)
    decode, compiled = _decoder(experiment), _compiled(task.predict, ready.load())
    answered = functools.partial(_answered, compiled=compiled, decode=decode, options=options)
    unread = 0
    if of_names:
        read = [
            (picture[inputs[0]], answer)
            for picture, _, answer in answered([{inputs[0]: path} for _, path in of_names], presentation)
        ]
        unread = len(of_names) - len(read)
        presentation = enrolled(presentation, of_names, read, _picture_reader(decode, inputs[0]), ready.evaluated)
    videos = [path for path in first if len(inputs) == 1 and is_video(path)]
    rows: list[dict[str, Any]] = []
    gallery = Gallery()
    pictured = [one for one in pictured if one[inputs[0]] not in videos]
    for picture, images, answer in answered(pictured, presentation):
        path = picture[inputs[0]]
        if not rows:  # only now: nothing is left behind where no file can be read
            _make(output)
        written = presentation.write(images[inputs[0]], answer, names)
        _save_pictures(output, path.with_name(f'{names_of[path]}{path.suffix}'), written.pictures)
        _save_fields(output, names_of[path], written.fields)
        others = {name: str(other) for name, other in picture.items() if name != inputs[0]}
        rows.append({'file': str(path), **others, **written.row})
        print(f'{pictures.shown(path)}  {written.line}')
        if len(gallery.rows) < presentation.most:
            gallery = Gallery((*gallery.rows, Shown(images, answer)), gallery.seen + 1)
    for path in videos:
        try:
            _make(output)
            rows.append(answer_video(path, output, presentation, compiled, options, decode, names))
        except (OSError, ValueError) as error:
            print(f'{pictures.shown(path)} cannot be read: {error}', file=sys.stderr)
    if unread:
        print(f'{unread} of {len(of_names)} known pictures could not be read', file=sys.stderr)
    if len(rows) < len(first):
        print(f'{len(first) - len(rows)} of {len(first)} files could not be read', file=sys.stderr)
    if not rows:
        return BAD_INPUT
    _conclude(output, rows, presentation, gallery._replace(seen=len(rows)), names)
    return BAD_INPUT if unread or len(rows) < len(first) else 0


def _picture_reader(decode: data.transforms.Transform, feature: str) -> Callable[[Path], np.ndarray]:
    """(file) -> the decoded picture."""
    return lambda path: decode({feature: path.read_bytes(), 'seed': 0})[feature]


def _answered(
    pictured: Sequence[Picture],
    presentation: Presentation,
    *,
    compiled: Any,
    decode: data.transforms.Transform,
    options: PhotoOptions,
) -> Iterator[tuple[Picture, Example, Answer]]:
    """The pictures that can be read, decoded, and the answer for each."""
    readable = collections.deque[tuple[Picture, Example]]()
    for answer in presentation.photos(compiled, _decoded(pictured, decode, options, readable), options):
        yield *readable.popleft(), answer  # pictures are decoded ahead, a batch at a time


def _inputs(experiment: Experiment) -> list[str]:
    """The images of an example: one, or those of a pair."""
    return pictures.image_names(experiment.facts.example)


def _examples(files: Sequence[Path] | Mapping[str, Sequence[Path]], inputs: Sequence[str]) -> list[Picture]:
    """The files of each example; raises a ConfigError where images are missing."""
    given = files if isinstance(files, Mapping) else {'image': files}
    if len(given) == 1 and len(inputs) > 1:  # a folder with a folder for each image
        (paths,) = given.values()
        folders = {path: [part for part in path.parts[:-1] if part in inputs][-1:] for path in paths}
        if all(folders.values()):
            given = {name: [path for path in paths if folders[path] == [name]] for name in inputs}
    elif given.keys() == {'image'}:
        given = {inputs[0]: given['image']}
    if given.keys() != {*inputs}:
        flags = ' and '.join(f'--{_flag(name)}' for name in inputs)
        raise config.ConfigError(
            f'the examples of this run have {" and ".join(inputs)}: give {flags}, each a file or a folder of as many '
            f'files, or --images=FOLDER with a folder of each name in it; got {" and ".join(given) or "none"}'
        )
    counts = {name: len(paths) for name, paths in given.items()}
    if len({*counts.values()}) > 1:
        shown = ', '.join(f'{count} of {name}' for name, count in counts.items())
        raise config.ConfigError(f'as many files of each image are wanted: there are {shown}')
    stems = [{path.stem for path in paths} for paths in given.values()]
    if any(one & two and one != two for one, two in itertools.pairwise(stems)):
        lone = sorted(stems[0] ^ stems[1])[:10]
        raise config.ConfigError(f'some files of {" and ".join(given)} have one name and others not: {", ".join(lone)}')
    return [dict(zip(given, paths, strict=True)) for paths in zip(*given.values(), strict=True)]


def _flag(name: str) -> str:
    return 'images' if name == 'image' else name


def _with_options(presentation: Presentation, shown: Mapping[str, Any], experiment: Experiment) -> Presentation:
    if presentation.options is None:
        raise config.ConfigError(f'--show: the answers of {experiment.settings.task.name} have no options')
    try:
        return presentation.options(shown, experiment.facts.names)
    except ValueError as error:
        raise config.ConfigError(f'--show: {error}') from None


def _compiled(predict: Any, variables: Variables) -> Any:
    compiled = jax.jit(predict)

    def predicted(batch: Batch) -> Any:
        return compiled(variables, batch)

    return predicted


def _options(experiment: Experiment, count: int, scale: float | None) -> PhotoOptions:
    """How the pictures are brought to the model: by the evaluation's transforms that concern an image alone."""
    facts, specs = experiment.facts, experiment.data.eval_transforms
    inputs = _inputs(experiment)
    shape, evaluated = (tuple(example[inputs[0]]['shape']) for example in (facts.example, facts.eval_example))
    build = functools.partial(build_transforms, registries=experiment.checked.registries)
    transform = data.transforms.compose(_of_pictures(build(specs), shape, inputs))
    resize = data.transforms.compose(build(spec for spec in specs if spec['name'] in data.transforms.RESIZING))
    size = min(MOST_AT_A_TIME, experiment.data.eval_batch_size, count)
    return PhotoOptions(
        shape, transform, resize if scale is None else _scaling(scale), batch_size=size, evaluated=evaluated
    )


def _of_pictures(
    transforms: Sequence[data.transforms.Transform], shape: Sequence[int], inputs: Sequence[str] = ('image',)
) -> list:
    """The transforms that images alone are enough for, found on some of zeros: a photo has no truth to transform."""
    example: Example = {**{name: np.zeros(shape, np.uint8) for name in inputs}, 'seed': 0, 'batch_seed': 0}
    kept = []
    for transform in transforms:
        try:
            after = transform(example)
        except (MisuseError, KeyError) as error:
            missing = error.feature if isinstance(error, MisuseError) else error.args[0]
            if missing in example:
                raise
            continue
        if after.keys() >= {*inputs}:
            kept.append(transform)
            example = after
    return kept


def _scaling(scale: float) -> data.transforms.Transform:
    """The transform that multiplies the sides of a picture."""

    def apply(example: Example) -> Example:
        height, width = (max(1, round(scale * side)) for side in image_size(example))
        return data.transforms.resize(size=(height, width))(example)

    return apply


def _decoder(experiment: Experiment) -> data.transforms.Transform:
    """The evaluation's own decoding, with its channels and depth; the usual one where the evaluation has none."""
    specs = [spec for spec in experiment.data.eval_transforms if spec['name'] in data.transforms.DECODING]
    own = build_transforms(specs, experiment.checked.registries)
    is_gray = experiment.facts.example[_inputs(experiment)[0]]['shape'][-1] == 1
    return data.transforms.compose(own or [data.transforms.decode(channels=1 if is_gray else 3)])


def _decoded(
    files: Sequence[Picture],
    decode: data.transforms.Transform,
    options: PhotoOptions,
    readable: collections.deque[tuple[Picture, Example]],
) -> Iterator[Example]:
    """The pictures that can be read; `readable` gets them too."""
    for picture in files:
        try:
            example = decode(
                {**{name: path.read_bytes() for name, path in picture.items()}, 'seed': 0, 'batch_seed': 0}
            )
            image_size(example)
            options.transform(example)  # what it raises belongs to this file, not to its batch
        except Exception as error:  # a library's for a damaged file, or that of a user's transform
            kind = '' if isinstance(error, OSError | ValueError) else f'{type(error).__name__}: '
            path = picture.get(getattr(error, 'feature', ''), next(iter(picture.values())))
            print(f'{pictures.shown(path)} cannot be read: {kind}{error}', file=sys.stderr)
            continue
        readable.append((picture, {name: example[name] for name in picture}))
        yield example


def _check_output(output: Path, files: Sequence[Path]) -> None:
    """Raises a ConfigError where a file of the user's could be written over."""
    other = output.is_dir() and any(output.iterdir()) and not _is_list_of_predictions(output / LISTED)
    if other or output.resolve() in {path.parent.resolve() for path in files}:
        raise config.ConfigError(
            f'{output} holds files of yours, which may be written over: give --output=FOLDER, a new or empty one, '
            f'or one of an earlier prediction'
        )


def _check_channels(experiment: Experiment) -> None:
    channels = experiment.facts.example[_inputs(experiment)[0]]['shape'][-1]
    if channels not in (1, 3):
        raise config.ConfigError(f'the run was trained on images of {channels} channels, and pictures have 1 or 3')


def _names(experiment: Experiment, presentation: Presentation, files: Sequence[Path]) -> list[str]:
    """The names of the files' pictures; raises a ConfigError where those of two files would be one."""
    names = pictures.picture_names(files)
    (name, count), *_ = collections.Counter(names).most_common(1)
    twice = [str(path) for path, other in zip(files, names, strict=True) if other == name]
    if count > 1 and _writes_pictures(experiment, presentation):
        raise config.ConfigError(f'--images: the pictures of {" and ".join(twice[:2])} would be one file: rename one')
    return names


def _writes_pictures(experiment: Experiment, presentation: Presentation) -> bool:
    """Whether each file gets pictures: tried on an answer of zeros for an image of the training's size."""
    task, batch = experiment.task, zeros(experiment.facts.example)
    variables = jax.eval_shape(task.init, jax.random.key(0), batch)
    shapes = jax.eval_shape(lambda variables: presentation.answer(task.predict(variables, batch)), variables)
    answer = {name: np.zeros(x.shape[1:], x.dtype) for name, x in shapes.items()}
    image = np.zeros(experiment.facts.example[_inputs(experiment)[0]]['shape'], np.uint8)
    return bool(presentation.write(image, answer, experiment.facts.names).pictures)


def _make(output: Path) -> None:
    """Makes the folder, marked as a prediction's by its predictions.json."""
    output.mkdir(parents=True, exist_ok=True)
    if not (output / LISTED).exists():
        workdir.write_json(output / LISTED, [])


def _is_list_of_predictions(path: Path) -> bool:
    try:
        rows = read_json(path)
    except (OSError, ValueError):
        return False
    return isinstance(rows, list) and all(isinstance(row, dict) and 'file' in row for row in rows)


def _save_pictures(output: Path, path: Path, drawn: Mapping[str, np.ndarray]) -> None:
    for suffix, picture in drawn.items():
        name = output / f'{path.stem}_{suffix}.png'
        if not cv2.imwrite(str(name), picture[..., ::-1] if picture.ndim == 3 else picture):
            raise OSError(f'{name} cannot be written: is the disk full?')


def _save_fields(output: Path, name: str, found: Mapping[str, np.ndarray]) -> None:
    for suffix, field in found.items():
        write_field(output / f'{name}_{suffix}', field)


def _conclude(output: Path, rows: list[dict], presentation: Presentation, shown: Gallery, names: Names) -> None:
    workdir.write_json(output / LISTED, rows)
    if shown.rows:
        viz.save(presentation.draw(shown, names), output / 'predictions.png')
    print(f'written to {output}: {LISTED}{", predictions.png" * bool(shown.rows)}')
