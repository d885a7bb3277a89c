"""Batch-norm recalibration: running statistics for averaged parameters, which no training step has used."""

from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp

from jaxcv.task import BATCH_MOMENTS, Task
from jaxcv.training.state import replaced
from jaxcv.types import Batch, PRNGKeyArray, PyTree, Variables

Recalibrate = Callable[[PRNGKeyArray, Variables, Iterable[Batch]], Variables]


def make_recalibration(task: Task, *, stacked: bool = False) -> Recalibrate:
    """Make the function (key, variables, batches) -> variables with recomputed batch-norm statistics.

    The running mean and variance become the means of those of the batches, as in PyTorch's `update_bn` (whose
    variances are the unbiased ones, a factor n / (n - 1)). Averaged parameters need it (`optim.swa`, `optim.polyak`),
    because the statistics of the run belong to other networks. It is one compiled pass over training batches; the
    parameters stay.

    Args:
        task: its `loss` is run, in training mode, with its augmentations.
        stacked: whether the variables have a first axis of several networks, each of which gets its own statistics.

    Returns:
        The function. It returns variables without `batch_stats` as they are, and keeps the statistics of batch norms
        that do not run in training mode (frozen ones). It raises ValueError if there are no batches.

    Example:
        >>> from jaxcv import models, tasks
        >>> task = tasks.classification(models.cifar_resnet(depth=8, width=2), num_classes=10)
        >>> batch = {'image': jnp.ones((2, 4, 4, 1)), 'label': jnp.zeros(2, int), 'valid': jnp.ones(2, bool)}
        >>> variables = jax.jit(task.init)(jax.random.key(0), batch)
        >>> variables = make_recalibration(task)(jax.random.key(1), variables, [batch])
        >>> bool(variables['batch_stats']['stem']['bn']['mean'].any())
        True

    Paper: Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization", section 3.2.
    """

    def moments(key: PRNGKeyArray, variables: Variables, batch: Batch) -> PyTree:
        state = {name: value for name, value in variables.items() if name != 'params'}
        return task.loss(variables['params'], {**state, BATCH_MOMENTS: {}}, batch, key).state.get(BATCH_MOMENTS, {})

    run = jax.jit(jax.vmap(moments, in_axes=(None, 0, None)) if stacked else moments)

    def recalibrate(key: PRNGKeyArray, variables: Variables, batches: Iterable[Batch]) -> Variables:
        if 'batch_stats' not in variables:
            return variables
        sums, count = None, 0
        for batch in batches:
            new = run(jax.random.fold_in(key, count), variables, batch)
            sums = new if sums is None else jax.tree.map(jnp.add, sums, new)
            count += 1
        if sums is None:
            raise ValueError('there were no batches to take the batch-norm statistics from')
        means = jax.tree.map(lambda x: x / count, sums)
        return {**variables, 'batch_stats': replaced(variables['batch_stats'], means)}

    return recalibrate
