"""Exports a trained workdir as one StableHLO file that runs without jaxcv: weights, normalization, answer.

    python -m experiments.export --workdir=runs/digits [--out=runs/digits/model.stablehlo --checkpoint=best --averaged]

The file is a `jax.export` artifact for CPU, GPU and TPU, with any batch size. To use it, with JAX alone:

    from jax import export
    call = export.deserialize(open('model.stablehlo', 'rb').read()).call
    answer = call(images)  # uint8 [n h w c], of the size the network was evaluated on, in RGB order

The answer is a dict of arrays, which the command prints with their shapes: `label` and `probabilities` of a classifier,
`mask` of a segmenter. No data set is needed.
"""

from pathlib import Path

from absl import flags

from experiments import launch
from experiments.run.exporting import export
from experiments.run.workdir import trained

OUT = flags.DEFINE(launch.LocalPath(), 'out', None, 'The file to write; by default WORKDIR/model.stablehlo.')
USES = launch.OF_A_TRAINED_RUN


def main() -> int:
    """Exports the workdir of the flags; returns the exit code."""
    workdir = launch.workdir()
    checked = trained(workdir, launch.given_config(), launch.used_modules())
    out = Path(OUT.value) if OUT.value else workdir / 'model.stablehlo'
    return export(checked, workdir, launch.which_checkpoint(), out, averaged=launch.AVERAGED.value)


if __name__ == '__main__':
    launch.launch(main, uses=USES)
