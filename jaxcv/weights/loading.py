"""Published weights as variables of the model of the same name, and back."""

import functools
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from jaxcv import models, paths
from jaxcv.arguments import AtLeast1, checked
from jaxcv.names import nearest
from jaxcv.ops import convolution
from jaxcv.types import Array, Variables
from jaxcv.weights import convert
from jaxcv.weights.files import read_part, write_state_dict
from jaxcv.weights.fitting import fit
from jaxcv.weights.layouts import Layout, layout
from jaxcv.weights.published import image_size


@checked
def from_state_dict(
    model_name: str,
    state_dict: convert.StateDict,
    *,
    source: str = 'torchvision',
    num_classes: AtLeast1 | None = None,
    fresh_head: Array | None = None,
    averaged: bool = False,
    channels: int | None = None,
    sum_channels: bool = False,
    **options: Any,
) -> Variables:
    """Convert a state dict of a published model to the variables of ours.

    The two must correspond one to one, but for a prefix before the names of theirs, 'model.' or 'student.backbone.',
    which is found by the names after it and taken off; a line of the log says so. For other classes than those of the
    training, a new head is needed: `num_classes=10, fresh_head=key` converts all layers whose shape does not depend on
    the number of classes, and initializes the others.

    Args:
        model_name: a model of `jaxcv.models` or of one of its subpackages, such as 'resnet18' or 'unet_resnet34'.
        state_dict: names to arrays of any float type, with PyTorch's axes.
        source: whose names the arrays have, as in `layouts.LAYOUTS`: 'torchvision', 'timm',
            'segmentation_models_pytorch', ...
        num_classes: the number of classes; None for the model's default.
        fresh_head: a random key, to initialize the head instead of converting it.
        averaged: take the averaged weights (EMA, SWA, a teacher), where the names have both under two prefixes.
        channels: of the images; None for those that the first convolution of the arrays is for.
        sum_channels: sum the filters of a first convolution for RGB over its channels, for a network of gray images
            (`channels=1`). From a gray image it computes what the original does from three equal channels.
        **options: further arguments of the model, where they change its parameters, such as `aux_heads=True`.

    Returns:
        `{'params': ..., 'batch_stats': ...}`: float32 NumPy arrays; those of a fresh head are `jax.Array`.

    Raises:
        ValueError: the model or source is unknown; or arrays are left over, missing, of another shape or type, not
            finite, or not in the layout's table: the message has the source that fits better, if there is one, the
            counts, and the first 20.

    Example:
        >>> from_state_dict('resnet18', {'fc.bias': np.zeros(10, np.float32)}, num_classes=10)
        Traceback (most recent call last):
        ValueError: resnet18 from torchvision: 101 arrays do not fit: 101 missing; 1 of 102 fit ...
    """
    if not isinstance(state_dict, Mapping):
        raise TypeError(
            f'a state dict is a mapping from names to arrays, got {type(state_dict).__name__}; load(...) takes a file'
        )
    if sum_channels and channels is None:
        channels = 1
    wanted = shapes(model_name, num_classes=num_classes, **options)
    found = layout(model_name, source)
    fresh = () if fresh_head is None else _heads(model_name, num_classes, wanted, options)
    wanted = _with_channels(state_dict, wanted, found, channels)
    hint = '' if fresh else 'If they have no head, or one for other classes, fresh_head=key converts all but the head.'
    convert_to = functools.partial(fit, without=fresh, averaged=averaged, sum_channels=sum_channels, hint=hint)
    try:
        converted = convert_to(state_dict, wanted, model_name, source)
    except ValueError as error:
        raise ValueError(f'{model_name} from {source}: {error}') from None
    if fresh_head is None:
        return converted
    model, shape = _model(model_name, num_classes, options), _image_shape(model_name, 3)
    # Under jit, the other variables are not computed, as nothing depends on them.
    initialize = jax.jit(lambda key: _layers(model.init(key, jax.numpy.zeros(shape)), fresh))
    return traverse_util.unflatten_dict({**paths.flat(converted), **initialize(fresh_head)}, sep='/')


@checked
def load(
    model_name: str,
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    source: str = 'torchvision',
    num_classes: AtLeast1 | None = None,
    fresh_head: Array | None = None,
    part: str | None = None,
    averaged: bool = False,
    channels: int | None = None,
    sum_channels: bool = False,
    **options: Any,
) -> Variables:
    """Read a file of published weights as the variables of our model: `from_state_dict(read_state_dict(path))`.

    Of a checkpoint, the network is found among its dicts and by its names; a line of the log says which part was taken,
    which prefix was taken off, and what was left out.

    Args:
        model_name: a model of `jaxcv.models` or of one of its subpackages, such as 'resnet18' or 'unet_resnet34'.
        path: a .safetensors, .pth, .pt or .pb file, all shards of one, or a folder with it; no code in it is run.
        source: whose names the arrays have, as in `layouts.LAYOUTS`: 'torchvision', 'timm', ...
        num_classes: the number of classes; None for the model's default.
        fresh_head: a random key, to initialize the head instead of converting it.
        part: the part of the checkpoint that is the network, as in `read_state_dict`; None: it is found.
        averaged: take the averaged weights (EMA, SWA, a teacher), where the file has them beside the raw ones.
        channels: of the images; None for those that the first convolution in the file is for.
        sum_channels: sum the filters of a first convolution for RGB over its channels, for gray images.
        **options: further arguments of the model, where they change its parameters.

    Returns:
        `{'params': ..., 'batch_stats': ...}`: float32 NumPy arrays; those of a fresh head are `jax.Array`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is of another kind, is damaged, holds anything but tensors, or does not fit the model.

    Example:
        >>> load('resnet18', 'resnet18-f37072fd.pth')
        Traceback (most recent call last):
        FileNotFoundError: there is no file of weights resnet18-f37072fd.pth
    """
    state_dict, choice = read_part(path, part=part, averaged=averaged)
    try:
        return from_state_dict(
            model_name,
            state_dict,
            source=source,
            num_classes=num_classes,
            fresh_head=fresh_head,
            averaged=averaged and not choice.averaged,
            channels=channels,
            sum_channels=sum_channels,
            **options,
        )
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None


def to_state_dict(model_name: str, variables: Variables, *, source: str = 'torchvision') -> dict[str, np.ndarray]:
    """Convert variables of ours to a state dict that PyTorch's `load_state_dict(strict=True)` accepts.

    Arrays that `Layout.ignored` lists, such as those of an auxiliary head that the model was built without, are not in
    it.

    Args:
        model_name: the model that the variables belong to.
        variables: `{'params': ..., 'batch_stats': ...}`.
        source: whose names to use, as in `layouts.LAYOUTS`: 'torchvision', 'timm', ...

    Returns:
        Names to arrays with PyTorch's axes.

    Raises:
        ValueError: the model or source is unknown, or a layer is not in the layout's table.

    Example:
        >>> list(to_state_dict('resnet18', {'params': {'head': {'bias': np.zeros(10)}}}))
        ['fc.bias']
    """
    constructor(model_name)  # raises for an unknown name, with the nearest ones
    return convert.to_state_dict(variables, layout(model_name, source))


def save(model_name: str, variables: Variables, path: str | os.PathLike[str], *, source: str = 'torchvision') -> None:
    """Write variables of ours as a safetensors file for the source's own model.

    There, `model.load_state_dict(safetensors.torch.load_file(path))` loads it.

    Args:
        model_name: the model that the variables belong to.
        variables: `{'params': ..., 'batch_stats': ...}`.
        path: ends in .safetensors; an existing file is replaced once the new one is complete.
        source: whose names to use, as in `layouts.LAYOUTS`: 'torchvision', 'timm', ...

    Raises:
        ValueError: the path has another suffix, the model or source is unknown, or a layer is not in the layout's
            table.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + '/head.safetensors'
        >>> from jaxcv.weights import read_state_dict
        >>> save('resnet18', {'params': {'head': {'bias': np.zeros(2, np.float32)}}}, path)
        >>> read_state_dict(path)
        {'fc.bias': array([0., 0.], dtype=float32)}
    """
    write_state_dict(to_state_dict(model_name, variables, source=source), path)


def shapes(model_name: str, *, num_classes: int | None = None, channels: int = 3, **options: Any) -> Variables:
    """Return the shapes of a model's variables, without computing any.

    Args:
        model_name: a model of `jaxcv.models` or of one of its subpackages.
        num_classes: the number of classes; None for the model's default.
        channels: of the images.
        **options: further arguments of the model.

    Returns:
        `{'params': ..., 'batch_stats': ...}` of `jax.ShapeDtypeStruct`.

    Raises:
        ValueError: the model is unknown.

    Example:
        >>> shapes('resnet18', num_classes=10)['params']['head']['bias'].shape
        (10,)
    """
    model = _model(model_name, num_classes, options)
    # A model of pairs takes both images stacked along their channels.
    shape = _image_shape(model_name, channels * getattr(model, 'images', 1))
    with convolution.plain():  # of every formulation the same, and this one is traced the fastest
        return jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct(shape, np.float32))


def constructor(model_name: str) -> Callable[..., Any]:
    """Return the public function that makes a model, wherever in `jaxcv.models` it is.

    Args:
        model_name: a name in the `__all__` of `jaxcv.models` or of one of its subpackages, without their names.

    Returns:
        The function.

    Raises:
        ValueError: there is no model of that name; the message lists the nearest ones.

    Example:
        >>> constructor('unet_resnet34') is models.segmentation.unet_resnet34
        True
    """
    known = dict(_constructors(models))
    if model_name not in known:
        raise ValueError(f'there is no model {model_name!r}, {nearest(model_name, known)}')
    return known[model_name]


def _constructors(package: ModuleType) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the names and functions that a package and its subpackages list in `__all__`."""
    for name in package.__all__:
        member = getattr(package, name)
        if inspect.ismodule(member):
            yield from _constructors(member)
        elif inspect.isroutine(member):
            yield name, member


def _model(model_name: str, num_classes: int | None, options: Mapping[str, Any]) -> Any:
    classes = {} if num_classes is None else {'num_classes': num_classes}
    return constructor(model_name)(**classes, **options)


def _image_shape(model_name: str, channels: int) -> tuple[int, int, int, int]:
    size = image_size(model_name)
    return (1, size, size, channels)


def _with_channels(state_dict: convert.StateDict, wanted: Variables, found: Layout, channels: int | None) -> Variables:
    """Return the shapes with the first convolution for so many channels; None: as in the state dict."""
    firsts = [pair for pair in convert.correspondence(wanted, found) if len(pair.shape) == 4 and pair.shape[2] == 3]
    if not firsts:
        return wanted
    first = firsts[0]
    if channels is None:
        names = [name for name in state_dict if f'.{name}'.endswith(f'.{first.theirs}')]
        theirs = state_dict[min(names, key=len)].shape if names else ()
        channels = theirs[1] if len(theirs) == 4 else 3
    rows, columns, _, features = first.shape
    kernel = jax.ShapeDtypeStruct((rows, columns, channels, features), np.float32)
    return paths.map_names(lambda name, leaf: kernel if name == first.ours else leaf, wanted)


def _heads(model_name: str, num_classes: int | None, wanted: Variables, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the layers whose shape depends on the number of classes: the head and auxiliary heads."""
    before = paths.flat(wanted['params'])
    classes = num_classes or inspect.signature(constructor(model_name)).parameters['num_classes'].default
    after = paths.flat(shapes(model_name, num_classes=classes + 1, **options)['params'])
    changed = [name.rpartition('/')[0] for name in before if before[name].shape != after[name].shape]
    return tuple(dict.fromkeys(changed))


def _layers(variables: Variables, layers: tuple[str, ...]) -> dict[str, Array]:
    """Return the arrays of some layers, by name."""
    return {
        name: leaf
        for name, leaf in paths.flat(variables).items()
        if any(paths.is_within(name.partition('/')[2], layer) for layer in layers)
    }
