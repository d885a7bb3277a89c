"""Runs an exported classifier on photos, with JAX alone, and prints the class of each.

python run_exported.py model.stablehlo new/*.jpg
"""

import json
import sys
import zipfile
from pathlib import Path

import numpy as np
from jax import export
from PIL import Image, ImageOps


def main(file, *photos):
    """Prints `PHOTO CLASS PROBABILITY` for each."""
    call = export.deserialize(Path(file).read_bytes()).call
    about = json.loads(zipfile.ZipFile(file).read('about.json'))
    (size,) = (step['size'] for step in about['transforms'] if step['name'] == 'center_crop')
    for photo in photos:
        answer = call(np.asarray(ImageOps.fit(Image.open(photo).convert('RGB'), (size, size), bleed=1 / 16))[None])
        name = about['class_names']['label'][int(answer['label'][0])]
        print(f'{photo} {name} {float(answer["probabilities"].max()):.2f}')
    assert not any(name.startswith(('jaxcv', 'experiments', 'flax')) for name in sys.modules)


if __name__ == '__main__':
    main(*sys.argv[1:])
