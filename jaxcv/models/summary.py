"""The costs of a model, layer by layer, by the notes' formulas; read off its trace, without running it."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcv import paths
from jaxcv.arguments import AtLeast1, checked
from jaxcv.ops import convolution
from jaxcv.types import PyTree


class Layer(NamedTuple):
    """One layer of a model, for one image."""

    name: str
    """As the parameters have it; 'max_pool' and 'avg_pool' have none."""
    shape: tuple[int, ...]
    """Of its output, without the batch: rows, columns, channels. Empty for auxiliary heads: only training runs them."""
    receptive_field: int
    """Side of the square of image pixels that one output depends on: r ← r + (k - 1) dilation · stride so far.
    Never more than the image, and all of it after a global pooling."""
    stride: int
    """Image pixels from one output to the next."""
    parameters: int
    multiply_adds: int
    """Outputs times the weights of each; the notes count two operations for each."""
    activation_bytes: int
    """Of the output, in float32. Training keeps it until the backward pass."""


class _Field(NamedTuple):
    size: float
    stride: float
    rows: int
    """Of the last image-like array before it."""


@checked
def summarize(model: nn.Module, *, image_size: AtLeast1, channels: AtLeast1 = 3) -> list[Layer]:
    """List the layers of a model with the costs of each.

    Args:
        model: a Linen module of images.
        image_size: rows and columns of the image, in pixels.
        channels: of the image.

    Returns:
        The layers in the order in which they run.

    Example:
        >>> from jaxcv import models
        >>> layers = summarize(models.resnet18(), image_size=224)
        >>> layers[0].name, layers[0].shape, layers[0].receptive_field, layers[0].parameters
        ('stem/conv', (112, 112, 64), 7, 9408)
        >>> sum(layer.parameters for layer in layers), sum(layer.multiply_adds for layer in layers)
        (11689512, 1814073344)
    """
    image = jax.ShapeDtypeStruct((1, image_size, image_size, channels), jnp.float32)
    with convolution.plain():  # of every formulation the same, and this one is traced the fastest
        variables = jax.eval_shape(model.init, jax.random.key(0), image)
    closed = jax.make_jaxpr(lambda variables, x: model.apply(variables, x))(variables, image)
    count = len(jax.tree.leaves(variables))
    fields = dict(zip(closed.jaxpr.invars, [None] * count + [_Field(1, 1, image_size)], strict=True))
    parameters: dict[str, int] = {}
    filters: dict[str, int] = {}
    for name, leaf in paths.flat(variables['params']).items():
        layer, _, kind = name.rpartition('/')
        parameters[layer] = parameters.get(layer, 0) + math.prod(leaf.shape)
        if kind == 'kernel' and leaf.ndim == 4:
            filters[layer] = math.prod(leaf.shape)

    rows: dict[str, Layer] = {}
    pools = 0
    for name, operation, shape, field, multiply_adds in _operations(closed.jaxpr, fields, set(parameters), image_size):
        if name not in parameters:
            if operation not in ('max_pool', 'avg_pool'):
                continue
            pools += 1
            name = f'{name}/{operation}'.lstrip('/')
            name = name if name not in rows else f'{name}_{pools}'
        before = rows[name].multiply_adds if name in rows else 0
        if operation == 'conv_transpose' and filters.pop(name, None):
            before = 0
        if name in filters:  # by the formula, independent of how the backend lowers a convolution
            before, multiply_adds = 0, math.prod(shape[1:-1]) * filters[name]
        rows[name] = Layer(
            name,
            shape[1:],
            int(min(field.size, image_size)),
            int(field.stride),
            parameters.get(name, 0),
            before + multiply_adds,
            4 * math.prod(shape[1:]),
        )
    only_trained = [Layer(name, (), 0, 0, size, 0, 0) for name, size in parameters.items() if name not in rows]
    return [*rows.values(), *only_trained]


def _operations(
    jaxpr: Any, fields: dict[Any, _Field | None], layers: set[str], image_size: int, inside: str = ''
) -> Iterator[tuple]:
    """(layer, operation, output shape, field, multiply-adds) of all that depends on the image, in order.

    Leaves the fields of the jaxpr's variables in `fields`.
    """

    def field_of(atom: Any) -> _Field | None:
        return None if isinstance(atom, jax.extend.core.Literal) else fields.get(atom)

    for equation in jaxpr.eqns:
        name = inside or _layer(equation)
        inputs = [field_of(atom) for atom in equation.invars]
        known = [field for field in inputs if field is not None]
        if not known:
            continue
        inner = _inner(equation)
        if inner is not None:
            local = dict(zip(inner.invars, inputs, strict=True)) if len(inner.invars) == len(inputs) else {}
            yield from _operations(inner, local, layers, image_size, name)
            for outer, var in zip(equation.outvars, inner.outvars, strict=True):
                fields[outer] = None if isinstance(var, jax.extend.core.Literal) else local.get(var)
            continue
        # A gate of one number a channel has the whole image as its receptive field, but the stride stays.
        sizes, strides, rows = zip(*known, strict=True)
        field = _Field(max(sizes), min(strides), max(rows))
        operation, field, multiply_adds = _step(equation, field, image_size, name in layers)
        shape = tuple(equation.outvars[0].aval.shape)
        for var in equation.outvars:
            fields[var] = field._replace(rows=shape[1]) if _is_picture(shape) else field
        yield name, operation, shape, field, multiply_adds


def _is_picture(shape: tuple[int, ...]) -> bool:
    """Return whether an array has the shape of features of the one image, which is square."""
    return len(shape) == 4 and shape[0] == 1 and shape[1] == shape[2]


def _step(equation: Any, field: _Field, image_size: int, in_layer: bool) -> tuple[str, _Field, int]:
    """Return the kind of an operation, the field after it (without its rows), and its multiply-adds."""
    kind, options = equation.primitive.name, equation.params
    shapes = [tuple(atom.aval.shape) for atom in equation.invars]
    out = tuple(equation.outvars[0].aval.shape)
    if kind == 'conv_general_dilated':
        numbers = options['dimension_numbers'].rhs_spec  # (output, input, rows, columns)
        sides = [shapes[1][axis] for axis in numbers[2:]]
        reach = max((k - 1) * d for k, d in zip(sides, options['rhs_dilation'], strict=True))
        stride = field.stride * options['window_strides'][0] / options['lhs_dilation'][0]
        grown = field._replace(size=field.size + reach * field.stride / options['lhs_dilation'][0], stride=stride)
        spread = math.prod(options['lhs_dilation'])  # a transposed convolution has so many zeros for each pixel
        multiply_adds = math.prod(out) * math.prod(sides) * shapes[1][numbers[1]] // spread
        return 'conv' if spread == 1 else 'conv_transpose', grown, multiply_adds
    if kind.startswith('reduce_window'):
        grown = field._replace(
            size=field.size + (options['window_dimensions'][1] - 1) * options['window_dilation'][1] * field.stride,
            stride=field.stride * options['window_strides'][1],
        )
        return ('max_pool' if kind.endswith('max') else 'avg_pool'), grown, 0
    copied = kind in ('reshape', 'gather', 'broadcast_in_dim')
    multiplied = kind in ('dot_general', 'transpose')  # einsum is both
    if (copied or multiplied) and _is_picture(out) and out[1] != field.rows:  # resized
        # A product with a matrix takes the mean of a cell, or interpolates between two pixels.
        reach = max(field.rows / out[1], 2) - 1 if multiplied else 0
        field = field._replace(size=field.size + reach * field.stride, stride=field.stride * field.rows / out[1])
    if kind == 'dot_general':
        (contracted, _), _ = options['dimension_numbers']
        stamps = len(shapes[0]) == len(shapes[1]) == 4  # a transposed convolution of which no two stamps overlap
        multiply_adds = math.prod(out) * math.prod(shapes[0][axis] for axis in contracted)
        return 'conv_transpose' if stamps else 'dense', field, multiply_adds
    if kind == 'slice' and len(out) == 4:
        stride = field.stride * (options['strides'][1] if options['strides'] else 1)
        start = options['start_indices'][1] if in_layer else 0  # one place of a depthwise kernel, or else a crop
        return 'slice', field._replace(size=field.size + start * field.stride, stride=stride), 0
    if len(shapes[0]) == 4 and shapes[0][1] * shapes[0][2] > 1:
        pooled = kind.startswith('reduce_') and {1, 2} <= set(options.get('axes', ()))
        flattened = kind == 'reshape' and out == (shapes[0][0], math.prod(shapes[0][1:]))
        if pooled or flattened:
            return kind, _Field(image_size, image_size, 1), 0
    return kind, field, 0


def _inner(equation: Any) -> Any:
    """Return the program inside a call, if the operation is one."""
    for value in equation.params.values():
        if hasattr(value, 'jaxpr') and hasattr(value, 'consts'):
            return value.jaxpr
        if hasattr(value, 'eqns'):
            return value
    return None


def _layer(equation: Any) -> str:
    """'backbone/stem/conv' of the scope 'FCN/FCN.features/backbone.features/backbone._outputs/stem/conv'."""
    names: list[str] = []
    for part in str(equation.source_info.name_stack).split('/'):
        name, dot, _ = part.partition('.')
        another_method = dot and names[-1:] == [name]
        if not another_method and '->' not in part:  # einsum's scopes are its formulas
            names.append(name)
    return '/'.join(names[1:])


def total(layers: list[Layer]) -> dict[str, PyTree]:
    """Sum the costs over the layers.

    Args:
        layers: of `summarize`.

    Returns:
        `parameters`, `multiply_adds`, `activation_bytes`.

    Example:
        >>> total([Layer('conv', (2, 2, 1), 3, 1, 9, 36, 16)] * 2)
        {'parameters': 18, 'multiply_adds': 72, 'activation_bytes': 32}
    """
    names = ('parameters', 'multiply_adds', 'activation_bytes')
    return {name: sum(getattr(layer, name) for layer in layers) for name in names}
