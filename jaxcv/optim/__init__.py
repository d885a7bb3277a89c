"""Optimizers and schedules, all optax transformations and functions: each works in any optax chain.

An optimizer takes its learning rate as a number, as a schedule (a function of the update count, 0 for the first
update), or as `reduce_on_plateau`, which answers to the loss. All durations are in updates.
"""

from jaxcv.optim.averaging import averaged_params, polyak, snapshots, swa
from jaxcv.optim.durations import Clock, in_updates, with_updates
from jaxcv.optim.layers import by_layer, progressive_rates
from jaxcv.optim.optimizers import adagrad, adam, adamw, momentum, nesterov, rmsprop, sgd
from jaxcv.optim.plateau import reduce_on_plateau
from jaxcv.optim.schedules import (
    constant,
    cosine,
    cosine_restarts,
    cycle_ends,
    exponential,
    linear,
    linear_warmup,
    multi_step,
    one_cycle,
    one_cycle_momentum,
    polynomial,
    step,
)

__all__ = [
    'Clock',
    'adagrad',
    'adam',
    'adamw',
    'averaged_params',
    'by_layer',
    'constant',
    'cosine',
    'cosine_restarts',
    'cycle_ends',
    'exponential',
    'in_updates',
    'linear',
    'linear_warmup',
    'momentum',
    'multi_step',
    'nesterov',
    'one_cycle',
    'one_cycle_momentum',
    'polyak',
    'polynomial',
    'progressive_rates',
    'reduce_on_plateau',
    'rmsprop',
    'sgd',
    'snapshots',
    'step',
    'swa',
    'with_updates',
]
