"""From a published model's weights to the variables of ours of the same name, and back."""

import difflib
import importlib
import importlib.util
import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from jaxcv import models, tree
from jaxcv.types import Array, Variables
from jaxcv.weights import convert
from jaxcv.weights.files import read_state_dict, write_state_dict
from jaxcv.weights.published import image_size


def from_state_dict(
    model_name: str,
    state_dict: convert.StateDict,
    *,
    source: str = 'torchvision',
    num_classes: int | None = None,
    fresh_head: Array | None = None,
    **options: Any,
) -> Variables:
    """Turn a published model's state dict into the variables of ours.

    Every array of the state dict must find its place, and every place its array. For other classes than it was trained
    on, ask for a new head: `num_classes=10, fresh_head=key` converts all layers whose shape does not depend on the
    number of classes, and initializes the others.

    Args:
        model_name: a model of `jaxcv.models` or `jaxcv.models.segmentation`.
        state_dict: names to arrays of any float type, with PyTorch's axes.
        source: whose names they are: 'torchvision', 'timm', 'segmentation_models_pytorch', or another that the family's
            table knows.
        num_classes: of the model wanted; None for the model's own default.
        fresh_head: a random key, to initialize the head instead of converting it.
        **options: further arguments of the model, where they change its parameters, such as `aux_heads=True`.

    Returns:
        `{'params': ..., 'batch_stats': ...}`: float32 NumPy arrays; a fresh head's are JAX's.

    Raises:
        ValueError: an unknown model or source; or every array that is left over, missing, of another shape or type, or
            in no line of the family's table, all at once.

    Example:
        >>> from_state_dict('resnet18', {'fc.bias': np.zeros(10, np.float32)}, num_classes=10)
        Traceback (most recent call last):
        ValueError: resnet18 from torchvision: 101 arrays do not fit: ...
    """
    wanted = shapes(model_name, num_classes=num_classes, **options)
    spec = layout(model_name, source)
    fresh = () if fresh_head is None else _heads(model_name, num_classes, wanted, options)
    try:
        converted = convert.to_variables(state_dict, wanted, spec, without=fresh)
    except ValueError as error:
        hint = '' if fresh else '\nIf they were trained on other classes, fresh_head=key converts all but the head.'
        raise ValueError(f'{model_name} from {source}: {error}{hint}') from None
    if fresh_head is None:
        return converted
    model = _model(model_name, num_classes, options)
    # Jitted, because of the rest of the variables, which nothing asks for, nothing is then computed.
    initialize = jax.jit(lambda key: _layers(model.init(key, jax.numpy.zeros(_image_shape(model_name))), fresh))
    return traverse_util.unflatten_dict({**tree.flat(converted), **initialize(fresh_head)}, sep='/')


def load(
    model_name: str,
    path: str | os.PathLike[str],
    *,
    source: str = 'torchvision',
    num_classes: int | None = None,
    fresh_head: Array | None = None,
    **options: Any,
) -> Variables:
    """Read a file of published weights into the variables of our model: `from_state_dict(read_state_dict(path))`.

    Args:
        model_name: a model of `jaxcv.models` or `jaxcv.models.segmentation`.
        path: a .safetensors, .pth or .pt file; no code in it is run.
        source: whose weights they are: 'torchvision', 'timm', or another that the family's table knows.
        num_classes: of the model wanted; None for the model's own default.
        fresh_head: a random key, to initialize the head instead of converting it.
        **options: further arguments of the model, where they change its parameters.

    Returns:
        `{'params': ..., 'batch_stats': ...}`: float32 NumPy arrays; a fresh head's are JAX's.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or holds more than tensors, or they do not fit the model.

    Example:
        >>> load('resnet18', 'resnet18-f37072fd.pth')
        Traceback (most recent call last):
        FileNotFoundError: there is no file of weights resnet18-f37072fd.pth
    """
    state_dict = read_state_dict(path)
    try:
        return from_state_dict(
            model_name, state_dict, source=source, num_classes=num_classes, fresh_head=fresh_head, **options
        )
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None


def to_state_dict(model_name: str, variables: Variables, *, source: str = 'torchvision') -> dict[str, np.ndarray]:
    """Turn variables of ours into a state dict that their `load_state_dict(strict=True)` takes.

    Args:
        model_name: the model of `jaxcv.models` that they belong to.
        variables: `{'params': ..., 'batch_stats': ...}`.
        source: whose names to use: 'torchvision', 'timm', or another that the family's table knows.

    Returns:
        Names to arrays with PyTorch's axes.

    Raises:
        ValueError: an unknown model or source, or layers that the family's table does not have.

    Example:
        >>> list(to_state_dict('resnet18', {'params': {'head': {'bias': np.zeros(10)}}}))
        ['fc.bias']
    """
    return convert.to_state_dict(variables, layout(model_name, source))


def save(model_name: str, variables: Variables, path: str | os.PathLike[str], *, source: str = 'torchvision') -> None:
    """Write variables of ours as a safetensors file that torchvision or timm load.

    There: `model.load_state_dict(safetensors.torch.load_file(path))`.

    Args:
        model_name: the model of `jaxcv.models` that they belong to.
        variables: `{'params': ..., 'batch_stats': ...}`.
        path: ends in .safetensors; a file of that name is replaced once the new one is whole.
        source: whose names to use: 'torchvision', 'timm', or another that the family's table knows.

    Raises:
        ValueError: the path ends otherwise, an unknown model or source, or layers that the table does not have.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + '/head.safetensors'
        >>> save('resnet18', {'params': {'head': {'bias': np.zeros(2, np.float32)}}}, path)
        >>> read_state_dict(path)
        {'fc.bias': array([0., 0.], dtype=float32)}
    """
    write_state_dict(to_state_dict(model_name, variables, source=source), path)


def shapes(model_name: str, *, num_classes: int | None = None, **options: Any) -> Variables:
    """The variables of a model as shapes only; nothing is computed.

    Example:
        >>> shapes('resnet18', num_classes=10)['params']['head']['bias'].shape
        (10,)
    """
    images = jax.ShapeDtypeStruct(_image_shape(model_name), np.float32)
    return jax.eval_shape(_model(model_name, num_classes, options).init, jax.random.key(0), images)


def layout(model_name: str, source: str) -> convert.Spec:
    """How a source lays a model out, by the table of the model's family.

    Example:
        >>> layout('resnet18', 'torchvision').table[0]
        ('stem/conv', 'conv1')
    """
    package, *module = _constructor(model_name).__module__.split('.')[2:]  # after jaxcv.models
    family = module[0] if package == 'backbones' else package
    if importlib.util.find_spec(f'jaxcv.weights.{family}') is None:
        raise ValueError(f'nobody publishes weights of {model_name}')
    return importlib.import_module(f'jaxcv.weights.{family}').spec(model_name, source)


def _constructor(model_name: str) -> Callable[..., Any]:
    packages = (models, models.segmentation)
    known = {name: getattr(package, name) for package in packages for name in package.__all__}
    known = {name: member for name, member in known.items() if inspect.isroutine(member)}
    if model_name not in known:
        near = difflib.get_close_matches(model_name, known)
        raise ValueError(f'there is no model {model_name!r}; the nearest: {", ".join(near) or "none"}')
    return known[model_name]


def _model(model_name: str, num_classes: int | None, options: Mapping[str, Any]) -> Any:
    classes = {} if num_classes is None else {'num_classes': num_classes}
    return _constructor(model_name)(**classes, **options)


def _image_shape(model_name: str) -> tuple[int, int, int, int]:
    size = image_size(model_name)
    return (1, size, size, 3)


def _heads(model_name: str, num_classes: int | None, wanted: Variables, options: Mapping[str, Any]) -> tuple[str, ...]:
    """The layers whose shape depends on the number of classes: the head, and auxiliary ones."""
    before = tree.flat(wanted['params'])
    classes = num_classes or inspect.signature(_constructor(model_name)).parameters['num_classes'].default
    after = tree.flat(shapes(model_name, num_classes=classes + 1, **options)['params'])
    changed = [name.rpartition('/')[0] for name in before if before[name].shape != after[name].shape]
    return tuple(dict.fromkeys(changed))


def _layers(variables: Variables, layers: tuple[str, ...]) -> dict[str, Array]:
    return {
        name: leaf
        for name, leaf in tree.flat(variables).items()
        if any(tree.is_within(name.partition('/')[2], layer) for layer in layers)
    }
