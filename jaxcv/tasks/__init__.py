"""Tasks: one file each. A task closes over a model, a loss and metrics, and owns no algorithm."""

from jaxcv.tasks.classification import classification
from jaxcv.tasks.combined import ensemble, with_views

__all__ = ['classification', 'ensemble', 'with_views']
