"""The contracts between a task and all that runs it: training, evaluation, prediction and export.

A task is to a model what an optax `GradientTransformation` is to an optimizer: a NamedTuple of pure functions, made by
a factory that closes over the model, the loss and the metrics. So one train step and one loop serve classification,
segmentation, detection, embeddings, stereo and flow. A task defines how it learns (`init`, `loss`, `predict`,
`metrics`, `best`) and how its answers are shown (`presentation`); launchers are loops over both and never test which
task it is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from jaxcv.arguments import checked
from jaxcv.features import Example, Names
from jaxcv.types import Array, Batch, PRNGKeyArray, PyTree, Scalar, Variables

BATCH_MOMENTS = 'batch_moments'
"""A collection: if the state of a loss has it, empty, batch norms put the statistics of their batch into it."""

Predictions = Mapping[str, Any]
"""The result of `Task.predict`: arrays of fixed shape that share the batch's axis; `valid` marks the real rows."""
Answer = Mapping[str, Any]
"""One example's part of what `Presentation.answer` returns, as NumPy arrays without the batch's axis."""


class LossOutput(NamedTuple):
    """A loss as a sum and its weight, so that devices, hosts and micro-batches of unequal masks add up exactly.

    The loss that is minimized is `total / weight`, both summed over the global batch; a mean of means differs from it.
    There is one weight. A loss of several terms normalizes each of them within its image (by 256 sampled anchors, by
    the image's own positives), and its weight is the number of valid images.
    """

    total: Scalar
    """Sum of the loss over the valid examples (or pixels)."""
    weight: Scalar
    """The divisor: the number of valid examples (or pixels)."""
    state: PyTree
    """The mutable collections after the pass, `{'batch_stats': ...}`; `{}` where there are none."""
    logs: Mapping[str, Scalar]
    """Further sums with the same weight; the step reports each divided by it."""


@checked
class Unit(NamedTuple):
    """Unit of a value: how it is written, and which direction is better.

    Example:
        >>> SHARE.format(0.9966), LOSS.format(0.52781)
        ('99.66 %', '0.5278')
    """

    name: str
    """Written after the number; values of one name share a plot: '%', 'pixels'. '' is a number without unit."""
    better: Literal['max', 'min'] | None
    """None: the value is a count or a description, and runs cannot be ranked by it."""
    factor: float = 1.0
    """Factor from the value to the written number: 100 for a share in per cent."""
    digits: int = 4
    axes: tuple[str, ...] = ()
    """The axes of a value that is an array, such as `('class',)`; a number has none."""

    def format(self, value: float) -> str:
        """Write a value, as in tables."""
        number = f'{self.factor * value:.{self.digits}f}' if self.digits else f'{self.factor * value:,.0f}'
        return f'{number} {self.name}'.rstrip()


SHARE = Unit('%', 'max', factor=100.0, digits=2)
LOSS = Unit('', 'min')
COUNT = Unit('', None, digits=0)


def add(left: PyTree, right: PyTree) -> PyTree:
    """Add two contributions, leaf by leaf."""
    return jax.tree.map(lambda x, y: x + y, left, right)


@checked
class Metric(NamedTuple):
    """Metric: one state, from which one or several named values are computed.

    A metric on the device adds up: `compute(merge(measure(batch 1), measure(batch 2), ...))`. One on the host collects:
    the rows that `measure` gives for each example are gathered over all processes, those of padding are dropped, and
    `compute` gets all of them in the order of the examples, as NumPy arrays.
    """

    measure: Callable[[Predictions, Batch], PyTree]
    """(predictions, batch) -> the batch's contribution, in jit, of fixed shapes. On the device it leaves out the rows
    whose `predictions['valid']` is False; on the host the first axis of every leaf is the batch's."""
    compute: Callable[[PyTree], Mapping[str, Any]]
    """The merged contributions, as NumPy arrays -> {value name: number or array}. Not in jit."""
    units: Mapping[str, Unit]
    """{value name: Unit}, for each name that `compute` returns."""
    merge: Callable[[PyTree, PyTree], PyTree] = add
    """Two contributions -> one; associative, so that batches may be joined in any order. Only used on the device."""
    where: Literal['device', 'host'] = 'device'


class Judged(NamedTuple):
    """Error of an answer."""

    badness: float
    """The order of the worst examples: larger is worse."""
    mistakes: int
    of: int
    """The number of things that can be right or wrong: 1 label, or so many pixels or boxes."""


class Shown(NamedTuple):
    """An example to be drawn."""

    example: Example
    """Without the truth where there is none, as for a user's photo."""
    answer: Answer
    judged: Judged | None = None


class Gallery(NamedTuple):
    """Examples to be drawn, and counts over all examples, of which these are the worst."""

    rows: tuple[Shown, ...] = ()
    seen: int = 0
    """All examples; 0 if nothing was counted."""
    mistakes: int = 0
    of: int = 0


class Report(NamedTuple):
    """Report on the values of an evaluation, in addition to the numbers themselves."""

    lines: Mapping[str, str] = {}
    """Rows of the table, such as the IoU of each class."""
    arrays: Mapping[str, Any] = {}
    """Entries of evaluation.json, made of JSON's types."""
    figures: Mapping[str, Any] = {}
    """File name without suffix -> matplotlib figure."""


class Written(NamedTuple):
    """An answer for one of the user's files."""

    row: Mapping[str, Any]
    """Its entry in predictions.json."""
    line: str
    """Printed after the file's name."""
    pictures: Mapping[str, np.ndarray] = {}
    """Suffix of the file name, such as 'mask' -> uint8 `[h w]` or RGB `[h w 3]`."""
    fields: Mapping[str, np.ndarray] = {}
    """Suffix of the file name -> float32 `[h w]`, written as `.pfm`, or `[h w 2]`, as `.flo`; NaN is no answer."""


class PhotoOptions(NamedTuple):
    """How pictures of any size are brought to the model."""

    shape: tuple[int, ...]
    """Rows, columns and channels of the images that the model was trained on."""
    transform: Callable[[Example], Example]
    """The transforms of the evaluation, as far as they concern an image alone: decoded example -> example."""
    resize: Callable[[Example], Example]
    """Those of them that resize the whole image, without crop or padding; or the scaling that the user asks for."""
    batch_size: int = 1
    """Pictures, or windows of one, in one call of `predict`."""
    evaluated: tuple[int, ...] = ()
    """Rows, columns and channels of the images that the model was evaluated on; () if they are not known."""


class Compared(NamedTuple):
    """Figures of answers that are right or wrong only beside others: embeddings, by their distances."""

    collect: Callable[[Batch, Answer], Mapping[str, np.ndarray]]
    """(batch, its answers), on the host -> {name: [n ...]}, what is kept of it: no images."""
    draw: Callable[[Mapping[str, np.ndarray], Callable[[int], Example], Names], Mapping[str, Any]]
    """(what was kept of all valid examples, row -> its example with its name in messages as 'where', names) -> {file
    name without suffix: matplotlib figure}."""


class Presentation(NamedTuple):
    """Presentation of answers to people; one for each kind of answer: labels, masks, boxes, fields, pairs.

    All are functions on the host without state, except `answer`, which runs on the device. None needs a Task: the
    answers of k nearest neighbours, forests and cascades are shown by the same functions.
    """

    answer: Callable[[Predictions], Mapping[str, Any]]
    """predictions -> {name: array} of the arrays that are shown, exported and written; never the logits. In jit."""
    inspect: Callable[[Iterable[Example], Names], Sequence[str]]
    """(the first raw examples, names) -> warnings: masks in black and white, boxes outside of their image."""
    judge: Callable[[Example, Answer], Judged]
    """(example with its truth, answer) -> Judged."""
    draw: Callable[[Gallery, Names], Any]
    """(gallery, names) -> a matplotlib figure: the truth, where there is one, beside the answer."""
    report: Callable[[Mapping[str, Any], Names], Report]
    """(value name -> value, names) -> Report."""
    photos: Callable[[Callable[[Batch], Predictions], Iterable[Example], PhotoOptions], Iterator[Answer]]
    """(compiled batch -> predictions, decoded examples of any size, options) -> an answer for each, in its own pixels.
    It takes an iterable, so that pictures share a batch, and reads no further than the batch it yields from."""
    write: Callable[[np.ndarray, Answer, Names], Written]
    """(the picture, its answer, names) -> Written."""
    most: int = 8
    """Examples in a figure."""
    hub_task: str = ''
    """The word of the Hugging Face Hub for such networks, 'image-classification'; '': it has none."""
    options: Callable[[Mapping[str, Any], Names], 'Presentation'] | None = None
    """(options by name, names) -> the presentation with them, such as another least score; values may be words of a
    command line. ValueError for one that it does not have. None: it has no options."""
    numbered: Callable[[Mapping[str, Sequence[int | str]]], 'Presentation'] | None = None
    """(feature -> the number of each class in the data set's own files) -> the presentation that writes these numbers
    too. None: it writes none."""
    truth: Callable[[Example], Answer] | None = None
    """Example, as it is or augmented -> the answer that is right, for `draw`. None: examples are not drawn by
    themselves."""
    statistics: Callable[[Iterable[Example], Names], Mapping[str, str]] | None = None
    """(decoded examples, names) -> lines about their truths by name: how many of each class, how large. None: none."""
    compared: Compared | None = None
    """Figures of a whole evaluation. None: an answer is judged by itself."""
    enrolled: (
        Callable[[Sequence[Answer], Sequence[str], Callable[[int], np.ndarray], Mapping[str, Any]], 'Presentation']
        | None
    ) = None
    """(answers for known pictures, the name of each, place -> the picture, values of the last evaluation) -> the
    presentation that gives pictures the name of the nearest of them. ValueError where something is missing for it.
    None: answers are not compared."""
    reserved: tuple[str, ...] = ()
    """Names that known pictures cannot have."""


class Task(NamedTuple):
    """Task: pure functions that close over a model, all that training, evaluation, prediction and export need."""

    init: Callable[[PRNGKeyArray, Batch], Variables]
    """(key, batch) -> variables, `{'params': ..., 'batch_stats': ...}`."""
    loss: Callable[[PyTree, PyTree, Batch, PRNGKeyArray], LossOutput]
    """(params, state, batch, key) -> LossOutput, in training mode."""
    predict: Callable[[Variables, Batch], Predictions]
    """(variables, batch) -> predictions of fixed shape; `valid` marks the real rows."""
    metrics: Mapping[str, Metric]
    """Name -> Metric. The names of all their values differ."""
    best: str = 'loss'
    """The value by which runs are compared; its Unit has the direction."""
    presentation: Presentation | None = None
    """How answers are shown; `jaxcv.training` does not use it. None is for tasks that no launcher runs."""
    decide: Callable[[Array], Predictions] | None = None
    """Probabilities `[n classes]` or `[n h w classes]` -> the predictions that follow from them, without `valid`. With
    it, predictions whose `logits` have these shapes are averaged over networks and views. None: they cannot be."""
    join: Callable[[Sequence[Predictions]], Predictions] | None = None
    """The predictions of several views of the same images, with `boxes` in the images' own pixels -> one. For tasks
    whose answers are objects, which cannot be averaged."""

    @property
    def units(self) -> dict[str, Unit]:
        """Value name -> Unit, of all metrics."""
        return {name: unit for metric in self.metrics.values() for name, unit in metric.units.items()}
