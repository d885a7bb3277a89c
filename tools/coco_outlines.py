"""Write tests/fixtures/detection/outlines.json: pycocotools' masks of random polygons, as its strings of run lengths.

    python -m tools.coco_outlines

Needs pycocotools; run by hand, its result is committed.
"""

from pathlib import Path

import numpy as np
from pycocotools import mask

from jaxcv.files import to_json

FILE = Path(__file__).parents[1] / 'tests' / 'fixtures' / 'detection' / 'outlines.json'


def cases() -> list[dict]:
    """Polygons inside and partly outside of images, of whole numbers and not, one or several of an object."""
    rng, found = np.random.default_rng(0), []
    for number in range(48):
        height, width = rng.integers(6, 50, 2).tolist()
        low, high = (-0.2, 1.3) if number % 3 == 0 else (0.0, 1.0)
        polygons = []
        for _ in range(1 + number % 5 // 4):
            points = rng.uniform(low, high, (int(rng.integers(3, 9)), 2)) * [width, height]
            polygons.append(np.round(points, number % 3).ravel().tolist())
        encoded = mask.merge(mask.frPyObjects(polygons, height, width))
        found.append({'polygons': polygons, 'size': [height, width], 'counts': encoded['counts'].decode()})
    return found


if __name__ == '__main__':
    FILE.write_text(to_json(cases()) + '\n')
    print(f'{FILE}: {FILE.stat().st_size:,} bytes')
