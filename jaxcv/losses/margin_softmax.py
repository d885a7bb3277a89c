"""Softmax losses of embeddings with a margin: ArcFace, CosFace and SphereFace are one formula of three margins.

The logit of the true class is `s (cos(m1 θ + m2) - m3)` and that of the others `s cos θ`, with θ the angle between an
embedding and the centre of a class. ArcFace is (1, 0.5, 0), CosFace (1, 0, 0.35), SphereFace (4, 0, 0).

Cosines are float32 whatever the compute type. With a class matrix that is sharded over its classes, XLA computes the
same loss class-parallel: of embeddings and labels that are sharded over the batch it gathers both, never the logits.
`training.sharding = 'fsdp'` shards it so, with the optimizer's velocities, if there are more classes than numbers in an
embedding and the devices divide their number; otherwise it is sharded along the embedding, or not at all.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxcv.arguments import AtLeast1, NonNegative, Positive, checked
from jaxcv.losses.classification import softmax_cross_entropy
from jaxcv.ops.distance import cosine_similarity
from jaxcv.types import Array, Bool, Float, Int, PRNGKeyArray

_LEAST = 1e-7
"""Of `sin² θ`: below, float32 has no digits of it left, and its gradient would be infinite."""

BeyondPi = Literal['monotone', 'plain', 'linear']


class SampledClasses(NamedTuple):
    """Classes of which the softmax of one step is made."""

    classes: Int[Array, ' s']
    """Class indices, ascending."""
    labels: Int[Array, ' n']
    """The place of each label in `classes`; -1 where the label is not among them."""


@checked
def margin_softmax(
    embeddings: Float[Array, 'n d'],
    centers: Float[Array, 'classes *k d'],
    labels: Int[Array, ' n'],
    *,
    m1: Positive = 1.0,
    m2: NonNegative = 0.5,
    m3: NonNegative = 0.0,
    scale: Positive | None = 64.0,
    easy_margin: bool = False,
    beyond_pi: BeyondPi = 'monotone',
    gradient: Literal['exact', 'straight_through'] = 'exact',
) -> Float[Array, ' n']:
    """Softmax cross-entropy of cosines with a margin; by default ArcFace.

    Args:
        embeddings: `[n, d]`, of any float type and length.
        centers: the class matrix, `[classes, d]`; with several centres a class, `[classes, k, d]`, the nearest of them
            counts, so that wrongly labelled images may gather at one of their own.
        labels: class indices.
        m1: as in `margin_logits`, and so are the other margins.
        m2: in radians.
        m3: in cosines.
        scale: s; None: the length of each embedding, as in SphereFace.
        easy_margin: see `margin_logits`.
        beyond_pi: see `margin_logits`.
        gradient: see `margin_logits`.

    Returns:
        One loss per example, float32 `[n]`; NaN where a label is no class.

    Example:
        >>> x, centers = jnp.array([[0.9, 0.1], [0.2, 0.8]]), jnp.eye(2)
        >>> [f'{loss:.3f}' for loss in margin_softmax(x, centers, jnp.array([0, 1]), scale=4.0)]
        ['0.057', '0.131']

    Deng et al., "ArcFace", 2019; Wang et al., "CosFace", 2018; Liu et al., "SphereFace", 2017. Sub-centres: Deng et
    al., "Sub-center ArcFace", 2020.
    """
    classes, *subcenters, d = centers.shape
    cosines = cosine_similarity(embeddings, centers.reshape(-1, d))
    if subcenters:
        cosines = cosines.reshape(len(embeddings), classes, -1).max(axis=-1)
    with_margin = margin_logits(
        cosines,
        labels,
        m1=m1,
        m2=m2,
        m3=m3,
        scale=1.0 if scale is None else scale,
        easy_margin=easy_margin,
        beyond_pi=beyond_pi,
        gradient=gradient,
    )
    if scale is None:
        squares = jnp.sum(jnp.square(embeddings.astype(jnp.float32)), axis=-1, keepdims=True)
        with_margin *= jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)
    return softmax_cross_entropy(with_margin, labels)


@checked
def margin_logits(
    cosines: Float[Array, 'n classes'],
    labels: Int[Array, ' n'],
    *,
    m1: Positive = 1.0,
    m2: NonNegative = 0.5,
    m3: NonNegative = 0.0,
    scale: Positive = 64.0,
    easy_margin: bool = False,
    beyond_pi: BeyondPi = 'monotone',
    gradient: Literal['exact', 'straight_through'] = 'exact',
) -> Float[Array, 'n classes']:
    """Logits of cosines with a margin: `s (cos(m1 θ + m2) - m3)` of the true class, `s cos θ` of the others.

    Beyond π the cosine turns upwards again, and so the loss would fall as the angle grows. With `φ = m1 θ + m2 > π` the
    true class has instead of cos φ:

    * 'monotone': `(-1)^k cos φ - 2k` with `k = floor(φ / π)`, which is continuous (SphereFace's rule);
    * 'linear': `cos θ - m2 sin m2`, with a jump at φ = π (the first ArcFace code, pytorch-metric-learning);
    * 'plain': cos φ all the same (insightface's code today).

    Args:
        cosines: `[n, classes]`, in [-1, 1] up to rounding.
        labels: class indices; a row whose label is no class has no margin.
        m1: factor of the angle.
        m2: added to it, in radians.
        m3: subtracted from the cosine.
        scale: s.
        easy_margin: leave the true class without a margin where its cosine is not positive.
        beyond_pi: see above.
        gradient: 'exact', the derivative of cos φ by cos θ, which is 6 at an angle of 5 degrees and grows without bound
            (at 0 itself it is finite here); or 'straight_through', 1 everywhere, with which insightface trains.

    Returns:
        float32 `[n, classes]`.

    Raises:
        ValueError: 'linear' with an m1 other than 1.

    Example:
        >>> [f'{logit:.4f}' for logit in margin_logits(jnp.array([[0.8, 0.3]]), jnp.array([0]), scale=1.0)[0]]
        ['0.4144', '0.3000']
    """
    if beyond_pi == 'linear' and m1 != 1:
        raise ValueError(f"beyond_pi 'linear' is defined for m1 = 1, got {m1}: take 'monotone'")
    cosines = cosines.astype(jnp.float32)
    # The true class of each row, a column: the rest of the matrix stays as it is.
    is_true = jax.nn.one_hot(labels, cosines.shape[1], dtype=bool)
    cosine = jnp.sum(jnp.where(is_true, cosines, 0), axis=1)
    target = _with_margin(jnp.clip(cosine, -1, 1), m1, m2, beyond_pi) - m3
    if easy_margin:
        target = jnp.where(cosine > 0, target, cosine)
    if gradient == 'straight_through':
        target = cosine + lax.stop_gradient(target - cosine)
    return scale * jnp.where(is_true, target[:, None], cosines)


def _with_margin(cosine: Array, m1: float, m2: float, beyond_pi: str) -> Array:
    """`cos(m1 θ + m2)`, continued beyond π. Without arccos, whose gradient is infinite at both ends."""
    if m1 == 1 and m2 == 0:
        return cosine
    squares = (1 - cosine) * (1 + cosine)
    sine = jnp.where(squares > _LEAST, jnp.sqrt(jnp.where(squares > _LEAST, squares, 1)), 0)
    angle = m1 * jnp.arctan2(sine, cosine) + m2
    plain = cosine * jnp.cos(m2) - sine * jnp.sin(m2) if m1 == 1 else jnp.cos(angle)
    if beyond_pi == 'plain':
        return plain
    if beyond_pi == 'linear':
        return jnp.where(angle > jnp.pi, cosine - m2 * jnp.sin(m2), plain)
    k = jnp.floor(angle / jnp.pi)
    return jnp.where(k % 2 == 0, plain, -plain) - 2 * k


@checked
def sampled_classes(
    key: PRNGKeyArray,
    labels: Int[Array, ' n'],
    valid: Bool[Array, ' n'],
    *,
    num_classes: AtLeast1,
    sample: AtLeast1,
) -> SampledClasses:
    """Sample classes for a softmax over many: all that the batch has, and a random part of the rest (partial FC).

    The loss is then `margin_softmax(embeddings, centers[classes], labels of the sample)`: of a million classes a tenth
    trains as well, with a tenth of the logits.

    Args:
        key: a random key.
        labels: class indices.
        valid: False for rows whose label does not count.
        num_classes: all classes.
        sample: classes that are kept, at least as many as the batch has images, so that all of its classes fit.

    Returns:
        SampledClasses.

    Raises:
        ValueError: the sample is smaller than the batch, or larger than all classes.

    Example:
        >>> labels, valid = jnp.array([7, 2, 7]), jnp.ones(3, bool)
        >>> kept = sampled_classes(jax.random.key(0), labels, valid, num_classes=10, sample=4)
        >>> kept.classes.shape, kept.classes[kept.labels].tolist()
        ((4,), [7, 2, 7])

    An et al., "Partial FC: Training 10 Million Identities on a Single Machine", 2021.
    """
    if not len(labels) <= sample <= num_classes:
        raise ValueError(
            f'sampled_classes: sample must be at least the {len(labels)} images of the batch and at most the '
            f'{num_classes} classes, got {sample}'
        )
    known = valid & (labels >= 0) & (labels < num_classes)
    # Labels that do not count are set beyond the end, and dropped.
    is_positive = jnp.zeros(num_classes, bool).at[jnp.where(known, labels, num_classes)].set(True, mode='drop')
    _, classes = lax.top_k(jax.random.uniform(key, (num_classes,)) + 2 * is_positive, sample)
    classes = jnp.sort(classes)
    places = jnp.full(num_classes, -1).at[classes].set(jnp.arange(sample))
    return SampledClasses(classes, jnp.where(known, places[jnp.clip(labels, 0, num_classes - 1)], -1))
