"""The side of jaxcv in `benchmarks.accelerator`."""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import kernels
from benchmarks.accelerator_jobs import CLASSES, COUNTS, IMAGE, PHOTOS, Job, Prepared, inputs, maps, random_boxes
from jaxcv import losses, models, ops, optim, tasks, training
from jaxcv.ops import suppression
from jaxcv.training.operations import count_operations


def prepare(job: Job, permits: Any) -> Prepared:
    """Compile the passes of a job ahead of time."""
    return _suppression(permits) if job.kind == 'suppression' else _network(job, permits)


def task_of(job: Job) -> Any:
    """Return the task and its network."""
    classes, dtype = CLASSES[job.kind], job.dtype
    if job.kind == 'labels':
        return tasks.classification(getattr(models, job.network)(dtype=dtype), num_classes=classes)
    if job.kind == 'masks':
        model = getattr(models.segmentation, job.network)(num_classes=classes, dtype=dtype)
        return tasks.segmentation(model, num_classes=classes)
    ssd = job.network.startswith('ssd')
    model = getattr(models.detection, job.network)(num_classes=classes - ssd, dtype=dtype)
    loss = losses.ssd if ssd else losses.retinanet
    return tasks.detection(model, num_classes=classes - ssd, loss=loss, mean=[0.5] * 3, std=[0.25] * 3)


def batch_of(job: Job) -> dict[str, np.ndarray]:
    """Return a batch of the task."""
    batch = inputs(job) | {'valid': np.ones(job.batch, bool)}
    if 'box_labels' in batch:
        batch['box_valid'] = np.ones(batch['box_labels'].shape, bool)
    return batch


def _network(job: Job, permits: Any) -> Prepared:
    task, optimizer = task_of(job), optim.momentum(learning_rate=1e-3)
    mesh = training.make_mesh(jax.devices()[:1])
    batch = training.put_batch(mesh)(batch_of(job))
    like = jax.eval_shape(lambda batch: training.init_state(jax.random.key(0), task, optimizer, batch), batch)
    state = jax.device_put(_filled(like), jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))
    programs, facts = {}, {}
    if 'step' in job.passes:
        step = training.compile_step(training.make_train_step(task, optimizer), mesh)
        programs['step'], facts['step'] = _compiled(step, (state, batch), permits)
    if 'forward' in job.passes:
        images = {name: batch[name] for name in ('image', 'valid')}
        forward, facts['forward'] = _compiled(jax.jit(task.predict), (state.variables, images), permits)
        programs['forward'] = forward

    def steps(count: int) -> float:
        nonlocal state
        start = time.perf_counter()
        for _ in range(count):
            state, _ = programs['step'](state, batch)
        jax.block_until_ready(state)
        return time.perf_counter() - start

    def forwards(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            answer = programs['forward'](state.variables, images)
        jax.block_until_ready(answer)
        return time.perf_counter() - start

    runs = {'step': steps, 'forward': forwards}
    return Prepared(
        {name: runs[name] for name in job.passes},
        {'passes': facts, **_versions()},
        lambda most: _after(most, runs[job.passes[0]], programs[job.passes[0]]),
    )


def _filled(like: Any) -> Any:
    """Return a train state of these shapes without compiling its initialization: kernels as He et al. have them."""
    rng = np.random.default_rng(0)

    def fill(path: Any, x: Any) -> Any:
        name = getattr(path[-1], 'key', '')
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jax.random.key(0)
        if x.dtype == bool:
            return np.ones(x.shape, x.dtype)
        if name == 'kernel' and getattr(path[0], 'name', '') == 'params':
            scale = np.sqrt(2 / max(1, np.prod(x.shape[:-1]))).astype(np.float32)
            return scale * rng.standard_normal(x.shape, np.float32)
        return np.full(x.shape, name in ('scale', 'var') and getattr(path[0], 'name', '') != 'opt_state', x.dtype)

    return jax.tree_util.tree_map_with_path(fill, like)


def _compiled(function: Any, arguments: tuple, permits: Any) -> tuple[Any, dict]:
    """Return the compiled function, and the seconds, operations and memory of it."""
    start = time.perf_counter()
    program = function.trace(*arguments)
    lowered = program.lower()
    traced = time.perf_counter()
    facts = {'trace_s': traced - start, 'flops': count_operations(program.jaxpr)}
    with permits:
        start = time.perf_counter()
        compiled = lowered.compile()
        facts['xla_s'] = time.perf_counter() - start
    facts['compile_s'] = facts['trace_s'] + facts['xla_s']
    memory = _told(compiled.memory_analysis)
    if memory is not None:
        size = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
        facts['gigabytes'] = (size + memory.temp_size_in_bytes) / 1e9
    return compiled, facts


def _told(analysis: Callable[[], Any]) -> Any:
    """Return the result of an analysis; None where the backend has none."""
    try:
        return analysis()
    except (TypeError, KeyError, NotImplementedError, jax.errors.JaxRuntimeError):
        return None


def _versions() -> dict[str, Any]:
    """Return the card, the versions, and the relative error of a float32 product, which tells TF32 from float32."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 256, 256), np.float32)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    error = np.abs(np.asarray(jnp.asarray(a) @ jnp.asarray(b)) - exact).max() / np.abs(exact).max()
    return {'device': jax.devices()[0].device_kind, 'version': jax.__version__, 'product error': float(error)}


def _after(most: int, run: Callable[[int], float], program: Any) -> dict:
    """Return the peak of memory, and the heaviest kernels of a pass."""
    stats = jax.devices()[0].memory_stats() or {}
    found: dict[str, Any] = {'peak_gigabytes': stats.get('peak_bytes_in_use', 0) / 1e9}
    if most:
        found['kernels'] = kernels.heaviest(lambda: run(3), most=most, runs=3, text=program.as_text())
    return found


def _suppression(permits: Any) -> Prepared:
    runs, facts = {}, {}

    def add(name: str, function: Callable, *arguments: Any) -> None:
        arguments = jax.tree.map(jnp.asarray, arguments)
        program, facts[name] = _compiled(jax.jit(function), arguments, permits)
        del facts[name]['flops']

        def run(count: int) -> float:
            start = time.perf_counter()
            for _ in range(count):
                jax.block_until_ready(program(*arguments))
            return time.perf_counter() - start

        runs[name] = run

    coder = ops.box_coder()

    def one(logits: Any, codes: Any, anchors: Any) -> Any:
        scores = [jax.nn.sigmoid(x) for x in logits]
        return ops.select_detections(scores, codes, anchors, coder=coder, size=(IMAGE, IMAGE), most=300)

    for count in COUNTS:
        for name, side in (('sparse', 1000.0), ('dense', 200.0)):
            boxes, scores = random_boxes(count, side)
            add(f'nms {name} {count}', functools.partial(_nms, most=count), boxes, scores)
            for form in (suppression._tiles, matrix) if count > COUNTS[0] else ():
                title = f'{form.__name__.strip("_")} {name} {count}'
                add(title, functools.partial(_form, form=form, most=count), boxes, scores)
    for count in COUNTS:
        anchors = maps(count, 1)['anchors']
        single = {name: [x[0] for x in arrays] for name, arrays in maps(count, 1).items() if name != 'anchors'}
        add(f'post-process {count}', one, single['logits'], single['codes'], anchors)
    many = maps(COUNTS[-1], PHOTOS)
    batched = jax.vmap(one, in_axes=(0, 0, None))
    add(f'post-process {PHOTOS} x {COUNTS[-1]}', batched, many['logits'], many['codes'], many['anchors'])
    return Prepared(runs, {'passes': facts, **_versions()}, lambda most: {})


def _nms(boxes: Any, scores: Any, *, most: int) -> Any:
    return ops.nms(boxes, scores, threshold=0.5, max_out=most)


def _form(boxes: Any, scores: Any, *, form: Callable, most: int) -> Any:
    return form(boxes, scores, jnp.zeros(len(scores), jnp.int32), threshold=0.5, max_out=most)


def matrix(boxes: Any, scores: Any, groups: Any, *, threshold: float, max_out: int) -> Any:
    """Suppress by the whole matrix of overlaps, repeated until nothing changes."""
    n, order = len(scores), jnp.argsort(-scores)
    boxes, groups, real = boxes[order], groups[order], scores[order] > -jnp.inf
    over = (ops.box_iou(boxes, boxes) > threshold) & (groups[:, None] == groups)
    over &= jnp.arange(n)[:, None] < jnp.arange(n)

    def again(carry: tuple) -> tuple:
        keep, _ = carry
        return real & ~(over & keep[:, None]).any(axis=0), keep

    keep, _ = jax.lax.while_loop(lambda carry: (carry[0] != carry[1]).any(), again, (real, ~real))
    places = jnp.nonzero(keep, size=max_out, fill_value=n)[0]
    valid = places < n
    return suppression.Kept(jnp.where(valid, order[jnp.minimum(places, n - 1)], 0), valid)
