"""Names of the leaves of a pytree, 'stage1/block2/conv1/kernel', and values given for whole layers by their names.

A layer is the first parts of a name: 'stem', 'stage4/block3', or '*' for all.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import jax

from jaxcv.types import PyTree

T = TypeVar('T')
EVERYTHING = '*'


def map_names(function: Callable[..., Any], tree: PyTree, *rest: PyTree) -> PyTree:
    """Apply a function of (name, leaf, ...) to every leaf: `jax.tree.map` with names.

    Example:
        >>> map_names(lambda name, leaf: name, {'head': {'kernel': 0, 'bias': 0}})
        {'head': {'bias': 'head/bias', 'kernel': 'head/kernel'}}
    """
    return jax.tree_util.tree_map_with_path(lambda path, *leaves: function(_name(path), *leaves), tree, *rest)


def flat(tree: PyTree) -> dict[str, Any]:
    """Flatten a pytree to {name: leaf}.

    Example:
        >>> flat({'head': {'kernel': 1, 'bias': 0}})
        {'head/bias': 0, 'head/kernel': 1}
    """
    return {_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def of_layer(name: str, values: Mapping[str, T], default: T) -> T:
    """Look up the value of the longest layer that contains a name; '*' contains every name and is the shortest.

    Example:
        >>> rates = {'*': 0.1, 'stage4': 0.5, 'stage4/block1': 0.3}
        >>> of_layer('stage4/block1/conv1/kernel', rates, 1.0), of_layer('head/bias', rates, 1.0)
        (0.3, 0.1)
    """
    fitting = [layer for layer in values if is_within(name, layer)]
    return values[max(fitting, key=lambda layer: -1 if layer == EVERYTHING else len(layer))] if fitting else default


def is_within(name: str, layer: str) -> bool:
    """Whether a name is that of a layer or of something inside it.

    Example:
        >>> is_within('stage1/conv1/kernel', 'stage1'), is_within('stage10/conv1/kernel', 'stage1')
        (True, False)
    """
    return layer == EVERYTHING or name == layer or name.startswith(layer + '/')


def unknown_layers(layers: Iterable[str], names: Iterable[str]) -> list[str]:
    """List the layers that contain none of the names.

    Example:
        >>> unknown_layers(['stem', 'stage7'], ['stem/conv/kernel'])
        ['stage7']
    """
    names = list(names)
    return [layer for layer in dict.fromkeys(layers) if not any(is_within(name, layer) for name in names)]


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator='/')
