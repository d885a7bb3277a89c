"""Schedules that a config may name for a momentum (`decay`, `beta1`): the functions, and `one_cycle_momentum`."""

from jaxcv.optim.schedules.cyclic import cosine_restarts, one_cycle, one_cycle_momentum
from jaxcv.optim.schedules.decay import constant, cosine, exponential, linear, multi_step, polynomial, step

__all__ = [
    'constant',
    'cosine',
    'cosine_restarts',
    'exponential',
    'linear',
    'multi_step',
    'one_cycle',
    'one_cycle_momentum',
    'polynomial',
    'step',
]
