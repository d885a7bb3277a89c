"""Metrics: factories that return a `jaxcv.task.Metric`, accumulated on the device batch by batch."""

from jaxcv.metrics.classification import confusion_matrix, expected_calibration_error, mean_loss, top_k_accuracy
from jaxcv.metrics.segmentation import (
    boundary_f_score,
    class_accuracy,
    class_iou,
    mean_iou,
    mean_pixel_loss,
    pixel_accuracy,
    segmentation_confusion,
)

__all__ = [
    'boundary_f_score',
    'class_accuracy',
    'class_iou',
    'confusion_matrix',
    'expected_calibration_error',
    'mean_iou',
    'mean_loss',
    'mean_pixel_loss',
    'pixel_accuracy',
    'segmentation_confusion',
    'top_k_accuracy',
]
