"""One small problem that the training tests share: a ResNet-8 on random images, uneven masks included."""

import functools

import jax
import numpy as np

from jaxcv import models, optim, tasks, training

BATCH, STEPS = 32, 20


def batches(count: int = STEPS) -> list[dict[str, np.ndarray]]:
    """The same global batches for everybody; in every other one about a third of the examples is masked, unevenly."""
    rng = np.random.default_rng(0)
    made = []
    for i in range(count):
        valid = np.ones(BATCH, bool) if i % 2 else rng.random(BATCH) > np.linspace(0.0, 0.7, BATCH)
        made.append(
            {
                'image': rng.random((BATCH, 8, 8, 1), dtype=np.float32),
                'label': rng.integers(0, 10, BATCH).astype(np.int32),
                'valid': valid,
                'index': np.arange(i * BATCH, (i + 1) * BATCH, dtype=np.int32),
            }
        )
    return made


def pieces():
    """(task, optimizer). A low learning rate: a high one makes chaos of the last bit."""
    model = models.cifar_resnet(depth=8, width=4, num_classes=10)
    return tasks.classification(model, num_classes=10), optim.momentum(learning_rate=0.02, weight_decay=1e-3)


def train(mesh, *, mode='jit', sharding='replicate', accumulate=1, count=STEPS, local=slice(None)):
    """The train state after `count` steps on the mesh. `local`: this process's rows of each global batch."""
    axis_name = training.AXIS if mode == 'pmap' else None
    task, optimizer = pieces()
    put = training.put_batch(mesh)
    made = [{name: value[local] for name, value in batch.items()} for batch in batches(count)]
    example = {name: value[:1] for name, value in made[0].items()}
    init = functools.partial(training.init_state, jax.random.key(0), task, optimizer, example)
    state = training.create_state(init, mesh, sharding=sharding)
    step = training.make_train_step(task, optimizer, axis_name=axis_name, accumulate=accumulate)
    step = training.compile_step(step, mesh, mode=mode, sharding=sharding)
    return training.run(step, state, map(put, made), num_steps=count)


def flat(state) -> dict[str, np.ndarray]:
    """Name -> array, of all but the key."""
    leaves = jax.tree_util.tree_flatten_with_path(state._replace(key=None))[0]
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
