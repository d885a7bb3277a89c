"""Tasks: one file each. A task closes over a model, a loss and metrics, and owns no algorithm."""

from jaxcv.tasks.classification import classification

__all__ = ['classification']
