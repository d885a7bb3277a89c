"""Configs that earlier versions wrote, brought to the fields of today.

The one file of `run` that names a feature of one kind of task: an earlier version had a field for it.
"""

from collections.abc import Mapping
from typing import Any

GONE: Mapping[str, Mapping[str, str]] = {
    'data': {
        'train_size': 'found in the data, not set: a fact now, see `fields.Facts`',
        'image_shape': 'found in the data, as above',
    },
    'training': {'best_mode': 'the unit of the value that runs are ranked by says which way is better'},
}
"""Section -> field -> the reason why it is no field any more."""
NAMES_OF: Mapping[str, str] = {'mask_classes': 'mask'}
"""Field of `data` with the names of one feature's classes -> that feature: `class_names` holds those of all now."""


def with_fields_of_today(given: Mapping[str, Any]) -> dict[str, Any]:
    """The config with its fields renamed, and without those that are gone; one of today stays as it is.

    Example:
        >>> with_fields_of_today({'training': {'epochs': 2.0, 'best_mode': 'max'}})
        {'training': {'epochs': 2.0}}
    """
    content = {name: dict(section) if isinstance(section, Mapping) else section for name, section in given.items()}
    for section, names in GONE.items():
        for name in names:
            content.get(section, {}).pop(name, None)
    data = content.get('data', {})
    if not isinstance(data.get('class_names', {}), Mapping):  # a list was found in the data, not set
        del data['class_names']
    if own := {feature: data[name] for name, feature in NAMES_OF.items() if data.get(name)}:
        data['class_names'] = own
    for name in NAMES_OF:
        data.pop(name, None)
    return content
