"""A function, field, config or set of weights in full, by any name that it goes by."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import jaxcv
from experiments.run import fields
from experiments.run.fields import Part
from experiments.run.listings import PARTS, field_type, functions_of, written
from experiments.run.signatures import signature
from jaxcv import weights
from jaxcv.config.registries import public
from jaxcv.names import close, nearest

Used = Mapping[str, ModuleType]
ROOT = jaxcv.__name__
SECTION_OF = {id(part.functions): name for name, part in fields.SECTIONS.items() if isinstance(part, Part)}
"""Package -> the section that names its functions."""


def described(name: str, used: Used | None = None) -> list[str]:
    """All that goes by a name, a text for each: functions, classes, modules, fields and sections, published weights.

    Args:
        name: as in a config, 'resnet18' or 'segmentation.unet', also without its subpackage; of a field or section,
            'training.epochs'; of `jaxcv`, 'jaxcv.ops.nms'; of weights, 'resnet50.imagenet1k_v2'.
        used: modules of the user's own.

    Returns:
        The texts; none if there is nothing of this name.

    Example:
        >>> print(described('training.keep_last')[0])
        training.keep_last: int = 2
        <BLANKLINE>
        checkpoints. It must be in (0, inf). A resumed run may have another value.
        >>> len(described('random_flip'))  # on the device and on the host
        2
        >>> described('resnet81')
        []
    """
    used = used or {}
    name = name.strip().removeprefix('--').removeprefix('config.').rstrip('.')
    texts = [*_fields(name, used), *_parts(name, used), *_weights(name)]
    return texts or [*_members(name, used), *_by_last_name(name, used)] or [*_members(f'{ROOT}.{name}', used)]


def suggested(name: str, used: Used | None = None) -> str:
    """The end of a message: the names that are nearest to one that nothing goes by."""
    module = name.rpartition('.')[0]
    if module.startswith(ROOT) and (inside := _found(module, {})) is not None:
        return nearest(name, [f'{module}.{one}' for one in _public_names(inside)])
    if module and name.partition('.')[0] not in {*fields.SECTIONS, *PARTS, *_modules_of(jaxcv), *(used or {}), ROOT}:
        return f'and no module {module!r}; a module of your own joins by --use={module}'
    known = {*_functions(used or {}), *_field_names(), *weights.PUBLISHED}
    if module in PARTS:
        known = {f'{module}.{one}' for one in functions_of(module)}
    near = close(name, known)
    return f'did you mean {" or ".join(near)}?' if near else 'python -m experiments.list models has names, for example'


def of_function(name: str, function: Any, notes: Sequence[str] = ()) -> str:
    """The signature, the docstring and notes."""
    text = inspect.getdoc(function) or '(It has no docstring.)'
    return '\n\n'.join([signature(function, name), text, *notes])


def _parts(name: str, used: Used) -> Iterator[str]:
    """Functions that a config may name so."""
    for prefix, module in used.items():
        if name.startswith(f'{prefix}.') and (function := public(module).get(name.removeprefix(f'{prefix}.'))):
            yield of_function(name, function, [f'In a config: a name of any section, {name}.'])
    for part, package in PARTS.items():
        for prefix in ('', f'{part}.', f'{package.__name__.partition(".")[2]}.', f'{package.__name__}.'):
            inner = name.removeprefix(prefix)
            if name.startswith(prefix) and (function := functions_of(part).get(inner)):
                yield of_function(f'{package.__name__}.{inner}', function, list(_usage(inner, package)))
                break


def _by_last_name(name: str, used: Used) -> Iterator[str]:
    """Functions of subpackages and of the user's own modules, by the last part of their names."""
    if '.' not in name:
        found = {one for one in _functions(used) if one.rpartition('.')[2] == name}
        for one in sorted(found):
            yield from _parts(one, used)


def _usage(name: str, package: ModuleType) -> Iterator[str]:
    """How a config names the function, and which arguments are filled in."""
    section = SECTION_OF.get(id(package))
    if section is None:
        of_field = [field.path for field in _declared() if field.about.functions is package]
        if of_field:
            yield f'In a config: {" and ".join(of_field)}, for example --config.{of_field[0]}={name}.'
        return
    part = fields.SECTIONS[section]
    assert isinstance(part, Part)
    parameters = inspect.signature(public(package)[name]).parameters
    filled = [one for one in part.provided if one in parameters]
    published = [row for row in weights.PUBLISHED if row.partition('.')[0] == name.rpartition('.')[2]]
    yield f'In a config: --config.{section}={name}, or with arguments --config.{section}="{name}(argument=value)".' + (
        f'\nFilled in by the program, where it is left out: {", ".join(filled)}.' if filled else ''
    )
    if published and package is PARTS['models']:
        yield f'Published weights: {", ".join(published)}.'


def _fields(name: str, used: Used) -> Iterator[str]:
    """A section, a field, or an argument of the functions of a section."""
    section, _, inner = name.partition('.')
    kind = fields.SECTIONS.get(section)
    if name == 'seed':
        yield f'seed: int = 0\n\n{fields.SEED.text}'
    elif isinstance(kind, Part) and not inner:
        default = f' = {written(kind.default)}' if kind.default or kind.optional else ''
        which = f'{"functions" if isinstance(kind.default, tuple) else "a function"} of {kind.functions.__name__}'
        yield f'{name}: {which}{default}\n\n{kind.text}.\n\n{", ".join(public(kind.functions))}'
    elif isinstance(kind, Part):
        yield from _argument(section, kind, inner)
    elif kind is not None and not inner:
        lines = [f'  {field.path}: {field_type(field)} = {written(field.default)}' for field in fields.declared(name)]
        yield '\n'.join([f'{name}, a section of a config:', '', *lines])
    for field in _declared():
        if field.path == name or (field.path.rpartition('.')[2] == name and not _parts_have(name, used)):
            yield _field_text(field)


def _field_text(field: fields.Field) -> str:
    about = field.about
    notes = [f'{about.text}.']
    if str(about.within) != '(-inf, inf)':
        notes.append(f'It must be in {about.within}.')
    notes.append(f'A resumed run {"may" if about.may_change else "must not"} have another value.')
    text = f'{field.path}: {field_type(field)} = {written(field.default)}\n\n{" ".join(notes)}'
    if about.functions is not None:
        text += f'\n\nIt names functions of {about.functions.__name__}: {", ".join(public(about.functions))}'
    return text


def _argument(section: str, part: Part, name: str) -> Iterator[str]:
    """An argument that functions of a section have."""
    functions = public(part.functions)
    if name == 'name':
        yield f'{section}.name\n\nThe function: {", ".join(functions)}'
        return
    having = [one for one, function in functions.items() if name in inspect.signature(function).parameters]
    if having:
        first = of_function(having[0], functions[having[0]])
        others = f' and {len(having) - 1} more: {", ".join(having[1:])}' if having[1:] else ''
        yield f'{section}.{name} is an argument of {having[0]}{others}\n\n{first}'


def _weights(name: str) -> Iterator[str]:
    """A row of the published weights."""
    row = weights.PUBLISHED.get(name) or weights.PACKAGED.get(name.removeprefix('package:'))
    if row is not None:
        yield '\n'.join([f'{name}, published weights: --weights={name}', '', *_rows(row)])


def _rows(record: Any) -> Iterator[str]:
    """The fields of a NamedTuple, and of those in it; without those that are empty."""
    for key, value in record._asdict().items():
        if hasattr(value, '_asdict'):
            yield f'  {key}:'
            yield from (f'  {line}' for line in _rows(value))
        elif value not in (None, '', (), {}):
            yield f'  {key}: {value}'


def _members(name: str, used: Used) -> Iterator[str]:
    """Members of jaxcv, or of a module of the user's own, by their full name."""
    member = _found(name, used)
    if inspect.ismodule(member):
        names = ', '.join(_public_names(member))
        yield '\n\n'.join([name, inspect.getdoc(member) or '(It has no docstring.)', names])
    elif callable(member):
        yield of_function(name, member)
    elif member is not None:
        yield f'{name} = {member!r}'


def _found(name: str, used: Used) -> Any:
    """The module or member of this name in jaxcv or in modules that are imported already; None: there is none."""
    roots = {ROOT: jaxcv, **used}
    root = next((one for one in sorted(roots, key=len, reverse=True) if f'{name}.'.startswith(f'{one}.')), None)
    if root is None:
        return None
    member: Any = roots[root]
    for word in filter(None, name.removeprefix(root).split('.')):
        if root == ROOT and not hasattr(member, word) and word in _modules_of(member):
            importlib.import_module(f'{member.__name__}.{word}')
        member = getattr(member, word, None)
    return member


def _public_names(module: Any) -> list[str]:
    """The names of a module's members and, of a package, of its modules."""
    listed = getattr(module, '__all__', None) or [
        name
        for name, member in vars(module).items()
        if not name.startswith('_') and getattr(member, '__module__', None) == module.__name__
    ]
    return sorted({*listed, *(name for name in _modules_of(module) if not name.startswith('_'))})


def _modules_of(package: Any) -> list[str]:
    """The names of the modules in a package; none of anything else."""
    return [module.name for module in pkgutil.iter_modules(getattr(package, '__path__', []))]


def _functions(used: Used) -> dict[str, Any]:
    return {name: function for part in PARTS for name, function in functions_of(part, used).items()}


def _parts_have(name: str, used: Used) -> bool:
    return name in _functions(used)


def _declared() -> Iterable[fields.Field]:
    return (field for section in fields.SECTIONS for field in fields.declared(section))


def _field_names() -> list[str]:
    return ['seed', *fields.SECTIONS, *(field.path for field in _declared())]
