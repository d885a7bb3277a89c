"""From pixels to vectors of faces: detect, align, embed, by published weights that come with packages.

    detect, embed = load_detector(), load_embedder()
    found = detect(photo[None])  # uint8 [1 h w 3]; boxes, landmarks and which of them are real
    vectors = embed(photo, found.landmarks[0, found.valid[0]])

`jaxcv.classical.recognition` enrols the vectors of known people and identifies others: two faces are of one person if
the Euclidean distance is below `THRESHOLD`.
"""

from jaxcv.faces.embedding import THRESHOLD as THRESHOLD
from jaxcv.faces.embedding import face_embedder
from jaxcv.faces.haar_cascade import haar
from jaxcv.faces.loading import load_detector, load_embedder, load_mtcnn
from jaxcv.faces.mtcnn_cascade import Detected as Detected
from jaxcv.faces.mtcnn_cascade import Most as Most
from jaxcv.faces.mtcnn_cascade import Networks as Networks
from jaxcv.faces.mtcnn_cascade import mtcnn

__all__ = ['face_embedder', 'haar', 'load_detector', 'load_embedder', 'load_mtcnn', 'mtcnn']
