"""Break training runs in every way, resume them, and compare the end with that of an unbroken run.

    python -m tests.kill_and_resume --kills=20

Kills (SIGKILL) take turns: before the first checkpoint, within a twentieth of a second after the start of the writing
of a checkpoint, during an evaluation, and at a random time; every fifth is a SIGTERM, which the run heeds. It saves
every 5 steps, evaluates its average every 10 and keeps the best checkpoint. At the end these must be identical to those
of a run that was never interrupted: all arrays of the newest and of the best checkpoint (parameters, average, the
optimizer's state, keys, batch statistics), the records of metrics.jsonl, and the events that TensorBoard shows.

Then a disk fills while a run trains: it has to end with one message, and to resume. And two runs start in one workdir:
one of them has to be refused, and a lock that a killed run leaves behind must not refuse the next.
"""

import argparse
import contextlib
import json
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

ROOT = Path(__file__).parents[1]
KINDS = ('start', 'write', 'evaluation', 'any', 'signal')
CLOCK = 'images_per_second'
"""The one number that depends on the clock."""
MESSAGE = 'the disk is full'


def command(workdir: Path, epochs: float, *more: str) -> list[str]:
    """The command that starts the run, or resumes it."""
    return [
        sys.executable,
        '-m',
        'experiments.train',
        '--config=experiments/classification/digits.py',
        f'--workdir={workdir}',
        '--config.model.width=8',
        f'--config.training.epochs={epochs}',
        '--config.training.save_every=5',
        '--config.training.log_every=2',
        '--config.training.eval_every=10',
        '--config.training.best_metric=loss',
        '--config.training.evaluate_averaged=True',
        '--config.training.recalibrate_batches=2',
        "--config.average={'name': 'polyak', 'rho': 0.9}",
        f'--config.data.data_dir={workdir.parent / "data"}',
        *more,
    ]


def start(arguments: list[str], log: Path | None = None) -> subprocess.Popen:
    """Start a command, with its messages in a file."""
    with log.open('w') if log else contextlib.nullcontext(subprocess.DEVNULL) as messages:
        return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=messages)


def arrays(workdir: Path, step: int) -> dict[str, np.ndarray]:
    """Read all arrays of a checkpoint, as they are on disk."""
    import orbax.checkpoint as ocp

    with ocp.CheckpointManager((workdir / 'checkpoints').absolute()) as manager:
        tree = manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore()))['state']
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    as_bits = lambda x: np.asarray(jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x)  # noqa: E731
    return {jax.tree_util.keystr(path): as_bits(leaf) for path, leaf in leaves}


def steps(workdir: Path) -> list[int]:
    """List the steps of the checkpoints."""
    return sorted(int(path.name) for path in (workdir / 'checkpoints').glob('*') if path.name.isdigit())


def best(workdir: Path) -> int:
    """The step of the checkpoint with the lowest loss, by the checkpoints' own metrics."""
    files = {step: workdir / 'checkpoints' / str(step) / 'metrics' / 'metrics' for step in steps(workdir)}
    losses = {step: json.loads(file.read_text()).get('loss') for step, file in files.items()}
    return min((step for step in losses if losses[step] is not None), key=lambda step: losses[step])


def records(workdir: Path) -> list[dict]:
    """Read metrics.jsonl without the numbers that depend on the clock."""
    lines = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != CLOCK} for line in lines]


def events(workdir: Path) -> list[tuple]:
    """Read the events that TensorBoard shows: those of a step at or after that of a later start are hidden."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    shown: list[tuple] = []
    for path in sorted((workdir / 'tensorboard').iterdir()):
        for event in map(Event.FromString, tf_records(path.read_bytes())):
            if event.session_log.status == SessionLog.START:
                shown = [one for one in shown if one[0] < event.step]
            shown += [(event.step, x.tag, x.SerializeToString()) for x in event.summary.value if x.tag != CLOCK]
    return shown


def tf_records(content: bytes) -> Iterator[bytes]:
    """Split TFRecords: eight bytes of length and four of its checksum, the record, four of its checksum."""
    place = 0
    while place < len(content):
        (length,) = struct.unpack_from('<Q', content, place)
        yield content[place + 12 : place + 12 + length]
        place += length + 16


def writing(workdir: Path) -> set[str]:
    """List the checkpoints that are being written: their folders have temporary names."""
    return {path.name for path in (workdir / 'checkpoints').glob('*tmp*')}


def evaluating(workdir: Path) -> bool:
    """Whether the last line of metrics.jsonl is of a step that is evaluated after it."""
    lines = (workdir / 'metrics.jsonl').read_text().splitlines()
    try:
        last = json.loads(lines[-1])
    except (IndexError, ValueError):
        return False
    return last['step'] % 10 == 0 and 'train/loss' in last


def kill_once(process: subprocess.Popen, workdir: Path, draw: random.Random, kind: str) -> str:
    """End the process while it trains; return the state that it was in."""

    def waits() -> bool:
        return process.poll() is None

    before = set((workdir / 'checkpoints').glob('*'))
    metrics = workdir / 'metrics.jsonl'
    if kind == 'start':
        while waits() and not (metrics.exists() and metrics.stat().st_size):
            time.sleep(0.001)
    else:
        # A new folder shows that this process trains: it has deleted what the one before left half-written, and saves.
        while waits() and not set((workdir / 'checkpoints').glob('*')) - before:
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 1.0))
    while waits() and kind == 'write' and not writing(workdir):
        time.sleep(0.0005)
    while waits() and kind == 'evaluation' and not evaluating(workdir):
        time.sleep(0.0005)
    if kind in ('write', 'evaluation'):
        time.sleep(draw.uniform(0, 0.05))
    found = ' a checkpoint was being written' * bool(writing(workdir)) + ' an evaluation was due' * evaluating(workdir)
    process.send_signal(signal.SIGTERM if kind == 'signal' else signal.SIGKILL)
    process.wait()
    return found


def compared(unbroken: Path, broken: Path) -> dict[str, bool]:
    """Compare two runs: what -> whether it is equal."""
    equal = {}
    for name, step in {'newest checkpoint': steps(unbroken)[-1], 'best checkpoint': best(unbroken)}.items():
        there = step in steps(broken) and (name[0] == 'n' or step == best(broken))
        expected, found = arrays(unbroken, step), arrays(broken, step) if there else {}
        equal[name] = expected.keys() == found.keys() and all(
            expected[k].tobytes() == found[k].tobytes() for k in expected
        )
    equal['metrics.jsonl'] = records(unbroken) == records(broken)
    equal['TensorBoard'] = events(unbroken) == events(broken)
    return equal


def killed(folder: Path, kills: int, epochs: float, seed: int) -> bool:
    """Kill and resume a run; return whether it ends as an unbroken one."""
    draw, (unbroken, broken) = random.Random(seed), (folder / 'unbroken', folder / 'broken')
    if start(command(unbroken, epochs)).wait():
        print('the unbroken run failed')
        return False
    for kill in range(kills):
        kind = KINDS[kill % len(KINDS)]
        process = start(command(broken, epochs))
        state = kill_once(process, broken, draw, kind if kill else 'start')
        if process.returncode not in (-signal.SIGKILL, 75):
            print(f'the run ended (exit code {process.returncode}) before kill {kill + 1}: give more --epochs')
            return False
        print(f'kill {kill + 1}/{kills} ({kind}): checkpoints {steps(broken)}{state}', flush=True)
    code = start(command(broken, epochs)).wait()
    equal = compared(unbroken, broken)
    print(f'{kills} kills, the last run ended with {code}; equal: {equal}')
    return code == 0 and all(equal.values())


def full_disk(folder: Path) -> bool | None:
    """Fill a small disk while a run trains; return whether it ends as it should, None where no disk can be mounted."""
    disk, log = folder / 'disk', folder / 'full.log'
    disk.mkdir()
    if subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', disk], capture_output=True, check=False
    ).returncode:
        return None
    try:
        arguments = [*command(disk / 'run', 200.0), f'--config.data.data_dir={folder / "data"}']
        process = start(arguments, log)
        while process.poll() is None and not steps(disk / 'run'):
            time.sleep(0.01)
        with (disk / 'ballast').open('wb', buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        code = process.wait(timeout=120)
        said = [line for line in log.read_text().splitlines() if line.startswith(('Error', 'Traceback'))]
        print(f'full disk: exit code {code}, {said}')
        (disk / 'ballast').unlink()
        before, process = steps(disk / 'run'), start(arguments)
        while process.poll() is None and steps(disk / 'run') == before:
            time.sleep(0.01)
        process.terminate()
        resumed = process.wait()
        print(f'with room again: exit code {resumed}')
        return code == 2 and resumed == 75 and len(said) == 1 and MESSAGE in said[0]
    finally:
        subprocess.run(['umount', disk], check=False)


def two_at_once(folder: Path) -> bool:
    """Start two runs in one workdir; return whether one of them is refused, and a killed one refuses nobody."""
    workdir, logs = folder / 'shared', [folder / 'first.log', folder / 'second.log']
    rates = ('0.05', '0.2')
    both = [
        start(command(workdir, 500.0, f'--config.optimizer.learning_rate={rate}'), log)
        for rate, log in zip(rates, logs, strict=True)
    ]
    while all(process.poll() is None for process in both):
        time.sleep(0.05)
    loser = next(i for i, process in enumerate(both) if process.poll() is not None)
    said = [line for line in logs[loser].read_text().splitlines() if line.startswith(('Error', 'Traceback'))]
    print(f'two runs: exit code {both[loser].returncode}, {said}')
    refused = both[loser].returncode == 2 and len(said) == 1 and f'process {both[1 - loser].pid} on ' in said[0]
    while both[1 - loser].poll() is None and not steps(workdir):
        time.sleep(0.01)
    both[1 - loser].kill()
    both[1 - loser].wait()
    left = (workdir / 'run.lock').exists()
    again = start(command(workdir, 500.0, f'--config.optimizer.learning_rate={rates[1 - loser]}'))
    before = steps(workdir)
    while again.poll() is None and steps(workdir) == before:
        time.sleep(0.01)
    again.terminate()
    code = again.wait()
    print(f'after a kill, the lock left behind: {left}, the next run: exit code {code}')
    return refused and left and code == 75


def main(kills: int, epochs: float, seed: int) -> int:
    """Run the comparisons and print their results; return the exit code."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = [killed(folder, kills, epochs, seed), full_disk(folder), two_at_once(folder)]
    if results[1] is None:
        print('full disk: left out, no disk can be mounted here')
    return 0 if all(result is not False for result in results) else 1


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--kills', type=int, default=20)
    parser.add_argument('--epochs', type=float, default=60.0)
    parser.add_argument('--seed', type=int, default=0)
    options = parser.parse_args()
    sys.exit(main(options.kills, options.epochs, options.seed))
