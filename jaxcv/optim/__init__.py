"""Optimizers, schedules and averages: optax transformations and functions, each of which works in any optax chain.

An optimizer takes its learning rate as a number, as a schedule (a function of the update count, 0 for the first
update), or as `reduce_on_plateau`, which depends on the loss. All durations are in updates.

All functions are imported from here. A config names them by section, from three modules: `optimizers`, `schedules` and
`averaging`; what its durations, '5 epochs', mean is in `durations`.
"""

from jaxcv.optim import averaging as averaging
from jaxcv.optim import durations as durations
from jaxcv.optim import optimizers as optimizers
from jaxcv.optim import schedules as schedules
from jaxcv.optim.averaging import averaged_params, num_averaged, polyak, snapshots, swa
from jaxcv.optim.layers import by_layer, progressive_rates
from jaxcv.optim.optimizers import adagrad, adam, adamw, momentum, nesterov, rmsprop, sgd
from jaxcv.optim.schedules import (
    constant,
    cosine,
    cosine_restarts,
    exponential,
    linear,
    multi_step,
    one_cycle,
    polynomial,
    reduce_on_plateau,
    step,
)
from jaxcv.optim.schedules.cyclic import one_cycle_momentum
from jaxcv.optim.schedules.warmup import linear_warmup

__all__ = [
    'adagrad',
    'adam',
    'adamw',
    'averaged_params',
    'by_layer',
    'constant',
    'cosine',
    'cosine_restarts',
    'exponential',
    'linear',
    'linear_warmup',
    'momentum',
    'multi_step',
    'nesterov',
    'num_averaged',
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
]
