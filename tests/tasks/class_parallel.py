"""ArcFace over many classes for `test_class_parallel`; run by itself, it is one of two processes of four devices."""

import functools
import sys

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jaxcv import losses, models, optim, tasks, training

BATCH, D = 16, 512


def pieces(classes):
    """(task, optimizer): the network is one layer, so that the class matrix is nearly all of the state."""
    task = tasks.embedding(models.linear_classifier(num_classes=D), loss=losses.margin_softmax, num_classes=classes)
    return task, optim.momentum(learning_rate=0.1)


def example(n):
    rng = np.random.default_rng(0)
    image = rng.normal(size=(n, 4, 4, 1)).astype(np.float32)
    return {'image': image, 'label': rng.integers(0, 64, n).astype(np.int32), 'valid': np.arange(n) % 5 != 3}


def init(classes):
    return functools.partial(training.init_state, jax.random.key(0), *pieces(classes), example(1))


def train(mesh, *, classes, local=slice(None)):
    """The state after three steps, and the loss of each. `local`: this process's rows of the batch."""
    state = training.create_state(init(classes), mesh, sharding='fsdp')
    step = training.compile_step(training.make_train_step(*pieces(classes)), mesh, sharding='fsdp')
    batch = training.put_batch(mesh)({name: value[local] for name, value in example(BATCH).items()})
    values = []
    for _ in range(3):
        state, logs = step(state, batch)
        values.append(float(logs['loss']))
    return state, values


def compiled(mesh, *, classes, batch):
    """The step, compiled for arrays that do not exist."""
    like = training.with_shardings(jax.eval_shape(init(classes)), mesh, sharding='fsdp')
    rows = NamedSharding(mesh, PartitionSpec(training.AXIS))
    shapes = {
        name: jax.ShapeDtypeStruct((batch, *value.shape[1:]), value.dtype, sharding=rows)
        for name, value in example(1).items()
    }
    step = training.make_train_step(*pieces(classes))
    return training.compile_step(step, mesh, sharding='fsdp').lower(like, shapes).compile()


def flat(state, values):
    """Name -> array, whole on every process."""
    whole = jax.jit(lambda x: x, out_shardings=NamedSharding(training.make_mesh(), PartitionSpec()))(state.params)
    leaves = jax.tree_util.tree_flatten_with_path(whole)[0]
    return {'loss': np.array(values), **{jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}}


if __name__ == '__main__':
    address, index, output, classes = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    training.initialize_processes(address, 2, index)
    assert (jax.device_count(), jax.local_device_count()) == (8, 4)
    half = BATCH // 2
    found = flat(*train(training.make_mesh(), classes=classes, local=slice(index * half, (index + 1) * half)))
    if index == 0:
        np.savez(output, **found)
