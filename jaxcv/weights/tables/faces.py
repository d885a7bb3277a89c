"""The weights of networks of faces: facenet-pytorch's and insightface's; dlib's come with a package.

All take faces in red, green and blue that were found and cut out before, each in its own way: facenet-pytorch's a box
of MTCNN, resized to 160 x 160; insightface's 112 x 112 pixels, aligned by five landmarks (`ops.align_faces`); dlib's
150 x 150, aligned by the corners of the eyes and the nose (`ops.dlib_faces`).
"""

from collections.abc import Iterator

from jaxcv.weights.rows import INCEPTION, Accuracy, Embedder, Normalization, Preprocessing, Published

FACENET_FILES = 'https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/'
FACENET = Normalization((0.5, 0.5, 0.5), (128 / 255, 128 / 255, 128 / 255))
"""`(x - 127.5) / 128` of pixels from 0 to 255: facenet-pytorch's `fixed_image_standardization`."""
DLIB = Normalization((122.782 / 255, 117.001 / 255, 104.298 / 255), (256 / 255, 256 / 255, 256 / 255))
"""dlib's `input_rgb_image_sized`: pixels from 0 to 255 less a mean color, divided by 256."""
INSIGHTFACE_PAGE = 'https://github.com/deepinsight/insightface/tree/master/recognition/arcface_torch'
NON_COMMERCIAL = 'for research that is not commercial'

# name, accuracy on LFW, file
INCEPTION_RESNETS: tuple[tuple[str, float, str], ...] = (
    ('inception_resnet_v1.vggface2', 99.65, '20180402-114759-vggface2.pt'),
    ('inception_resnet_v1.casia_webface', 99.05, '20180408-102900-casia-webface.pt'),
)
INSIGHTFACE = ('iresnet18', 'iresnet34', 'iresnet50', 'iresnet100', 'mobilefacenet')


def rows() -> Iterator[Published]:
    """Yield the rows."""
    for name, accuracy, file in INCEPTION_RESNETS:
        yield Published(
            name,
            'facenet_pytorch',
            FACENET_FILES + file,
            None,
            Preprocessing(None, 160, 'bilinear', FACENET, fit='stretched'),
            embedder=Embedder(),
            licence='MIT',
            accuracy=Accuracy(accuracy, 'verification', 'LFW', 'facenet-pytorch, README'),
        )
    for model in INSIGHTFACE:
        yield Published(
            f'{model}.arcface_torch',
            'insightface',
            '',
            None,
            Preprocessing(None, 112, 'bilinear', INCEPTION, fit='stretched'),
            embedder=Embedder(),
            licence=NON_COMMERCIAL,
            page=INSIGHTFACE_PAGE,
        )
