"""Tasks: one file each. A task closes over a model, a loss and metrics, and owns no algorithm.

`__all__` lists the tasks that a config may name. `ensemble` and `with_views` make a task of another one, and `windowed`
predicts images of any size.
"""

from jaxcv.tasks.center_detection import center_detection
from jaxcv.tasks.classification import classification
from jaxcv.tasks.combined import ensemble, with_views  # noqa: F401, not in __all__: no config may name them
from jaxcv.tasks.detection import detection
from jaxcv.tasks.embedding import embedding
from jaxcv.tasks.fields import flow, stereo
from jaxcv.tasks.multi_label import multi_label
from jaxcv.tasks.region_detection import region_detection
from jaxcv.tasks.segmentation import segmentation
from jaxcv.tasks.windows import windowed  # noqa: F401, as above

__all__ = [
    'center_detection',
    'classification',
    'detection',
    'embedding',
    'flow',
    'multi_label',
    'region_detection',
    'segmentation',
    'stereo',
]
