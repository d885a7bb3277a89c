"""Which networks a checkpoint gives for evaluation."""

from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import optax
import pytest

from experiments.run.variables import check_average_begun
from jaxcv import config, optim


@pytest.mark.parametrize(
    ('average', 'kept', 'steps', 'message'),
    [
        (optim.swa(start=3), 0, 2, 'no network is in the average at step 2: use a later checkpoint, or --noaveraged'),
        (optim.swa(start=3), 0, 3, None),
        (optim.snapshots(keep=2, period=2), 2, 3, 'only 1 of 2 snapshots are in the average at step 3'),
        (optim.snapshots(keep=2, period=2), 2, 4, None),
    ],
)
def test_an_average_that_has_not_begun_is_not_evaluated(average, kept, steps, message):
    params = {'w': jnp.ones(2)}
    optimizer = optax.chain(optim.sgd(learning_rate=0.1), average)
    state = optimizer.init(params)
    for _ in range(steps):
        _, state = optimizer.update(params, state, params)
    experiment: Any = SimpleNamespace(snapshots=kept)
    trained: Any = SimpleNamespace(opt_state=state)
    if message is None:
        check_average_begun(experiment, trained, steps)
        return
    with pytest.raises(config.ConfigError, match=message):
        check_average_begun(experiment, trained, steps)
