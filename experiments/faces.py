"""Names of people in photos: faces are detected, aligned, embedded and compared with those of known people.

    python -m experiments.faces --people=people --images='photos/*.jpg' --workdir=runs/faces

--people is a folder with a folder of photos for each person, whose name is the folder's; one photo is enough. Of a
photo with several faces the largest one is taken. Nothing is trained: a new person is a new folder. A face that is not
as near as --threshold to one of theirs is `unknown`.

Prints the names in each photo, and writes faces.json (boxes in the photo's own pixels: x, y, width, height; landmarks,
name, distance), NAME_faces.png for each photo, and faces.png with the first ones.

Without --people and --images, it knows Eileen Collins by scikit-image's photo, and is shown the mirror image of that
photo, and Grace Hopper by Matplotlib's, whom it does not know.

Nothing is downloaded: the weights come with packages. MTCNN finds faces, or cascades of Haar-like features where its
weights are not installed; dlib's network embeds them.
pip install --no-deps facenet-pytorch face-recognition-models
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import jax
import numpy as np
from absl import flags

from experiments import launch
from experiments.predict import IMAGES
from experiments.run.exits import BAD_INPUT
from experiments.run.pictures import picture_files, picture_names, shown
from experiments.run.workdir import say, write_json
from jaxcv import config, faces, viz
from jaxcv.classical import recognition
from jaxcv.data import transforms

PEOPLE = flags.DEFINE_string('people', None, 'A folder with a folder of photos for each person, which has their name.')
DETECTOR = flags.DEFINE_enum('detector', None, ['mtcnn', 'haar'], 'What finds faces; by default MTCNN, if installed.')
MIN_SIZE = flags.DEFINE_integer('min_face', 40, 'The least side of a face in pixels.', lower_bound=12)
THRESHOLD = flags.DEFINE_float(
    'threshold', faces.THRESHOLD, 'The distance from which on two faces are of different people.', lower_bound=0.01
)

UNKNOWN = 'unknown'
MOST = 8
"""Photos in faces.png."""
USES = ('workdir', 'images')


class Photo(NamedTuple):
    """A photo of the user's."""

    title: str
    file: str
    image: np.ndarray


class Found(NamedTuple):
    """The faces of a photo, on the host."""

    corners: np.ndarray
    """`[k, 4]`, xyxy in pixels."""
    scores: np.ndarray
    landmarks: np.ndarray
    """`[k, 5, 2]`."""
    vectors: np.ndarray
    """`[k, 128]`."""


def main() -> int:
    """Recognizes the people, prints and draws; returns the exit code, 2 if a photo could not be read."""
    photos = picture_files(IMAGES.value) if any(IMAGES.value) else []
    files = people_files(PEOPLE.value) if PEOPLE.value else {}
    find = finder()
    names, gallery = enrolled(files, find)
    folder = launch.workdir()
    rows: list[dict[str, object]] = []
    pictures: list[np.ndarray] = []
    drawn: list[viz.Objects] = []
    for photo in read(photos) if photos else examples():
        found = find(photo.image)
        answer = recognition.identify(gallery, found.vectors, threshold=THRESHOLD.value)
        numbers, distances = np.asarray(answer.identities), np.asarray(answer.distances)
        words = [UNKNOWN if number == recognition.UNKNOWN else names[number] for number in numbers]
        objects = viz.Objects(found.corners, np.where(numbers == recognition.UNKNOWN, len(names), numbers))
        folder.mkdir(parents=True, exist_ok=True)
        picture = viz.draw_boxes(photo.image, objects, [*names, UNKNOWN])
        cv2.imwrite(str(folder / f'{photo.title}_faces.png'), picture[..., ::-1])
        rows.append({'file': photo.file, 'faces': list(_rows(found, words, distances))})
        print(f'{photo.file}  ' + (', '.join(map(_told, words, distances)) or 'no faces'))
        if len(pictures) < MOST:
            pictures.append(photo.image)
            drawn.append(objects)
    if rows:
        write_json(folder / 'faces.json', rows)
        grid = viz.box_grid(pictures, None, drawn, [*names, UNKNOWN])
        print(f'written to {viz.save(grid, folder / "faces.png")}')
    return 0 if len(rows) >= max(1, len(photos)) else BAD_INPUT


def finder() -> Callable[[np.ndarray], Found]:
    """The function that detects and embeds the faces of a photo.

    Raises:
        ConfigError: a package of weights is not installed; the message has the command that installs it.
    """
    kind: Any = DETECTOR.value
    try:
        detect = faces.load_detector(kind=kind, min_size=MIN_SIZE.value)
        embed = faces.load_embedder()
    except FileNotFoundError as error:
        raise config.ConfigError(str(error)) from None

    def find(image: np.ndarray) -> Found:
        found = jax.device_get(detect(image[None]))
        valid = found.valid[0]
        landmarks = found.landmarks[0][valid]
        return Found(found.boxes[0][valid], found.scores[0][valid], landmarks, embed(image, landmarks))

    return find


def people_files(word: str) -> dict[str, list[Path]]:
    """The photos of each person: those in the folders of a folder.

    Raises:
        ConfigError: there is no such folder, it has no folders, or one of them has no images.
    """
    folder = Path(word).expanduser()
    if not folder.is_dir():
        raise config.ConfigError(f'--people={word}: there is no such folder')
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith('.'))
    if not folders:
        raise config.ConfigError(f'--people={word} has no folders: it should have one for each person, with photos')
    files, problems = {}, []
    for path in folders:
        try:
            files[path.name] = picture_files([str(path)])
        except config.ConfigError as error:
            problems.append(str(error).replace('--images=', '--people: '))
    config.raise_for(problems)
    return files


def enrolled(
    files: dict[str, list[Path]], find: Callable[[np.ndarray], Found]
) -> tuple[list[str], recognition.Gallery]:
    """The names of people, and their vectors.

    Raises:
        ConfigError: there is no face in any of somebody's photos.
    """
    vectors: list[np.ndarray] = []
    numbers: list[int] = []
    names = [*files] if files else [example().title]
    for number, name in enumerate(names):
        count = len(vectors)
        for photo in read(files[name]) if files else [example()]:
            found = find(photo.image)
            if not len(found.corners):
                say(f'{photo.file}: there is no face; it is left out')
                continue
            sides = found.corners[:, 2:] - found.corners[:, :2]
            if len(sides) > 1:
                say(f'{photo.file}: there are {len(sides)} faces; the largest one is taken')
            vectors.append(found.vectors[np.argmax(sides.prod(axis=1))])
            numbers.append(number)
        if len(vectors) == count:
            raise config.ConfigError(f'--people: there is no face in the photos of {name!r}; or try a lower --min_face')
    print(f'{len(names)} known: {", ".join(names[:MOST])}{", ..." if len(names) > MOST else ""}')
    return names, recognition.enroll(np.stack(vectors), np.array(numbers))


def read(files: Sequence[Path]) -> Iterator[Photo]:
    """Yields each photo; one that cannot be read is told, and left out."""
    for title, path in zip(picture_names(files), files, strict=True):
        try:
            image = transforms.decode()({'image': path.read_bytes(), 'seed': 0})['image']
        except (OSError, ValueError) as error:
            print(f'{shown(path)} cannot be read: {error}', file=sys.stderr)
            continue
        yield Photo(title, shown(path), image)


def example() -> Photo:
    """The photo that is enrolled where no people are given."""
    import skimage.data

    return Photo('Eileen Collins', 'astronaut', skimage.data.astronaut())


def examples() -> Iterator[Photo]:
    """Yields the photos that are shown where none are given."""
    import matplotlib.cbook

    yield Photo('mirrored', 'astronaut, mirrored', np.ascontiguousarray(example().image[:, ::-1]))
    path = Path(matplotlib.cbook.get_sample_data('grace_hopper.jpg', asfileobj=False))
    yield from read([path])


def _told(word: str, distance: float) -> str:
    return f'{word} ({distance:.2f})'


def _rows(found: Found, words: Sequence[str], distances: np.ndarray) -> Iterator[dict[str, Any]]:
    """Yields what is written of each face."""
    for (x1, y1, x2, y2), score, landmarks, word, distance in zip(
        found.corners.tolist(), found.scores.tolist(), found.landmarks.tolist(), words, distances.tolist(), strict=True
    ):
        yield {
            'name': word,
            'distance': round(distance, 4),
            'bbox': [round(x, 2) for x in (x1, y1, x2 - x1, y2 - y1)],
            'score': round(score, 4),
            'landmarks': [[round(x, 2), round(y, 2)] for x, y in landmarks],
        }


if __name__ == '__main__':
    launch.launch(main, uses=USES)
