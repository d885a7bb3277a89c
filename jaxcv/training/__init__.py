"""Training of any `Task`: state, step, devices, loop, checkpoints and logs; independent of the particular task.

step = make_train_step(task, optimizer)
step = compile_step(step, mesh)
state = run(step, state, batches, hooks, num_steps=1000)
"""

from jaxcv.training.checkpoint import Checkpoints, checkpoints
from jaxcv.training.early_stopping import EarlyStopping, early_stopping, replay
from jaxcv.training.ensemble import init_ensemble, make_ensemble_step, member
from jaxcv.training.evaluation import evaluate, make_eval_step
from jaxcv.training.loop import Tick, run
from jaxcv.training.optimizer_change import OptimizerChange, optimizer_change
from jaxcv.training.parallel import (
    AXIS,
    Sharding,
    all_processes,
    compile_step,
    create_state,
    initialize_processes,
    make_mesh,
    put_batch,
    state_sharding,
    with_shardings,
)
from jaxcv.training.recalibration import Recalibrate, make_recalibration
from jaxcv.training.state import TrainState, applied_updates, init_state
from jaxcv.training.step import make_train_step
from jaxcv.training.stored import CheckpointError, DifferentStateError, differences, read_variables, step_of
from jaxcv.training.transfer import transferable

__all__ = [
    'AXIS',
    'CheckpointError',
    'Checkpoints',
    'DifferentStateError',
    'EarlyStopping',
    'OptimizerChange',
    'Recalibrate',
    'Sharding',
    'Tick',
    'TrainState',
    'all_processes',
    'applied_updates',
    'checkpoints',
    'compile_step',
    'create_state',
    'differences',
    'early_stopping',
    'evaluate',
    'init_ensemble',
    'init_state',
    'initialize_processes',
    'make_ensemble_step',
    'make_eval_step',
    'make_mesh',
    'make_recalibration',
    'make_train_step',
    'member',
    'optimizer_change',
    'put_batch',
    'read_variables',
    'replay',
    'run',
    'state_sharding',
    'step_of',
    'transferable',
    'with_shardings',
]
