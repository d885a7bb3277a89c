"""Metrics: factories that return a `jaxcv.task.Metric`, one state from which one or several values are computed."""

from jaxcv.metrics.classification import (
    class_scores,
    confusion_matrix,
    expected_calibration_error,
    mean_loss,
    top_k_accuracy,
)
from jaxcv.metrics.detection import coco_boxes, mean_image_loss, voc_boxes
from jaxcv.metrics.embedding import identification, retrieval, verification
from jaxcv.metrics.fields import field_errors
from jaxcv.metrics.instances import coco_masks
from jaxcv.metrics.multi_label import label_average_precision, label_scores, mean_label_loss
from jaxcv.metrics.segmentation import boundary_f_score, mean_pixel_loss, segmentation_confusion

__all__ = [
    'boundary_f_score',
    'class_scores',
    'coco_boxes',
    'coco_masks',
    'confusion_matrix',
    'expected_calibration_error',
    'field_errors',
    'identification',
    'label_average_precision',
    'label_scores',
    'mean_image_loss',
    'mean_label_loss',
    'mean_loss',
    'mean_pixel_loss',
    'retrieval',
    'segmentation_confusion',
    'top_k_accuracy',
    'verification',
    'voc_boxes',
]
