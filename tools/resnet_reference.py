"""Write tests/fixtures/resnet_reference.npz: what torchvision's ResNets give for weights that a seed makes.

    python tools/resnet_reference.py

Needs torch and torchvision (benchmarks/requirements.txt), so it is run by hand and its result is committed. Weights
are not stored: `seeded` makes each from its torch name and shape, and the test makes the same ones. Everything is
computed in float64. The fixture holds, for each model and image size, the logits, a sample of every stage, and in
training mode the loss, the norm of every gradient and of every updated running mean, in the order of their names.
"""

import contextlib
import zlib
from pathlib import Path

import numpy as np

with contextlib.suppress(ImportError):
    import tvshim  # noqa: F401  where it is on the path: lets a CUDA torchvision load beside a CPU-only torch
import torch
import torchvision

MODELS = ('resnet18', 'resnet50')
SIZES = ((64, 64), (65, 47))
STAGES = {'stem': 'relu', 'stage1': 'layer1', 'stage2': 'layer2', 'stage3': 'layer3', 'stage4': 'layer4'}
CLASSES, BATCH, TRAIN_BATCH, SAMPLES = 10, 2, 8, 64
FIXTURE = Path(__file__).parent.parent / 'tests' / 'fixtures' / 'resnet_reference.npz'


def seeded(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Make an array from a name: float32, of a size that keeps activations near 1. The test has the same function."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    values = rng.standard_normal(shape)
    if len(shape) > 1 and name != 'images':
        values *= np.sqrt(2 / np.prod(shape[1:]))
    elif name.endswith(('running_var', 'weight')):
        values = 0.75 + 0.5 * rng.random(shape)
    elif name != 'images':
        values *= 0.1
    return values.astype(np.float32)


def sample(x: torch.Tensor) -> np.ndarray:
    """Take evenly spaced values of a feature map, in the order N, H, W, C."""
    flat = x.detach().permute(0, 2, 3, 1).reshape(-1).numpy()
    return flat[np.linspace(0, len(flat) - 1, SAMPLES).astype(int)]


def reference(name: str, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """Run one model at one size, in evaluation and then in training mode."""
    model = getattr(torchvision.models, name)(num_classes=CLASSES).double()
    state = {
        key: value if key.endswith('num_batches_tracked') else torch.tensor(seeded(key, tuple(value.shape))).double()
        for key, value in model.state_dict().items()
    }
    model.load_state_dict(state)
    stages = {}
    for stage, module in STAGES.items():
        # The ReLU works in place and the pooling after it does not, so the hook keeps what the stage gave.
        getattr(model, module).register_forward_hook(
            lambda _module, _args, result, stage=stage: stages.__setitem__(stage, sample(result))
        )
    images = torch.tensor(seeded('images', (TRAIN_BATCH, *size, 3))).double().permute(0, 3, 1, 2)
    out = {'logits': model.eval()(images[:BATCH]).detach().numpy()}
    out |= dict(stages)
    loss = torch.nn.functional.cross_entropy(model.train()(images), torch.arange(TRAIN_BATCH))
    loss.backward()
    out['train_loss'] = loss.detach().numpy()
    gradients = {key: value.grad for key, value in model.named_parameters()}
    means = {key: value for key, value in model.state_dict().items() if key.endswith('running_mean')}
    for kind, tensors in {'gradient_norms': gradients, 'running_mean_norms': means}.items():
        out[kind] = np.array([tensors[key].norm().item() for key in sorted(tensors)])
    return {f'{name}/{size[0]}x{size[1]}/{key}': np.asarray(value) for key, value in out.items()}


def main() -> None:
    """Write the fixture."""
    arrays = {key: value for name in MODELS for size in SIZES for key, value in reference(name, size).items()}
    np.savez_compressed(FIXTURE, **arrays)
    print(f'{FIXTURE}: {len(arrays)} arrays, {FIXTURE.stat().st_size // 1024} KiB')


if __name__ == '__main__':
    main()
