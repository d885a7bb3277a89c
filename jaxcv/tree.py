"""Names in a pytree of parameters: 'stage1/block2/conv1/kernel', and what is said of whole layers by their names."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import jax

from jaxcv.types import PyTree

T = TypeVar('T')
EVERYTHING = '*'


def map_names(function: Callable[..., Any], tree: PyTree, *rest: PyTree) -> PyTree:
    """`jax.tree.map` of a function of (name, leaf, ...).

    Example:
        >>> map_names(lambda name, leaf: name, {'head': {'kernel': 0, 'bias': 0}})
        {'head': {'bias': 'head/bias', 'kernel': 'head/kernel'}}
    """
    return jax.tree_util.tree_map_with_path(lambda path, *leaves: function(_name(path), *leaves), tree, *rest)


def flat(tree: PyTree) -> dict[str, Any]:
    """The leaves by name.

    Example:
        >>> flat({'head': {'kernel': 1, 'bias': 0}})
        {'head/bias': 0, 'head/kernel': 1}
    """
    return {_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def of_layer(name: str, values: Mapping[str, T], default: T) -> T:
    """What is said of the layer that a name lies in: the longest one that fits counts, '*' fits all.

    Example:
        >>> rates = {'*': 0.1, 'stage4': 0.5, 'stage4/block1': 0.3}
        >>> of_layer('stage4/block1/conv1/kernel', rates, 1.0), of_layer('head/bias', rates, 1.0)
        (0.3, 0.1)
    """
    fitting = [layer for layer in values if is_within(name, layer)]
    return values[max(fitting, key=lambda layer: -1 if layer == EVERYTHING else len(layer))] if fitting else default


def is_within(name: str, layer: str) -> bool:
    """Whether a name is a layer's, or that of something in it.

    Example:
        >>> is_within('stage1/conv1/kernel', 'stage1'), is_within('stage10/conv1/kernel', 'stage1')
        (True, False)
    """
    return layer == EVERYTHING or name == layer or name.startswith(layer + '/')


def unknown_layers(layers: Iterable[str], names: Iterable[str]) -> list[str]:
    """The layers that none of the names lies in.

    Example:
        >>> unknown_layers(['stem', 'stage7'], ['stem/conv/kernel'])
        ['stage7']
    """
    names = list(names)
    return [layer for layer in dict.fromkeys(layers) if not any(is_within(name, layer) for name in names)]


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator='/')
