"""Which models `python -m experiments.export --format=onnx` can export: a table, a row for each family.

    pip install 'jaxcv[onnx]'
    python -m tools.onnx_models [resnet18 mobilenet_v2 ...]

Each network has random weights. Its file is run by onnxruntime on 1 and on 3 random images, and compared with JAX;
differences are in shares of the largest number of the output.
"""

import sys
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.run import exporting, tables
from experiments.run.onnx_file import Function, onnx_file
from jaxcv import config, losses, models, paths, tasks
from jaxcv.types import Array, Variables

CLASSES = {'num_classes': 10}
SIDES: dict[str, int] = {
    'cifar_resnet': 32,
    'linear_classifier': 8,
    'inception_v3': 139,
    'alexnet': 96,
    'zfnet': 96,
    'embedding.deepface': 152,
    'embedding.facenet_nn2': 96,
    'embedding.inception_resnet_v1': 96,
    'embedding.mobilefacenet': 112,
    'embedding.onet': 48,
}
"""The side of the images, where it is not 64."""
RESNET18 = {'name': 'resnet18'}
MODELS = (
    *(
        {'name': name, **CLASSES}
        for name in ('linear_classifier', 'alexnet', 'zfnet', 'vgg11', 'vgg16_bn', 'googlenet', 'inception_v3')
    ),
    {'name': 'cifar_resnet', 'depth': 8, **CLASSES},
    *(
        {'name': name, **CLASSES}
        for name in ('resnet18', 'resnet50', 'resnext50_32x4d', 'seresnet50', 'wide_resnet50_2', 'mobilenet_v1')
    ),
    *(
        {'name': name, **CLASSES}
        for name in ('mobilenet_v2', 'efficientnet_b0', 'tf_efficientnet_b0', 'efficientnet_lite0')
    ),
    *(
        {'name': f'segmentation.{name}', 'backbone': RESNET18, **CLASSES}
        for name in ('fcn8s', 'deeplabv3', 'deeplabv3_plus', 'pspnet', 'backbone_unet')
    ),
    {'name': 'segmentation.unet', **CLASSES},
    {'name': 'embedding.embedder', 'backbone': RESNET18, 'features': 64},
    *(
        {'name': f'embedding.{name}'}
        for name in ('inception_resnet_v1', 'mobilefacenet', 'dlib_embedder', 'deepface', 'facenet_nn2', 'onet')
    ),
    *({'name': f'stereo.{name}'} for name in ('flownet_s', 'flownet_c', 'dispnet', 'dispnet_c', 'gcnet')),
)
"""Networks, whose output is compared."""
SMALL = {'backbone': RESNET18, **CLASSES}
DETECTORS = (
    ({'name': 'detection.retinanet', **SMALL}, {'name': 'detection', 'loss': losses.retinanet}),
    ({'name': 'detection.ssd', **SMALL}, {'name': 'detection', 'loss': losses.ssd}),
    ({'name': 'detection.efficientdet', **SMALL}, {'name': 'detection', 'loss': losses.efficientdet}),
    ({'name': 'detection.centernet', **SMALL}, {'name': 'center_detection', 'loss': losses.centernet}),
    ({'name': 'detection.faster_rcnn', **SMALL}, {'name': 'region_detection'}),
)
"""(network, task): the answer is compared, with non-maximum suppression."""


def random_variables(shapes: dict) -> dict:
    """Kernels of the size that keeps the size of what they are applied to, and norms that change nothing."""
    draw = np.random.default_rng(0)

    def values(name: str, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        if name.endswith('kernel'):
            return draw.normal(0, (2 / max(1, np.prod(leaf.shape[:-1]))) ** 0.5, leaf.shape).astype(np.float32)
        return np.full(leaf.shape, float(name.endswith(('scale', 'var'))), np.float32)

    return paths.map_names(values, shapes)


def row(spec: dict, task: dict | None = None) -> list[str]:
    """The model, whether it is exported, and the largest difference or the reason."""
    began = time.perf_counter()
    try:
        model = config.build(spec, models)
        side = SIDES.get(spec['name'], 64)
        shape = (side, side, 6 if spec['name'].startswith('stereo.') else 3)
        variables = random_variables(jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *shape))))
        images = {'image': {'shape': shape, 'dtype': 'uint8'}}
        if task:
            made = config.build(task, tasks, provided={'model': model, **CLASSES})
            function, images = exporting.answer_function(made, variables, images)
        else:
            function = output_of(model, variables)
        _, difference = onnx_file(function, images, {})
        found = ['yes', f'{difference:.0e}']
    except Exception as error:  # a table of what fails
        found = ['no', str(error).partition('\n')[0].removeprefix('this network cannot be an ONNX file: ')[:160]]
    print(f'{spec["name"]}: {", ".join(found)}, {time.perf_counter() - began:.0f} s', file=sys.stderr, flush=True)
    return [spec['name'], *found]


def output_of(model: Any, variables: Variables) -> Function:
    """The function {'image': [n h w c]} -> {name: [n ...]} of the arrays of a network's output."""

    def function(batch: Mapping[str, Array]) -> dict[str, Array]:
        output = model.apply(variables, batch['image'] / 255.0)
        return {f'output{i}': leaf for i, leaf in enumerate(jax.tree.leaves(output))}

    return function


def main(names: list[str]) -> None:
    """Prints the table."""
    rows = [(spec,) for spec in MODELS] + list(DETECTORS)
    chosen = [each for each in rows if not names or each[0]['name'] in names]
    print(tables.markdown([['model', 'ONNX', 'largest difference'], *(row(*each) for each in chosen)]))


if __name__ == '__main__':
    main(sys.argv[1:])
