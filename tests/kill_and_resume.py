"""Kill a training run (SIGKILL) at random moments, resume it each time, and compare the end with an unbroken run.

    python -m tests.kill_and_resume --kills=20

Every other kill comes at a random time, the others within a twentieth of a second after the start of the writing of a
checkpoint. The run saves every 5 steps. At the end the parameters, the optimizer's state, the keys and the batch
statistics must be bit-identical to those of a run that was never interrupted, and metrics.jsonl must have the same
record for each step.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

ROOT = Path(__file__).parents[1]


def command(workdir: Path, epochs: float) -> list[str]:
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
        '--config.training.log_every=5',
        '--config.training.eval_every=0',
        f'--config.data.data_dir={workdir.parent / "data"}',
    ]


def arrays(workdir: Path) -> dict[str, np.ndarray]:
    """Read all arrays of the newest checkpoint, as they are on disk."""
    import orbax.checkpoint as ocp

    with ocp.CheckpointManager((workdir / 'checkpoints').absolute()) as manager:
        tree = manager.restore(manager.latest_step(), args=ocp.args.Composite(state=ocp.args.StandardRestore()))[
            'state'
        ]
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    as_bits = lambda x: np.asarray(jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x)  # noqa: E731
    return {jax.tree_util.keystr(path): as_bits(leaf) for path, leaf in leaves}


def records(workdir: Path) -> list[dict]:
    """Read metrics.jsonl without the numbers that depend on the clock."""
    lines = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != 'images_per_second'} for line in lines]


def writing(workdir: Path) -> set[str]:
    """List the checkpoints that are being written: their folders have temporary names."""
    return {path.name for path in (workdir / 'checkpoints').glob('*tmp*')}


def kill_once(process: subprocess.Popen, workdir: Path, draw: random.Random, *, at_a_write: bool) -> bool:
    """Kill the process while it trains; return whether a checkpoint was being written."""
    before = set((workdir / 'checkpoints').glob('*'))
    # A new folder shows that this process trains: it has deleted what the one before left half-written, and saves.
    while process.poll() is None and not set((workdir / 'checkpoints').glob('*')) - before:
        time.sleep(0.005)
    time.sleep(draw.uniform(0, 2.0))
    while at_a_write and process.poll() is None and not writing(workdir):
        time.sleep(0.0005)
    if at_a_write:
        time.sleep(draw.uniform(0, 0.05))
    hit = bool(writing(workdir))
    process.kill()
    process.wait()
    return hit


def main(kills: int, epochs: float, seed: int) -> int:
    """Run the comparison and print its result; return the exit code."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        unbroken, broken = Path(folder) / 'unbroken', Path(folder) / 'broken'
        subprocess.run(
            command(unbroken, epochs), cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        in_a_write = 0
        for kill in range(kills):
            process = subprocess.Popen(
                command(broken, epochs), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            hit = kill_once(process, broken, draw, at_a_write=kill % 2 == 1)
            if process.returncode != -9:
                print(f'the run ended (exit code {process.returncode}) before kill {kill + 1}: give more --epochs')
                return 1
            in_a_write += hit
            steps = sorted(int(p.name) for p in (broken / 'checkpoints').glob('*') if p.name.isdigit())
            print(f'kill {kill + 1}/{kills}: checkpoints {steps}{", while writing one" if hit else ""}', flush=True)
        subprocess.run(
            command(broken, epochs), cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        expected, found = arrays(unbroken), arrays(broken)
        different = [k for k in expected if k not in found or expected[k].tobytes() != found[k].tobytes()]
        same_records = records(unbroken) == records(broken)
    print(f'{kills} kills, {in_a_write} while a checkpoint was being written')
    print(
        f'{len(expected) - len(different)} of {len(expected)} arrays bit-identical; metrics.jsonl equal: {same_records}'
    )
    return 0 if not different and same_records and expected.keys() == found.keys() else 1


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--kills', type=int, default=20)
    parser.add_argument('--epochs', type=float, default=60.0)
    parser.add_argument('--seed', type=int, default=0)
    options = parser.parse_args()
    sys.exit(main(options.kills, options.epochs, options.seed))
