"""Training of any `Task`: state, step, devices, loop, checkpoints and logs. Knows no particular task.

step = make_train_step(task, optimizer)
step = compile_step(step, mesh)
state = run(step, state, batches, hooks, num_steps=1000)
"""

from jaxcv.training.checkpoint import Checkpoints, checkpoints
from jaxcv.training.evaluation import evaluate, make_eval_step
from jaxcv.training.loop import Tick, run
from jaxcv.training.parallel import (
    AXIS,
    compile_step,
    create_state,
    initialize_processes,
    make_mesh,
    placed,
    put_batch,
    state_sharding,
)
from jaxcv.training.state import TrainState, init_state
from jaxcv.training.step import make_train_step

__all__ = [
    'AXIS',
    'Checkpoints',
    'Tick',
    'TrainState',
    'checkpoints',
    'compile_step',
    'create_state',
    'evaluate',
    'init_state',
    'initialize_processes',
    'make_eval_step',
    'make_mesh',
    'make_train_step',
    'placed',
    'put_batch',
    'run',
    'state_sharding',
]
