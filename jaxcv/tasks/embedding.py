"""Metric learning as a `Task`: an image becomes a vector, and images of one identity become near ones."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jaxcv import losses, metrics, ops, presentation
from jaxcv.arguments import AtLeast1, AtLeast2, Finite, Positive, checked
from jaxcv.task import LossOutput, Metric, Task
from jaxcv.tasks.network import Network, network, require
from jaxcv.types import Array, Batch, Bool, Float, Int, PRNGKeyArray, PyTree, Variables

HEAD = 'class_head'
"""The layer of a loss of classes: in training only, beside the network's own layers."""
Kind = Literal['pairs', 'centers', 'logits']
_KINDS: dict[tuple[str, ...], Kind] = {
    ('embeddings', 'labels', 'valid'): 'pairs',
    ('embeddings', 'centers', 'labels'): 'centers',
    ('logits', 'labels'): 'logits',
}
"""The first arguments of a loss -> how embeddings are brought to it."""
METRICS = {
    'retrieval': metrics.retrieval(),
    'verification': metrics.verification(fars=(0.1,)),
}


@checked
def embedding(
    model: Any,
    *,
    loss: Callable = losses.triplet,
    num_classes: AtLeast2 | None = None,
    normalize: bool = True,
    mirror: bool = False,
    subcenters: AtLeast1 = 1,
    sample_classes: AtLeast1 | None = None,
    evaluate: Mapping[str, Metric] | Sequence[Metric] = METRICS,
    augment: Sequence[Callable] = (),
    mean: Sequence[Finite] | None = None,
    std: Sequence[Positive] | None = None,
) -> Task:
    """Metric learning: embeddings of images, near one another where the identities are equal.

    The loss is one of three kinds, by its first arguments:

    * (embeddings, labels, valid), `losses.contrastive` or `losses.triplet`: all pairs or triplets of the batch, which
      is one forward pass, whatever the number of images (Siamese training). The batches must hold several images of an
      identity: `data.order = {'name': 'identities', 'identities': 8, 'images': 4}`.
    * (embeddings, centers, labels), `losses.margin_softmax`: a class matrix is trained too, `class_head/centers`.
    * (logits, labels), `losses.softmax_cross_entropy`: a linear classifier, `class_head/kernel` and `bias`, is.

    The class head stands beside the network's layers in the parameters. Predictions do not use it: identities that were
    never seen are recognized as well, by their distances.

    Args:
        model: a Linen module, `apply(variables, images [n h w c], train=...) -> embeddings [n d]`, such as
            `models.embedding.embedder`.
        loss: see above, with its options.
        num_classes: identities in training; only losses of classes need it.
        normalize: scale the embeddings to the length 1, in predictions and for losses of pairs and triplets.
        mirror: in predictions, add the embedding of the mirror image before scaling, as insightface's `accuracy-flip`.
        subcenters: centres of a class, of which the nearest counts; of losses of centres.
        sample_classes: train on the classes of the batch and a random part of the others, so many in all
            (`losses.sampled_classes`); of losses of centres. None: all.
        evaluate: metrics of embeddings, by name or in a list.
        augment: functions (key, batch) -> batch of `jaxcv.augment`, in order, in training only.
        mean: subtracted from the images in [0, 1], one number a channel; None leaves them as they are.
        std: the divisor after it.

    Returns:
        A Task over batches of `image` [n h w c], `label` int32 [n] (the identity) and `valid` bool [n]. Predictions are
        `embedding` float32 [n d] and `valid`. Of losses of pairs and triplets it logs `active`, the share of them with
        a loss above 0, and the mean `positive_distance` and `negative_distance`: both near 0 are a collapse. Of losses
        of classes it logs `top1`.

    Raises:
        ValueError: the loss is of none of the three kinds, or lacks a number of classes; an option is of another kind;
            (when called) the model gives no embeddings, or the batch no labels.

    Example:
        >>> from jaxcv import models
        >>> task = embedding(models.linear_classifier(num_classes=4), loss=losses.triplet)
        >>> batch = {'image': jnp.ones((4, 2, 2, 1)), 'label': jnp.array([0, 0, 1, 1]), 'valid': jnp.ones(4, bool)}
        >>> variables = task.init(jax.random.key(0), batch)
        >>> task.predict(variables, batch)['embedding'].shape
        (4, 4)
    """
    kind = _kind(loss)
    if kind != 'pairs' and num_classes is None:
        raise ValueError(f'the loss {_name(loss)} is of classes: give num_classes, the identities in training')
    others = {'subcenters': subcenters != 1, 'sample_classes': sample_classes is not None}
    if kind != 'centers' and any(others.values()):
        given = ', '.join(name for name, is_given in others.items() if is_given)
        raise ValueError(f'{given}: of losses of centres such as margin_softmax only, not of {_name(loss)}')
    net = network(model, checked=_checked, augment=augment, mean=mean, std=std)

    def loss_fn(params: PyTree, state: PyTree, batch: Batch, key: PRNGKeyArray) -> LossOutput:
        require(batch, 'label', task='embedding')
        key, own = jax.random.split(key)
        embeddings, state, batch = net.train(params, state, batch, key)
        embeddings = embeddings.astype(jnp.float32)
        labels, valid = jnp.asarray(batch['label']), jnp.asarray(batch['valid'])
        if labels.shape != embeddings.shape[:1] or not jnp.issubdtype(labels.dtype, jnp.integer):
            raise ValueError(
                f'labels must be identities, integers of shape {embeddings.shape[:1]}, got {labels.dtype} '
                f'{labels.shape}: augmentations that mix images do not fit'
            )
        if kind == 'pairs':
            if normalize:
                embeddings = ops.l2_normalize(embeddings)
            return _of_pairs(loss, embeddings, labels, valid, state)
        head = params[HEAD]
        if kind == 'centers':
            centers = head['centers']
            if sample_classes is not None:
                kept = losses.sampled_classes(own, labels, valid, num_classes=len(centers), sample=sample_classes)
                centers, labels = centers[kept.classes], kept.labels
            values = loss(embeddings, centers, labels)
            scores = _cosines(embeddings, centers)
        else:
            scores = jnp.matmul(embeddings, head['kernel'], precision=jax.lax.Precision.HIGHEST) + head['bias']
            values = loss(scores, labels)
        correct = valid & _is_first(scores, labels)
        logs = {'top1': correct.sum(dtype=jnp.float32)}
        return LossOutput(jnp.where(valid, values, 0).sum(), valid.sum(dtype=jnp.float32), state, logs)

    def predict(variables: Variables, batch: Batch) -> Mapping[str, Any]:
        found = net.predict(variables, batch).astype(jnp.float32)
        if mirror:
            flipped = {**batch, 'image': jnp.asarray(batch['image'])[:, :, ::-1]}
            found = (found + net.predict(variables, flipped).astype(jnp.float32)) / 2
        return {'embedding': ops.l2_normalize(found) if normalize else found, 'valid': jnp.asarray(batch['valid'])}

    measured = dict(evaluate) if isinstance(evaluate, Mapping) else {next(iter(x.units)): x for x in evaluate}
    units = [name for metric in measured.values() for name, unit in metric.units.items() if unit.better is not None]
    init: Callable[[PRNGKeyArray, Batch], Variables] = net.init
    if kind != 'pairs' and num_classes is not None:
        init = functools.partial(_init, net, kind, num_classes, subcenters)
    return Task(
        init,
        loss_fn,
        predict,
        measured,
        best='map_at_r' if 'map_at_r' in units else next(iter(units), 'loss'),
        presentation=presentation.pairs(),
    )


def _init(net: Network, kind: Kind, num_classes: int, subcenters: int, key: PRNGKeyArray, batch: Batch) -> Variables:
    """The network's variables, and the class head: centres of a length of about 1, or a linear layer."""
    variables = net.init(key, batch)
    d = jax.eval_shape(net.predict, variables, batch).shape[-1]
    shape = (num_classes, subcenters, d) if subcenters > 1 else (num_classes, d)
    values = jax.random.normal(jax.random.fold_in(key, 1), shape) / jnp.sqrt(d)
    head = {'centers': values} if kind == 'centers' else {'kernel': values.T, 'bias': jnp.zeros(num_classes)}
    return {**variables, 'params': {**variables['params'], HEAD: head}}


def _of_pairs(loss: Callable, embeddings: Array, labels: Array, valid: Array, state: PyTree) -> LossOutput:
    terms = loss(embeddings, labels, valid)
    total, weight, active, number = (jnp.sum(part) for part in terms)
    distances = losses.mean_pair_distances(*jax.lax.stop_gradient((embeddings, labels, valid)))
    shares = {
        'active': active / jnp.maximum(number, 1),
        'positive_distance': distances.positive,
        'negative_distance': distances.negative,
    }
    # The step divides by the weight; these have none. A batch without any term keeps its weight of 0.
    return LossOutput(total, weight, state, {name: share * weight for name, share in shares.items()})


def _cosines(embeddings: Array, centers: Array) -> Float[Array, 'n classes']:
    classes, *_, d = centers.shape
    found = ops.cosine_similarity(embeddings, centers.reshape(-1, d))
    return found.reshape(len(embeddings), classes, -1).max(axis=-1)


def _is_first(scores: Float[Array, 'n classes'], labels: Int[Array, ' n']) -> Bool[Array, ' n']:
    """Whether `argmax(scores) == labels`, without its matrix of indices, which is not sharded as the scores are."""
    own = jnp.max(scores, axis=-1, where=jax.nn.one_hot(labels, scores.shape[1], dtype=bool), initial=-jnp.inf)[:, None]
    later = jnp.arange(scores.shape[1]) >= labels[:, None]
    return jnp.all((scores < own) | ((scores == own) & later), axis=-1)


def _kind(loss: Callable) -> Kind:
    names = tuple(
        name
        for name, parameter in inspect.signature(loss).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    )
    if names not in _KINDS:
        forms = '; '.join(f'({", ".join(form)})' for form in _KINDS)
        raise ValueError(
            f"the loss {_name(loss)} takes ({', '.join(names)}): the task 'embedding' takes a loss of {forms}, such as "
            'triplet, margin_softmax or softmax_cross_entropy'
        )
    return _KINDS[names]


def _name(function: Callable) -> str:
    return getattr(getattr(function, 'func', function), '__name__', type(function).__name__)


def _checked(output: Any) -> Array:
    if getattr(output, 'ndim', None) != 2:
        found = f'an array of shape {output.shape}' if hasattr(output, 'shape') else type(output).__name__
        raise ValueError(f'the model must give one vector for each image, [n d], got {found}')
    return output
