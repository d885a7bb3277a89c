"""A model of ours against a published one's fixture (tools/backbones): logits, every stage, and the names both ways.

Each test calls `check(name, size=...)` and `check_round_trip(name)`; 'resnet18.timm' is the fixture of another source
than the first. Options of the constructor may follow. The weights
are `seeded` from the fixture's names and shapes, so nothing here is downloaded, and torch is not needed.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxcv.weights.convert import COUNTER, to_state_dict, to_variables
from jaxcv.weights.layouts import Layout, layout
from jaxcv.weights.loading import constructor
from tests.models.tracing import shapes_of
from tests.weights.seeded import seeded

FOLDER = Path(__file__).parents[1] / 'fixtures' / 'backbones'
TOLERANCE = 1e-4
"""Of the reference's standard deviation. A right model is within about 2e-6; the usual mistakes are above 1e-2."""


def fixture(name: str) -> dict[str, np.ndarray]:
    """The arrays of the fixture; 'state_dict' is JSON of names to shapes."""
    with np.load(FOLDER / f'{name}.npz') as file:
        return {key: file[key] for key in file.files}


def names_digest(shapes: Mapping[str, Sequence[int]]) -> str:
    """A digest of the names and shapes of a state dict, but for counters; timm's are in timm_names.json."""
    lines = sorted(f'{name} {[*shape]}' for name, shape in shapes.items() if not name.endswith(COUNTER))
    return hashlib.sha256('\n'.join(lines).encode()).hexdigest()[:16]


def sizes(name: str) -> list[tuple[int, int]]:
    """The image sizes of the fixture: the native one first, the odd one last."""
    found = [key.removesuffix('/logits') for key in fixture(name) if key.endswith('/logits')]
    return [(int(height), int(width)) for height, width in (key.split('x') for key in found)]


def build(name: str, **options):
    """The model, its variables' shapes and its weights' layout."""
    model = constructor(name.partition('.')[0])(**options)
    return model, shapes_of(model), layout_of(name)


def layout_of(name: str) -> Layout:
    """The layout of the fixture's source."""
    return layout(name.partition('.')[0], str(fixture(name)['source']))


def state_dict(name: str) -> dict[str, np.ndarray]:
    """The seeded weights under their published names."""
    shapes = json.loads(str(fixture(name)['state_dict']))
    arrays = {key: seeded(key, tuple(shape)) for key, shape in shapes.items()}
    # timm's squeeze-and-excitation is divided in tools/backbones/residual.py too, which says why.
    return {key: value / np.float32(8) if '.se.fc' in key else value for key, value in arrays.items()}


def check(name: str, *, size: tuple[int, int] | None = None, **options) -> None:
    """Assert that the stages and the logits are the fixture's, at one size; None takes the odd one."""
    model, wanted, found = build(name, **options)
    variables = to_variables(state_dict(name), wanted, found)
    height, width = size or sizes(name)[-1]
    images = jnp.asarray(seeded('images', (1, height, width, 3)))

    @jax.jit
    def everything(variables):
        found = []

        def keep(method, args, kwargs, context):
            result = method(*args, **kwargs)
            if context.module.path == () and context.method_name == 'features':
                found.append(result)
            return result

        with nn.intercept_methods(keep):  # the stages that the logits are computed from: traced once, where they can be
            logits = model.apply(variables, images)
        return found[0] if found else model.apply(variables, images, method='features'), logits

    stages, logits = everything(variables)
    where = f'{height}x{width}/'
    expected = {key.removeprefix(where): value for key, value in fixture(name).items() if key.startswith(where)}
    assert sorted(stages) == sorted({key.split('/')[0] for key in expected} - {'logits'})
    for stage, value in sorted(stages.items(), key=lambda pair: (pair[0] != 'stem', pair[0])):
        sample = expected[f'{stage}/sample']
        assert value.shape == tuple(expected[f'{stage}/shape']), stage
        places = np.linspace(0, value.size - 1, len(sample)).astype(int)
        compare(f'{name} {where}{stage}', np.asarray(value).ravel()[places], sample)
    assert logits.dtype == jnp.float32
    compare(f'{name} {where}logits', logits, expected['logits'])


def compare(what: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    """Assert that two arrays are within the tolerance."""
    np.testing.assert_allclose(ours, theirs, atol=TOLERANCE * theirs.std(), rtol=0, err_msg=what)


def check_round_trip(name: str, **options) -> None:
    """Assert that the state dict comes back exactly: names, shapes, types and values."""
    _, wanted, found = build(name, **options)
    theirs = state_dict(name)
    back = to_state_dict(to_variables(theirs, wanted, found), found)
    has_no_weights = {key for key in theirs if key.endswith((COUNTER, *found.ignored))} - back.keys()
    assert sorted(back) == sorted(theirs.keys() - has_no_weights)
    for key, value in back.items():
        assert value.dtype == theirs[key].dtype, key
        np.testing.assert_array_equal(value, theirs[key], err_msg=key)
