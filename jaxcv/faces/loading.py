from jaxcv import weights
from jaxcv.faces.mtcnn import Networks
def load_mtcnn():
    return Networks(*(weights.load(name, weights.packaged('facenet-pytorch', file=f'{name}.pt'), source='facenet_pytorch') for name in Networks._fields))
