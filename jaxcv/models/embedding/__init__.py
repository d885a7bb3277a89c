"""Embedding networks: an image becomes a vector, and images of one identity near ones; and networks that find faces.

Each function returns a Linen module: `model.apply(variables, images [n h w c], train=False)` gives float32 embeddings
`[n d]`, and that of `pnet`, `rnet` and `onet` the `Faces` of windows. With `train=True` pass `mutable=['batch_stats']`.
A config's model may name these, as 'embedding.embedder'.
"""

from jaxcv.models.embedding.deepface import deepface
from jaxcv.models.embedding.deepface import fit_maxima as fit_maxima  # no model, and so not in __all__
from jaxcv.models.embedding.dlib import dlib_embedder
from jaxcv.models.embedding.embedder import dense_embedder, embedder
from jaxcv.models.embedding.facenet import facenet_nn1, facenet_nn2
from jaxcv.models.embedding.inception_resnet import inception_resnet_v1
from jaxcv.models.embedding.iresnet import iresnet18, iresnet34, iresnet50, iresnet100, mobilefacenet
from jaxcv.models.embedding.mtcnn import Faces as Faces
from jaxcv.models.embedding.mtcnn import MTCNNStage as MTCNNStage
from jaxcv.models.embedding.mtcnn import onet, pnet, rnet

__all__ = [
    'deepface',
    'dense_embedder',
    'dlib_embedder',
    'embedder',
    'facenet_nn1',
    'facenet_nn2',
    'inception_resnet_v1',
    'iresnet18',
    'iresnet34',
    'iresnet50',
    'iresnet100',
    'mobilefacenet',
    'onet',
    'pnet',
    'rnet',
]
