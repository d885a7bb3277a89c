"""Tasks: one file each. A task closes over a model, a loss and metrics, and owns no algorithm."""

from jaxcv.ops.windows import sliding_windows
from jaxcv.tasks.classification import classification
from jaxcv.tasks.combined import ensemble, with_views
from jaxcv.tasks.segmentation import segmentation
from jaxcv.tasks.windows import windowed

__all__ = ['classification', 'ensemble', 'segmentation', 'sliding_windows', 'windowed', 'with_views']
