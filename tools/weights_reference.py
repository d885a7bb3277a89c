"""Write tests/fixtures/weights: PyTorch's own files, torchvision's preprocessed images, the records of weights.

    python -m tools.weights_reference

Needs torch, torchvision and timm; run by hand, its result is committed.
"""

import math
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torchvision
from PIL import Image
from timm.data import create_transform, resolve_data_config

from jaxcv.files import to_json
from jaxcv.weights.published import PUBLISHED, Published
from tests.weights.photos import photo

FOLDER = Path(__file__).parents[1] / 'tests' / 'fixtures' / 'weights'
KINDS = ('float64', 'float16', 'bfloat16', 'int64', 'int32', 'int16', 'int8', 'uint8', 'complex64', 'complex128')
TIMM_NAMES = {'mobilenet_v1': 'mobilenetv1_100', 'mobilenet_v2': 'mobilenetv2_100'}
METRICS = {'top1': ('ImageNet-1K', 'acc@1'), 'mean_iou': ('COCO-val2017-VOC-labels', 'miou')}
SIZES = ((300, 417), (275, 256), (97, 131))  # height, width: shrinks, hardly changes, grows
EVERY_SIZE = ('alexnet.imagenet1k_v1', 'inception_v3.imagenet1k_v1', 'efficientnet_b0.imagenet1k_v1')


def tensors() -> dict[str, torch.Tensor]:
    """Every type and every way to lie in a storage."""
    base = torch.arange(24.0).reshape(4, 6)
    return {
        'float32': base,
        'shared': base[1:3, 2:],
        'transposed': base.t(),
        'every_second': base[1:, ::2],
        'expanded': torch.full((1,), 7.0).expand(3),
        'scalar': torch.tensor(5.0),
        'empty': torch.zeros(0, 3),
        'bool': torch.tensor([True, False, True]),
        'parameter': torch.nn.Parameter(torch.arange(3.0)),
        **{kind: torch.arange(6).reshape(2, 3).to(getattr(torch, kind)) for kind in KINDS},
    }


def write_files() -> None:
    """Write the same tensors in the zip format of both byte orders, the legacy one, and inside checkpoints."""
    state = OrderedDict(tensors())
    torch.save({**state, 'uint16': torch.arange(6).to(torch.uint16)}, FOLDER / 'zip.pth')
    torch.save(state, FOLDER / 'legacy.pth', _use_new_zipfile_serialization=False)
    layer = torch.nn.Sequential(OrderedDict(fc=torch.nn.Linear(2, 3)))
    torch.nn.init.ones_(layer.fc.weight)
    torch.nn.init.zeros_(layer.fc.bias)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    parallel = OrderedDict((f'module.{name}', value) for name, value in layer.state_dict().items())
    torch.save({'epoch': 3, 'state_dict': parallel, 'optimizer': optimizer.state_dict()}, FOLDER / 'checkpoint.pth')
    torch.save({'model': layer.state_dict(), 'loss': 0.5}, FOLDER / 'model.pt', _use_new_zipfile_serialization=False)
    torch.save(layer, FOLDER / 'whole_model.pth')
    torch.jit.save(torch.jit.script(layer), FOLDER / 'torchscript.pt')
    with zipfile.ZipFile(FOLDER / 'torchscript.pt') as archive:
        assert any('/code/' in name for name in archive.namelist())


def of_classes() -> dict[str, Published]:
    """The rows that torchvision and timm have transforms for: not detectors."""
    return {
        name: row for name, row in PUBLISHED.items() if row.source in ('torchvision', 'timm') and row.detector is None
    }


def weights_of(name: str) -> torchvision.models.WeightsEnum:
    """Torchvision's record of a set of weights."""
    model, _, tag = name.partition('.')
    return torchvision.models.get_weight(f'{torchvision.models.get_model_weights(model).__name__}.{tag.upper()}')


def theirs(name: str):
    """(transform, transform_input, URL) by the source itself."""
    model, _, tag = name.partition('.')
    if PUBLISHED[name].source == 'torchvision':
        weights = weights_of(name)
        builds = {'googlenet': 'GoogLeNet', 'inception_v3': 'Inception3'}
        return weights.transforms(), model in builds, weights.url
    config = timm.get_pretrained_cfg(f'{TIMM_NAMES.get(model, model)}.{tag}')
    transform = create_transform(**resolve_data_config(pretrained_cfg=config.to_dict()))
    url = config.url or f'https://huggingface.co/{config.hf_hub_id}/resolve/main/model.safetensors'
    return transform, False, url


def prepared(name: str, image: np.ndarray) -> np.ndarray:
    """Return the input of the model's first convolution, [h w c]."""
    transform, transform_input, _ = theirs(name)
    x = transform(Image.fromarray(image))
    if transform_input:
        x = torchvision.models.GoogLeNet._transform_input(_WithTransform(), x[None])[0]
    return x.permute(1, 2, 0).numpy()


class _WithTransform:
    transform_input = True


def described(name: str) -> dict:
    """Return a row of our table by the source's own records."""
    transform, transform_input, url = theirs(name)
    accuracy = None  # timm's are in no package
    if PUBLISHED[name].source == 'torchvision':
        licence = 'bsd-3-clause'
        measured = PUBLISHED[name].accuracy
        assert measured is not None
        data, value = METRICS[measured.metric]
        accuracy = weights_of(name).meta['_metrics'][data][value]
        crop = transform.crop_size[0] if hasattr(transform, 'crop_size') else None  # a segmentation's has none
        settings = [crop, transform.resize_size[0], transform.interpolation.value]
        settings += [list(transform.mean), list(transform.std)]
    else:
        model, _, tag = name.partition('.')
        config = timm.get_pretrained_cfg(f'{TIMM_NAMES.get(model, model)}.{tag}')
        assert config.crop_mode == 'center'
        licence = config.license
        size = config.input_size[1]
        settings = [size, math.floor(size / config.crop_pct), config.interpolation, list(config.mean), list(config.std)]
    # The repository was renamed; its old address leads on to the new one.
    url = url.replace('rwightman/pytorch-image-models', 'huggingface/pytorch-image-models')
    return {'url': url, 'preprocessing': [*settings, transform_input], 'licence': licence, 'accuracy': accuracy}


def write_preprocessed() -> None:
    """128 values of each image that is prepared in one of the table's ways."""
    ways: dict[Any, str] = {}
    for name, row in of_classes().items():
        ways.setdefault(row.preprocessing, name)
    arrays = {}
    for name in ways.values():
        for size in SIZES if name in EVERY_SIZE else SIZES[:1]:
            x = prepared(name, photo(size)).reshape(-1)
            arrays[f'{name}/{size[0]}x{size[1]}'] = x[np.linspace(0, len(x) - 1, 128).astype(int)]
    np.savez_compressed(FOLDER / 'preprocessing.npz', allow_pickle=False, **arrays)


if __name__ == '__main__':
    FOLDER.mkdir(exist_ok=True)
    write_files()
    write_preprocessed()
    table = {name: described(name) for name in of_classes()}
    (FOLDER / 'published.json').write_text(
        '{\n' + ',\n'.join(f'{to_json(k)}: {to_json(v)}' for k, v in table.items()) + '\n}\n'
    )
    for path in sorted(FOLDER.iterdir()):
        print(f'{path.name}: {path.stat().st_size // 1024} KiB')
