"""The values of a config, as plain data."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import ml_collections

Spec: TypeAlias = Mapping[str, Any] | ml_collections.ConfigDict
"""`{'name': function, **arguments}`."""


def plain(value: Any) -> Any:
    """Return ConfigDicts as dicts and lists as tuples, at any depth: JSON has no tuples, so the two mean the same.

    Example:
        >>> plain(ml_collections.ConfigDict({'sizes': [1, 2]}))
        {'sizes': (1, 2)}
    """
    if isinstance(value, ml_collections.ConfigDict):
        value = value.to_dict()
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    if type(value) in (list, tuple):  # not a NamedTuple, which is a value: an optax transformation
        return tuple(plain(v) for v in value)
    return value


def leaves(tree: Any, path: str = '') -> Iterator[tuple[str, Any]]:
    """Yield (path, value) of each field, at any depth; an empty dict or tuple is a field itself.

    Example:
        >>> list(leaves({'seed': 0, 'transforms': ({'size': 2},)}))
        [('seed', 0), ('transforms[0].size', 2)]
    """
    if isinstance(tree, Mapping) and tree:
        for key, value in tree.items():
            yield from leaves(value, f'{path}.{key}'.lstrip('.'))
    elif isinstance(tree, tuple) and tree:
        for i, value in enumerate(tree):
            yield from leaves(value, f'{path}[{i}]')
    else:
        yield path, tree


def inner_specs(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield (place, spec) of the specs in an argument: itself, or items of it.

    Example:
        >>> list(inner_specs(({'name': 'random_flip'}, 3)))
        [('[0]', {'name': 'random_flip'})]
    """
    if isinstance(value, Mapping) and 'name' in value:
        yield '', value
    elif type(value) is tuple:
        for i, item in enumerate(value):
            for place, inner in inner_specs(item):
                yield f'[{i}]{place}', inner
