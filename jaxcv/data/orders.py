"""Orders of the training examples: functions (seed, epoch) -> indices, for `train_batches(order=...)`.

`shuffled` is the default. The others change how often an example comes (`class_balanced`) or which examples share a
batch (`grouped`, `identities`). An order of your own is a function of the same kind:

* It is pure: the same seed and epoch give the same indices. Draw from `numpy.random.Generator(PCG64([seed, epoch]))`.
* It returns integers `[n]` in `[0, source.size)`. `n` is at least 1 and the same for every epoch. Indices may repeat,
  and examples may be left out.
* The epochs are joined without a gap and cut into batches. An order that composes whole batches therefore returns a
  multiple of the batch size, or from the second epoch on its batches are cut at other places.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

__all__ = ['Order', 'class_balanced', 'grouped', 'identities', 'in_order', 'shuffled']

Order = Callable[[int, int], np.ndarray]
"""(seed, epoch) -> the indices of that epoch's examples, in order."""


def shuffled(size: int) -> Order:
    """A new permutation of all examples each epoch.

    Args:
        size: Number of examples.

    Returns:
        The order, of `size` indices an epoch.

    Example:
        >>> sorted(shuffled(4)(0, 7).tolist())
        [0, 1, 2, 3]
    """
    return lambda seed, epoch: _generator(seed, epoch).permutation(size)


def in_order(size: int) -> Order:
    """All examples as they are stored, every epoch alike: to debug a run, or for data that are shuffled already.

    Args:
        size: Number of examples.

    Returns:
        The order, of `size` indices an epoch.

    Example:
        >>> in_order(4)(0, 7).tolist()
        [0, 1, 2, 3]
    """
    return lambda seed, epoch: np.arange(size)


def class_balanced(labels: ArrayLike) -> Order:
    """Every class equally often, whatever its number of examples: for long-tailed data.

    An epoch has as many examples as the data. Of `c` classes, each gets `n / c` of them (rounded up or down): a random
    part of a larger class; of a smaller one each example once, twice, ... The trap: a rare class is seen so often that
    the network overfits its few images, so augment them.

    Args:
        labels: The class of each example, integers `[n]`: `jaxcv.data.feature_values(source)`.

    Returns:
        The order, of `n` indices an epoch.

    Raises:
        ValueError: `labels` are not integers `[n]`.

    Example:
        >>> labels = np.array([0, 0, 0, 0, 0, 0, 1, 1])
        >>> np.bincount(labels[class_balanced(labels)(0, 0)]).tolist()
        [4, 4]

    Paper: Kang et al., "Decoupling representation and classifier for long-tailed recognition", ICLR 2020, section 3.
    """
    classes = _members(labels)
    share, rest = divmod(sum(map(len, classes)), len(classes))

    def order(seed: int, epoch: int) -> np.ndarray:
        rng = _generator(seed, epoch)
        counts = np.full(len(classes), share)
        counts[rng.permutation(len(classes))[:rest]] += 1
        drawn = [
            _first(rng.permutation(members), count) for members, count in zip(classes, counts.tolist(), strict=True)
        ]
        return rng.permutation(np.concatenate(drawn))

    return order


def grouped(groups: ArrayLike, *, batch_size: int) -> Order:
    """Batches of one group each, in random order: portraits apart from landscapes, so that little is padding.

    Each group is shuffled and cut into batches; its last batch is filled up with examples of the group, which come
    twice in that epoch. Each batch may have an image size of its own, and a compiled step is compiled once for each.
    The trap: with `on_broken='skip'` a broken example is replaced by its neighbour in the data set, which may be of
    another group and another size.

    Args:
        groups: The group of each example, integers `[n]`.
        batch_size: Examples in a global batch, as in `train_batches`.

    Returns:
        The order; an epoch is a multiple of `batch_size`.

    Raises:
        ValueError: `groups` are not integers `[n]`, or `batch_size` is less than 1.

    Example:
        >>> aspects = np.array([1.5, 0.7, 1.3, 0.8, 1.4])  # width / height
        >>> groups = np.digitize(aspects, [1.0])
        >>> groups[grouped(groups, batch_size=2)(0, 0)].reshape(-1, 2).tolist()
        [[1, 1], [1, 1], [0, 0]]
    """
    members_of = _members(groups)
    if batch_size < 1:
        raise ValueError(f'grouped: batch_size must be at least 1, got {batch_size}')

    def order(seed: int, epoch: int) -> np.ndarray:
        rng = _generator(seed, epoch)
        batches = [
            _first(rng.permutation(members), -(-len(members) // batch_size) * batch_size).reshape(-1, batch_size)
            for members in members_of
        ]
        return rng.permutation(np.concatenate(batches)).ravel()

    return order


def identities(labels: ArrayLike, *, identities: int, images: int, batch_size: int | None = None) -> Order:
    """Batches of P identities with K images each: every batch holds positive and negative pairs for a triplet loss.

    An epoch has as many batches of P K examples as the data fill, at least one. The identities come in random order,
    each about equally often and never twice in a batch; the K images of each are drawn without replacement. The trap:
    an identity with fewer than K images repeats them, and a pair of one image and itself teaches nothing.

    Args:
        labels: The identity of each example, integers `[n]`.
        identities: P, identities in a batch.
        images: K, images of each.
        batch_size: Of `train_batches`, which must be P K; None: not checked.

    Returns:
        The order; an epoch is a multiple of P K.

    Raises:
        ValueError: `labels` are not integers `[n]`, there are fewer than P identities, P or K is less than 1,
            or `batch_size` is not P K.

    Example:
        >>> labels = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])
        >>> labels[identities(labels, identities=2, images=2)(0, 0)].reshape(-1, 4).tolist()
        [[2, 2, 0, 0], [2, 2, 1, 1]]

    Paper: Hermans, Beyer and Leibe, "In defense of the triplet loss for person re-identification", 2017, section 2.
    """
    images_of = _members(labels)
    if not 1 <= identities <= len(images_of) or images < 1:
        raise ValueError(
            f'identities: batches of {identities} identities with {images} images cannot be made of '
            f'{len(images_of)} identities; both must be at least 1'
        )
    if batch_size is not None and batch_size != identities * images:
        raise ValueError(
            f'identities: {identities} identities with {images} images are {identities * images} examples, '
            f'but batch_size is {batch_size}'
        )
    batches = max(1, sum(map(len, images_of)) // (identities * images))
    batches_a_round = len(images_of) // identities

    def order(seed: int, epoch: int) -> np.ndarray:
        rng = _generator(seed, epoch)
        # In a round of batches no identity comes twice; those that do not fill a batch wait for the next round.
        rounds = [
            rng.permutation(len(images_of))[: batches_a_round * identities]
            for _ in range(-(-batches // batches_a_round))
        ]
        chosen = np.concatenate(rounds)[: batches * identities]
        return np.concatenate([_drawn(rng, images_of[identity], images) for identity in chosen])

    return order


def _generator(seed: int, epoch: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, epoch]))


def _members(labels: ArrayLike) -> list[np.ndarray]:
    """The indices of each distinct label, those of the least label first."""
    array = np.asarray(labels)
    if array.ndim != 1 or not array.size or array.dtype.kind not in 'iu':
        raise ValueError(f'an order by labels needs one integer for each example, got {array.dtype} {array.shape}')
    _, counts = np.unique(array, return_counts=True)
    return np.split(np.argsort(array, kind='stable'), np.cumsum(counts)[:-1])


def _first(indices: np.ndarray, count: int) -> np.ndarray:
    """The first `count` indices, repeated from the start where there are fewer."""
    return np.resize(indices, count)


def _drawn(rng: np.random.Generator, indices: np.ndarray, count: int) -> np.ndarray:
    """`count` random indices, each once, or repeated where there are fewer."""
    return _first(rng.choice(indices, min(count, len(indices)), replace=False), count)
