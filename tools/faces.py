"""Write tests/fixtures/embedding/faces.npz: faces, landmarks and vectors of scikit-image's astronaut, by the originals.

    python -m tools.faces dlib      # needs dlib (such as dlib-bin) and face-recognition-models
    python -m tools.faces mtcnn     # needs torch and facenet-pytorch

Run by hand, in environments of their own; the result is committed. Each adds its part to the file. The photos are the
astronaut; a wide one with two faces, cut from it; and, of dlib, the astronaut twice as large.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import skimage.data

PATH = Path(__file__).parents[1] / 'tests' / 'fixtures' / 'embedding' / 'faces.npz'


def by_dlib() -> dict[str, np.ndarray]:
    """The box, 5 landmarks, the aligned face and its vector; and a face that is smaller than its place in the photo."""
    import dlib

    spec = importlib.util.find_spec('face_recognition_models')
    assert spec is not None
    folder = Path(str(spec.origin)).parent / 'models'
    image = skimage.data.astronaut()
    box = dlib.get_frontal_face_detector()(image, 1)[0]
    shape = dlib.shape_predictor(str(folder / 'shape_predictor_5_face_landmarks.dat'))(image, box)
    network = dlib.face_recognition_model_v1(str(folder / 'dlib_face_recognition_resnet_model_v1.dat'))
    face = dlib.get_face_chip(image, shape, 150, 0.25)
    twice = image.repeat(2, axis=0).repeat(2, axis=1)
    points = [dlib.point(2 * p.x, 2 * p.y) for p in shape.parts()]
    large = dlib.get_face_chip(twice, dlib.full_object_detection(dlib.rectangle(0, 0, 9, 9), points), 100, 0.25)
    return {
        'dlib/box': np.array([box.left(), box.top(), box.right() + 1, box.bottom() + 1]),
        'dlib/landmarks': np.array([(p.x, p.y) for p in shape.parts()]),
        'dlib/face': face,
        'dlib/vector': np.array(network.compute_face_descriptor(face), np.float32),
        'dlib/large': large,
    }


def by_mtcnn() -> dict[str, np.ndarray]:
    """The boxes, probabilities and landmarks by facenet-pytorch, the most probable first."""
    from facenet_pytorch.models.mtcnn import MTCNN

    detector = MTCNN(keep_all=True, select_largest=False)
    image = skimage.data.astronaut()
    mirrored = image[20:320, 100:333][:, ::-1]
    photos = {'astronaut': image, 'two': np.concatenate([image[:300, :400], mirrored], axis=1)}
    results = {}
    for name, photo in photos.items():
        boxes, scores, landmarks = detector.detect(np.ascontiguousarray(photo), landmarks=True)
        order = np.argsort(-scores.astype(np.float32), kind='stable')
        for part, values in (('boxes', boxes), ('scores', scores), ('landmarks', landmarks)):
            results[f'mtcnn/{name}/{part}'] = values.astype(np.float32)[order]
    return results


def main() -> None:
    """Compute and write."""
    results = dict(np.load(PATH)) if PATH.exists() else {}
    for word in sys.argv[1:]:
        results |= {'dlib': by_dlib, 'mtcnn': by_mtcnn}[word]()
    np.savez_compressed(PATH, allow_pickle=False, **results)
    print({name: value.shape for name, value in results.items()})


if __name__ == '__main__':
    main()
