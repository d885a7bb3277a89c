"""Which models `python -m experiments.export --format=onnx` can export: a table, a row for each family.

    pip install 'jaxcv[onnx]'
    python -m tools.onnx_models [resnet18 mobilenet_v2 ...]

Each network has random weights. Its file is run by onnxruntime on 1 and on 3 random images, and compared with JAX.
"""

import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from experiments.run import tables
from experiments.run.onnx_file import onnx_file
from jaxcv import config, models, paths

CLASSES = {'num_classes': 10}
SMALL: dict[str, int] = {'cifar_resnet': 32, 'linear_classifier': 8, 'inception_v3': 139, 'alexnet': 96, 'zfnet': 96}
"""The side of the images, where it is not 64."""
ROWS = (
    *(
        {'name': name, **CLASSES}
        for name in ('linear_classifier', 'alexnet', 'zfnet', 'vgg11', 'vgg16_bn', 'googlenet')
    ),
    {'name': 'inception_v3', **CLASSES},
    {'name': 'cifar_resnet', 'depth': 8, **CLASSES},
    *(
        {'name': name, **CLASSES}
        for name in ('resnet18', 'resnet50', 'resnext50_32x4d', 'seresnet50', 'wide_resnet50_2', 'mobilenet_v1')
    ),
    *({'name': name, **CLASSES} for name in ('mobilenet_v2', 'efficientnet_b0', 'efficientnet_lite0')),
    *(
        {'name': f'segmentation.{name}', 'backbone': {'name': 'resnet18'}, **CLASSES}
        for name in ('fcn8s', 'deeplab_v3', 'deeplab_v3_plus', 'pspnet', 'backbone_unet')
    ),
    {'name': 'segmentation.unet', **CLASSES},
    {'name': 'embedding.embedder', 'backbone': {'name': 'resnet18'}, 'features': 64},
    {'name': 'stereo.flownet_s'},
    {'name': 'stereo.flownet_c'},
)


def random_variables(shapes: dict) -> dict:
    """Kernels of the size that keeps the size of what they are applied to, and norms that change nothing."""
    draw = np.random.default_rng(0)

    def values(name: str, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        if name.endswith('kernel'):
            return draw.normal(0, (2 / max(1, np.prod(leaf.shape[:-1]))) ** 0.5, leaf.shape).astype(np.float32)
        return np.full(leaf.shape, float(name.endswith(('scale', 'var'))), np.float32)

    return paths.map_names(values, shapes)


def row(spec: dict) -> list[str]:
    """The model, whether it is exported, and the largest difference or the reason."""
    began = time.perf_counter()
    try:
        model = config.build(spec, models)
        side = SMALL.get(spec['name'], 64)
        shape = (side, side, 6 if spec['name'].startswith('stereo.') else 3)
        variables = random_variables(jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *shape))))

        def function(batch: dict) -> dict:
            return {'output': model.apply(variables, batch['image'] / 255.0)}

        _, difference = onnx_file(function, {'image': {'shape': shape, 'dtype': 'float32'}}, {})
        found = ['yes', f'{difference:.0e}']
    except Exception as error:  # a table of what fails
        found = ['no', str(error).partition('\n')[0].removeprefix('this network cannot be an ONNX file: ')[:110]]
    print(f'{spec["name"]}: {", ".join(found)}, {time.perf_counter() - began:.0f} s', file=sys.stderr, flush=True)
    return [spec['name'], *found]


def main(names: list[str]) -> None:
    """Prints the table."""
    chosen = [spec for spec in ROWS if not names or spec['name'] in names]
    print(tables.markdown([['model', 'ONNX', 'largest difference'], *map(row, chosen)]))


if __name__ == '__main__':
    main(sys.argv[1:])
