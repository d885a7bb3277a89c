"""Write tests/fixtures/resnet_reference.npz: gradients and statistics of torchvision's ResNets, for seeded weights.

    python -m tools.resnet_reference

Needs torch and torchvision (benchmarks/requirements.txt), so it is run by hand and its result is committed. Weights
are not stored: `tests.weights.seeded` makes each from its torch name and shape. Everything is computed in float64. The
fixture holds, for each model and image size, in training mode the loss, the norm of every gradient and of every updated
running mean, in the order of their names. Their outputs in evaluation mode are in tools/backbones.
"""

from pathlib import Path

import numpy as np
import torch
import torchvision

from tests.weights.seeded import seeded

MODELS = ('resnet18', 'resnet50')
SIZES = ((64, 64), (65, 47))
CLASSES, BATCH = 10, 8
FIXTURE = Path(__file__).parent.parent / 'tests' / 'fixtures' / 'resnet_reference.npz'


def reference(name: str, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """Run one model at one size."""
    model = getattr(torchvision.models, name)(num_classes=CLASSES).double()
    state = {
        key: torch.tensor(seeded(key, tuple(value.shape))).to(value.dtype) for key, value in model.state_dict().items()
    }
    model.load_state_dict(state)
    images = torch.tensor(seeded('images', (BATCH, *size, 3))).double().permute(0, 3, 1, 2)
    loss = torch.nn.functional.cross_entropy(model.train()(images), torch.arange(BATCH))
    loss.backward()
    gradients = {key: value.grad for key, value in model.named_parameters()}
    means = {key: value for key, value in model.state_dict().items() if key.endswith('running_mean')}
    out = {'loss': loss.detach().numpy()}
    for kind, tensors in {'gradient_norms': gradients, 'running_mean_norms': means}.items():
        out[kind] = np.array([tensors[key].norm().item() for key in sorted(tensors)])
    return {f'{name}/{size[0]}x{size[1]}/{key}': value for key, value in out.items()}


def main() -> None:
    """Write the fixture."""
    arrays = {key: value for name in MODELS for size in SIZES for key, value in reference(name, size).items()}
    np.savez_compressed(FIXTURE, allow_pickle=False, **arrays)
    print(f'{FIXTURE}: {len(arrays)} arrays, {FIXTURE.stat().st_size // 1024} KiB')


if __name__ == '__main__':
    main()
