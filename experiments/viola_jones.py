"""Objects in photos by a cascade of Haar-like features: OpenCV's own, or any XML file of one.

    python -m experiments.viola_jones --images='photos/*.jpg' --cascade=frontalface_alt --workdir=runs/faces

Prints the objects of each photo, and writes found.json (boxes in the photo's own pixels: x, y, width, height),
NAME_found.png for each photo, and found.png with the first ones. Without --images, the photo is scikit-image's
astronaut. Windows and boxes are those of cv2.CascadeClassifier with the same options.

With --train it first trains a cascade of its own, as `python -m experiments.studies.viola_jones` does and with its
flags, whose stages, table and figures are then in the workdir too. Flags, photos and the workdir are checked before; an
interrupted training goes on by the same command, and ends with the same cascade.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from absl import flags

from experiments import launch
from experiments.predict import IMAGES
from experiments.run.exits import BAD_INPUT
from experiments.run.pictures import picture_files, picture_names, shown
from experiments.run.workdir import write_json
from experiments.studies import viola_jones as study
from jaxcv import config, viz
from jaxcv.arguments import call_faults
from jaxcv.classical import cascade_detector, cascade_xml
from jaxcv.data import transforms
from jaxcv.names import nearest
from jaxcv.task import Gallery, Shown

CASCADE = flags.DEFINE_string(
    'cascade', 'frontalface_default', 'A file of a cascade, or the name of one that comes with OpenCV, such as eye.'
)
TRAIN = flags.DEFINE_bool('train', False, 'Train a cascade of faces in the workdir first, and find faces with it.')
SCALE_FACTOR = flags.DEFINE_float('scale_factor', 1.1, 'Between neighbouring sizes of the windows, greater than 1.')
MIN_NEIGHBORS = flags.DEFINE_integer('min_neighbors', 3, 'Groups of more windows are objects; 0: every window.')
MIN_SIZE = flags.DEFINE_integer('min_size', None, 'The least side of an object in pixels.')
MAX_SIZE = flags.DEFINE_integer('max_size', None, 'The largest side of an object in pixels.')

PREFIX = 'haarcascade_'
OF_TRAINING = ('haar_step', 'most_stages', 'negatives', 'cascade_seed')
USES = ('workdir', 'images', *OF_TRAINING)


def main() -> int:
    """Finds the objects, prints and draws; returns the exit code, 2 if a photo could not be read."""
    files = picture_files(IMAGES.value) if any(IMAGES.value) else []
    options = detector_options()
    file = trained_file(files) if TRAIN.value else cascade_file(CASCADE.value)
    find = cascade_detector.detector(cascade_xml.load(file), **options)
    folder, names = launch.workdir(), study.named('face' if TRAIN.value else file.stem.removeprefix(PREFIX))
    rows: list[dict[str, object]] = []
    drawn: list[Shown] = []
    for title, path, photo in _photos(files):
        found = find(photo)
        answer = study.answer(found)
        written = study.SHOW.write(photo, answer, names)
        folder.mkdir(parents=True, exist_ok=True)
        (picture,) = written.pictures.values()
        _save(folder / f'{title}_found.png', picture)
        counts = found.neighbors.tolist()
        objects = [{**row, 'neighbors': count} for row, count in zip(written.row['objects'], counts, strict=True)]
        rows.append({'file': path, 'objects': objects})
        print(f'{path}  {written.line}')
        if len(drawn) < study.SHOW.most:
            drawn.append(Shown({'image': photo}, answer))
    if rows:
        write_json(folder / 'found.json', rows)
        figure = study.SHOW.draw(Gallery(tuple(drawn)), names)
        print(f'written to {viz.save(figure, folder / "found.png")}')
    return 0 if len(rows) == max(1, len(files)) else BAD_INPUT


def detector_options() -> dict[str, Any]:
    """The options of the detector in the flags.

    Raises:
        ConfigError: some are out of range; all of them at once.
    """
    options = {
        'scale_factor': SCALE_FACTOR.value,
        'min_neighbors': MIN_NEIGHBORS.value,
        'min_size': MIN_SIZE.value,
        'max_size': MAX_SIZE.value,
    }
    config.raise_for(call_faults(cascade_detector.detector, options))
    if not TRAIN.value and (others := [name for name in OF_TRAINING if flags.FLAGS[name].present]):
        raise config.ConfigError(f'--{others[0]} is an option of the training: give --train too, or leave it out')
    return options


def cascade_file(word: str) -> Path:
    """The file that --cascade means: a path, or the name of one of OpenCV's.

    Raises:
        ConfigError: there is none; the message has the name that is nearest.

    Example:
        >>> cascade_file('eye').name, cascade_file('haarcascade_smile.xml').name
        ('haarcascade_eye.xml', 'haarcascade_smile.xml')
    """
    if (path := Path(word).expanduser()).is_file():
        return path
    known = {file.stem.removeprefix(PREFIX): file for file in sorted(cascade_xml.OPENCV.glob('*.xml'))}
    name = word.removesuffix('.xml').removeprefix(PREFIX)
    if name not in known:
        if not known:
            raise config.ConfigError(
                f'--cascade={word}: no such file, and OpenCV {cv2.__version__} comes without cascades; give a file, or '
                "pip install 'opencv-python-headless<5'"
            )
        kind = 'no such file' if path.suffix == '.xml' or '/' in word else 'no such file, and none that OpenCV has'
        raise config.ConfigError(f'--cascade={word}: {kind}, {nearest(name, known)}')
    return known[name]


def trained_file(files: Sequence[Path]) -> Path:
    """The file of the cascade that is trained in the workdir, once the photos that it is for can be read.

    Raises:
        ConfigError: (before the training) another cascade is given too, or photos cannot be read.
    """
    if flags.FLAGS['cascade'].present:
        raise config.ConfigError(f'--train trains a cascade of its own: leave --cascade={CASCADE.value} out')
    problems = []
    for path in files:
        try:
            _pixels(path)
        except (OSError, ValueError) as error:
            problems.append(f'{shown(path)} cannot be read: {error}')
    config.raise_for(problems)
    study.main()
    return launch.workdir() / study.CASCADE_FILE


def _photos(files: Sequence[Path]) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yields a title, the path and the pixels of each photo; one that cannot be read is told, and left out."""
    if not files:
        import skimage.data

        yield 'astronaut', 'astronaut', skimage.data.astronaut()
    for title, path in zip(picture_names(files), files, strict=True):
        try:
            photo = _pixels(path)
        except (OSError, ValueError) as error:
            print(f'{shown(path)} cannot be read: {error}', file=sys.stderr)
            continue
        yield title, shown(path), photo


def _pixels(path: Path) -> np.ndarray:
    return transforms.decode()({'image': path.read_bytes(), 'seed': 0})['image']


def _save(path: Path, picture: np.ndarray) -> None:
    if not cv2.imwrite(str(path), picture[..., ::-1]):
        raise OSError(f'{path} cannot be written: is the disk full?')


if __name__ == '__main__':
    launch.launch(main, uses=USES)
