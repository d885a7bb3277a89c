"""Statistics of a data set, against counts in NumPy."""

import cv2
import numpy as np
import pytest

from jaxcv import data
from jaxcv.data import Source, transforms
from jaxcv.data.statistics import orientations, report, statistics


def png(array):
    return cv2.imencode('.png', array)[1].tobytes()


def test_sizes_channels_classes_and_pixels_are_counted(tmp_path):
    rng = np.random.default_rng(0)
    for kind in ('images', 'masks'):
        (tmp_path / 'train' / kind).mkdir(parents=True)
    masks = []
    for i in range(5):
        shape = (4 + i % 2, 6)
        masks.append(rng.choice([0, 2, 255], shape).astype(np.uint8))
        image = rng.integers(0, 255, (*shape, 3) if i else shape, dtype=np.uint8)  # the first is gray
        (tmp_path / f'train/images/{i}.png').write_bytes(png(image))
        (tmp_path / f'train/masks/{i}.png').write_bytes(png(masks[i]))
    broken = tmp_path / 'train/images/3.png'
    broken.write_bytes(broken.read_bytes()[:60])
    (tmp_path / 'classes.txt').write_text('ground\nroof\ntree')

    source = data.source('folder_masks', split='train', data_dir=tmp_path)
    found = statistics(source)
    whole = [mask for i, mask in enumerate(masks) if i != 3]
    assert (found.size, found.sizes, found.channels) == (5, {(4, 6): 3, (5, 6): 1}, {1: 1, 3: 3})
    assert list(found.broken) == [source.where(3)]
    pixels = np.bincount(np.concatenate([mask.ravel() for mask in whole]), minlength=256)
    assert found.elements == {'mask': {n: pixels[n] for n in (0, 2, 255)}}
    assert found.examples == {'mask': {n: sum((mask == n).any() for mask in whole) for n in (0, 2, 255)}}

    lines = report(found, source.names).splitlines()
    assert lines[0] == '5 examples, 1 of them cannot be read'
    assert lines[1].startswith(f'  {source.where(3)}: ')
    assert lines[-1].startswith(f'mask: ground in {found.examples["mask"][0]} ({100 * pixels[0] / pixels.sum():.2f} %)')
    assert lines[-1].endswith('no example of roof')


def test_labels_are_counted_after_the_transforms():
    people = Source(5, lambda i: {'sex': i % 2}, str, {'sex': ('f', 'm')})
    renamed = [transforms.rename(names={'label': 'sex'})]
    found = statistics(people, renamed)
    assert (found.examples, found.elements, found.sizes) == ({'label': {0: 3, 1: 2}}, {}, {})
    assert report(found, transforms.names_after(people.names, renamed)).endswith('label: f in 3, m in 2 examples')


def test_orientations_are_those_of_the_headers():
    images = [np.zeros((4, 6, 3), np.uint8), np.zeros((6, 4, 3), np.uint8)]
    turned = cv2.imencode('.jpg', images[0])[1].tobytes()
    exif = b'Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0'
    turned = turned[:2] + b'\xff\xe1' + (len(exif) + 2).to_bytes(2, 'big') + exif + turned[2:]
    raw = [images[0], png(images[0]), png(images[1]), turned]
    assert orientations(Source(4, lambda i: {'image': raw[i]}, str, {})).tolist() == [1, 1, 0, 0]
    with pytest.raises(ValueError, match=r'^0: '):
        orientations(Source(1, lambda i: {'image': b'none'}, str, {}))
