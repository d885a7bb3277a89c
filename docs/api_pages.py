"""Writes a page of the API for each public package and module, from what it makes public."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import jaxcv

ALONE = (
    *('jaxcv.task', 'jaxcv.types', 'jaxcv.features', 'jaxcv.training.hooks', 'jaxcv.models.summary'),
    *('jaxcv.optim.durations', 'jaxcv.data.fields'),
)
"""Modules that users import, and that no package lists."""
CODE = re.compile(r'(``.*?``|`[^`]*`|^[ \t]*>>> .*?(?=\n[ \t]*\n|\Z))', re.DOTALL | re.MULTILINE)
"""Code between backticks, and doctests to their next empty line."""

SHORT = {
    r"= \{.*'host'\)\}": '= ...',  # metrics
    r'jaxlib\._jax\.Array': 'Array',
    r'str \| type\[~typing\.Any\] \| ~numpy\.dtype \| ~jax\._src\.typing\.SupportsDType': 'DTypeLike',
    r'Range ([\[(][^\[\]()]*[\])])': r"'\1'",
    r'<function <lambda>>': '...',
    r"<module '([\w.]+)'[^>]*>": r'\1',
    r"<(?:class|function) '?(?:\w+\.)*(\w+)'?[^>]*>": r'\1',
}
"""Parts of signatures, and how they are written."""


def write(folder: Path) -> None:
    """Write the pages and an index of them; an unchanged page keeps its time, so that it is not read again."""
    folder.mkdir(exist_ok=True)
    modules = {module.__name__: module for module in public_modules()}
    pages = {
        f'{name}.rst': page(module, [other for other in modules if parent(other) == name])
        for name, module in modules.items()
    }
    pages['index.rst'] = index(modules)
    for old in set(folder.glob('*.rst')) - {folder / name for name in pages}:
        old.unlink()
    for name, text in pages.items():
        if not (folder / name).exists() or (folder / name).read_text() != text:
            (folder / name).write_text(text)


def parent(name: str) -> str:
    """The package of a module."""
    return name.rpartition('.')[0]


def index(modules: dict[str, ModuleType]) -> str:
    """The first page of the API: what each package and module has."""
    rows = []
    for name, module in modules.items():
        rows += [f'   * - :doc:`{name} <{name}>`', f'     - {first_line(module)}']
    lines = [
        'API',
        '===',
        '',
        'Every public function, from its docstring.',
        '',
        '.. list-table::',
        '   :widths: 30 70',
        '',
        *rows,
    ]
    return '\n'.join([*lines, *toctree([name for name in modules if parent(name) == 'jaxcv'])])


def toctree(names: list[str]) -> list[str]:
    """The pages below a page, by the last part of their names."""
    entries = [f'   {name.rpartition(".")[2]} <{name}>' for name in names]
    return ['', '.. toctree::', '   :hidden:', '', *entries, ''] if names else []


def public_modules() -> Iterator[ModuleType]:
    """The packages that list what is public, the modules that they list, and those that stand alone."""
    yield from map(importlib.import_module, ALONE)
    for info in pkgutil.walk_packages(jaxcv.__path__, 'jaxcv.'):
        if not info.ispkg:
            continue
        package = importlib.import_module(info.name)
        if not getattr(package, '__all__', ()):
            continue
        yield package
        for name in package.__all__:
            thing = getattr(package, name)
            if inspect.ismodule(thing) and not hasattr(thing, '__path__'):
                yield thing


def members(module: ModuleType) -> tuple[list[str], list[str]]:
    """(functions, classes) that are documented on the module's page: defined in it, or in its own submodules."""
    listed = list(getattr(module, '__all__', ()))
    functions, classes = [], []
    for name in dict.fromkeys([*listed, *vars(module)]):
        thing = getattr(module, name)
        own = getattr(thing, '__module__', None) or ''
        if name.startswith('_') or not (own == module.__name__ or own.startswith(f'{module.__name__}.')):
            continue
        if inspect.isclass(thing):
            classes.append(name)
        elif callable(thing) and getattr(thing, '__doc__', None):
            functions.append(name)
    return functions, classes


def page(module: ModuleType, below: list[str]) -> str:
    """The page of a module: its docstring, a table of what is in it, each function and class, and the pages below."""
    name = module.__name__
    functions, classes = members(module)
    lines = [
        name,
        '=' * len(name),
        '',
        f'.. automodule:: {name}',
        '   :no-members:',
        '',
        f'.. currentmodule:: {name}',
        '',
        *toctree(below),
    ]
    for title, found in (('Functions', functions), ('Types', classes)):
        if found:
            lines += [title, '-' * len(title), '', '.. autosummary::', '   :nosignatures:', '']
            lines += [*(f'   {one}' for one in found), '']
            directive = 'autofunction' if title == 'Functions' else 'autoclass'
            for one in found:
                lines += [f'.. {directive}:: {one}', '']
                if title == 'Types':
                    lines[-1:] = ['   :members:', '   :undoc-members:', '']
    return '\n'.join(lines)


def first_line(module: ModuleType) -> str:
    """The first line of a docstring, in reStructuredText."""
    return escaped((module.__doc__ or '').strip().partition('\n')[0])


def connect(app) -> None:
    """Make reStructuredText of docstrings that are nearly Markdown, and name arrays in signatures as the code does."""
    attributes: dict[str, list[str]] = {}

    def before(app, what, name, obj, options, lines) -> None:
        if what == 'attribute':  # napoleon would take its words before a colon as a type
            attributes[name] = list(lines)

    def after(app, what, name, obj, options, lines) -> None:
        lines[:] = escaped('\n'.join(attributes.get(name, lines))).split('\n')

    def signed(app, what, name, obj, options, signature, returned):
        return tuple(text and readable(text) for text in (signature, returned))

    app.connect('autodoc-process-signature', signed)
    app.connect('autodoc-process-docstring', before, priority=100)
    app.connect('autodoc-process-docstring', after, priority=900)


def readable(signature: str) -> str:
    """A signature that Sphinx can parse: a range as '[1, inf)', functions and modules by their names, short types."""
    for long, short in SHORT.items():
        signature = re.sub(long, short, signature)
    return signature


def escaped(text: str) -> str:
    """A text with `|`, `*x` and `x_` outside of code as plain characters, and code that a letter may follow."""
    parts = CODE.split(text)
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r'(?<=\w)_(?=\W|$)', r'\\_', parts[i]).replace('|', r'\|')
        parts[i] = re.sub(r'(?<![\\*])\*(?![*\s])', r'\\*', parts[i])
        if i > 0 and re.match(r'\w', parts[i]):
            parts[i] = rf'\ {parts[i]}'  # as in `Stage`s: code must be followed by a space, if by an escaped one
    return ''.join(parts)
