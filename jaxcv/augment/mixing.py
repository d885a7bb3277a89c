"""Augmentations that mix each example with another one, images and labels.

The partner is the example before it in the batch, and the last for the first: the data are shuffled already, and where
the batch is sharded only its edges are sent to another device. An example is not mixed if its partner is not `valid`.
The keys decide how much is mixed and where; so a batch's result depends on its order, and on nothing outside it.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxcv.arguments import AtLeast2, Positive, Share, checked
from jaxcv.augment.batch import Keys, check_images, keys_for
from jaxcv.features import moved_features
from jaxcv.types import Array, Batch, PRNGKeyArray

__all__ = ['cutmix', 'mixup']


@checked
def mixup(
    key: Keys,
    batch: Batch,
    *,
    num_classes: AtLeast2,
    alpha: Positive = 0.2,
    probability: Share = 1.0,
    per_batch: bool = False,
) -> Batch:
    """Average each example with the one before it, images and labels.

    `x' = λ x + (1 - λ) x_other`, `y' = λ y + (1 - λ) y_other`, with λ drawn from Beta(alpha, alpha).

    Args:
        key: a random key, or one for each example.
        batch: with `image` `[n, h, w, c]`, floats, and `label`, `[n]` int or `[n, num_classes]` float.
        num_classes: the length of a label as a vector of shares.
        alpha: above 0; small values leave most examples near one of the two.
        probability: that an example is mixed, in [0, 1].
        per_batch: draw once for the whole batch, as the authors' code does; then `key` is one key.

    Returns:
        The batch with new images `[n, h, w, c]` and labels `[n, num_classes]`, float32, which sum to 1.

    Raises:
        ValueError: the images are no floats, there are no labels that fit, the batch has other features of pixels or
            boxes, which cannot be mixed, or an option is out of its range.

    Example:
        >>> batch = {'image': jnp.zeros((2, 1, 1, 1)).at[1].set(1.0), 'label': jnp.array([0, 1])}
        >>> mixed = mixup(jax.random.key(0), batch, num_classes=2)
        >>> bool(jnp.allclose(mixed['image'].ravel(), mixed['label'][:, 1]))
        True

    Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018.
    """
    if not jnp.issubdtype(batch['image'].dtype, jnp.floating):
        raise ValueError(f'mixup averages floats, got {batch["image"].dtype} images: pass ops.to_float(images)')
    _check(batch)

    def draw(key: PRNGKeyArray) -> Array:
        mix_key, share_key = jax.random.split(key)
        mixes = jax.random.bernoulli(mix_key, probability)
        return jnp.where(mixes, jax.random.beta(share_key, alpha, alpha), 1.0)[None, None, None]

    return _mixed(_draws(draw, key, len(batch['image']), per_batch), batch, num_classes)


@checked
def cutmix(
    key: Keys,
    batch: Batch,
    *,
    num_classes: AtLeast2,
    alpha: Positive = 1.0,
    probability: Share = 1.0,
    per_batch: bool = False,
) -> Batch:
    """Paste a box of the example before it into each example, and mix the labels by area.

    The box is centred on a pixel drawn uniformly; its sides are `sqrt(1 - λ)` of the image's, with λ drawn from
    Beta(alpha, alpha), and the part outside of the image is cut off. The label is `λ' y + (1 - λ') y_other`, with
    `1 - λ'` the share of the pixels that were replaced.

    Args:
        key: a random key, or one for each example.
        batch: with `image` `[n, h, w, c]`, floats or uint8, and `label`, `[n]` int or `[n, num_classes]` float.
        num_classes: the length of a label as a vector of shares.
        alpha: above 0; with 1, λ is uniform.
        probability: that an example is mixed, in [0, 1].
        per_batch: draw once for the whole batch, as the authors' code does; then `key` is one key.

    Returns:
        The batch with new images `[n, h, w, c]` and labels `[n, num_classes]`, float32, which sum to 1.

    Raises:
        ValueError: there are no labels that fit, the batch has other features of pixels or boxes, which cannot be
            mixed, or an option is out of its range.

    Example:
        >>> batch = {'image': jnp.zeros((2, 8, 8, 1)).at[1].set(1.0), 'label': jnp.array([0, 1])}
        >>> mixed = cutmix(jax.random.key(0), batch, num_classes=2)
        >>> bool(jnp.allclose(mixed['image'].mean(axis=(1, 2, 3)), mixed['label'][:, 1]))
        True

    Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", 2019.
    """
    _check(batch)
    n, *size, _ = batch['image'].shape

    def draw(key: PRNGKeyArray) -> Array:
        mix_key, share_key, centre_key = jax.random.split(key, 3)
        mixes = jax.random.bernoulli(mix_key, probability)
        half_share = jnp.where(mixes, 0.5 * jnp.sqrt(1 - jax.random.beta(share_key, alpha, alpha)), 0.0)
        centres = jax.random.randint(centre_key, (2,), 0, jnp.array(size))
        inside = []
        for length, centre in zip(size, centres, strict=True):
            half = (half_share * length).astype(jnp.int32)
            inside.append((jnp.arange(length) >= centre - half) & (jnp.arange(length) < centre + half))
        return 1.0 - (inside[0][:, None] & inside[1])[..., None]

    return _mixed(_draws(draw, key, n, per_batch), batch, num_classes)


def _draws(draw: Callable[[PRNGKeyArray], Array], key: Keys, n: int, per_batch: bool) -> Array:
    """The share of itself that each example keeps at each pixel, `[n, h, w, 1]` or `[n, 1, 1, 1]`."""
    if per_batch:
        if key.ndim:
            raise ValueError(f'per_batch draws once: pass one key, got {len(key)}')
        own = draw(key)
        return jnp.broadcast_to(own, (n, *own.shape))
    return jax.vmap(draw)(keys_for(key, n))


def _mixed(own: Array, batch: Batch, num_classes: int) -> Batch:
    images, labels = batch['image'], jnp.asarray(batch['label'])
    if labels.ndim == 1:
        # A label that is no class is NaN, as its loss is, not a label without any class.
        known = (labels >= 0) & (labels < num_classes) | ~jnp.asarray(batch.get('valid', True))
        labels = jnp.where(known[:, None], jax.nn.one_hot(labels, num_classes), jnp.nan)
    labels = labels.astype(jnp.promote_types(labels.dtype, jnp.float32))
    if labels.shape != (len(images), num_classes):
        raise ValueError(f'labels must be [n] or [n, {num_classes}] for {len(images)} images, got {labels.shape}')
    if 'valid' in batch:
        own = jnp.where(jnp.roll(batch['valid'], 1)[:, None, None, None], own, 1.0)

    def mix(mine: Array, share: Array) -> Array:
        # where, not a product alone: the pixels of an invalid example may be NaN.
        other = jnp.where(share < 1, jnp.roll(mine, 1, axis=0), mine)
        if not jnp.issubdtype(mine.dtype, jnp.floating):
            return jnp.where(share < 1, other, mine)
        share = share.astype(mine.dtype)
        return share * mine + (1 - share) * other

    return {**batch, 'image': mix(images, own), 'label': mix(labels, own.mean(axis=(1, 2)))}


def _check(batch: Batch) -> None:
    if 'label' not in batch:
        raise ValueError(f'mixing needs the labels, the batch has only: {", ".join(batch)}')
    if unmixed := sorted({*moved_features(batch)} - {'image'}):
        raise ValueError(f'the batch has {", ".join(unmixed)}, which mixup and cutmix cannot mix')
    check_images(batch)
