"""The contracts: what a task is to a train step, to an evaluation and to the people who look at its answers.

A task is to a model what an optax `GradientTransformation` is to an optimizer: a NamedTuple of pure functions, made by
a factory that closes over the model, the loss and the metrics. So one train step and one loop serve classification,
segmentation, detection, embeddings, stereo and flow. A task says how it learns (`init`, `loss`, `predict`, `metrics`,
`best`), and what people see of it (`presentation`); launchers are loops over both and never ask which task it is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from jaxcv.types import Array, Batch, PRNGKeyArray, PyTree, Scalar, Variables

BATCH_MOMENTS = 'batch_moments'
"""If a loss is given a state with this collection, empty, batch norms leave their batch's statistics in it."""

Predictions = Mapping[str, Any]
"""The result of `Task.predict`: arrays of fixed shape that share the batch's axis; `valid` marks the real rows."""
Example = Mapping[str, Any]
"""One example: the arrays of a batch without its axis."""
Answer = Mapping[str, Any]
"""One example's part of what `Presentation.answer` returns, as NumPy arrays without the batch's axis."""
Names = Mapping[str, Sequence[str]]
"""Feature -> the names of its classes: `{'label': ('cat', 'dog')}`. Features without names are not there."""


class LossOutput(NamedTuple):
    """A loss as a sum and its weight, so that devices, hosts and micro-batches of unequal masks add up exactly.

    The loss that is minimized is `total / weight`, both summed over the global batch. A mean of means is not that.
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


class Unit(NamedTuple):
    """How a value is written, and which way is better.

    Example:
        >>> SHARE.format(0.9966), LOSS.format(0.52781)
        ('99.66 %', '0.5278')
    """

    name: str
    """Written behind the number, and the axis of its plot: '%', 'pixels'; '' for a number without unit."""
    better: Literal['max', 'min'] | None
    """None: the value is a count or a description, and runs cannot be ranked by it."""
    factor: float = 1.0
    """What the value is multiplied by to be written: 100 for a share in per cent."""
    digits: int = 4
    axes: tuple[str, ...] = ()
    """The axes of a value that is an array, such as `('class',)`; a number has none."""

    def format(self, value: float) -> str:
        """The value as it is written in tables."""
        number = f'{self.factor * value:.{self.digits}f}' if self.digits else f'{self.factor * value:,.0f}'
        return f'{number} {self.name}'.rstrip()


SHARE = Unit('%', 'max', factor=100.0, digits=2)
LOSS = Unit('', 'min')
COUNT = Unit('', None, digits=0)


def add(left: PyTree, right: PyTree) -> PyTree:
    """Add two contributions, leaf by leaf."""
    return jax.tree.map(lambda x, y: x + y, left, right)


class Metric(NamedTuple):
    """One state, from which one or several named values are computed.

    A metric on the device adds up: `compute(merge(measure(batch 1), measure(batch 2), ...))`. One on the host collects:
    the rows that `measure` gives for each example are gathered over all processes, those of padding are dropped, and
    `compute` gets all of them in the order of the examples, as NumPy arrays.
    """

    measure: Callable[[Predictions, Batch], PyTree]
    """(predictions, batch) -> the batch's contribution, in jit, of fixed shapes. On the device it leaves out the rows
    whose `predictions['valid']` is False; on the host every leaf has the batch's axis first."""
    compute: Callable[[PyTree], Mapping[str, Any]]
    """The merged contributions -> {value name: number or array}. On the host in NumPy."""
    units: Mapping[str, Unit]
    """{value name: Unit}, for each name that `compute` returns."""
    merge: Callable[[PyTree, PyTree], PyTree] = add
    """Two contributions -> one; associative, so that batches may be joined in any order. Only used on the device."""
    where: Literal['device', 'host'] = 'device'


class Judged(NamedTuple):
    """How wrong an answer is."""

    badness: float
    """Orders the pictures of the worst: larger is worse."""
    mistakes: int
    of: int
    """How many things there were to be right or wrong about: 1 label, so many pixels or boxes."""


class Shown(NamedTuple):
    """An example to be drawn."""

    example: Example
    """Without the truth where there is none, as for a user's photo."""
    answer: Answer
    judged: Judged | None = None


class Gallery(NamedTuple):
    """Examples to be drawn, and the counts over all that were seen."""

    rows: tuple[Shown, ...] = ()
    seen: int = 0
    mistakes: int = 0
    of: int = 0


class Report(NamedTuple):
    """What is told about the values of an evaluation beside the numbers themselves."""

    lines: Mapping[str, str] = {}
    """Rows of the table, such as the IoU of each class."""
    arrays: Mapping[str, Any] = {}
    """Entries of evaluation.json, made of JSON's types."""
    figures: Mapping[str, Any] = {}
    """File name without suffix -> matplotlib figure."""


class Written(NamedTuple):
    """An answer for a file of the user's."""

    row: Mapping[str, Any]
    """Its entry in predictions.json."""
    line: str
    """What is printed behind the file's name."""
    pictures: Mapping[str, np.ndarray] = {}
    """Suffix of the file name, such as 'mask' -> uint8 `[h w]` or RGB `[h w 3]`."""


class PhotoOptions(NamedTuple):
    """What a presentation needs to answer for pictures of any size."""

    shape: tuple[int, ...]
    """Rows, columns and channels of the images that the model was trained on."""
    transform: Callable[[dict[str, Any]], dict[str, Any]]
    """The transforms of the evaluation, as far as they concern an image alone: decoded example -> example."""
    resize: Callable[[dict[str, Any]], dict[str, Any]]
    """Those of them that resize the whole image, without crop or padding; or the scaling that the user asks for."""
    batch_size: int = 1
    """Pictures, or windows of one, to be predicted at a time."""


class Presentation(NamedTuple):
    """What people see of a task. There is one for each kind of answer: labels, masks, boxes, fields, pairs.

    All are functions on the host without state, but for `answer`, which runs on the device. None needs a Task: k-NN,
    forests and cascades are shown by the same functions.
    """

    answer: Callable[[Predictions], Mapping[str, Any]]
    """predictions -> the arrays that are shown, exported and written, by name; never the logits. In jit."""
    inspect: Callable[[Iterable[Example], Names], Sequence[str]]
    """(the first raw examples, names) -> warnings: masks in black and white, boxes outside of their image."""
    judge: Callable[[Example, Answer], Judged]
    draw: Callable[[Gallery, Names], Any]
    """(gallery, names) -> a matplotlib figure: the truth, where there is one, beside the answer."""
    report: Callable[[Mapping[str, Any], Names], Report]
    """(value name -> value, names) -> Report."""
    photos: Callable[[Callable[[Batch], Predictions], Iterable[dict[str, Any]], PhotoOptions], Iterator[Answer]]
    """(compiled batch -> predictions, decoded examples of any size, options) -> an answer for each, in the picture's
    own pixels. It takes many, so that small pictures share a batch, and yields as it goes."""
    write: Callable[[np.ndarray, Answer, Names], Written]
    """(the picture, its answer, names) -> Written."""
    most: int = 8
    """Examples in a figure."""


class Task(NamedTuple):
    """Pure functions that close over a model: all that training, evaluation, prediction and export need to know."""

    init: Callable[[PRNGKeyArray, Batch], Variables]
    """(key, batch) -> variables, `{'params': ..., 'batch_stats': ...}`."""
    loss: Callable[[PyTree, PyTree, Batch, PRNGKeyArray], LossOutput]
    """(params, state, batch, key) -> LossOutput, in training mode."""
    predict: Callable[[Variables, Batch], Predictions]
    """(variables, batch) -> predictions of fixed shape; `valid` marks the real rows."""
    metrics: Mapping[str, Metric]
    """Name -> Metric. The names of all their values differ."""
    best: str = 'loss'
    """The value that a run is judged by; its Unit says which way is better."""
    presentation: Presentation | None = None
    """What people see. `jaxcv.training` never looks at it; None, in a task that no launcher runs, shows nothing."""
    decide: Callable[[Array], Predictions] | None = None
    """Probabilities `[n classes]` or `[n h w classes]` -> what `predict` says of them: by it, predictions whose
    `logits` have these shapes are averaged over networks and views. None: they cannot be averaged."""

    @property
    def units(self) -> dict[str, Unit]:
        """Value name -> Unit, of all metrics."""
        return {name: unit for metric in self.metrics.values() for name, unit in metric.units.items()}
