"""Makes a folder of a trained network that the Hugging Face Hub takes, and uploads it.

    python -m experiments.push --workdir=runs/digits --folder=shared/digits [--checkpoint=best --averaged]
    python -m experiments.push --workdir=runs/digits --folder=shared/digits --repo=USER/NAME --license=apache-2.0

The folder has the network (model.safetensors), its config.json, the preprocessing, the class names, and README.md, the
model card: what the network is, its results with the command that measures them, and how it is used. The results are
those of the last `python -m experiments.evaluate` of the workdir. Paths of this machine are left out.

Such a folder, or hf:USER/NAME, stands in place of a workdir, and a run starts from it:

    python -m experiments.predict  --workdir=hf:USER/NAME --images=photos
    python -m experiments.evaluate --workdir=shared/digits
    python -m experiments.train    --config=digits --workdir=runs/mine --config.finetune.start_from=hf:USER/NAME

Downloads and uploads need huggingface_hub (pip install 'jaxcv[hub]'), and an upload a token: hf auth login.
"""

from pathlib import Path

from absl import flags

from experiments import launch
from experiments.run.pushing import push
from experiments.run.workdir import trained
from jaxcv import config

REPO = flags.DEFINE_string('repo', None, 'USER/NAME, the repository of the Hugging Face Hub to upload to.')
PRIVATE = flags.DEFINE_bool('private', False, 'Whether a repository that is made now can be read by its owner only.')
LICENSE = flags.DEFINE_string('license', None, "The licence, by the Hub's word for it: apache-2.0, mit, cc-by-4.0, ...")
USES = (*launch.OF_A_TRAINED_RUN, 'folder')


def main() -> int:
    """Shares the workdir of the flags; returns the exit code."""
    if not launch.FOLDER.value:
        raise config.ConfigError('give --folder=FOLDER, a new one: what is shared is written there first')
    workdir = launch.workdir()
    return push(
        trained(workdir, launch.given_config(), launch.used_modules()),
        workdir,
        launch.which_checkpoint(),
        Path(launch.FOLDER.value),
        averaged=launch.AVERAGED.value,
        repo=REPO.value,
        private=PRIVATE.value,
        license=LICENSE.value,
    )


if __name__ == '__main__':
    launch.launch(main, uses=USES)
