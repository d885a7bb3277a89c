"""The fields of a config, each declared once: name, type, range, default, one line of text, whether it may change.

`base()` (the defaults), `check` (types and ranges), the rule of what a resumed run may change, and
`python -m experiments.list fields` all read these declarations. A section is either a NamedTuple of fields (`Data`,
`Training`, `Finetune`) or names functions of a package (`Part`).
"""

import typing
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Annotated, Any, Literal, NamedTuple

from ml_collections import ConfigDict, config_dict

from jaxcv import augment, data, losses, metrics, models, optim, tasks
from jaxcv.arguments import Range
from jaxcv.data.classes import ORDERED_BY
from jaxcv.optim.durations import Updates

PACKAGES = {
    'augment': augment,
    'data.orders': data.orders,
    'data.transforms': data.transforms,
    'losses': losses,
    'metrics': metrics,
    'models': models,
    'tasks': tasks,
}
"""The packages that a name inside a section may begin with: `{'name': 'losses.focal'}` in a task's arguments."""
MOST_SEED = 2**31 - 1
"""The seeds of several networks are consecutive int32."""
OF_AN_EXAMPLE = 'a function of an example, which is a dict of features'
POSITIVE, AT_LEAST_0 = Range(0, ends='()'), Range(0)


class About(NamedTuple):
    """The declaration of a field, beside its type and default."""

    text: str
    within: Range = Range()
    """Numbers must be in this interval."""
    is_path: bool = False
    """The field is a folder or file of this machine, as `jaxcv.files.local_path` reads it."""
    may_change: bool = False
    """Whether a resumed run may have another value: it changes neither the order of the data nor the state."""
    is_length: bool = False
    """The field is the length of the run, in epochs or as a duration."""
    functions: ModuleType | None = None
    """The field is a spec, or a list of specs, that name functions of this package."""
    provided: tuple[str, ...] = ()
    """The arguments of these functions that the program fills in where the config leaves them out."""
    makes: str = ''
    """The kind of thing that these functions return."""


class Data(NamedTuple):
    """The fields of `data`."""

    name: Annotated[
        str, About("'digits', 'folder', 'folder_csv', 'hf:NAME', or any tfds name: 'cifar10', 'imagenet2012', ...")
    ] = ''
    data_dir: Annotated[
        str | None, About("None: tfds' own default, ~/tensorflow_datasets", may_change=True, is_path=True)
    ] = None
    options: Annotated[
        Mapping[str, Any],
        About("further arguments of the data set's function in jaxcv.data: {'separator': '|'} of folder_csv"),
    ] = {}
    train_split: Annotated[str, About('the split to train on')] = 'train'
    eval_split: Annotated[str | None, About('the split to evaluate on; None: none', may_change=True)] = 'test'
    classes: Annotated[Sequence[str], About('the names of the classes to keep; none: all')] = ()
    eval_classes: Annotated[
        Sequence[str],
        About(
            'the names of the classes to evaluate on, where they are others than those of training, as in open-set '
            'recognition; none: the same',
            may_change=True,
        ),
    ] = ()
    class_names: Annotated[
        Mapping[str, Sequence[str]],
        About("{feature: names of its classes}, where the data set has none or others: {'label': ['cat', 'dog']}"),
    ] = {}
    order: Annotated[
        Mapping[str, Any],
        About(
            "of the training examples: shuffled, class_balanced, identities ({'name': 'identities', 'identities': 8, "
            "'images': 4}), grouped (by upright and wide images), in_order",
            functions=data.orders,
            provided=ORDERED_BY,
        ),
    ] = {'name': 'shuffled'}
    eval_order: Annotated[
        Literal['in_order', 'grouped'],
        About(
            "of the evaluation's examples: in_order, grouped (batches of upright and of wide images, whose shapes may "
            'differ)',
            may_change=True,
        ),
    ] = 'in_order'
    seed: Annotated[int | None, About("of the order of the examples; None: the run's", within=Range(0, MOST_SEED))] = (
        None
    )
    train_transforms: Annotated[
        Sequence[Mapping], About('on the host, an example at a time', functions=data.transforms, makes=OF_AN_EXAMPLE)
    ] = ({'name': 'decode'},)
    eval_transforms: Annotated[
        Sequence[Mapping],
        About('the same for evaluation', functions=data.transforms, makes=OF_AN_EXAMPLE, may_change=True),
    ] = ({'name': 'decode'},)
    batch_size: Annotated[int, About('examples an update, over all devices of all hosts', within=POSITIVE)] = 128
    eval_batch_size: Annotated[int, About('examples at a time in evaluation', within=POSITIVE, may_change=True)] = 256
    on_broken: Annotated[
        Literal['error', 'skip'],
        About("an example that cannot be read: 'error' names it, 'skip' counts it", may_change=True),
    ] = 'error'
    threads: Annotated[int | None, About('None: one for each core', within=POSITIVE, may_change=True)] = None


class Finetune(NamedTuple):
    """The fields of `finetune`."""

    start_from: Annotated[
        str | None,
        About(
            "a trained workdir; published weights of the same model by name ('resnet50', or a package); a file of "
            "weights (.safetensors, .pth); a shared network's folder or 'hf:USER/NAME'; None: random values",
            is_path=True,
        ),
    ] = None
    checkpoint: Annotated[int | Literal['last', 'best'], About('which one of the workdir, or a step')] = 'last'
    source: Annotated[
        str | None,
        About(
            "whose weights a file has: 'torchvision', 'timm', ...; None: that of the name, or torchvision's",
            may_change=True,
        ),
    ] = None
    part: Annotated[
        str | None,
        About("the part of the file that is the network: 'model', 'teacher/backbone'; None: the largest one"),
    ] = None
    averaged: Annotated[bool, About('take averaged weights, where the file has them beside the raw ones')] = False
    sum_channels: Annotated[
        bool, About("sum the file's first convolution over red, green and blue, for a network of gray images")
    ] = False
    into: Annotated[str, About("the part of the model that it becomes, such as 'backbone'; '': the whole")] = ''
    new: Annotated[Sequence[str], About('layers that start from random values')] = ('head',)
    rates: Annotated[
        Mapping[str, float],
        About("layer -> the factor of its learning rate; 0 freezes it; '*' is all others"),
    ] = {}
    frozen_until: Annotated[Mapping[str, Updates], About('layer -> when it starts to learn')] = {}


class Training(NamedTuple):
    """The fields of `training`."""

    epochs: Annotated[
        float, About("passes over the training examples; or a duration, '500 steps'", within=POSITIVE, is_length=True)
    ] = 1.0
    members: Annotated[
        int, About('networks trained as one program, from the seeds seed, seed + 1, ...', within=POSITIVE)
    ] = 1
    patience: Annotated[
        int,
        About(
            'evaluations (no steps) without a better value after which to stop; 0: never',
            within=AT_LEAST_0,
            may_change=True,
        ),
    ] = 0
    best_metric: Annotated[
        str | None,
        About("the value by which checkpoints are ranked; None: the task's. Its unit says which way", may_change=True),
    ] = None
    evaluate_averaged: Annotated[bool, About('whether to evaluate what `average` collected', may_change=True)] = False
    recalibrate_batches: Annotated[
        int,
        About(
            "batches for averaged networks' batch-norm statistics; an epoch at most", within=AT_LEAST_0, may_change=True
        ),
    ] = 100
    accumulate: Annotated[int, About('micro-batches an update', within=POSITIVE)] = 1
    mode: Annotated[Literal['jit', 'pmap'], About("'pmap' is kept for older code", may_change=True)] = 'jit'
    sharding: Annotated[
        Literal['replicate', 'fsdp'], About("'fsdp' shards parameters and optimizer state too", may_change=True)
    ] = 'replicate'
    on_non_finite: Annotated[
        Literal['stop', 'skip'],
        About('a loss that is not finite ends the run, or its update is left out', may_change=True),
    ] = 'stop'
    writers: Annotated[
        Sequence[Literal['jsonl', 'tensorboard', 'wandb', 'mlflow']],
        About(
            "where the numbers go: 'jsonl' (metrics.jsonl, which learning curves and early stopping read), "
            "'tensorboard', 'wandb', 'mlflow'",
            may_change=True,
        ),
    ] = ('jsonl', 'tensorboard')
    log_every: Annotated[
        Updates,
        About('steps or a duration; more often in a run of less than 1,000 steps', within=POSITIVE, may_change=True),
    ] = 50
    eval_every: Annotated[
        Updates, About("steps or a duration, '1 epoch', '10%'; 0: at the end only", within=AT_LEAST_0, may_change=True)
    ] = 0
    save_every: Annotated[
        Updates,
        About('steps or a duration, beside those after an evaluation; 0: none', within=AT_LEAST_0, may_change=True),
    ] = 500
    keep_last: Annotated[int, About('checkpoints', within=POSITIVE, may_change=True)] = 2
    keep_best: Annotated[int, About('checkpoints with the best values', within=AT_LEAST_0, may_change=True)] = 1


class Part(NamedTuple):
    """A section that names functions of a package: `{'name': function, **arguments}`, or a list of such."""

    text: str
    functions: ModuleType
    default: Mapping[str, Any] | Sequence[Any] = {}
    provided: tuple[str, ...] = ()
    """The arguments that the program fills in where the config leaves them out."""
    bound: bool = False
    """The function's options are fixed and its arrays left open; otherwise it is called."""
    optional: bool = False
    """Empty: nothing of the kind."""
    timed: bool = False
    """Durations may be written as '100 steps', '5 epochs', '64000 examples' or '30%'."""
    may_change: bool = False


SECTIONS: dict[str, type | Part] = {
    'data': Data,
    'model': Part('the network', models, provided=('num_classes',)),
    'loss': Part("per example; {}: the task's own", losses, optional=True, bound=True),
    'augment': Part('on the device, a batch at a time', augment, (), provided=('num_classes',), bound=True),
    'views': Part('averaged over in evaluation; {}: the image as it is', augment.views, optional=True, may_change=True),
    'task': Part('what is learned', tasks, provided=('model', 'num_classes', 'loss', 'augment')),
    'optimizer': Part('an optax chain', optim.optimizers, provided=('total_steps',), timed=True),
    'schedule': Part(
        'of the learning rate; it peaks at optimizer.learning_rate',
        optim.schedules,
        {'name': 'constant'},
        provided=('peak', 'total_steps'),
        timed=True,
    ),
    'average': Part(
        'of the networks along the way, evaluated by --averaged; {}: none',
        optim.averaging,
        optional=True,
        timed=True,
    ),
    'finetune': Finetune,
    'training': Training,
}
SEED = About('of the parameters, and of all that training draws', within=Range(0, MOST_SEED))


class Field(NamedTuple):
    """A field of a section, as declared."""

    path: str
    type: Any
    default: Any
    about: About


class Facts(NamedTuple):
    """Facts about the data of a run; found before training, and kept in config.json beside the settings."""

    names: Mapping[str, Sequence[str]]
    """Feature -> the names of its classes."""
    train_size: int
    example: Mapping[str, Mapping[str, Any]]
    """Feature -> {'shape': [...], 'dtype': '...'} of one training example, as the transforms leave it."""
    eval_example: Mapping[str, Mapping[str, Any]]
    """The same for evaluation."""
    class_ids: Mapping[str, Sequence[int | str]] = {}
    """Feature -> the number of each class in the data set's own files, in which results are written."""


def base() -> ConfigDict:
    """All fields of a config with their defaults: a config starts from it and says what differs.

    Example:
        >>> settings = base()
        >>> settings.training.epochs, settings.schedule.name, settings.seed
        (1.0, 'constant', 0)
    """
    sections: dict[str, Any] = {'seed': 0}
    for name, section in SECTIONS.items():
        if isinstance(section, Part):
            sections[name] = as_data(section.default)
        else:
            sections[name] = {field.path.partition('.')[2]: _settable(field) for field in declared(name)}
    config = ConfigDict(type_safe=False)  # a section may be written as a name, 'cosine'
    for name, value in sections.items():
        config[name] = ConfigDict(value) if isinstance(value, Mapping) else value
    return config


def declared(section: str) -> Iterator[Field]:
    """The fields of a section that is a NamedTuple; none for a `Part`.

    Example:
        >>> next(declared('training'))[:3]
        ('training.epochs', <class 'float'>, 1.0)
    """
    kind: Any = SECTIONS[section]
    if isinstance(kind, Part):
        return
    hints = typing.get_type_hints(kind, include_extras=True)
    for name in kind._fields:
        annotation, *metadata = typing.get_args(hints[name])
        about = next(item for item in metadata if isinstance(item, About))
        is_duration = typing.get_args(Updates)[1] in metadata  # nested `Annotated` are one
        yield Field(f'{section}.{name}', Updates if is_duration else annotation, kind._field_defaults[name], about)


def by_last_name() -> dict[str, str]:
    """Last name -> path of each declared field.

    Example:
        >>> by_last_name()['batch_size']
        'data.batch_size'
    """
    return {field.path.rpartition('.')[2]: field.path for section in SECTIONS for field in declared(section)}


def may_change(path: str) -> bool:
    """Whether a resumed run may have another value in this field of the config.

    Example:
        >>> may_change('training.keep_best'), may_change('optimizer.learning_rate'), may_change('views.name')
        (True, False, True)
    """
    section = path.partition('.')[0].partition('[')[0]
    kind = SECTIONS.get(section)
    if isinstance(kind, Part):
        return kind.may_change
    if kind is None:
        return False
    return any(field.about.may_change and _is_inside(path, field.path) for field in declared(section))


def _is_inside(path: str, field: str) -> bool:
    return path == field or path.startswith((f'{field}.', f'{field}['))


def _settable(field: Field) -> Any:
    """The default, in a form that ConfigDict lets a config file set."""
    if field.default is None:
        kind = next(kind for kind in typing.get_args(field.type) if kind is not type(None))
        return config_dict.placeholder(kind)
    if field.type == Updates or field.about.is_length:
        return config_dict.FieldReference(field.default, field_type=object)  # a config file may write '1 epoch'
    return as_data(field.default)


def as_data(value: Any) -> Any:
    """Tuples as lists, at any depth, as in JSON.

    Example:
        >>> as_data({'sizes': (1, 2)})
        {'sizes': [1, 2]}
    """
    if isinstance(value, Mapping):
        return {name: as_data(inner) for name, inner in value.items()}
    return [as_data(inner) for inner in value] if type(value) in (tuple, list) else value
