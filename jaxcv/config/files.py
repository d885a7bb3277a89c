"""Config files, and the comparison of two configs."""

import math
from pathlib import Path

import ml_collections

from jaxcv.config.errors import ConfigError
from jaxcv.config.values import Spec, leaves, plain
from jaxcv.files import read_json, write_json


def save(config: ml_collections.ConfigDict, path: Path) -> None:
    """Write the resolved config as JSON, atomically.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / 'config.json'
        >>> save(ml_collections.ConfigDict({'seed': 0}), path)
        >>> load(path).seed
        0
    """
    write_json(path, config.to_dict())


def load(path: Path) -> ml_collections.ConfigDict:
    """Read a config that `save` wrote. JSON is data: nothing in it is run.

    Raises:
        ConfigError: there is no such file, or it is no JSON.

    Example:
        >>> load(Path('runs/typo/config.json'))
        Traceback (most recent call last):
        jaxcv.config.ConfigError: runs/typo/config.json does not exist: is runs/typo the workdir of a training run?
    """
    try:
        return ml_collections.ConfigDict(read_json(path))
    except FileNotFoundError:
        raise ConfigError(f'{path} does not exist: is {path.parent} the workdir of a training run?') from None
    except ValueError as error:
        raise ConfigError(f'{path} is no JSON: {error}') from None


def unserializable(settings: Spec) -> list[str]:
    """List the fields whose value is not data (JSON), a line each: only data can be written to a workdir.

    Example:
        >>> unserializable({'seed': 0, 'model': {'name': 'resnet18', 'dtype': float}})
        ["model.dtype holds <class 'float'>, which is no data: write a type as a string, 'bfloat16'"]
    """
    data = (str, int, float, bool, type(None), dict, list, tuple)  # the last three, empty, are leaves
    lines = []
    for path, value in leaves(plain(settings)):
        if not isinstance(value, data):
            lines.append(f"{path} holds {value!r}, which is no data: write a type as a string, 'bfloat16'")
        elif isinstance(value, float) and not math.isfinite(value):
            lines.append(f'{path} must be finite, got {value}: JSON has no such number')
    return lines


def differences(old: Spec, new: Spec) -> list[str]:
    """List the fields in which two configs differ, `field: old -> new`.

    Example:
        >>> differences({'seed': 0, 'model': {'depth': 8}}, {'seed': 0, 'model': {'depth': 20}})
        ['model.depth: 8 -> 20']
    """
    missing = '(not there)'
    before, after = dict(leaves(plain(old))), dict(leaves(plain(new)))
    return [
        f'{key}: {before.get(key, missing)!r} -> {after.get(key, missing)!r}'
        for key in sorted(before.keys() | after.keys())
        if before.get(key, missing) != after.get(key, missing)
    ]
