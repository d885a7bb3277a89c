"""A metric that collects: exact average precision over all scores; alone, the second process of `test_evaluation`."""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxcv import training
from jaxcv.metrics import top_k_accuracy
from jaxcv.task import SHARE, Metric, Task

BATCH = 16
VARIABLES = {'params': {'scale': np.float32(0.5)}}


def average_precision() -> Metric:
    """Mean over the positives of the precision among the scores that are at least theirs."""

    def measure(predictions, batch):
        return {'score': predictions['logits'][:, 1], 'positive': batch['label'] == 1}

    def compute(rows):
        assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(rows))
        positive = rows['positive'][np.argsort(-rows['score'], kind='stable')]
        precision = np.cumsum(positive) / np.arange(1, len(positive) + 1)
        return {'average_precision': precision[positive].mean(), 'seen': len(positive), 'scores': rows['score']}

    units = {'average_precision': SHARE, 'seen': SHARE, 'scores': SHARE._replace(axes=('example',))}
    return Metric(measure, compute, units, where='host')


def task() -> Task:
    """Scores are numbers of the batch, scaled."""

    def predict(variables, batch):
        score = variables['params']['scale'] * batch['score']
        return {'logits': jnp.stack([-score, score], axis=-1), 'valid': batch['valid']}

    metrics = {'top1': top_k_accuracy(), 'ranking': average_precision()}
    return Task(lambda key, batch: {}, lambda *args: None, predict, metrics)


def batches(local: slice = slice(None)):
    """Three global batches, of which the given rows; unevenly masked, with NaN for a score there."""
    rng = np.random.default_rng(0)
    for _ in range(3):
        label, valid = rng.integers(0, 2, BATCH).astype(np.int32), rng.random(BATCH) < 0.8
        score = np.where(valid, rng.normal(size=BATCH) + label, np.nan).astype(np.float32)
        yield {name: x[local] for name, x in {'score': score, 'label': label, 'valid': valid}.items()}


def evaluated(mesh, local: slice = slice(None)) -> dict:
    """The values, and the sum of the scores that were seen."""
    put, seen = training.put_batch(mesh), []

    def see(batch, answer):
        assert batch['valid'].shape == answer['score'].shape == (BATCH,)
        seen.append(answer['score'])

    step = jax.jit(training.make_eval_step(task(), lambda predictions: {'score': predictions['logits'][:, 1]}))
    values = training.evaluate(step, task(), VARIABLES, map(put, batches(local)), see)
    assert len(seen) == 3
    return {**values, 'scores': values['scores'].tolist()}


if __name__ == '__main__':
    address, index, output = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    training.initialize_processes(address, 2, index)
    half = BATCH // 2
    found = evaluated(training.make_mesh(), slice(index * half, (index + 1) * half))
    output.with_suffix(f'.{index}').write_text(json.dumps(found))
