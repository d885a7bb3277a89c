"""Growth of decision trees, many at a time, in one compiled loop.

A node is split by a histogram: for each feature that it tries and each bin of the feature, the weights of the classes
of its examples (or the weight, and the weighted sum of targets) are added up, and the best threshold is read off the
cumulative sums (`splits.best_split`). One node is little work for one step of a compiled loop, so each step splits a
*block*: the next nodes that wait, of whichever trees, as many as the histogram has room for. All shapes are fixed
(`frontier.Sizes`); only the contents of three buffers change (`frontier.State`):

* **The pool** holds the nodes of all trees (`trees.Trees`). Tree t's root is node t, and the two children of a split
  are the next two free nodes.
* **The queue** holds the nodes that are to be split, in the order in which they were made. Those before `head` are
  done, those from `head` to `tail` wait. A child that is pure or at a limit is a leaf and never enters the queue.
* **The ring** holds the examples of the waiting nodes, as numbers `tree · n + example`. Each node has one run of it,
  and the runs are in the order of the queue, so the examples of a block are contiguous.

A step with a block of three nodes a, b and c, where both children of b and the right one of c are leaves:

    queue   | done        | a   b   c         | d   e           | free                  |
                          ^ head                                ^ tail
    ring    | free        | a a a a b b c c c | d d d e e e e e | free                  |
                          ^ a's begin                           ^ end

    queue   | done                            | d   e           | a0    a1    c0 | free |
                                              ^ head                             ^ tail
    ring    | free                            | d d d e e e e e | a0 a0 a1 a1 c0 | free |
                                                                                 ^ end

The ring wraps around at its end. A step reads the parents' runs while it writes the children's. Each example of a tree
is in at most one waiting node, so both take at most `trees · n` places, and a ring of `2 · trees · n` is never
overwritten before it is read.

A step reads the block's examples three times, in chunks of `rows`, which bounds the memory: to fill the histogram
(`_histogram`), to count the children's examples (`frontier.find_children`), and to copy them to the end of the ring
(`frontier.move`). The copy is stable, and the ring starts sorted by a fingerprint of the features, so a node's examples
stay sorted by it: if its first and last example are equal, all are, and otherwise the features in which these two
differ are known to differ within the node.

Most nodes of a fully grown tree have a few examples, and most bins of their histograms would be empty. So *small* nodes
are put off: they wait in a queue and a ring of their own (`State.later`), until a second loop splits them by histograms
with a bin for each example, its rank (`_split_small`). Of 256 bins, its blocks have 8 times as many nodes.

Breiman et al., "Classification and Regression Trees", 1984.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from jaxcv.arguments import AtLeast1, AtLeast2, checked
from jaxcv.classical.frontier import (
    Block,
    Cut,
    Data,
    Frontier,
    Limits,
    Queue,
    Sizes,
    State,
    append,
    chunk,
    find_children,
    largest_of,
    next_block,
)
from jaxcv.classical.splits import Criterion, Split, best_split, draw_features, fingerprint
from jaxcv.classical.trees import Bins, Trees
from jaxcv.types import Array, Float, Int, Key

__all__ = ['grow']

_FEW = 32
"""Examples of a small node, at most."""
_WORTH = 2**14
"""Examples of all trees from which on a second loop saves more than the 3 seconds that its compilation takes."""


@checked
def grow(
    keys: Key[Array, ' trees'],
    bins: Bins,
    targets: Float[Array, ' n'] | Int[Array, ' n'],
    weights: Float[Array, 'trees n'],
    *,
    criterion: Criterion = 'gini',
    num_classes: AtLeast1 = 2,
    max_features: AtLeast1 | None = None,
    max_depth: AtLeast1 | None = None,
    min_samples_split: AtLeast2 = 2,
    min_samples_leaf: AtLeast1 = 1,
    cells: AtLeast1 | None = None,
) -> Trees:
    """Grow a decision tree for each row of weights.

    A node is split at the threshold of least weighted impurity of the two sides, `Σ_side w · impurity`, among all
    thresholds of `max_features` features drawn for the node. The impurity is `1 - Σ p_c²` (gini), `-Σ p_c ln p_c`
    (entropy) or the variance of the targets. As in scikit-learn, thresholds are midpoints, and a node is a leaf only if
    it is pure, a limit is reached, or no feature differs within it: where all features drawn are constant, one that is
    not replaces them. The function compiles for shapes and options only, so boosting can call it repeatedly, also under
    `jit`.

    Args:
        keys: one for each tree; a tree depends on its own key, not on the other trees.
        bins: the features, see `trees.bin_features`.
        targets: `[n]`: classes from 0 for gini and entropy; for variance numbers, with a mean near 0, because sums are
            float32.
        weights: `[trees, n]`, at least 0. Examples of weight 0 are not in the tree and do not count for the limits.
        criterion: the impurity.
        num_classes: the number of classes; 1 for variance.
        max_features: the number of features that a node tries; by default all, and then the keys are not used.
        max_depth: the maximum number of splits on a path.
        min_samples_split: nodes with fewer examples are leaves.
        min_samples_leaf: the minimum number of examples on each side of a split.
        cells: the maximum size of a block's histogram in numbers, which bounds the memory in addition to data and
            trees; by default 2^18 (1 MB, within a CPU's cache) on a CPU and 2^24 (64 MB) elsewhere.

    Returns:
        The trees. The pool has room for the largest possible trees; its first `size` nodes are in use.

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
    if criterion != 'variance' and not jnp.issubdtype(targets.dtype, jnp.integer):
        raise ValueError(f'targets must be class indices for {criterion}, got {targets.dtype}')
    if not 1 <= max_features <= d:
        raise ValueError(f'max_features must be from 1 to the {d} features, got {max_features}')
    if 2 * len(keys) * n >= 2**31:
        raise ValueError(f'{len(keys)} trees of {n} examples are too many at a time: grow them in groups')
    if cells is None:
        cells = 2**18 if jax.default_backend() == 'cpu' else 2**24
    limits = Limits(
        criterion=criterion,
        max_depth=n if max_depth is None else max_depth,
        min_split=max(min_samples_split, 2 * min_samples_leaf),
        min_leaf=min_samples_leaf,
    )
    outputs = 2 if criterion == 'variance' else num_classes
    channels = outputs + (min_samples_leaf > 1)
    num_bins = bins.lowest.shape[1]
    # Shallow trees of many examples have no small nodes, and histograms of few bins are no larger than those.
    deep = limits.min_split <= _FEW and n < _FEW * 2 ** min(limits.max_depth, 30)
    has_small = deep and num_bins >= 4 * _FEW and len(keys) * n >= _WORTH
    sizes = Sizes(
        examples=n,
        trees=len(keys),
        tried=max_features,
        bins=num_bins,
        outputs=outputs,
        channels=channels,
        nodes=max(1, cells // (max_features * num_bins * channels)),
        rows=max(256, cells // (16 * max_features)),
        pool=len(keys) * most_nodes(n, limits.max_depth, min_samples_leaf),
        ring=2 * len(keys) * n,
        few=_FEW if has_small else 0,
    )
    of_small = sizes._replace(nodes=max(1, cells // (max_features * _FEW * channels)))
    return _grow(keys, Data(bins, targets, weights), sizes=sizes, of_small=of_small, limits=limits)


def most_nodes(n: int, max_depth: int | None, min_samples_leaf: int) -> int:
    """Return the maximum number of nodes of a tree.

    Args:
        n: the number of examples.
        max_depth: the maximum number of splits on a path, or None.
        min_samples_leaf: the minimum number of examples in a leaf.

    Returns:
        The number of nodes of a binary tree with as many leaves as the limits allow.

    Example:
        >>> most_nodes(100, None, 1), most_nodes(100, 2, 1)
        (199, 7)
    """
    most = max(1, 2 * (n // min_samples_leaf) - 1)
    return most if max_depth is None or max_depth > 30 else min(most, 2 ** (max_depth + 1) - 1)


@functools.partial(jax.jit, static_argnames=('sizes', 'of_small', 'limits'))
def _grow(keys: Key[Array, ' trees'], data: Data, *, sizes: Sizes, of_small: Sizes, limits: Limits) -> Trees:
    def grown(state: State, split: Callable[..., tuple[Cut, Split]], sizes: Sizes) -> State:
        step = functools.partial(_split_block, split_nodes=split, data=data, sizes=sizes, limits=limits)
        return lax.while_loop(lambda state: state.head < state.now.tail, step, state)

    state = grown(_first_state(keys, data, sizes, limits), _split_wide, sizes)
    if state.later is not None:
        second = State(state.trees, now=state.later, head=jnp.zeros((), jnp.int32), later=None)
        state = grown(second, _split_small, of_small)
    return state.trees


def _first_state(keys: Key[Array, ' trees'], data: Data, sizes: Sizes, limits: Limits) -> State:
    """Return the state of the roots, with all examples of positive weight."""
    n, num_trees = sizes.examples, sizes.trees
    tree = jnp.repeat(jnp.arange(num_trees), n)
    member = (jnp.arange(num_trees)[:, None] * n + jnp.argsort(fingerprint(data.bins.codes))).ravel()
    present = data.weights.ravel()[member] > 0
    examples = jnp.sum(present.reshape(num_trees, n), axis=1)
    target = data.target(member).reshape(num_trees, n)
    largest = largest_of(data.targets)
    least = jnp.min(jnp.where(present.reshape(num_trees, n), target, largest), axis=1)
    most = jnp.max(jnp.where(present.reshape(num_trees, n), target, -largest), axis=1)
    waits = (least < most) & (examples >= limits.min_split)  # a pure or small root is the only leaf of its tree
    kept = jnp.where(waits, examples, 0)
    slots = jnp.cumsum(waits) - waits
    stays = present & waits[tree]
    position = jnp.where(stays, jnp.cumsum(stays) - 1, sizes.ring)
    statistics = jnp.zeros((sizes.pool, sizes.outputs))
    for channel, value in _contributions(member, data, sizes, limits):
        if not isinstance(channel, int) or channel < sizes.outputs:
            statistics = statistics.at[tree, channel].add(value)

    def queued(values: Array, empty: Array) -> Array:
        return empty.at[jnp.where(waits, slots, sizes.pool)].set(values, mode='drop')

    zeros = jnp.zeros(sizes.pool, jnp.int32)
    now = Frontier(
        queue=Queue(
            node=queued(jnp.arange(num_trees), zeros),
            begin=queued(jnp.cumsum(kept) - kept, zeros),
            examples=queued(examples, zeros),
            depth=zeros,
            seed=queued(jax.vmap(jax.random.bits)(keys), zeros.astype(jnp.uint32)),
        ),
        tail=jnp.sum(waits),
        member=jnp.zeros(sizes.ring, jnp.int32).at[position].set(member, mode='drop'),
        place=jnp.zeros(sizes.ring, jnp.int32).at[position].set(slots[tree], mode='drop'),
        end=jnp.sum(kept) % sizes.ring,
    )
    return State(
        trees=Trees(
            root=jnp.arange(num_trees),
            feature=zeros,
            threshold=jnp.full(sizes.pool, jnp.inf),
            left=jnp.arange(sizes.pool),
            statistics=statistics,
            decrease=jnp.zeros((num_trees, data.bins.codes.shape[1])),
            depth=jnp.zeros((), jnp.int32),
            size=jnp.asarray(num_trees, jnp.int32),
        ),
        now=now,
        head=jnp.zeros((), jnp.int32),
        later=jax.tree.map(jnp.zeros_like, now) if sizes.few else None,
    )


def _split_block(
    state: State, *, split_nodes: Callable[..., tuple[Cut, Split]], data: Data, sizes: Sizes, limits: Limits
) -> State:
    """Make one step of the loop: split the nodes at the head of the queue, and append their children to it."""
    block = next_block(state, sizes)
    # 1. The best split of each node.
    cut, split = split_nodes(state, block, data, sizes, limits)
    # 2. Two new nodes in the pool for each split.
    trees = _record(state.trees, block, cut, split, _children_in_pool(state.trees, cut, sizes), sizes)
    # 3. The children that are no leaves, and their examples, at the end of a queue and its ring.
    children = find_children(state, block, cut, data, sizes, limits)
    now, *later = append(state._replace(trees=trees), block, cut, children, data, sizes)
    return State(trees, now, jnp.minimum(state.head + sizes.nodes, state.now.tail), later[0] if later else None)


def _split_wide(state: State, block: Block, data: Data, sizes: Sizes, limits: Limits) -> tuple[Cut, Split]:
    """Return the splits of a block by histograms of all bins."""
    tried = _tried_features(state, block, data, sizes)
    split = _best(_histogram(state, block, tried, data, sizes, limits), sizes, limits)
    return _cut(block, split, tried, data.bins), split


def _split_small(state: State, block: Block, data: Data, sizes: Sizes, limits: Limits) -> tuple[Cut, Split]:
    """Return the splits of a block of small nodes, the same as by histograms of all bins.

    The bin of an example is its rank, for each feature the number of the node's examples with a smaller code. So the
    bins with examples come in the order of the codes, and those without change nothing.
    """
    tried = _tried_features(state, block, data, sizes)
    order = jnp.arange(sizes.few)
    there = block.active[:, None] & (order < block.parents.examples[:, None])  # [nodes few]
    member = state.now.member[(block.parents.begin[:, None] + order) % sizes.ring]
    code = data.bins.codes[(member % sizes.examples)[..., None], tried[:, None]].astype(jnp.int32)  # [nodes few tried]
    smaller = there[:, None, :, None] & (code[:, None] < code[:, :, None])
    rank = jnp.sum(smaller, axis=2, dtype=jnp.int32)
    columns = sizes.nodes * sizes.tried
    column = jnp.arange(columns).reshape(sizes.nodes, 1, sizes.tried)
    histogram = jnp.zeros(sizes.few * sizes.channels * columns)
    for channel, value in _contributions(member.ravel(), data, sizes, limits):
        channel = jnp.broadcast_to(jnp.asarray(channel, jnp.int32), value.shape).reshape(*member.shape, 1)
        cell = jnp.where(there[..., None], (rank * sizes.channels + channel) * columns + column, histogram.size)
        values = jnp.broadcast_to(value.reshape(*member.shape, 1), cell.shape)
        histogram = histogram.at[cell].add(values, mode='drop')
    split = _best(histogram.reshape(sizes.few, sizes.channels, columns), sizes, limits)
    ranks, codes = (jnp.take_along_axis(x, split.tried[:, None, None], 2)[..., 0] for x in (rank, code))

    def code_of(place: Int[Array, ' nodes']) -> Int[Array, ' nodes']:
        return jnp.max(jnp.where(there & (ranks == place[:, None]), codes, 0), axis=1)

    split = split._replace(bin=code_of(split.bin), next_bin=code_of(split.next_bin))
    return _cut(block, split, tried, data.bins), split


def _best(histogram: Float[Array, 'bins channels columns'], sizes: Sizes, limits: Limits) -> Split:
    """Return the best splits of a histogram."""
    return best_split(
        histogram,
        criterion=limits.criterion,
        max_features=sizes.tried,
        outputs=sizes.outputs,
        min_leaf=limits.min_leaf,
    )


def _contributions(
    member: Int[Array, ' k'], data: Data, sizes: Sizes, limits: Limits
) -> list[tuple[Int[Array, ' k'] | int, Float[Array, ' k']]]:
    """Return the (channel, value) pairs that each example adds to a histogram."""
    weight, target = data.weights.ravel()[member], data.target(member)
    parts: list[tuple[Array | int, Array]] = [(target, weight)]
    if limits.criterion == 'variance':
        parts = [(0, weight), (1, weight * target)]
    return [*parts, (sizes.outputs, jnp.ones_like(weight))] if limits.min_leaf > 1 else parts


def _tried_features(state: State, block: Block, data: Data, sizes: Sizes) -> Int[Array, 'nodes tried']:
    """Return the features that each node tries."""
    num_features = data.bins.codes.shape[1]
    if sizes.tried == num_features:
        return jnp.broadcast_to(jnp.arange(num_features), (sizes.nodes, num_features))
    # A node's examples are sorted by fingerprint: if the first and the last are equal, all are.
    last = (block.parents.begin + block.parents.examples - 1) % sizes.ring
    member = state.now.member
    differs = data.codes(member[block.parents.begin]) != data.codes(member[last])
    return draw_features(block.parents.seed, differs, max_features=sizes.tried)


def _histogram(
    state: State, block: Block, tried: Int[Array, 'nodes tried'], data: Data, sizes: Sizes, limits: Limits
) -> Float[Array, 'bins channels columns']:
    """Return the sums for each bin, channel, and (node, feature tried)."""
    columns = sizes.nodes * sizes.tried

    def tally(index: Array, histogram: Array) -> Array:
        member, local, there = chunk(index, state.now.member, state.now.place, block, sizes)
        code = data.bins.codes[(member % sizes.examples)[:, None], tried[local]].astype(jnp.int32)
        column = local[:, None] * sizes.tried + jnp.arange(sizes.tried)
        for channel, value in _contributions(member, data, sizes, limits):
            channel = jnp.broadcast_to(jnp.asarray(channel, jnp.int32), member.shape)[:, None]
            # One flat index, out of range for rows without an example.
            cell = jnp.where(there[:, None], (code * sizes.channels + channel) * columns + column, histogram.size)
            histogram = histogram.at[cell].add(jnp.broadcast_to(value[:, None], cell.shape), mode='drop')
        return histogram

    histogram = lax.fori_loop(0, block.chunks, tally, jnp.zeros(sizes.bins * sizes.channels * columns))
    return histogram.reshape(sizes.bins, sizes.channels, columns)


def _cut(block: Block, split: Split, tried: Int[Array, 'nodes tried'], bins: Bins) -> Cut:
    """Return the splits with their features and thresholds in the data's terms."""
    feature = jnp.take_along_axis(tried, split.tried[:, None], 1)[:, 0]
    low, high = bins.highest[feature, split.bin], bins.lowest[feature, split.next_bin]
    middle = low + (high - low) / 2
    # Between neighbouring floats the midpoint can be rounded to `high`, which would then go left.
    threshold = jnp.where(middle < high, middle, low)
    return Cut(splits=block.active & split.valid, feature=feature, bin=split.bin, threshold=threshold)


def _children_in_pool(trees: Trees, cut: Cut, sizes: Sizes) -> Int[Array, 'nodes 2']:
    """Return the two nodes of the pool for each split: the next free ones; out of range where there is no split."""
    left = trees.size + 2 * (jnp.cumsum(cut.splits) - cut.splits)
    return jnp.where(cut.splits[:, None], left[:, None] + jnp.arange(2), sizes.pool)


def _record(trees: Trees, block: Block, cut: Cut, split: Split, children: Int[Array, 'nodes 2'], sizes: Sizes) -> Trees:
    """Return the trees with a block's splits; a node that is not split stays a leaf."""
    parent = jnp.where(cut.splits, block.parents.node, sizes.pool)
    return trees._replace(
        feature=trees.feature.at[parent].set(cut.feature, mode='drop'),
        threshold=trees.threshold.at[parent].set(cut.threshold, mode='drop'),
        left=trees.left.at[parent].set(children[:, 0], mode='drop'),
        statistics=trees.statistics.at[children].set(split.statistics, mode='drop'),
        decrease=trees.decrease.at[block.tree, cut.feature].add(jnp.where(cut.splits, split.gain, 0)),
        depth=jnp.maximum(trees.depth, jnp.max(jnp.where(cut.splits, block.parents.depth + 1, 0))),
        size=trees.size + 2 * jnp.sum(cut.splits),
    )
