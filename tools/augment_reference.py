"""Write tests/fixtures/augment_reference.npz: results of torchvision's colour functions and RandAugment.

    python tools/augment_reference.py

Needs torch and torchvision (benchmarks/requirements.txt), so it is run by hand and its result is committed. The
fixture holds a small image, `image` `[h, w, 3]` uint8; the results of RandAugment's operations on its bytes at some
bins, `byte/<operation>/<magnitude>`, and on floats in [0, 1] `float/adjust_<what>/<factor>` and `float/autocontrast`.
`magnitudes/<bin>` are RandAugment's for the image's size, in the order of `names`.
"""

from pathlib import Path

import numpy as np
import torch
from torchvision.transforms import InterpolationMode, RandAugment, autoaugment, functional

FIXTURE = Path(__file__).parent.parent / 'tests' / 'fixtures' / 'augment_reference.npz'
NAMES = {
    'Identity': 'identity',
    'ShearX': 'shear_x',
    'ShearY': 'shear_y',
    'TranslateX': 'translate_x',
    'TranslateY': 'translate_y',
    'Rotate': 'rotate',
    'Brightness': 'brightness',
    'Color': 'color',
    'Contrast': 'contrast',
    'Sharpness': 'sharpness',
    'Posterize': 'posterize',
    'Solarize': 'solarize',
    'AutoContrast': 'autocontrast',
    'Equalize': 'equalize',
}
BINS = (0, 9, 17, 30)


def photo() -> np.ndarray:
    """Waves of low contrast with noise, a bright and a dark corner; odd sizes."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:19, :24] / 10
    waves = [np.sin(x + y), np.cos(2 * x - y), np.sin(3 * y)]
    image = np.stack([110 + 50 * wave + rng.normal(0, 8, wave.shape) for wave in waves], axis=-1)
    image[:6, :6], image[-5:, -7:] = (250, 240, 5), (3, 0, 30)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def main() -> None:
    """Write the fixture."""
    image = photo()
    of_bytes = torch.from_numpy(image).permute(2, 0, 1)
    of_floats = of_bytes.float() / 255
    fixture = {'image': image}

    def keep(key: str, result: torch.Tensor) -> None:
        fixture[key] = result.permute(1, 2, 0).numpy()

    for what, factors in {
        'brightness': (0.0, 0.6, 1.4),
        'contrast': (0.0, 0.6, 1.7),
        'saturation': (0.0, 0.6, 1.7),
        'sharpness': (0.0, 0.6, 1.7),
        'hue': (-0.5, -0.1, 0.3),
    }.items():
        for factor in factors:
            keep(f'float/adjust_{what}/{factor}', getattr(functional, f'adjust_{what}')(of_floats, factor))

    space = RandAugment()._augmentation_space(31, image.shape[:2])
    for index in BINS:
        fixture[f'magnitudes/{index}'] = np.array([float(v[index]) if v.ndim else 0.0 for v, _ in space.values()])
        for name, (values, signed) in space.items():
            if values.ndim == 0 and index:
                continue
            value = float(values[index]) if values.ndim else 0.0
            for magnitude in {value, -value} if signed else {value}:
                options = {'interpolation': InterpolationMode.NEAREST, 'fill': None}
                keep(f'byte/{NAMES[name]}/{magnitude!r}', autoaugment._apply_op(of_bytes, name, magnitude, **options))
    keep('float/autocontrast', functional.autocontrast(of_floats))
    fixture['names'] = np.array([NAMES[name] for name in space])
    filled = functional.rotate(of_bytes, 20.0, interpolation=InterpolationMode.NEAREST, fill=[51.0] * 3)
    keep('byte/rotate/filled', filled)
    np.savez_compressed(FIXTURE, allow_pickle=False, **fixture)
    print(f'{FIXTURE}: {len(fixture)} arrays, {FIXTURE.stat().st_size / 1024:.0f} KiB')


if __name__ == '__main__':
    main()
