"""Orders of the training examples: functions (seed, epoch) -> indices, for `train_batches(order=...)`.

`shuffled` is the default. The others change how often an example comes (`class_balanced`) or which examples share a
batch (`grouped`, `identities`). An order of your own is a function of the same kind:

* It is pure: the same seed and epoch give the same indices. Draw from `numpy.random.Generator(PCG64([seed, epoch]))`.
* It returns integers `[n]` in `[0, source.size)`. `n` is at least 1 and the same for every epoch. Indices may repeat,
  and examples may be left out.
* The epochs are joined without a gap and cut into batches. An order that composes whole batches therefore returns a
  multiple of the batch size, or from the second epoch on its batches are cut at other places.
"""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from absl import logging
from numpy.typing import ArrayLike

from jaxcv.arguments import checked

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
    classes = members_of(labels)
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
    batches_of = members_of(groups)
    if batch_size < 1:
        raise ValueError(f'grouped: batch_size must be at least 1, got {batch_size}')

    def order(seed: int, epoch: int) -> np.ndarray:
        rng = _generator(seed, epoch)
        batches = [
            _first(rng.permutation(members), -(-len(members) // batch_size) * batch_size).reshape(-1, batch_size)
            for members in batches_of
        ]
        return rng.permutation(np.concatenate(batches)).ravel()

    return order


@checked
def identities(
    labels: ArrayLike,
    *,
    identities: int,
    images: int,
    batch_size: int | None = None,
    fewer: Literal['repeat', 'skip', 'error'] = 'repeat',
) -> Order:
    """Batches of P identities with K images each: every batch holds positive and negative pairs for a triplet loss.

    Identities are dealt like a deck of cards, shuffled anew each time: none comes again before all the others have
    come, and none twice in a batch. At each turn an identity gives its next K images, of a shuffled row that goes on
    from turn to turn and from epoch to epoch: none comes again before all others of that identity have come. So every
    identity and image is used, whatever the sizes. An epoch has as many batches of P K examples as the data fill, at
    least one.

    Args:
        labels: The identity of each example, integers `[n]`.
        identities: P, identities in a batch.
        images: K, images of each.
        batch_size: Of `train_batches`, which must be P K; None: not checked.
        fewer: Identities with fewer than K images: 'repeat' them within a batch (a pair of an image and itself teaches
            nothing), 'skip' them, or 'error'. The first two are logged once.

    Returns:
        The order; an epoch is a multiple of P K.

    Raises:
        ValueError: `labels` are not integers `[n]`, there are fewer than P identities, P or K is less than 1,
            `batch_size` is not P K, or identities have fewer than K images and `fewer` is 'error'.

    Example:
        >>> labels = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])
        >>> labels[identities(labels, identities=2, images=2)(0, 0)].reshape(-1, 4).tolist()
        [[2, 2, 0, 0], [1, 1, 2, 2]]

    Paper: Hermans, Beyer and Leibe, "In defense of the triplet loss for person re-identification", 2017, section 2.
    """
    images_of = _with_enough(members_of(labels), images, fewer)
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
    count = len(images_of)
    hands = max(1, sum(map(len, images_of)) // (identities * images)) * identities

    def order(seed: int, epoch: int) -> np.ndarray:
        start = epoch * hands
        first, last = start // count, (start + hands - 1) // count
        dealt = np.concatenate(_decks(seed, first, last, count, identities))[start - first * count :][:hands]
        turns = np.arange(start, start + hands) // count
        each = zip(dealt.tolist(), turns.tolist(), strict=True)
        return np.concatenate([_turn(images_of[i], images, (seed, i, turn)) for i, turn in each])

    return order


def _with_enough(images_of: list[np.ndarray], images: int, fewer: str) -> list[np.ndarray]:
    """The identities that are used; says how many have too few images."""
    few = [len(members) for members in images_of if len(members) < images]
    if not few:
        return images_of
    found = f'{len(few):,} of {len(images_of):,} identities have fewer than {images} images, the fewest {min(few)}'
    if fewer == 'error':
        raise ValueError(f"identities: {found}; take fewer images of each, or fewer='skip' or 'repeat'")
    logging.warning('identities: %s: %s.', found, 'left out' if fewer == 'skip' else 'their images are repeated')
    return [members for members in images_of if len(members) >= images] if fewer == 'skip' else images_of


def _decks(seed: int, first: int, last: int, count: int, size: int) -> list[np.ndarray]:
    """The identities of the decks `first` to `last`, each a permutation; consecutive batches of `size` have no two.

    Decks are joined without a gap, so that a batch may have the end of one and the start of the next: there, identities
    that are in the batch already are exchanged for later ones, among the deck's first `2 size`.
    """
    # The end of a deck of `3 size` is never exchanged; of a smaller one it depends on all the decks before.
    begin = max(0, first - 1) if count >= 3 * size else 0
    decks: list[np.ndarray] = []
    for number in range(begin, last + 1):
        deck = _generator(seed, number).permutation(count)
        there = number * count % size
        if there and decks:
            free = size - there
            taken = np.isin(deck[: free + size], decks[-1][-there:])
            wrong = np.flatnonzero(taken[:free])
            right = free + np.flatnonzero(~taken[free:])[: len(wrong)]
            deck[wrong], deck[right] = deck[right], deck[wrong]
        decks.append(deck)
    return decks[first - begin :]


def _turn(members: np.ndarray, images: int, draw: tuple[int, int, int]) -> np.ndarray:
    """The images of one turn of an identity.

    The row of its n images is used again and again, until the end of a round is the end of a turn too: then it is
    shuffled anew. So any turn is known without those before, and K images in a row are different ones.
    """
    seed, identity, turn = draw
    n = len(members)
    if n < images:
        return _first(np.random.Generator(np.random.PCG64([seed, identity, turn])).permutation(members), images)
    shuffle, place = divmod(turn * images, math.lcm(n, images))
    row = np.random.Generator(np.random.PCG64([seed, identity, shuffle])).permutation(members)
    return row[(place + np.arange(images)) % n]


def _generator(seed: int, epoch: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, epoch]))


def members_of(labels: ArrayLike) -> list[np.ndarray]:
    """The indices of each distinct label, those of the least label first.

    Example:
        >>> [members.tolist() for members in members_of([1, 0, 1])]
        [[1], [0, 2]]
    """
    array = np.asarray(labels)
    if array.ndim != 1 or not array.size or array.dtype.kind not in 'iu':
        raise ValueError(f'an order by labels needs one integer for each example, got {array.dtype} {array.shape}')
    _, counts = np.unique(array, return_counts=True)
    return np.split(np.argsort(array, kind='stable'), np.cumsum(counts)[:-1])


def _first(indices: np.ndarray, count: int) -> np.ndarray:
    """The first `count` indices, repeated from the start where there are fewer."""
    return np.resize(indices, count)
