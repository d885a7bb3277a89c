from jaxcv.faces.mtcnn import Detected as Detected
