"""An ensemble trained as one program, against its members' runs one after another.

    python -m benchmarks.ensemble [--members=8] [--steps=50] [--rounds=5] [--width=16]

A ResNet-8 on the digits, batch 64, the batch on the device. "Apart" is as many runs as there are members, one after
another on one device, through one step that is compiled once for all of them. "One program" is
`training.make_ensemble_step` through `training.compile_step`: on one CPU device, on two simulated ones with half of the
members each (sharding 'members'), and on a GPU where there is one. Each row is a process of its own, in which the two
take turns; a time is the median over the rounds, and the ratio is apart / one program in the same round, again the
median. With compiling, a round's times and what each compiles are added. Two simulated devices pay off only on two free
cores.

Measured on 2 idle CPU cores, 3 rounds of 50 steps, ratio without and with compiling: 1.07 and 0.34 on one CPU device,
1.31 and 0.50 on two simulated ones. (With other jobs at the same time, 0.83 on one device.) NOT RUN on a GPU.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

from benchmarks import turns

ROWS = {
    '1 CPU device': {'JAX_PLATFORMS': 'cpu', 'JAX_NUM_CPU_DEVICES': '1'},
    '2 CPU devices': {'JAX_PLATFORMS': 'cpu', 'JAX_NUM_CPU_DEVICES': '2'},
    'GPU': {'JAX_PLATFORMS': 'cuda'},
}


def main(options: argparse.Namespace) -> None:
    """Print the table, a process a row."""
    print(f'{options.members} networks, {options.steps} steps, {options.rounds} rounds, load {os.getloadavg()[0]:.1f}')
    print(f'{"":<16}{"compile, s":>16}{"steps, s":>16}{"ratio":>8}{"with compiling":>16}')
    print(f'{"":<16}{"apart      one":>16}{"apart      one":>16}', flush=True)
    for row, environment in ROWS.items():
        command = [sys.executable, '-m', 'benchmarks.ensemble', '--row', row, *sys.argv[1:]]
        done = subprocess.run(command, env={**os.environ, **environment}, text=True, capture_output=True)
        if done.returncode and row != 'GPU':
            raise SystemExit(done.stderr)
        print(f'{row:<16}{"not here" if done.returncode else done.stdout.strip()}', flush=True)


def measure(options: argparse.Namespace) -> None:
    """Print one row's numbers."""
    import jax

    from jaxcv import data, models, optim, tasks, training
    from jaxcv.training import performance

    source = data.source('digits', split='train')
    host = data.train_batches(source, batch_size=64, transforms=[data.transforms.decode(channels=1)], seed=0)
    image = next(iter(host))
    task = tasks.classification(models.cifar_resnet(depth=8, width=options.width), num_classes=10)
    optimizer = optim.momentum(learning_rate=0.01)
    step = training.make_train_step(task, optimizer)
    keys = jax.random.split(jax.random.key(0), options.members)

    alone, everywhere = training.make_mesh(jax.devices()[:1]), training.make_mesh()
    sharding: training.Sharding = 'members' if everywhere.size > 1 else 'replicate'
    batch, shared = training.put_batch(alone)(image), training.put_batch(everywhere)(image)

    def compiled_init(init, key, mesh, sharding='replicate'):
        layout = training.state_sharding(jax.eval_shape(init, key), mesh, sharding=sharding)
        return jax.jit(init, out_shardings=layout).lower(key).compile()

    member = compiled_init(lambda key: training.init_state(key, task, optimizer, batch), keys[0], alone)
    ensemble = compiled_init(
        lambda keys: training.init_ensemble(keys, task, optimizer, shared), keys, everywhere, sharding
    )

    one, cost = performance.compile_ahead(training.compile_step(step, alone), member(keys[0]), batch)
    program, program_cost = performance.compile_ahead(
        training.compile_step(training.make_ensemble_step(step, mesh=everywhere), everywhere, sharding=sharding),
        ensemble(keys),
        shared,
    )

    def seconds(step, states, batch):
        jax.block_until_ready(states)
        began = time.perf_counter()
        for state in states:
            for _ in range(options.steps):
                state, _ = step(state, batch)
            jax.block_until_ready(state)
        return time.perf_counter() - began

    apart, together = [], []
    for _ in range(options.rounds):
        apart.append(seconds(one, [member(key) for key in keys], batch))
        together.append(seconds(program, [ensemble(keys)], shared))
    ratio, spread = turns.ratios(together, apart)
    compiling, _ = turns.ratios(
        [seconds + program_cost.compile_seconds for seconds in together],
        [seconds + cost.compile_seconds for seconds in apart],
    )
    case = f'{options.members} members, {options.steps} steps, {options.row}'
    own, theirs = statistics.median(together), statistics.median(apart)
    row = turns.Row(case, own, 'one after another', theirs, ratio, spread, compile=program_cost.compile_seconds)
    turns.record(options.out, row)
    print(
        f'{cost.compile_seconds:8.1f}{program_cost.compile_seconds:8.1f}'
        f'{theirs:8.2f}{own:8.2f}{ratio:8.2f}{compiling:16.2f}'
    )


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--members', type=int, default=8)
    parser.add_argument('--steps', type=int, default=50)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--width', type=int, default=16)
    parser.add_argument('--quick', action='store_true', help='one round of two members and two steps')
    parser.add_argument('--row', choices=list(ROWS), help=argparse.SUPPRESS)
    turns.add_out(parser)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.members, arguments.steps, arguments.rounds = 2, 2, 1
    measure(arguments) if arguments.row else main(arguments)
