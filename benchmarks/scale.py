"""A step on 8 to 1,024 chips by the cost model of `jaxcv.training.scale`, and the check of its bytes.

    python -m benchmarks.scale [--model=resnet50] [--chips 'TPU v5e' 'NVIDIA H100'] [--page docs/scale.md]
    python -m benchmarks.scale --check [--model=resnet50]

The table needs the network's shapes only. `--check` compiles the train step for 2, 4 and 8 simulated devices of the
CPU, data parallel and FSDP, and prints the bytes that a device sends in the compiled program beside those of the
formula. The programs are not run.
"""

import argparse
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from benchmarks.all import write_between
from jaxcv import models, optim, tasks, training
from jaxcv.models.summary import summarize, total
from jaxcv.training import scale
from jaxcv.training.parallel import RUN_ONCE

DEVICES = (8, 16, 32, 64, 128, 256, 512, 1024)
CHECKED = (2, 4, 8)
HEADER = (
    'chip',
    'sharding',
    'chips',
    'batch',
    'sent, MB',
    'arithmetic, ms',
    'exchange, ms',
    'efficiency',
    'thousand images/s',
    'memory, GB',
)
SHARDINGS: dict[str, Any] = {'data parallel': 'replicate', 'FSDP': 'fsdp'}


def main() -> None:
    """Print the table, or the check."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--model', default='resnet50', help='of jaxcv.models, with 1,000 classes')
    parser.add_argument('--image_size', type=int, default=224)
    parser.add_argument('--batch', type=int, default=128, help='images of a chip')
    parser.add_argument('--reached', type=float, default=0.2, help="share of the chip's peak that one chip reaches")
    parser.add_argument('--chips', nargs='+', choices=scale.CHIPS, default=['TPU v5e', 'NVIDIA H100'], metavar='CHIP')
    parser.add_argument('--page', type=Path, help='a page that gets the table')
    parser.add_argument('--check', action='store_true', help='compare the bytes with those of compiled programs')
    arguments = parser.parse_args()
    if arguments.check:
        jax.config.update('jax_num_cpu_devices', max(CHECKED))
        print(*check(arguments.model), sep='\n')
        return
    network = network_of(arguments.model, arguments.image_size)
    text = '\n'.join(table(network, arguments.chips, batch=arguments.batch, reached=arguments.reached))
    if arguments.page:
        write_between(arguments.page, text)
    print(text)


def network_of(name: str, image_size: int) -> scale.Network:
    """The numbers of a model, by its summary."""
    model = getattr(models, name)()
    layers = list(summarize(model, image_size=image_size))
    sums = total(layers)
    image = jax.ShapeDtypeStruct((1, image_size, image_size, 3), np.float32)
    state = jax.tree.leaves(jax.eval_shape(model.init, jax.random.key(0), image).get('batch_stats', {}))
    # In bfloat16: half of the summary's bytes.
    return scale.Network(
        sums['parameters'],
        sum(x.size for x in state),
        len(state) // 2,
        6.0 * sums['multiply_adds'],
        sums['activation_bytes'] / 2,
    )


def table(network: scale.Network, chips: Sequence[str], *, batch: int, reached: float) -> Iterator[str]:
    """Markdown, a row for each chip, sharding and number of chips."""
    yield f'| {" | ".join(HEADER)} |'
    yield '|---' * len(HEADER) + '|'
    for chip in chips:
        for words, sharding in SHARDINGS.items():
            for devices in DEVICES:
                made = scale.step(
                    network, scale.CHIPS[chip], devices=devices, batch=batch, sharding=sharding, reached=reached
                )
                least, most = made.efficiency
                speeds = [devices * batch / made.compute * share for share in (least, most)]
                cells = [
                    chip,
                    words,
                    f'{devices:,}',
                    f'{devices * batch:,}',
                    f'{made.sent / 1e6:.0f}',
                    f'{1e3 * made.compute:.1f}',
                    f'{1e3 * made.exchange:.1f}',
                    f'{least:.2f} to {most:.2f}',
                    f'{speeds[0] / 1e3:,.0f} to {speeds[1] / 1e3:,.0f}',
                    f'{made.memory / 1e9:.1f}',
                ]
                yield f'| {" | ".join(cells)} |'


def check(name: str) -> Iterator[str]:
    """Lines of the bytes that a device sends: in the compiled program, and by the formula."""
    task = tasks.classification(getattr(models, name)(num_classes=1000), num_classes=1000)
    optimizer = optim.momentum(learning_rate=0.1)
    side = 64  # the size of the images changes no collective

    def rows(n: int) -> dict[str, np.ndarray]:
        images = np.zeros((n, side, side, 3), np.float32)
        return {'image': images, 'label': np.zeros(n, np.int32), 'valid': np.ones(n, bool)}

    init = functools.partial(training.init_state, jax.random.key(0), task, optimizer, rows(1))
    shapes = jax.eval_shape(init)
    network = network_of(name, 224)
    for words, sharding in SHARDINGS.items():
        for devices in CHECKED:
            mesh = training.make_mesh(jax.devices()[:devices])
            like = training.with_shardings(shapes, mesh, sharding=sharding)
            split = NamedSharding(mesh, PartitionSpec(training.AXIS))
            batch = {k: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=split) for k, x in rows(2 * devices).items()}
            step = training.compile_step(training.make_train_step(task, optimizer), mesh, sharding=sharding)
            text = step.lower(like, batch).compile(compiler_options=RUN_ONCE).as_text()
            found = scale.collectives(text)
            sharded = sum(x.size for x in jax.tree.leaves(like.params) if not x.sharding.is_fully_replicated)
            by_kind = {kind: sum(x.size for x in found if x.kind == kind) for kind in sorted({x.kind for x in found})}
            made = scale.data_parallel if sharding == 'replicate' else functools.partial(scale.fsdp, sharded=sharded)
            expected = scale.sent(made(network, devices=devices))
            sizes = ', '.join(f'{kind} of {size / 1e6:.1f} MB' for kind, size in by_kind.items())
            yield (
                f'{words}, {devices} devices: sent {scale.sent(found) / 1e6:.2f} MB, by the formula '
                f'{expected / 1e6:.2f} MB; {len(found)} collectives, {sizes}'
            )


if __name__ == '__main__':
    main()
