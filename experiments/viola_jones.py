"""Objects in photos by a cascade of Haar-like features: OpenCV's own, or any XML file of one.

    python -m experiments.viola_jones --images='photos/*.jpg' --cascade=frontalface_alt --workdir=runs/faces

Prints the objects of each photo, and writes found.json (boxes in the photo's own pixels: x, y, width, height),
NAME_found.png for each photo, and found.png with the first ones. Without --images, the photo is scikit-image's
astronaut. Windows and boxes are those of cv2.CascadeClassifier with the same options.

With --train it first trains a cascade of its own, as `python -m experiments.studies.viola_jones` does, whose stages,
table and figures are then in the workdir too; an interrupted training goes on.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from absl import flags

from experiments import launch
from experiments.predict import IMAGES
from experiments.run.exits import BAD_INPUT
from experiments.run.pictures import picture_files, picture_names, shown
from experiments.run.workdir import write_json
from experiments.studies import viola_jones as study
from jaxcv import config, viz
from jaxcv.classical import cascade_detector, cascade_xml
from jaxcv.classical.cascade import Cascade
from jaxcv.data import transforms
from jaxcv.names import nearest

CASCADE = flags.DEFINE_string(
    'cascade', 'frontalface_default', 'A file of a cascade, or the name of one that comes with OpenCV, such as eye.'
)
TRAIN = flags.DEFINE_bool('train', False, 'Train a cascade of faces in the workdir first, and find faces with it.')
SCALE_FACTOR = flags.DEFINE_float('scale_factor', 1.1, 'Between neighbouring sizes of the windows, greater than 1.')
MIN_NEIGHBORS = flags.DEFINE_integer('min_neighbors', 3, 'Groups of more windows are objects; 0: every window.')
MIN_SIZE = flags.DEFINE_integer('min_size', None, 'The least side of an object in pixels.')
MAX_SIZE = flags.DEFINE_integer('max_size', None, 'The largest side of an object in pixels.')

PREFIX = 'haarcascade_'
MOST = 8
"""Photos in found.png."""
USES = ('workdir', 'images')


def main() -> int:
    """Finds the objects, prints and draws; returns the exit code, 2 if a photo could not be read."""
    files = picture_files(IMAGES.value) if any(IMAGES.value) else []
    file = trained_file() if TRAIN.value else cascade_file(CASCADE.value)
    find = _detector(cascade_xml.load(file))
    folder, name = launch.workdir(), file.stem.removeprefix(PREFIX)
    rows: list[dict[str, object]] = []
    pictures: list[np.ndarray] = []
    objects: list[viz.Objects] = []
    for title, path, photo in _photos(files):
        found = find(photo)
        drawn = viz.Objects(found.boxes, np.zeros(len(found.boxes), int))
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f'{title}_found.png'), viz.draw_boxes(photo, drawn, [name])[..., ::-1])
        rows.append({'file': path, 'objects': list(_rows(found))})
        print(f'{path}  {name} {len(found.boxes)}')
        if len(pictures) < MOST:
            pictures.append(photo)
            objects.append(drawn)
    if rows:
        write_json(folder / 'found.json', rows)
        print(f'written to {viz.save(viz.box_grid(pictures, None, objects, [name]), folder / "found.png")}')
    return 0 if len(rows) == max(1, len(files)) else BAD_INPUT


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
    known = {file.stem.removeprefix(PREFIX): file for file in sorted(study.OPENCV.glob('*.xml'))}
    name = word.removesuffix('.xml').removeprefix(PREFIX)
    if name not in known:
        kind = 'no such file' if path.suffix == '.xml' or '/' in word else 'no such file, and none that OpenCV has'
        raise config.ConfigError(f'--cascade={word}: {kind}, {nearest(name, known)}')
    return known[name]


def trained_file() -> Path:
    """The file of the cascade that is trained in the workdir.

    Raises:
        ConfigError: another cascade is given too.
    """
    if flags.FLAGS['cascade'].present:
        raise config.ConfigError(f'--train trains a cascade of its own: leave --cascade={CASCADE.value} out')
    study.main()
    return launch.workdir() / study.CASCADE_FILE


def _detector(cascade: Cascade) -> Callable[[np.ndarray], cascade_detector.Detections]:
    """The detector with the options of the flags."""
    try:
        return cascade_detector.detector(
            cascade,
            scale_factor=SCALE_FACTOR.value,
            min_neighbors=MIN_NEIGHBORS.value,
            min_size=MIN_SIZE.value,
            max_size=MAX_SIZE.value,
        )
    except ValueError as error:
        raise config.ConfigError(str(error).removeprefix('detector: ')) from None


def _photos(files: Sequence[Path]) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yields a title, the path and the pixels of each photo; one that cannot be read is told, and left out."""
    if not files:
        yield 'astronaut', 'astronaut', skimage.data.astronaut()
    for title, path in zip(picture_names(files), files, strict=True):
        try:
            photo = transforms.decode()({'image': path.read_bytes(), 'seed': 0})['image']
        except (OSError, ValueError) as error:
            print(f'{shown(path)} cannot be read: {error}', file=sys.stderr)
            continue
        yield title, shown(path), photo


def _rows(found: cascade_detector.Detections) -> Iterator[dict[str, object]]:
    """Yields what is written of each object."""
    for (x1, y1, x2, y2), neighbors, score in zip(*(part.tolist() for part in found), strict=True):
        yield {'bbox': [x1, y1, x2 - x1, y2 - y1], 'neighbors': neighbors, 'score': round(score, 4)}


if __name__ == '__main__':
    launch.launch(main, uses=USES)
