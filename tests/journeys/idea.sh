#!/bin/sh
# A model and a loss of one's own, then a task of one's own, by --use from a folder with the person's module. For an
# empty folder and an environment that jaxcv and jaxcv-experiments are installed in; the module is that of the how-tos:
#     sh idea.sh docs/guides
set -eu
scripts=$(cd "$(dirname "$0")" && pwd)
python "$scripts/write_idea.py" "$1"
python -m experiments.train    --config=digits --use=my_project.models --use=my_project.losses \
                               --config.model='my_project.models.mixer(width=32)' \
                               --config.loss='my_project.losses.poly1(epsilon=2.0)' \
                               --config.training.epochs=10 --workdir=runs/idea
python -m experiments.evaluate --workdir=runs/idea --use=my_project.models --use=my_project.losses
python -m experiments.export   --workdir=runs/idea --use=my_project.models --use=my_project.losses
python -m experiments.train    --config=brightness_config.py --use=my_project.brightness --workdir=runs/brightness
python -m experiments.evaluate --workdir=runs/brightness --use=my_project.brightness
python -m experiments.export   --workdir=runs/brightness --use=my_project.brightness
