"""A task that jaxcv does not have: how many bright pixels an image has. It is a user's module, named by `--use`.

It brings a model, a transform, a metric that collects, a presentation and the task, and nothing of jaxcv has a line for
it: that is the test.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from matplotlib.figure import Figure

from jaxcv.ops import to_float
from jaxcv.task import Gallery, Judged, LossOutput, Metric, Presentation, Report, Task, Unit, Written

PIXELS = Unit('pixels', 'min', digits=2)


class Counter(nn.Module):
    """A sum over the pixels of a small network's scores."""

    features: int

    @nn.compact
    def __call__(self, images, *, train=False):
        """[n h w c] -> [n]."""
        x = nn.relu(nn.Dense(self.features, name='hidden')(images))
        return nn.Dense(1, name='head')(x)[..., 0].sum((1, 2))


def counter(*, features: int = 8) -> Counter:
    """The model."""
    return Counter(features)


def count_bright(*, above: int = 127) -> Callable[[dict], dict]:
    """The transform that makes the truth, `count`."""
    return lambda example: {**example, 'count': np.float32((example['image'] > above).sum())}


def counting(model: nn.Module) -> Task:
    """The task: squared error of the count; judged by the median of the absolute errors, which no sum gives."""

    def init(key, batch):
        return model.init(key, to_float(jnp.asarray(batch['image'])))

    def loss(params, state, batch, key):
        found = model.apply({'params': params}, to_float(jnp.asarray(batch['image'])), train=True)
        squares = jnp.where(batch['valid'], jnp.square(found - batch['count']), 0)
        return LossOutput(squares.sum(), batch['valid'].sum(dtype=jnp.float32), state, {})

    def predict(variables, batch):
        return {'count': model.apply(variables, to_float(jnp.asarray(batch['image']))), 'valid': batch['valid']}

    median = Metric(
        measure=lambda predictions, batch: jnp.abs(predictions['count'] - batch['count']),
        compute=lambda errors: {'median_error': float(np.median(errors)), 'errors': np.sort(errors)},
        units={'median_error': PIXELS, 'errors': PIXELS._replace(axes=('example',))},
        where='host',
    )
    return Task(init, loss, predict, {'median': median}, best='median_error', presentation=counts())


def counts() -> Presentation:
    """Counts as people see them."""

    def photos(predict: Callable, examples: Iterable[dict], options: Any) -> Iterator[Mapping[str, Any]]:
        for example in examples:
            image = options.transform(example)['image']
            yield {'count': jax.device_get(predict({'image': image[None], 'valid': np.ones(1, bool)})['count'])[0]}

    def draw(gallery: Gallery, names: Mapping[str, Sequence[str]]) -> Figure:
        figure = Figure(figsize=(6, 5))
        for i, (example, answer, judged) in enumerate(gallery.rows):
            axes = figure.add_subplot(2, 4, i + 1)
            axes.imshow(example['image'][..., 0])
            axes.set_title(f'{answer["count"]:.1f}' + ('' if judged is None else f', off by {judged.badness:.1f}'))
        return figure

    def judge(example: Mapping, answer: Mapping) -> Judged:
        error = abs(float(example['count']) - float(answer['count']))
        return Judged(error, int(error > 1), 1)

    return Presentation(
        answer=lambda predictions: {'count': predictions['count']},
        inspect=lambda examples, names: [],
        judge=judge,
        draw=draw,
        report=lambda values, names: Report(lines={'worst': f'{values["errors"][-1]:.1f} pixels'}),
        photos=photos,
        write=lambda image, answer, names: Written({'count': float(answer['count'])}, f'{answer["count"]:.1f}'),
    )
