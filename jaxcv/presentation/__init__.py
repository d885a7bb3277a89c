"""Presentations: how the answers of one kind are shown, reported and written. One file each; see `Presentation`."""

from jaxcv.presentation.boxes import boxes
from jaxcv.presentation.fields import fields
from jaxcv.presentation.labels import labels
from jaxcv.presentation.masks import masks
from jaxcv.presentation.multi_labels import multi_labels
from jaxcv.presentation.pairs import pairs

__all__ = ['boxes', 'fields', 'labels', 'masks', 'multi_labels', 'pairs']
