"""Metrics: factories that return a `jaxcv.task.Metric`, accumulated on the device batch by batch."""

from jaxcv.metrics.classification import confusion_matrix, expected_calibration_error, mean_loss, top_k_accuracy

__all__ = ['confusion_matrix', 'expected_calibration_error', 'mean_loss', 'top_k_accuracy']
