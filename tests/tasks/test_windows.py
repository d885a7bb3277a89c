"""A segmentation task by windows against the task on the whole image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import models, tasks
from tests.tasks.test_segmentation import CLASSES, MODEL


def test_a_task_by_windows():
    task = tasks.segmentation(MODEL, num_classes=CLASSES, mean=[0.5] * 3, std=[0.25] * 3)
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    batch = {'image': jnp.asarray(image)[None], 'valid': jnp.array([True])}
    variables = task.init(jax.random.key(0), batch)
    mask = tasks.windowed(task, window=16, overlap=8, batch_size=2)(variables, image)
    np.testing.assert_array_equal(mask, task.predict(variables, batch)['mask'][0])


def test_predictions_that_are_not_of_pixels():
    task = tasks.classification(models.linear_classifier(num_classes=2), num_classes=2)
    batch = {'image': jnp.zeros((1, 4, 4, 3)), 'valid': jnp.array([True])}
    variables = task.init(jax.random.key(0), batch)
    with pytest.raises(
        ValueError, match=r'\[1 4 4 classes\], a score of each pixel of the windows, got shape \(1, 2\)'
    ):
        tasks.windowed(task, window=4, overlap=0)(variables, np.zeros((5, 5, 3), np.uint8))
    without = task._replace(predict=lambda variables, batch: {'label': batch['valid']})
    with pytest.raises(ValueError, match="have no 'logits', only label"):
        tasks.windowed(without, window=4, overlap=0)(variables, np.zeros((5, 5, 3), np.uint8))
