"""The error of a config that does not fit."""

from collections.abc import Iterable


class ConfigError(ValueError):
    """A config does not fit; the message has a line for each problem."""

    __module__ = 'jaxcv.config'  # its public name, for tracebacks


def raise_for(found: Iterable[str]) -> None:
    """Raise one ConfigError that lists all the problems found, or return if there are none.

    Example:
        >>> raise_for([])
        >>> raise_for(['model: depth is missing'])
        Traceback (most recent call last):
        jaxcv.config.ConfigError: model: depth is missing
    """
    lines = list(found)
    if len(lines) == 1:
        raise ConfigError(lines[0])
    if lines:
        raise ConfigError(f'{len(lines)} problems in the config:\n' + '\n'.join(f'  - {line}' for line in lines))
