"""One form of names, and suggestions for a name that does not exist."""

import difflib
import unicodedata
from collections.abc import Iterable


def normalized(name: str) -> str:
    """Convert a name to Unicode's composed form (NFC), in which names are compared.

    'é' is one character where Linux and Windows write it, and an 'e' with an accent after it in files from macOS.

    Example:
        >>> normalized('cafe\u0301') == 'caf\u00e9'
        True
    """
    return unicodedata.normalize('NFC', name)


def close(word: str, names: Iterable[str], *, most: int = 3) -> list[str]:
    """List the names that are spelled like a word, the closest first.

    Where none is, those whose last part (after the last dot) is.

    Example:
        >>> close('resnet81', ['alexnet', 'resnet18']), close('fcn8', ['segmentation.fcn8s', 'segmentation.unet'])
        (['resnet18'], ['segmentation.fcn8s'])
    """
    names = sorted(names)
    found = difflib.get_close_matches(str(word), names, n=most)
    if not found:
        last_parts = {name: name.rpartition('.')[2] for name in names if '.' in name}
        near = difflib.get_close_matches(str(word), sorted(set(last_parts.values())), n=most)
        found = [name for part in near for name in names if last_parts.get(name) == part][:most]
    return found


def nearest(word: str, names: Iterable[str]) -> str:
    """Suggest the names closest to an unknown one, or list all of them where none is close.

    Example:
        >>> nearest('resnet81', ['alexnet', 'resnet18'])
        'did you mean resnet18?'
        >>> nearest('x', ['alexnet', 'resnet18'])
        'there are: alexnet, resnet18'
    """
    names = sorted(names)
    found = close(word, names)
    return f'did you mean {" or ".join(found)}?' if found else f'there are: {", ".join(names)}'
