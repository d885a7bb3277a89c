"""Write tests/fixtures/backbones/<name>.npz: names and shapes of the state dict, and outputs for seeded weights.

Also timm_names.json there: of each model that timm publishes weights of, a digest of the names and shapes.

    python -m tools.backbones [name ...]

Needs torch, torchvision and timm; run by hand, its result is committed. No weights are stored: `tests.weights.seeded`
makes each from its name and shape. Computed in float64, in evaluation mode. For each image size: the logits, and of
every stage its shape and 64 evenly spaced values (N, H, W, C order).
"""

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import timm
import torch

from jaxcv.files import to_json
from jaxcv.weights.layouts import LAYOUTS
from tests.weights.parity import names_digest
from tests.weights.seeded import seeded
from tools.backbones import classic, mobile, residual
from tools.backbones.reference import Reference

SAMPLES = 64
NAMES = {'mobilenet_v1': 'mobilenetv1_100', 'mobilenet_v2': 'mobilenetv2_100'}
FOLDER = Path(__file__).parents[2] / 'tests' / 'fixtures' / 'backbones'


def sample(x: torch.Tensor) -> np.ndarray:
    """Evenly spaced values of a feature map, in the order N, H, W, C."""
    flat = x.detach().permute(0, 2, 3, 1).reshape(-1).numpy()
    return flat[np.linspace(0, len(flat) - 1, SAMPLES).astype(int)]


def write(name: str, reference: Reference) -> None:
    """Run one model at its sizes and write its fixture."""
    model = reference.make().double().eval()
    state = {
        key: torch.tensor(seeded(key, tuple(value.shape))).to(value.dtype) for key, value in model.state_dict().items()
    }
    model.load_state_dict(state)
    arrays = {}
    stages: dict[str, torch.Tensor] = {}
    for stage, path in reference.stages.items():
        # A hook keeps a copy: what follows may work in place.
        model.get_submodule(path).register_forward_hook(
            lambda _module, _args, result, stage=stage: stages.__setitem__(stage, result.detach().clone())
        )
    for size in reference.sizes:
        images = torch.tensor(seeded('images', (1, *size, 3))).double().permute(0, 3, 1, 2)
        with torch.no_grad():
            where = f'{size[0]}x{size[1]}'
            arrays[f'{where}/logits'] = model(images).numpy()
        for stage, value in stages.items():
            arrays[f'{where}/{stage}/shape'] = np.array(value.permute(0, 2, 3, 1).shape)
            arrays[f'{where}/{stage}/sample'] = sample(value)
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    np.savez_compressed(
        FOLDER / f'{name}.npz', source=np.array(reference.source), state_dict=np.array(to_json(shapes)), **arrays
    )
    print(f'{name}: {(FOLDER / f"{name}.npz").stat().st_size // 1024} KiB', flush=True)


def write_names(models: Iterable[str]) -> None:
    """Write the digests of timm's names, of models on the meta device, which has no numbers."""
    digests = {}
    for name in models:
        with torch.device('meta'):
            state = timm.create_model(NAMES.get(name, name)).state_dict()
        digests[name] = names_digest({key: tuple(value.shape) for key, value in state.items()})
    (FOLDER / 'timm_names.json').write_text(to_json(digests, indent=0) + '\n')


if __name__ == '__main__':
    models = {**classic.MODELS, **residual.MODELS, **mobile.MODELS}
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or models:
        write(name, models[name])
    if not sys.argv[1:]:
        write_names(name for name, sources in LAYOUTS.items() if 'timm' in sources)
