"""Flax -> safetensors -> PyTorch and back: `python -m tools.round_trip mobilenet_v2 seresnet50 ...`.

Needs torch, torchvision and timm. Random variables of ours are saved, read there by `load_state_dict(strict=True)`, and
both networks see the same images; then their state dict is converted back and must be ours bit by bit. Prints the
largest difference of the logits in units of their standard deviation, and fails where it is above 1e-4.
"""

import argparse
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.torch
import torch

from jaxcv import models, weights
from jaxcv.weights.layouts import layout
from jaxcv.weights.loading import shapes
from tools.backbones import classic, mobile, residual

REFERENCES = {**classic.MODELS, **residual.MODELS, **mobile.MODELS}
# An auxiliary head, which theirs always has; it changes no logits.
OPTIONS = {'inception_v3': {'aux_heads': True}}
TOLERANCE = 1e-4


def random_variables(name: str) -> dict:
    """Drawn small, so that no sum of residuals drives a gate to its ends, where float32 has no say."""
    rng = np.random.default_rng(0)

    def draw(path: tuple, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        if path[-1].key == 'kernel':
            values = rng.standard_normal(leaf.shape) * np.sqrt(0.5 / np.prod(leaf.shape[:-1]))
        elif path[-1].key in ('scale', 'var'):
            values = rng.uniform(0.5, 1.5, leaf.shape)
        else:
            values = 0.1 * rng.standard_normal(leaf.shape)
        return values.astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes(name, **OPTIONS.get(name, {})))


def round_trip(name: str, size: int) -> float:
    """Return the largest difference of the logits, in standard deviations of theirs."""
    reference = REFERENCES[name]
    layout(name, reference.source)  # raises if no such weights are known
    variables, options = random_variables(name), OPTIONS.get(name, {})
    theirs = reference.make().eval()
    for module in theirs.modules():  # those of tools.backbones.residual.senet divide what they load
        module._load_state_dict_pre_hooks.clear()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f'{name}.safetensors'
        weights.save(name, variables, path, source=reference.source)
        theirs.load_state_dict(safetensors.torch.load_file(path), strict=True)
        safetensors.torch.save_file(theirs.state_dict(), path)
        back = weights.load(name, path, source=reference.source, **options)
    jax.tree.map(np.testing.assert_array_equal, back, variables)
    images = np.random.default_rng(1).standard_normal((2, size, size, 3)).astype(np.float32)
    ours = jax.jit(getattr(models, name)(**options).apply)(variables, jnp.asarray(images))
    with torch.no_grad():
        expected = theirs(torch.tensor(images).permute(0, 3, 1, 2)).numpy()
    return float(np.abs(ours - expected).max() / expected.std())


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('names', nargs='+', metavar='NAME', choices=sorted(REFERENCES))
    parser.add_argument('--image_size', type=int, default=96)
    arguments = parser.parse_args()
    for name in arguments.names:
        error = round_trip(name, arguments.image_size)
        print(f'{name}: loaded strictly by {REFERENCES[name].source}, back bit by bit; logits within {error:.1e} std')
        if error > TOLERANCE:
            raise SystemExit(f'{name}: the logits differ by more than {TOLERANCE}')
