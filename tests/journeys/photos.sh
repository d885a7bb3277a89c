#!/bin/sh
# From photos to a fine-tuned, evaluated and exported classifier, by the commands of the README, with fewer pixels and
# epochs. For an empty folder and an environment that jaxcv and jaxcv-experiments are installed in:
#     sh photos.sh
set -eu
scripts=$(cd "$(dirname "$0")" && pwd)
python "$scripts/make_photos.py" photos new
python -m experiments.look     --config=classification/folder:flat,finetune,96 --config.data.data_dir=photos
python -m experiments.train    --config=classification/folder:flat,finetune,96 --config.data.data_dir=photos \
                               --config.training.epochs=5 --workdir=runs/photos
python -m experiments.evaluate --workdir=runs/photos
python -m experiments.predict  --workdir=runs/photos --images='new/*.jpg'
python -m experiments.export   --workdir=runs/photos
python "$scripts/run_exported.py" runs/photos/model.stablehlo new/*.jpg
