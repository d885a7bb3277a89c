"""Schedules: factories of functions from the update count (0 for the first update) to a learning rate.

All durations are in updates. After its end a schedule stays at its last value. `peak`, the highest learning rate, and
`total_steps` are filled in by the launcher. `__all__` lists the schedules that a config's section `schedule` may name;
`reduce_on_plateau` is among them, which depends on the loss and so is a transformation with a state.
"""

from jaxcv.optim.schedules.cyclic import cosine_restarts, one_cycle
from jaxcv.optim.schedules.decay import constant, cosine, exponential, linear, multi_step, polynomial, step
from jaxcv.optim.schedules.plateau import reduce_on_plateau

__all__ = [
    'constant',
    'cosine',
    'cosine_restarts',
    'exponential',
    'linear',
    'multi_step',
    'one_cycle',
    'polynomial',
    'reduce_on_plateau',
    'step',
]
