"""Exports a trained workdir as one StableHLO file that runs without jaxcv: weights, normalization, answer.

    python -m experiments.export --workdir=runs/digits [--out=runs/digits/model.stablehlo --checkpoint=best --averaged]

The file is a `jax.export` artifact for CPU, GPU and TPU, with any batch size. To use it, with JAX alone:

    from jax import export
    call = export.deserialize(open('model.stablehlo', 'rb').read()).call
    probabilities = call(images)  # uint8 [n h w c], of the size the network was evaluated on, in RGB order

A segmenter's file gives the mask instead, int32 [n h w]: the number of each pixel's class.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
from absl import flags
from jax import export as jax_export

from experiments import experiment as pieces
from experiments import launch
from experiments.evaluate import restore
from jaxcv import training
from jaxcv.task import Task
from jaxcv.types import Array, Variables

OUT = flags.DEFINE_string('out', None, 'The file to write; by default WORKDIR/model.stablehlo.')
PLATFORMS = ('cpu', 'cuda', 'tpu')


def main() -> int:
    """Exports the workdir of the flags; returns the exit code."""
    workdir = Path(launch.WORKDIR.value)
    settings = launch.trained_settings(workdir)
    experiment = pieces.assemble(settings)
    fields = experiment.data
    first = next(iter(pieces.eval_batches(fields, pieces.source(fields, fields.eval_split or fields.train_split))))
    image, mesh = first['image'][0], training.make_mesh(jax.local_devices()[:1])
    variables, step = restore(workdir, launch.which_checkpoint(), experiment, settings, {'image': image}, mesh)
    task = pieces.evaluated_task(experiment, averaged=launch.averaged(settings))
    content = serialize(task, jax.device_get(variables), image.shape)
    out = Path(OUT.value) if OUT.value else workdir / 'model.stablehlo'
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_suffix('.tmp')
    unfinished.write_bytes(content)
    unfinished.replace(out)
    height, width, channels = image.shape
    answer = f'probabilities [n {len(fields.class_names)}]'
    if settings.task.name == 'segmentation':
        answer = f'mask [n {height} {width}]'
    print(f'step {step}: uint8 [n {height} {width} {channels}] -> {answer}, {len(content) / 1e6:.1f} MB')
    print(f'written to {out}')
    return 0


def serialize(task: Task, variables: Variables, shape: tuple[int, int, int]) -> bytes:
    """The function uint8 images [n h w c] -> probabilities [n classes], or mask [n h w], of fixed variables; any n."""
    (n,) = jax_export.symbolic_shape('n')

    constants = jax.tree.map(jnp.asarray, variables)

    def answer(images: Array) -> Array:
        predictions = task.predict(constants, {'image': images, 'valid': jnp.ones(images.shape[0], bool)})
        return predictions['mask' if 'mask' in predictions else 'probabilities']

    like = jax.ShapeDtypeStruct((n, *shape), jnp.uint8)
    return bytes(jax_export.export(jax.jit(answer), platforms=PLATFORMS)(like).serialize())


if __name__ == '__main__':
    launch.launch(main)
