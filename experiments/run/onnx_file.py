"""A function of images as an ONNX file, by jax2onnx; compared with the function itself in onnxruntime."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from jaxcv import config, ops
from jaxcv.extras import required
from jaxcv.files import to_json
from jaxcv.types import Array

Specs = Mapping[str, Mapping[str, Any]]
"""Feature -> {'shape': ..., 'dtype': ...} of one example."""
Function = Callable[[Mapping[str, Array]], Mapping[str, Array]]
TOLERANCE = 1e-3
"""The largest difference between a number of the file's answer and the function's, as a share of its largest number."""
SAME = 0.99
"""The least share of whole numbers, such as classes of pixels, that are the same: two classes may be equally likely."""
COMPARED = (1, 3)
"""Numbers of examples that are compared."""


def onnx_file(function: Function, inputs: Specs, about: Mapping[str, Any]) -> tuple[bytes, float]:
    """Converts a function for any number of examples, and compares both on random ones.

    Args:
        function: {feature: [n ...]} -> {name: [n ...]}.
        inputs: the features that it needs; the file's inputs have their names, and its outputs those of the answer.
        about: the description, in the file's metadata under 'about' as JSON.

    Returns:
        The content of the file, and the largest difference of a number, as a share of the largest one.

    Raises:
        ConfigError: jax2onnx cannot convert the function, or the file gives another answer.
        MissingExtraError: jax2onnx or onnxruntime is not installed.
    """
    for name in ('jax2onnx', 'onnx_ir'):  # warnings about plugins for libraries that are not used here
        logging.getLogger(name).setLevel(logging.ERROR)
    jax2onnx, runtime = required('jax2onnx'), required('onnxruntime')
    like = {name: jax.ShapeDtypeStruct((1, *spec['shape']), spec['dtype']) for name, spec in inputs.items()}
    names = sorted(jax.eval_shape(function, like))

    def positional(*arrays: Array) -> tuple[Array, ...]:
        found = function(dict(zip(inputs, arrays, strict=True)))
        return tuple(found[name] for name in names)

    (n,) = jax.export.symbolic_shape('n')
    try:
        with ops.convolution.plain():
            model = jax2onnx.to_onnx(
                positional,
                [jax.ShapeDtypeStruct((n, *spec['shape']), np.dtype(spec['dtype'])) for spec in inputs.values()],
                input_names=list(inputs),
                output_names=names,
            )
        described = model.metadata_props.add()
        described.key, described.value = 'about', to_json(about)
        content = model.SerializeToString()
        session = runtime.InferenceSession(content, providers=['CPUExecutionProvider'])
        found = [_compare(session, function, inputs, names, count) for count in COMPARED]
    except Exception as error:  # of a converter, a file format and a runtime: any
        reason = str(error).strip().partition('\n')[0][:300]
        raise config.ConfigError(
            f'this network cannot be an ONNX file: {type(error).__name__}: {reason}\n'
            '--format=stablehlo can export it; weights that torchvision or timm know may go by `jaxcv.weights.save` to '
            "PyTorch's exporters"
        ) from None
    return content, max(found)


def _compare(session: Any, function: Function, inputs: Specs, names: list[str], count: int) -> float:
    """The largest difference of a number, as a share of the largest one; an error where it is too large."""
    draw = np.random.default_rng(0)
    batch = {name: _random(draw, (count, *spec['shape']), np.dtype(spec['dtype'])) for name, spec in inputs.items()}
    expected = jax.device_get(jax.jit(function)(batch))
    largest = 0.0
    for name, found in zip(names, session.run(names, batch), strict=True):
        wanted = np.asarray(expected[name])
        if wanted.shape != found.shape:
            raise ValueError(f'{name} has the shape {found.shape} in onnxruntime, and {wanted.shape} in JAX')
        if np.issubdtype(wanted.dtype, np.floating):
            size = np.max(np.abs(wanted), initial=0.0) or 1.0
            difference = float(np.max(np.abs(found - wanted), initial=0.0) / size)
            largest = max(largest, difference)
            if not difference <= TOLERANCE:
                raise ValueError(f'{name} differs by {difference:.1e} in onnxruntime')
        elif np.mean(found == wanted) < SAME:
            raise ValueError(f'{name} differs in {np.mean(found != wanted):.1%} of its values in onnxruntime')
    return largest


def _random(draw: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Pixels; of a real type from 0 to 1."""
    return draw.integers(0, 256, shape).astype(dtype) if dtype == np.uint8 else draw.uniform(size=shape).astype(dtype)
