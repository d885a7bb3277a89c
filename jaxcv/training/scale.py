"""Scale: the bytes that a step sends between devices, in a compiled program and by formula, and its time on many chips.

Both are lists of `Collective`, so that a formula is compared with a program. With n devices, a device sends

    all-reduce      2 (n - 1)/n · size        a ring: the parts are summed on their way round, then handed round
    all-gather        (n - 1)/n · size        size: of the whole array, each device has a part
    reduce-scatter    (n - 1)/n · size

Data parallel: one all-reduce of the gradients, P numbers. FSDP: the parameters are gathered in the forward pass and
once more in the backward pass, and the gradients reduce-scattered, 3 (n - 1)/n P in all; XLA's compiler of the CPU
writes the last as an all-reduce, 4 (n - 1)/n P. A batch norm over the global batch sums two numbers a channel in each
direction: few bytes, but every layer waits for them.
"""

import math
import re
import typing
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, NamedTuple, cast

import numpy as np

from jaxcv.arguments import AtLeast0, AtLeast1, Range, checked

Kind = Literal['all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all', 'collective-permute']

_OPERATION = re.compile(rf'= (?P<result>.*?) (?P<kind>{"|".join(typing.get_args(Kind))})(?P<start>-start)?\(')
_ARRAY = re.compile(r'\b(pred|[sufb]f?\d+)\[([\d,]*)\]')
_MESH = re.compile(r'replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}')
_SHAPE = re.compile(r'replica_groups=\[\d+,(\d+)\]')
_LISTED = re.compile(r'replica_groups=\{\{([\d,]+)\}')
_PAIRS = re.compile(r'source_target_pairs=\{(\{.*?\})\}')


class Collective(NamedTuple):
    """One exchange of arrays between devices."""

    kind: Kind
    size: int
    """Bytes of the whole arrays: of a gather's result, of a scatter's operand."""
    devices: int
    """That take part in it."""


class Chip(NamedTuple):
    """A kind of accelerator, as its maker describes it."""

    flops: float
    """Peak, FLOP/s."""
    memory: float
    """Bytes."""
    group: int
    """Chips that the fast links join."""
    inside: float
    """Bytes/s that a chip sends within its group: half of what makers call bidirectional."""
    outside: float
    """Bytes/s that a chip sends to other groups."""
    latency: float
    """Seconds of a step of a ring or tree, an assumption."""


CHIPS = {
    'TPU v5e': Chip(197e12, 16e9, 256, 100e9, 3.1e9, 1e-6),
    'TPU v5p': Chip(459e12, 95e9, 8960, 600e9, 6.2e9, 1e-6),
    'NVIDIA A100': Chip(312e12, 80e9, 8, 300e9, 25e9, 3e-6),
    'NVIDIA H100': Chip(989e12, 80e9, 8, 450e9, 50e9, 3e-6),
}
"""By data sheets: bfloat16 peak, memory, ICI or NVLink, and the network (a GPU has a card of 200 or 400 Gbit/s)."""


class Network(NamedTuple):
    """The numbers of a network that its step depends on."""

    parameters: int
    statistics: int
    """Running means and variances of its batch norms: two for each channel."""
    norms: int
    """Layers of batch norm."""
    flops: float
    """Of an image's forward and backward pass: 6 times its multiply-adds."""
    activations: float
    """Bytes that the backward pass needs of an image."""


class Step(NamedTuple):
    """A step on many chips, by the model of `step`."""

    compute: float
    """Seconds of arithmetic."""
    exchange: float
    """Seconds of all collectives, none of which is hidden behind arithmetic."""
    hidden: float
    """Seconds of the collectives that may be hidden: those of gradients and parameters, within the backward pass."""
    sent: float
    """Bytes that a chip sends."""
    memory: float
    """Bytes that a chip holds: parameters, gradients, two optimizer's numbers, activations."""

    @property
    def efficiency(self) -> tuple[float, float]:
        """Speed over that of as many chips alone: with nothing hidden, and with all that may be."""
        together = self.compute + self.exchange
        return self.compute / together, self.compute / (together - self.hidden)


def collectives(text: str) -> list[Collective]:
    """List the collectives of a compiled program, those of one device left out.

    Args:
        text: of the program, `jax.jit(f).lower(...).compile().as_text()`.

    Returns:
        Each in the order of the text; one of several arrays is one.

    Raises:
        ValueError: one is asynchronous, as compilers for accelerators write them: its result is another.

    Example:
        >>> line = 'x = (f32[4]{0}, f32[2,3]{1,0}) all-reduce(a, b), replica_groups=[1,8]<=[8], to_apply=sum'
        >>> collectives(line)
        [Collective(kind='all-reduce', size=40, devices=8)]
    """
    found = []
    for line in text.splitlines():
        match = _OPERATION.search(line)
        if match is None:
            continue
        if match['start']:
            raise ValueError(f'expected a program of the CPU, got an asynchronous {match["kind"]}')
        size, devices = sum(map(_bytes, _ARRAY.findall(match['result']))), _group(line)
        if match['kind'] == 'reduce-scatter':
            size *= devices
        if devices > 1:
            found.append(Collective(cast(Kind, match['kind']), size, devices))
    return found


def sent(exchanged: Iterable[Collective]) -> float:
    """Sum the bytes that each device sends.

    Example:
        >>> sent([Collective('all-reduce', 800, 8), Collective('all-gather', 800, 8)])
        2100.0
    """
    return float(sum(_share(one.kind, one.devices) * one.size for one in exchanged))


@checked
def data_parallel(network: Network, *, devices: AtLeast1) -> list[Collective]:
    """List the collectives of a data-parallel step, float32: two for each batch norm, and one of the gradients.

    The gradients of a batch norm's scale and bias are its sums of the backward pass: they are exchanged there.

    Args:
        network: of the step.
        devices: in all.

    Returns:
        The collectives, without those of a few scalars (loss, weight, metrics).

    Example:
        >>> [x.size for x in data_parallel(Network(1000, 20, 1, 0.0, 0.0), devices=4)]
        [80, 80, 3920]
    """
    if devices == 1:
        return []
    return [*_norms(network, devices), Collective('all-reduce', 4 * (network.parameters - network.statistics), devices)]


@checked
def fsdp(
    network: Network, *, devices: AtLeast1, sharded: AtLeast0 | None = None, gathers: Literal[1, 2] = 2
) -> list[Collective]:
    """List the collectives of a step with a sharded state, float32.

    Args:
        network: of the step.
        devices: in all.
        sharded: parameters of the arrays that are sharded, see `state_sharding`; None: all but those of batch norms.
        gathers: of the parameters: once more in the backward pass, or kept from the forward pass.

    Returns:
        The collectives, without those of a few scalars.

    Example:
        >>> [(x.kind, x.size) for x in fsdp(Network(1000, 20, 0, 0.0, 0.0), devices=4, sharded=900)]
        [('all-gather', 3600), ('all-gather', 3600), ('reduce-scatter', 3600), ('all-reduce', 320)]
    """
    if devices == 1:
        return []
    rest = network.parameters - network.statistics
    sharded = rest if sharded is None else sharded
    return [
        *_norms(network, devices),
        *[Collective('all-gather', 4 * sharded, devices)] * gathers,
        Collective('reduce-scatter', 4 * sharded, devices),
        *[Collective('all-reduce', 4 * (rest - sharded), devices)] * (rest > sharded),
    ]


@checked
def class_parallel(*, batch: AtLeast1, embedding: AtLeast1, devices: AtLeast1) -> list[Collective]:
    """List the collectives of a softmax of embeddings whose class matrix is sharded over its classes, float32.

    The embeddings of all images are gathered, and their gradients summed; the number of classes does not matter. Left
    out are about ten numbers for each image: labels, maxima and sums of the softmax.

    Args:
        batch: images in all.
        embedding: numbers of an embedding.
        devices: in all.

    Returns:
        The collectives.

    Example:
        >>> [(x.kind, x.size) for x in class_parallel(batch=64, embedding=512, devices=8)]
        [('all-gather', 131072), ('all-reduce', 131072)]
    """
    size = 4 * batch * embedding
    return [Collective('all-gather', size, devices), Collective('all-reduce', size, devices)] if devices > 1 else []


@checked
def seconds(exchanged: Sequence[Collective], chip: Chip) -> float:
    """Compute the time of collectives that run one after the other.

    Within a group it is bytes sent over `inside`. Between groups each chip exchanges its part of the group's sum:
    a group's n-th over `outside`. A collective waits `latency` for each of the ⌈log₂ devices⌉ levels of a tree, there
    and back if it reduces to all.

    Args:
        exchanged: the collectives.
        chip: whose links they use.

    Returns:
        Seconds.

    Example:
        >>> chip = Chip(1e12, 1e9, group=8, inside=100e9, outside=10e9, latency=0.0)
        >>> [round(1e3 * seconds([Collective('all-reduce', 10**8, n)], chip), 2) for n in (8, 16)]
        [1.75, 3.0]
    """
    total = 0.0
    for kind, size, devices in exchanged:
        group = min(chip.group, devices)
        groups = math.ceil(devices / group)
        total += _share(kind, group) * size / chip.inside + _share(kind, groups) * size / group / chip.outside
        total += (2 if kind == 'all-reduce' else 1) * math.ceil(math.log2(devices)) * chip.latency
    return total


@checked
def step(
    network: Network,
    chip: Chip,
    *,
    devices: AtLeast1,
    batch: AtLeast1,
    sharding: Literal['replicate', 'fsdp'] = 'replicate',
    reached: Annotated[float, Range(0, 1, '(]')] = 0.2,
) -> Step:
    """Model a step of mixed precision: arithmetic in bfloat16, parameters, gradients and their exchange in float32.

    Args:
        network: of the step.
        chip: of which there are several.
        devices: how many.
        batch: images of a chip.
        sharding: 'replicate' for data parallel, or 'fsdp'.
        reached: share of the chip's peak that the arithmetic reaches on one chip. Measure it there.

    Returns:
        The Step.

    Example:
        >>> network = Network(25_557_032, 53_120, 53, 24.5e9, 0.1e9)
        >>> result = step(network, CHIPS['TPU v5e'], devices=8, batch=128, reached=0.4)
        >>> round(1e3 * result.compute, 1), round(result.sent / 1e6), [round(x, 2) for x in result.efficiency]
        (39.8, 179, [0.94, 0.98])
    """
    made = data_parallel if sharding == 'replicate' else fsdp
    exchanged = made(network, devices=devices)
    compute = batch * network.flops / (reached * chip.flops)
    all_seconds, waiting = seconds(exchanged, chip), seconds(_norms(network, devices), chip)
    hidden = min(all_seconds - waiting, 2 / 3 * compute)  # the backward pass is two thirds of the arithmetic
    state = 16 * network.parameters / (1 if sharding == 'replicate' else devices)
    gathered = 0 if sharding == 'replicate' or devices == 1 else 4 * network.parameters
    return Step(compute, all_seconds, hidden, sent(exchanged), state + gathered + batch * network.activations)


def _norms(network: Network, devices: int) -> list[Collective]:
    """Return the sums of all batch norms, in both directions."""
    if devices == 1 or not network.norms:
        return []
    each = 4 * network.statistics // network.norms
    return [Collective('all-reduce', each, devices)] * (2 * network.norms)


def _share(kind: str, devices: int) -> float:
    """Return the part of a collective's size that a device sends."""
    if kind == 'collective-permute':
        return float(devices > 1)
    return (2 if kind == 'all-reduce' else 1) * (devices - 1) / devices


def _bytes(array: tuple[str, str]) -> int:
    """Return the bytes of an array by its type and shape in a program's text."""
    kind, shape = array
    bits = 8 if kind == 'pred' else int(re.sub(r'\D', '', kind))
    return math.prod(int(n) for n in shape.split(',') if n) * max(1, bits // 8)


def _group(line: str) -> int:
    """Return the number of devices of a collective, in any of the notations."""
    if match := _MESH.search(line):
        sizes = dict(part.split('=') for part in match[1].split(','))
        return int(np.prod([int(sizes[axis.strip()]) for axis in match[2].split(',')]))
    if match := _SHAPE.search(line):
        return int(match[1])
    if match := _LISTED.search(line):
        return len(match[1].split(','))
    if match := _PAIRS.search(line):
        return len({*re.findall(r'\d+', match[1])})
    raise ValueError(f'expected replica_groups with devices, got {line.strip()[:200]}')
