"""Growing decision trees, many at a time: one histogram for all nodes that are split together.

Breiman et al., "Classification and Regression Trees", 1984.
"""

import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxcv.classical.trees import Bins, Trees
from jaxcv.types import Array, Float, Int, Key

__all__ = ['grow']

Criterion = Literal['gini', 'entropy', 'variance']


class _Queue(NamedTuple):
    """The nodes to be split, in the order of their birth, each with its examples as one run of a ring of examples."""

    node: Array
    begin: Array
    examples: Array
    depth: Array
    seed: Array
    """Of the features that the node draws, from that of its parent."""


class _State(NamedTuple):
    trees: Trees
    queue: _Queue
    head: Array
    """The next place of the queue to be worked on."""
    tail: Array
    """The next place of the queue to be filled."""
    member: Array
    """The ring: tree · n + example."""
    place: Array
    """The place in the queue of the node which a member of the ring is in."""
    end: Array
    """The next place of the ring to be filled."""


def grow(
    keys: Key[Array, ' trees'],
    bins: Bins,
    targets: Float[Array, ' n'] | Int[Array, ' n'],
    weights: Float[Array, 'trees n'],
    *,
    criterion: Criterion = 'gini',
    num_classes: int = 2,
    max_features: int | None = None,
    max_depth: int | None = None,
    min_samples_split: int = 2,
    min_samples_leaf: int = 1,
    cells: int | None = None,
) -> Trees:
    """One tree for each row of weights; all in one compiled loop, which splits a block of nodes of any trees at a time.

    A node's split is the one of least weighted impurity of its two sides, `Σ_side w · impurity`, of all thresholds of
    `max_features` features drawn for that node. The impurity is `1 - Σ p_c²` (gini), `-Σ p_c ln p_c` (entropy) or the
    variance of the targets. As in scikit-learn, a node is a leaf only when it is pure, a limit says so, or no feature
    differs in it: constant features that are drawn are replaced by one that isn't, and thresholds are midpoints.
    It compiles for shapes and options only, so that boosting can call it again and again, also under `jit`.

    Args:
        keys: one per tree; a tree depends on its own key, not on the other trees.
        bins: the features, see `trees.bin_features`.
        targets: `[n]`, classes from 0 for gini and entropy, numbers for variance (of mean near 0, as sums are float32).
        weights: `[trees, n]`, at least 0. Examples of weight 0 are not in the tree, and count for no limit.
        criterion: the impurity.
        num_classes: the number of classes; 1 for variance.
        max_features: how many features a node tries; by default all, in which case no key matters.
        max_depth: the most splits on a path.
        min_samples_split: nodes of fewer examples are leaves.
        min_samples_leaf: a split leaves at least so many examples on each side.
        cells: how many numbers a block's histogram may have, which bounds the memory beyond that of data and trees; by
            default 2^18 (1 MB, which a CPU's cache holds) on a CPU and 2^24 (64 MB) elsewhere.

    Returns:
        The trees; the pool has room for all nodes that there could be, `size` are in use.

    Raises:
        ValueError: an option is out of range, or the shapes do not agree.

    Example:
        >>> from jaxcv.classical.trees import bin_features
        >>> bins = bin_features(jnp.array([[0.0], [1.0], [2.0], [3.0]]))
        >>> trees = grow(jax.random.split(jax.random.key(0), 1), bins, jnp.array([0, 0, 1, 1]), jnp.ones((1, 4)))
        >>> print(trees.size, trees.threshold[0], trees.statistics[1:3].tolist())
        3 1.5 [[2.0, 0.0], [0.0, 2.0]]
    """
    n, d = bins.codes.shape
    max_features = d if max_features is None else max_features
    if weights.shape != (len(keys), n) or targets.shape != (n,):
        raise ValueError(f'{n} examples, {len(keys)} keys, but targets {targets.shape} and weights {weights.shape}')
    if not 1 <= max_features <= d:
        raise ValueError(f'max_features must be from 1 to the {d} features, got {max_features}')
    if min_samples_split < 2 or min_samples_leaf < 1 or (max_depth is not None and max_depth < 1):
        raise ValueError(
            'min_samples_split must be at least 2, min_samples_leaf and max_depth at least 1, '
            f'got {min_samples_split}, {min_samples_leaf} and {max_depth}'
        )
    if 2 * len(keys) * n >= 2**31:
        raise ValueError(f'{len(keys)} trees of {n} examples are too many at a time: grow them in groups')
    if cells is None:
        cells = 2**18 if jax.default_backend() == 'cpu' else 2**24
    return _grow(
        keys,
        bins,
        targets,
        weights,
        criterion=criterion,
        num_classes=num_classes,
        max_features=max_features,
        max_depth=n if max_depth is None else max_depth,
        min_split=max(min_samples_split, 2 * min_samples_leaf),
        min_leaf=min_samples_leaf,
        cells=cells,
    )


def most_nodes(n: int, max_depth: int | None, min_samples_leaf: int) -> int:
    """At most how many nodes a tree of n examples has."""
    most = max(1, 2 * (n // min_samples_leaf) - 1)
    return most if max_depth is None or max_depth > 30 else min(most, 2 ** (max_depth + 1) - 1)


@functools.partial(
    jax.jit,
    static_argnames=(
        'criterion',
        'num_classes',
        'max_features',
        'max_depth',
        'min_split',
        'min_leaf',
        'cells',
    ),
)
def _grow(
    keys: Array,
    bins: Bins,
    targets: Array,
    weights: Array,
    *,
    criterion: Criterion,
    num_classes: int,
    max_features: int,
    max_depth: int,
    min_split: int,
    min_leaf: int,
    cells: int,
) -> Trees:
    n, d = bins.codes.shape
    num_trees, num_bins = len(keys), bins.lowest.shape[1]
    outputs = 2 if criterion == 'variance' else num_classes
    channels = outputs + (min_leaf > 1)  # the last one counts examples
    nodes = max(1, cells // (max_features * num_bins * channels))  # in a block
    columns = nodes * max_features
    rows = max(256, cells // (16 * max_features))  # in a chunk: a block's examples are read chunk by chunk
    pool = num_trees * most_nodes(n, max_depth, min_leaf)
    ring = 2 * num_trees * n  # the block that is read, and what it writes
    weights = weights.ravel()

    def contributions(member: Array) -> list[tuple[Array | int, Array]]:
        """What an example adds to which channels."""
        weight, target = weights[member], targets[member % n]
        parts: list[tuple[Array | int, Array]] = [(target, weight)]
        if criterion == 'variance':
            parts = [(0, weight), (1, weight * target)]
        return [*parts, (outputs, jnp.ones_like(weight))] if min_leaf > 1 else parts

    def split_block(state: _State) -> _State:
        trees, queue = state.trees, state.queue
        places = state.head + jnp.arange(nodes)
        active = places < state.tail
        parents = jax.tree.map(lambda leaf: leaf[jnp.minimum(places, state.tail - 1)], queue)
        count = jnp.sum(jnp.where(active, parents.examples, 0))
        chunks = -(-count // rows)
        begin = parents.begin[0]

        def chunk(index: Array, state: _State) -> tuple[Array, Array, Array]:
            """Some examples of the block: who they are, in which of its nodes, and are they there at all."""
            offset = index * rows + jnp.arange(rows)
            position = (begin + offset) % ring
            there = offset < count
            return state.member[position], jnp.where(there, state.place[position] - state.head, 0), there

        def codes_of(member: Array) -> Array:
            return bins.codes[member % n].astype(jnp.int32)

        # The examples of a node are sorted by fingerprint: where first and last agree in all features, so do all.
        last = (parents.begin + parents.examples - 1) % ring
        differs = codes_of(state.member[parents.begin]) != codes_of(state.member[last])
        if max_features < d:
            tried = _draw(parents.seed, differs, max_features)
        else:
            tried = jnp.broadcast_to(jnp.arange(d), (nodes, d))

        def tally(index: Array, histogram: Array) -> Array:
            member, local, there = chunk(index, state)
            code = bins.codes[(member % n)[:, None], tried[local]].astype(jnp.int32)
            column = local[:, None] * max_features + jnp.arange(max_features)
            for channel, value in contributions(member):
                channel = jnp.broadcast_to(jnp.asarray(channel, jnp.int32), member.shape)[:, None]
                cell = jnp.where(there[:, None], (code * channels + channel) * columns + column, histogram.size)
                histogram = histogram.at[cell].add(jnp.broadcast_to(value[:, None], cell.shape), mode='drop')
            return histogram

        histogram = lax.fori_loop(0, chunks, tally, jnp.zeros(num_bins * channels * columns))
        split = _best_split(
            histogram.reshape(num_bins, channels, columns),
            criterion,
            max_features=max_features,
            outputs=outputs,
            min_leaf=min_leaf,
        )
        feature = jnp.take_along_axis(tried, split.tried[:, None], 1)[:, 0]
        low, high = bins.highest[feature, split.bin], bins.lowest[feature, split.next_bin]
        middle = low + (high - low) / 2
        threshold = jnp.where(middle < high, middle, low)  # rounded up, it would let `high` go left
        splits = active & split.valid

        child = trees.size + 2 * (jnp.cumsum(splits) - splits)
        parent = jnp.where(splits, parents.node, pool)
        tree = state.member[parents.begin] // n
        children = jnp.where(splits[:, None], child[:, None] + jnp.arange(2), pool)  # [nodes 2]
        trees = trees._replace(
            feature=trees.feature.at[parent].set(feature, mode='drop'),
            threshold=trees.threshold.at[parent].set(threshold, mode='drop'),
            left=trees.left.at[parent].set(child, mode='drop'),
            statistics=trees.statistics.at[children].set(split.statistics, mode='drop'),
            decrease=trees.decrease.at[tree, feature].add(jnp.where(splits, split.gain, 0)),
            depth=jnp.maximum(trees.depth, jnp.max(jnp.where(splits, parents.depth + 1, 0))),
            size=trees.size + 2 * jnp.sum(splits),
        )

        def side_of(member: Array, local: Array) -> Array:
            """Which child of the block an example goes to: 2 · node, and 1 more to the right."""
            code = bins.codes[member % n, feature[local]]
            return 2 * local + (code > split.bin[local])

        def census(index: Array, found: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            member, local, there = chunk(index, state)
            side = jnp.where(there, side_of(member, local), 2 * nodes)
            target = targets[member % n]
            sizes, least, most = found
            return (
                sizes.at[side].add(1, mode='drop'),
                least.at[side].min(target, mode='drop'),
                most.at[side].max(target, mode='drop'),
            )

        none = jnp.zeros(2 * nodes, targets.dtype)
        sizes, least, most = lax.fori_loop(
            0, chunks, census, (jnp.zeros(2 * nodes, jnp.int32), none + _largest(targets), none - _largest(targets))
        )
        depth = jnp.repeat(parents.depth + 1, 2)
        lives = jnp.repeat(splits, 2) & (least < most) & (sizes >= min_split) & (depth < max_depth)
        kept = jnp.where(lives, sizes, 0)
        begins = (state.end + jnp.cumsum(kept) - kept) % ring
        slots = state.tail + jnp.cumsum(lives) - lives
        seeds = _mix(2 * parents.seed[:, None] + jnp.arange(2, dtype=jnp.uint32)).ravel()
        born = _Queue(children.ravel(), begins, sizes, depth, seeds)
        queue = jax.tree.map(lambda old, new: old.at[jnp.where(lives, slots, pool)].set(new, mode='drop'), queue, born)

        before = (jnp.cumsum(sizes.reshape(-1, 2), axis=0) - sizes.reshape(-1, 2)).ravel()

        def move(index: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            """Stable, so that a node's examples stay sorted."""
            member_ring, place_ring, lefts = carry
            member, local, there = chunk(index, state._replace(member=member_ring, place=place_ring))
            side = side_of(member, local)
            left = there & (side % 2 == 0)
            left_before = lefts + jnp.cumsum(left) - left
            rank = jnp.where(side % 2 == 0, left_before, index * rows + jnp.arange(rows) - left_before) - before[side]
            position = jnp.where(there & lives[side], (begins[side] + rank) % ring, ring)
            return (
                member_ring.at[position].set(member, mode='drop'),
                place_ring.at[position].set(slots[side], mode='drop'),
                lefts + jnp.sum(left),
            )

        member, place, _ = lax.fori_loop(0, chunks, move, (state.member, state.place, jnp.zeros((), jnp.int32)))
        return _State(
            trees=trees,
            queue=queue,
            head=jnp.minimum(state.head + nodes, state.tail),
            tail=state.tail + jnp.sum(lives),
            member=member,
            place=place,
            end=(state.end + jnp.sum(kept)) % ring,
        )

    first = _first_state(keys, bins.codes, targets, weights, pool, ring, outputs, contributions, min_split)
    return lax.while_loop(lambda state: state.head < state.tail, split_block, first).trees


def _first_state(keys, codes, targets, weights, pool, ring, outputs, contributions, min_split) -> _State:
    """The roots, and all examples of positive weight in them."""
    (n, d), num_trees = codes.shape, len(keys)
    tree = jnp.repeat(jnp.arange(num_trees), n)
    member = (jnp.arange(num_trees)[:, None] * n + jnp.argsort(_fingerprint(codes))).ravel()
    present = weights[member] > 0
    sizes = jnp.sum(present.reshape(num_trees, n), axis=1)
    target = targets[member % n].reshape(num_trees, n)
    least = jnp.min(jnp.where(present.reshape(num_trees, n), target, _largest(targets)), axis=1)
    most = jnp.max(jnp.where(present.reshape(num_trees, n), target, -_largest(targets)), axis=1)
    lives = (least < most) & (sizes >= min_split)
    kept = jnp.where(lives, sizes, 0)
    slots = jnp.cumsum(lives) - lives
    stays = present & lives[tree]
    position = jnp.where(stays, jnp.cumsum(stays) - 1, ring)
    statistics = jnp.zeros((pool, outputs))
    for channel, value in contributions(member):
        if not isinstance(channel, int) or channel < outputs:
            statistics = statistics.at[tree, channel].add(value)

    def queued(values: Array, empty: Array) -> Array:
        return empty.at[jnp.where(lives, slots, pool)].set(values, mode='drop')

    zeros = jnp.zeros(pool, jnp.int32)
    return _State(
        trees=Trees(
            root=jnp.arange(num_trees),
            feature=zeros,
            threshold=jnp.full(pool, jnp.inf),
            left=jnp.arange(pool),
            statistics=statistics,
            decrease=jnp.zeros((num_trees, d)),
            depth=jnp.zeros((), jnp.int32),
            size=jnp.asarray(num_trees, jnp.int32),
        ),
        queue=_Queue(
            node=queued(jnp.arange(num_trees), zeros),
            begin=queued(jnp.cumsum(kept) - kept, zeros),
            examples=queued(sizes, zeros),
            depth=zeros,
            seed=queued(jax.vmap(jax.random.bits)(keys), zeros.astype(jnp.uint32)),
        ),
        head=jnp.zeros((), jnp.int32),
        tail=jnp.sum(lives),
        member=jnp.zeros(ring, jnp.int32).at[position].set(member, mode='drop'),
        place=jnp.zeros(ring, jnp.int32).at[position].set(slots[tree], mode='drop'),
        end=jnp.sum(kept) % ring,
    )


def _mix(value: Array) -> Array:
    """A hash of uint32 numbers, each bit of which depends on all bits (the finalizer of MurmurHash3)."""
    value = (value ^ (value >> 16)) * jnp.uint32(0x85EBCA6B)
    value = (value ^ (value >> 13)) * jnp.uint32(0xC2B2AE35)
    return value ^ (value >> 16)


def _fingerprint(codes: Array) -> Array:
    """A number per row that equal rows share and others hardly ever: the sum of hashes of (feature, code)."""
    feature = _mix(jnp.arange(1, codes.shape[1] + 1, dtype=jnp.uint32))
    return jnp.sum(_mix(feature + codes.astype(jnp.uint32)), axis=1, dtype=jnp.uint32)


def _draw(seed: Array, differs: Array, max_features: int) -> Array:
    """Some features for each node `[nodes]`, of those `[nodes, d]` where one that differs within the node is needed.

    The features in random order (a hash is 10 times cheaper than a key a node, and a tree needs no better): the first
    ones; where none of them differs, the next that does takes the place of one, as if drawing went on until then.
    """
    order = _mix(seed[:, None] ^ _mix(jnp.arange(1, differs.shape[1] + 1, dtype=jnp.uint32)))
    order = (order >> 1).astype(jnp.int32)

    def draw(order: Array, _: None) -> tuple[Array, Array]:
        feature = jnp.argmax(order, axis=1)
        return order.at[jnp.arange(len(order)), feature].set(-1), feature

    tried = lax.scan(draw, order, length=max_features)[1].T  # lax.top_k sorts all, on a CPU
    constant = ~jnp.take_along_axis(differs, tried, 1).any(1)
    found = jnp.argmax(jnp.where(differs, order, -1), axis=1)
    return tried.at[:, 0].set(jnp.where(constant, found, tried[:, 0]))


def _largest(array: Array) -> Array:
    """The largest number of the array's type, whose negative it has too."""
    info = jnp.finfo if jnp.issubdtype(array.dtype, jnp.floating) else jnp.iinfo
    return jnp.asarray(info(array.dtype).max, array.dtype)


class _Split(NamedTuple):
    """Of each node of a block."""

    valid: Array
    tried: Array
    """Which of the features that were tried."""
    bin: Array
    """The last bin that goes left and has examples."""
    next_bin: Array
    """The first bin with examples that goes right."""
    gain: Array
    statistics: Array
    """`[nodes, 2, outputs]`, of the two sides."""


def _best_split(histogram: Array, criterion: Criterion, *, max_features: int, outputs: int, min_leaf: int) -> _Split:
    """The threshold of greatest gain, of a histogram `[bins, channels, nodes · tried]`."""
    bins = jnp.arange(len(histogram))[:, None]
    weight = histogram[:, 0] if criterion == 'variance' else jnp.sum(histogram[:, :outputs], axis=1)
    has = weight > 0  # [bins columns]
    left = lax.associative_scan(jnp.add, histogram)  # jnp.cumsum is 10 times slower on a CPU
    total = left[-1]
    right = total - left
    # A threshold is above a bin with examples, and examples are above it. Not `right > 0`: differences are rounded.
    valid = has & (bins < jnp.max(jnp.where(has, bins, -1), axis=0))
    if min_leaf > 1:
        valid &= (left[:, -1] >= min_leaf) & (right[:, -1] >= min_leaf)
    purity = jnp.where(valid, _purity(left, criterion, outputs) + _purity(right, criterion, outputs), -jnp.inf)
    best = jnp.max(purity, axis=0).reshape(-1, max_features)
    tried = jnp.argmax(best, axis=1)
    column = jnp.arange(len(tried)) * max_features + tried
    threshold = jnp.argmax(purity[:, column], axis=0)
    above = bins > threshold  # [bins nodes]
    # Summed apart, a class that a side lacks has weight 0 exactly.
    chosen = histogram[:, :outputs, column]
    sides = [jnp.sum(jnp.where(side[:, None], chosen, 0), axis=0) for side in (~above, above)]
    return _Split(
        valid=jnp.max(best, axis=1) > -jnp.inf,
        tried=tried,
        bin=threshold,
        next_bin=jnp.argmax(has[:, column] & above, axis=0),
        gain=jnp.max(best, axis=1) - _purity(total[None, :, column], criterion, outputs)[0],
        statistics=jnp.stack(sides).transpose(2, 0, 1),
    )


def _purity(statistics: Array, criterion: Criterion, outputs: int) -> Array:
    """What is left of `-weight · impurity` when terms that both sides of any split share are dropped; of axis 1."""
    statistics = statistics[:, :outputs]
    if criterion == 'variance':
        weight, total = statistics[:, 0], statistics[:, 1]
        return total**2 / jnp.where(weight > 0, weight, 1)
    weight = jnp.sum(statistics, axis=1)
    weight = jnp.where(weight > 0, weight, 1)
    if criterion == 'gini':
        return jnp.sum(statistics**2, axis=1) / weight
    share = statistics / weight[:, None]
    return jnp.sum(statistics * jnp.log(jnp.where(share > 0, share, 1)), axis=1)
