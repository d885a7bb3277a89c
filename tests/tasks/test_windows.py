"""A segmentation task by windows against the task on the whole image."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcv import tasks
from tests.tasks.test_segmentation import CLASSES, MODEL


def test_a_task_by_windows():
    task = tasks.segmentation(MODEL, num_classes=CLASSES, mean=[0.5] * 3, std=[0.25] * 3)
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    batch = {'image': jnp.asarray(image)[None], 'valid': jnp.array([True])}
    variables = task.init(jax.random.key(0), batch)
    mask = tasks.windowed(task, window=16, overlap=8, batch_size=2)(variables, image)
    np.testing.assert_array_equal(mask, task.predict(variables, batch)['mask'][0])
