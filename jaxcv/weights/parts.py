"""The part of a checkpoint that is the network: its place among the checkpoint's dicts, and the prefix of its names.

Trainers save a network beside its average and other networks, `{'state_dict': ..., 'state_dict_ema': ...}`, and under
names with a prefix: 'module.', 'model.', 'student.backbone.'. A part is such a place or prefix. Prefixes are not listed
anywhere: that of a network is found by the names that the network has.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

AVERAGED = {'ema', 'swa', 'average', 'averaged', 'polyak', 'shadow', 'teacher', 'momentum'}
"""Words in the name of a part that mark averaged weights."""
NO_NETWORK = re.compile(
    r'(^|[/_])(optim|optimizers?|sched|schedulers?|scaler|callbacks?|loops|criterion|loss|rng|ranking)($|[/_])'
)
"""Parts of a checkpoint that hold arrays, but no network."""
WRAPPERS = ('_orig_mod.', '_fsdp_wrapped_module.', '_checkpoint_wrapped_module.')
"""What torch.compile, FSDP and checkpointing put before the name of each module that they wrap, wherever it stands."""


class Choice(NamedTuple):
    """The part that is taken."""

    part: str
    line: str
    """What is taken and what is left out, for people; '' if there is nothing to say."""
    averaged: bool
    """Whether its name says that its weights are averaged."""


def places(tree: Any, kind: type) -> dict[str, Mapping[str, Any]]:
    """Find the dicts of a checkpoint that hold tensors.

    Args:
        tree: nested dicts.
        kind: of the tensors.

    Returns:
        'place/in/the/checkpoint' -> the dict; '' is the checkpoint itself.

    Example:
        >>> places({'epoch': 3, 'model': {'fc.bias': 1.5}, 'optimizer': {'step': 2.5}}, float)
        {'model': {'fc.bias': 1.5}}
    """
    found: dict[str, Mapping[str, Any]] = {}
    open_ones: list[tuple[str, Any, int]] = [('', tree, 0)]
    for place, node, depth in open_ones:
        if type(node) is not dict or depth > 4 or NO_NETWORK.search(place.lower()):
            continue
        if any(type(value) is kind for value in node.values()):
            found[place] = node
        open_ones += [(f'{place}/{key}'.lstrip('/'), value, depth + 1) for key, value in node.items()]
    return found


def prefixes(names: Iterable[str], expected: Collection[str]) -> dict[str, int]:
    """Count for each prefix how many of the expected names stand after it.

    Args:
        names: of the arrays in a file.
        expected: of the network's arrays.

    Returns:
        Prefix, '' or ending in a dot -> count, those that are before one name at least.

    Example:
        >>> prefixes(['model.fc.weight', 'model.fc.bias', 'loss.weight'], {'fc.weight', 'fc.bias'})
        {'model.': 2}
    """
    counts: Counter[str] = Counter()
    for name in names:
        starts = [0, *(dot.end() for dot in re.finditer(r'\.', name))]
        counts.update(name[:start] for start in starts if name[start:] in expected)
    return dict(counts)


def choose(sizes: Mapping[str, int], *, averaged: bool) -> Choice:
    """Choose the part that is read: the largest of the raw weights, or of the averaged ones.

    Args:
        sizes: part -> its number of arrays.
        averaged: whether averaged weights are wanted, where there are both.

    Returns:
        The choice.

    Raises:
        ValueError: several parts are as large.

    Example:
        >>> choose({'state_dict': 102, 'state_dict_ema': 102}, averaged=True).part
        'state_dict_ema'
    """
    large = [part for part, size in sizes.items() if 2 * size > max(sizes.values())]
    fitting = [part for part in large if is_averaged(part) == averaged] or large
    largest = [part for part in fitting if sizes[part] == max(sizes[other] for other in fitting)]
    if len(largest) > 1:
        shown = ' and '.join(f'{part!r} ({sizes[part]} arrays)' for part in largest)
        raise ValueError(f'it holds several networks, {shown}: choose one with part={largest[0]!r}')
    (part,) = largest
    others = [other for other in large if other != part]
    line = ''
    if part or others:
        line = f'{part!r} is read' if part else 'the names without a prefix are read'
    if others:
        line += f', {", ".join(map(repr, others))} left out'
        if any(is_averaged(other) != is_averaged(part) for other in others):
            line += (
                f'; averaged={not is_averaged(part)} chooses the {"raw" if is_averaged(part) else "averaged"} weights'
            )
    return Choice(part, line, is_averaged(part))


def is_averaged(part: str) -> bool:
    """Whether the name of a part says that its weights are averaged.

    Example:
        >>> is_averaged('state_dict_ema'), is_averaged('model.'), is_averaged('teacher.backbone.')
        (True, False, True)
    """
    return any(word in AVERAGED for word in re.split(r'[^a-z]', part.lower())) or 'encoder_k' in part


def unwrapped(names: Iterable[str]) -> dict[str, str]:
    """Return the names without `WRAPPERS`: {name in the file: name}.

    Example:
        >>> unwrapped(['_orig_mod.layer1._orig_mod.0.weight'])
        {'_orig_mod.layer1._orig_mod.0.weight': 'layer1.0.weight'}
    """
    found = {}
    for name in names:
        short = name
        for wrapper in WRAPPERS:
            short = short.replace(wrapper, '')
        found[name] = short
    return found


def common_prefix(names: Iterable[str]) -> str:
    """Return the modules that all names begin with, up to a dot.

    Example:
        >>> common_prefix(['model.net.fc.weight', 'model.net.fc.bias']), common_prefix(['fc.weight', 'bn.weight'])
        ('model.net.fc.', '')
    """
    split = [name.split('.')[:-1] for name in names]
    shared = []
    for modules in zip(*split, strict=False):
        if len(set(modules)) > 1:
            break
        shared.append(modules[0] + '.')
    return ''.join(shared)
