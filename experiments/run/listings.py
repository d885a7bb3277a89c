"""What a config may name, and its fields, as rows of tables."""

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from experiments.run import fields
from experiments.run.signatures import first_line, parameter_count, type_name, without_count
from jaxcv import augment, data, losses, metrics, models, optim, tasks, weights
from jaxcv.config.registries import public

PARTS: Mapping[str, ModuleType] = {
    'models': models,
    'losses': losses,
    'optimizers': optim.optimizers,
    'schedules': optim.schedules,
    'averages': optim.averaging,
    'augment': augment,
    'views': augment.views,
    'transforms': data.transforms,
    'orders': data.orders,
    'metrics': metrics,
    'tasks': tasks,
}
"""Name of a list -> the package whose functions it has. A config names those of `metrics` inside of a task."""
Row = Sequence[str]


def part_rows(part: str, used: Mapping[str, ModuleType] | None = None) -> Iterator[Row]:
    """(name as in a config, first line of its docstring) of each function; of models also the number of parameters.

    Args:
        part: of `PARTS`.
        used: modules of the user's own, whose functions may be named everywhere.

    Example:
        >>> next(row for row in part_rows('models') if row[0] == 'resnet18')
        ('resnet18', '11,689,512', "ResNet-18; torchvision's.")
    """
    for name, function in functions_of(part, used).items():
        line = first_line(function)
        yield (name, parameter_count(line), without_count(line)) if part == 'models' else (name, line)


def functions_of(part: str, used: Mapping[str, ModuleType] | None = None) -> dict[str, Callable[..., Any]]:
    """The functions of a list by their names in a config: those of the package, and those of the user's own modules."""
    inner = {f'{prefix}.{name}': f for prefix, module in (used or {}).items() for name, f in public(module).items()}
    nested = {f'{name}.' for name, package in PARTS.items() if package is not PARTS[part]}
    own = {name: f for name, f in public(PARTS[part]).items() if not name.startswith(tuple(nested))}
    return own | inner


def weight_rows() -> Iterator[Row]:
    """(name, source, licence, parameters, size of the images, accuracy) of each set of published weights."""
    counts = {name.rpartition('.')[2]: parameter_count(first_line(f)) for name, f in public(models).items()}
    packaged = {f'package:{name}': row for name, row in weights.PACKAGED.items()}
    for name, row in {**weights.PUBLISHED, **packaged}.items():
        count = f'{row.parameters:,}' if row.parameters else counts.get(row.name.partition('.')[0], '')
        side = row.preprocessing.crop or row.preprocessing.resize
        yield name, row.source, row.licence or '', count, f'{side} px', _accuracy(row)


def _accuracy(row: weights.Published) -> str:
    """The accuracy as the source publishes it; '' where it does not."""
    accuracy, detector = row.accuracy, row.detector
    if accuracy is not None:
        return f'{accuracy.value:.2f} % {accuracy.metric}, {accuracy.data}'
    return f'AP {detector.average_precision} %, COCO' if detector and detector.average_precision else ''


def field_rows() -> Iterator[Row]:
    """(field, type, default, text) of each field."""
    yield 'seed', 'int', '0', fields.SEED.text
    for name, section in fields.SECTIONS.items():
        if isinstance(section, fields.Part):
            functions = section.functions.__name__
            kind = 'functions of' if isinstance(section.default, tuple) else 'function of'
            yield name, f'{kind} {functions}', written(section.default), section.text
        for field in fields.declared(name):
            yield field.path, field_type(field), written(field.default), field.about.text


def field_type(field: fields.Field) -> str:
    """The type of a field, as people write it."""
    return type_name(field.type) + ' | duration' * field.about.is_length


def written(default: object) -> str:
    """The default of a field, as people write it."""
    return str(list(default)) if isinstance(default, tuple) else repr(default)


def matching(rows: Iterable[Row], patterns: Sequence[str]) -> list[Row]:
    """The rows that fit all patterns, whatever the case.

    Args:
        rows: the name first.
        patterns: parts of a row; with `*` or `?`, patterns of the whole name, or of its last part.

    Example:
        >>> rows = [('resnet18', 'torchvision'), ('segmentation.unet', 'the paper'), ('seresnet50', 'timm')]
        >>> [row[0] for row in matching(rows, ['ResNet'])], [row[0] for row in matching(rows, ['resnet*'])]
        (['resnet18', 'seresnet50'], ['resnet18'])
        >>> [row[0] for row in matching(rows, ['un*'])], [row[0] for row in matching(rows, ['resnet', 'timm'])]
        (['segmentation.unet'], ['seresnet50'])
    """
    return [row for row in rows if all(_fits(row, pattern.lower()) for pattern in patterns)]


def _fits(row: Row, pattern: str) -> bool:
    if '*' in pattern or '?' in pattern:
        name = row[0].lower()
        return any(fnmatch.fnmatchcase(one, pattern) for one in (name, name.rpartition('.')[2]))
    return pattern in ' '.join(row).lower()
