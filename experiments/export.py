"""Exports a trained workdir as one file that runs without jaxcv: weights, normalization, answer, class names.

    python -m experiments.export --workdir=runs/digits [--out=runs/digits/model.stablehlo --checkpoint=best --averaged]

By default the file is StableHLO, a `jax.export` artifact for CPU, GPU and TPU, with any batch size. To use it, with JAX
alone:

    from jax import export
    call = export.deserialize(open('model.stablehlo', 'rb').read()).call
    answer = call(images)  # uint8 [n h w c], of the size the network was evaluated on, in RGB order

The answer is a dict of arrays, which the command prints with their shapes: `label` and `probabilities` of a classifier,
`mask` of a segmenter. The names of the classes, the shapes, and the transforms that made the images of the evaluation
(decoding, resizing; normalization is in the function) are in the same file:

    import json, zipfile
    about = json.loads(zipfile.ZipFile('model.stablehlo').read('about.json'))
    about['class_names']['label'][int(answer['label'][0])]

`jax.export` guarantees that a file can be run by the JAX releases of 6 months after the one that wrote it, and of 3
weeks before it; export again from the workdir for later ones. No data set is needed, but for an average (--averaged) of
a network with batch norms, whose statistics are taken from the training data.

--format=onnx writes model.onnx (pip install 'jaxcv[onnx]'), with the same inputs and answers by their names, and the
description in its metadata under 'about'. Each file is run by onnxruntime on random images, and only written if its
answers are the network's. jax2onnx, which converts it, does not know all operations: `python -m tools.onnx_models`
tries the models one by one. What cannot be converted is refused with the reason, and StableHLO remains.
"""

from absl import flags

from experiments import launch
from experiments.run.exporting import FILES, export
from experiments.run.workdir import trained

OUT = flags.DEFINE(launch.LocalPath(), 'out', None, 'The file to write, or a folder; by default the workdir.')
FORMAT = flags.DEFINE_enum('format', 'stablehlo', list(FILES), 'The kind of file.')
USES = launch.OF_A_TRAINED_RUN


def main() -> int:
    """Exports the workdir of the flags; returns the exit code."""
    workdir = launch.workdir()
    checked = trained(workdir, launch.given_config(), launch.used_modules())
    which, averaged = launch.which_checkpoint(), launch.AVERAGED.value
    return export(checked, workdir, which, OUT.value, averaged=averaged, format=FORMAT.value)


if __name__ == '__main__':
    launch.launch(main, uses=USES)
