"""The frontier of trees that grow: the queue of nodes to be split, and the ring of their examples.

The page at the top of `growing` has the picture. The functions here read a block of nodes from the head of the queue,
and append its children and their examples at the ends of both buffers.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import UInt

from jaxcv.classical.splits import Criterion, mix
from jaxcv.classical.trees import Bins, Trees
from jaxcv.types import Array, Bool, Float, Int

_Ring = tuple[Int[Array, ' ring'], Int[Array, ' ring']]
"""The members of a ring and their places."""


class Sizes(NamedTuple):
    """The sizes of all buffers: static, known before compilation."""

    examples: int
    trees: int
    tried: int
    """Features that a node tries."""
    bins: int
    outputs: int
    """Statistics of a node: the classes, or 2 for variance."""
    channels: int
    """Channels of the histogram: the outputs, and with `min_leaf > 1` a last one that counts examples."""
    nodes: int
    """Nodes in a block."""
    rows: int
    """Examples in a chunk."""
    pool: int
    """Nodes in the pool, and places in the queue. As an index it is out of range, which drops a write."""
    ring: int
    """Places in the ring. As an index it is out of range, which drops a write."""
    few: int
    """Examples of a small node, at most; 0: there are no small nodes."""


class Limits(NamedTuple):
    """The impurity, and when a node is a leaf."""

    criterion: Criterion
    max_depth: int
    min_split: int
    min_leaf: int


class Data(NamedTuple):
    """The training examples."""

    bins: Bins
    targets: Float[Array, ' n'] | Int[Array, ' n']
    weights: Float[Array, 'trees n']

    def codes(self, member: Int[Array, ' k']) -> Int[Array, 'k d']:
        """Return the bins of the features of some members of the ring."""
        return self.bins.codes[member % len(self.targets)].astype(jnp.int32)

    def target(self, member: Int[Array, ' k']) -> Float[Array, ' k'] | Int[Array, ' k']:
        """Return the targets of some members of the ring."""
        return self.targets[member % len(self.targets)]


class Queue(NamedTuple):
    """Nodes to be split, in the order in which they were made."""

    node: Int[Array, ' k']
    """The node in the pool."""
    begin: Int[Array, ' k']
    """The place in the ring where the node's examples begin."""
    examples: Int[Array, ' k']
    """The number of the node's examples."""
    depth: Int[Array, ' k']
    seed: UInt[Array, ' k']
    """The seed for drawing features, derived from the parent's."""


class Frontier(NamedTuple):
    """A queue of nodes, and the ring of their examples."""

    queue: Queue
    tail: Int[Array, '']
    """The first free place of the queue."""
    member: Int[Array, ' ring']
    """The ring: tree · n + example."""
    place: Int[Array, ' ring']
    """The place in the queue of the node that the member is in."""
    end: Int[Array, '']
    """The first free place of the ring."""


class State(NamedTuple):
    """The state of the loop."""

    trees: Trees
    now: Frontier
    head: Int[Array, '']
    """The first place of the queue that waits."""
    later: Frontier | None
    """The small nodes, which a second loop splits; None: no node is put off."""


class Block(NamedTuple):
    """The nodes that a step splits."""

    parents: Queue
    """`[nodes]`; places beyond the queue's tail repeat the last node and are not active."""
    active: Bool[Array, ' nodes']
    tree: Int[Array, ' nodes']
    head: Int[Array, '']
    """The place in the queue of the block's first node."""
    examples: Int[Array, '']
    """The number of the block's examples, which are contiguous in the ring."""
    chunks: Int[Array, '']


class Cut(NamedTuple):
    """The splits of a block's nodes."""

    splits: Bool[Array, ' nodes']
    """Which nodes are split; the others are leaves."""
    feature: Int[Array, ' nodes']
    bin: Int[Array, ' nodes']
    """The last bin that goes left."""
    threshold: Float[Array, ' nodes']
    """The same in the feature's unit."""


class Children(NamedTuple):
    """The children of a block's nodes, left and right in turn: child 2i and 2i + 1 are those of node i."""

    waits: Bool[Array, ' children']
    """Which of them are in this frontier; the others are in another one, or are leaves."""
    examples: Int[Array, ' children']
    begin: Int[Array, ' children']
    """The place in the ring for the first example."""
    place: Int[Array, ' children']
    """The place in the queue."""


def next_block(state: State, sizes: Sizes) -> Block:
    """Return the nodes at the head of the queue."""
    places = state.head + jnp.arange(sizes.nodes)
    active = places < state.now.tail
    parents = jax.tree.map(lambda leaf: leaf[jnp.minimum(places, state.now.tail - 1)], state.now.queue)
    examples = jnp.sum(jnp.where(active, parents.examples, 0))
    return Block(
        parents=parents,
        active=active,
        tree=state.now.member[parents.begin] // sizes.examples,
        head=state.head,
        examples=examples,
        chunks=-(-examples // sizes.rows),
    )


def chunk(
    index: Int[Array, ''], member: Int[Array, ' ring'], place: Int[Array, ' ring'], block: Block, sizes: Sizes
) -> tuple[Int[Array, ' rows'], Int[Array, ' rows'], Bool[Array, ' rows']]:
    """Return one chunk of the block's examples: the members, their nodes in the block, and which rows hold any.

    The last chunk reads beyond the block's examples: those rows must not be used.
    """
    offset = index * sizes.rows + jnp.arange(sizes.rows)
    position = (block.parents.begin[0] + offset) % sizes.ring
    there = offset < block.examples
    return member[position], jnp.where(there, place[position] - block.head, 0), there


def find_children(state: State, block: Block, cut: Cut, data: Data, sizes: Sizes, limits: Limits) -> list[Children]:
    """Return the children with their places in the queue and the ring of each of the state's frontiers."""
    examples, mixed = _census(state, block, cut, data, sizes)
    depth = jnp.repeat(block.parents.depth + 1, 2)
    waits = jnp.repeat(cut.splits, 2) & mixed & (examples >= limits.min_split) & (depth < limits.max_depth)

    def places(frontier: Frontier, waits: Array) -> Children:
        kept = jnp.where(waits, examples, 0)
        return Children(
            waits=waits,
            examples=examples,
            begin=(frontier.end + jnp.cumsum(kept) - kept) % sizes.ring,
            place=frontier.tail + jnp.cumsum(waits) - waits,
        )

    if state.later is None:
        return [places(state.now, waits)]
    small = examples <= sizes.few
    return [places(state.now, waits & ~small), places(state.later, waits & small)]


def _side(
    member: Int[Array, ' rows'], local: Int[Array, ' rows'], cut: Cut, data: Data, sizes: Sizes
) -> Int[Array, ' rows']:
    """Return the child that each example goes to, numbered as in `Children`."""
    code = data.bins.codes[member % sizes.examples, cut.feature[local]]
    return 2 * local + (code > cut.bin[local])


def _census(
    state: State, block: Block, cut: Cut, data: Data, sizes: Sizes
) -> tuple[Int[Array, ' children'], Bool[Array, ' children']]:
    """Return the number of examples of each child, and whether their targets differ."""

    def count(index: Array, found: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        member, local, there = chunk(index, state.now.member, state.now.place, block, sizes)
        side = jnp.where(there, _side(member, local, cut, data, sizes), 2 * sizes.nodes)
        target = data.target(member)
        examples, least, most = found
        return (
            examples.at[side].add(1, mode='drop'),
            least.at[side].min(target, mode='drop'),
            most.at[side].max(target, mode='drop'),
        )

    largest = jnp.broadcast_to(largest_of(data.targets), 2 * sizes.nodes)
    none = jnp.zeros(2 * sizes.nodes, jnp.int32), largest, -largest
    examples, least, most = lax.fori_loop(0, block.chunks, count, none)
    return examples, least < most


def append(
    state: State,
    block: Block,
    cut: Cut,
    children: Sequence[Children],
    data: Data,
    sizes: Sizes,
) -> list[Frontier]:
    """Return the state's frontiers with the children that wait in each, nodes of its trees, and their examples."""
    frontiers = [frontier for frontier in (state.now, state.later) if frontier is not None]
    return [
        Frontier(
            queue=_enqueue(frontier.queue, block, of, state.trees, sizes),
            tail=frontier.tail + jnp.sum(of.waits),
            member=member,
            place=place,
            end=(frontier.end + jnp.sum(jnp.where(of.waits, of.examples, 0))) % sizes.ring,
        )
        for frontier, of, (member, place) in zip(
            frontiers, children, _move(frontiers, block, cut, children, data, sizes), strict=True
        )
    ]


def _enqueue(queue: Queue, block: Block, children: Children, trees: Trees, sizes: Sizes) -> Queue:
    """Return the queue with the children that wait."""
    new = Queue(
        # Read back, and not handed on: what is read of the queue comes before the write, or XLA would copy it first.
        node=(trees.left[block.parents.node][:, None] + jnp.arange(2)).ravel(),
        begin=children.begin,
        examples=children.examples,
        depth=jnp.repeat(block.parents.depth + 1, 2),
        seed=mix(2 * block.parents.seed[:, None] + jnp.arange(2, dtype=jnp.uint32)).ravel(),
    )
    place = jnp.where(children.waits, children.place, sizes.pool)
    return jax.tree.map(lambda old, values: old.at[place].set(values, mode='drop'), queue, new)


def _move(
    frontiers: Sequence[Frontier], block: Block, cut: Cut, children: Sequence[Children], data: Data, sizes: Sizes
) -> list[_Ring]:
    """Return the rings' members and places, with the examples of the children that wait in each copied to its end.

    All are read from the first ring. The copy is stable. An example's rank within its child is the number of the
    block's earlier examples that went to the same side, left or right, less those of earlier nodes. So one running
    count, of those that went left, is enough.
    """
    by_side = children[0].examples.reshape(-1, 2)
    of_earlier_nodes = (jnp.cumsum(by_side, axis=0) - by_side).ravel()

    def copy(index: Array, carry: tuple[list[_Ring], Array]) -> tuple[list[_Ring], Array]:
        rings, lefts = carry
        member, local, there = chunk(index, *rings[0], block, sizes)
        side = _side(member, local, cut, data, sizes)
        is_left = side % 2 == 0
        left = there & is_left
        left_before = lefts + jnp.cumsum(left) - left
        right_before = index * sizes.rows + jnp.arange(sizes.rows) - left_before
        rank = jnp.where(is_left, left_before, right_before) - of_earlier_nodes[side]

        def put(ring: _Ring, of: Children) -> _Ring:
            position = jnp.where(there & of.waits[side], (of.begin[side] + rank) % sizes.ring, sizes.ring)
            members, places = ring
            return members.at[position].set(member, mode='drop'), places.at[position].set(of.place[side], mode='drop')

        return [put(ring, of) for ring, of in zip(rings, children, strict=True)], lefts + jnp.sum(left)

    start = [(frontier.member, frontier.place) for frontier in frontiers]
    return lax.fori_loop(0, block.chunks, copy, (start, jnp.zeros((), jnp.int32)))[0]


def largest_of(array: Float[Array, ' n'] | Int[Array, ' n']) -> Float[Array, ''] | Int[Array, '']:
    """Return the largest number of the array's type, whose negative is of the type too."""
    info = jnp.finfo if jnp.issubdtype(array.dtype, jnp.floating) else jnp.iinfo
    return jnp.asarray(info(array.dtype).max, array.dtype)
