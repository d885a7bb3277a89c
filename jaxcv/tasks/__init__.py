"""Tasks: one file each. A task closes over a model, a loss and metrics, and owns no algorithm."""

from jaxcv.tasks.classification import classification
from jaxcv.tasks.combined import ensemble, with_views
from jaxcv.tasks.segmentation import segmentation
from jaxcv.tasks.windows import sliding_windows, windowed

__all__ = ['classification', 'ensemble', 'segmentation', 'sliding_windows', 'windowed', 'with_views']
