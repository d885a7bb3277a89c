"""Optimizers and schedules, all optax transformations: each works in any optax chain.

An optimizer takes its learning rate as a number or as a schedule, a function of the update count.
"""

from jaxcv.optim.optimizers import adam, adamw, momentum, sgd
from jaxcv.optim.schedules import constant, cosine, multi_step, one_cycle

__all__ = ['adam', 'adamw', 'constant', 'cosine', 'momentum', 'multi_step', 'one_cycle', 'sgd']
