"""ResNet-18 and -50, forward and train step, jaxcv against torch: the same batch, the same machine, in turns.

    pip install -r benchmarks/requirements.txt
    python -m benchmarks.train_step [--models=resnet18,resnet50] [--batch=8] [--size=128] [--rounds=9]

On a CPU: float32, NHWC here and torch's own NCHW there, both on all cores. On a GPU: bfloat16 here, and there
`torch.compile` with channels_last and automatic mixed precision. A train step is forward, cross-entropy, backward with
batch norm in training mode, and SGD with momentum. Medians of the rounds; the ratio is torch's time over ours, so more
than 1 is faster than torch.

@MEASURED@
"""

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import jax
import numpy as np

from jaxcv import models, optim, tasks, training
from jaxcv.training import performance


def ours(name: str, images: np.ndarray, labels: np.ndarray) -> tuple[Callable, Callable]:
    """(forward, train step) of jaxcv; each returns when the device is done."""
    dtype = 'float32' if jax.default_backend() == 'cpu' else 'bfloat16'
    task = tasks.classification(getattr(models, name)(num_classes=1000, dtype=dtype), num_classes=1000)
    optimizer, mesh = optim.momentum(learning_rate=1e-3), training.make_mesh(jax.devices()[:1])
    batch = training.put_batch(mesh)({'image': images, 'label': labels, 'valid': np.ones(len(labels), bool)})
    state = training.create_state(lambda: training.init_state(jax.random.key(0), task, optimizer, batch), mesh)
    predict = jax.jit(lambda variables, batch: task.predict(variables, batch)['logits'])
    step = training.compile_step(training.make_train_step(task, optimizer), mesh)
    step, _ = performance.compile_ahead(step, state, batch)
    variables = jax.tree.map(lambda x: x.copy(), state.variables)  # the step donates the state's own

    def forward() -> None:
        jax.block_until_ready(predict(variables, batch))

    def train() -> None:
        nonlocal state
        state, _ = step(state, batch)
        jax.block_until_ready(state)

    return forward, train


def torchs(name: str, images: np.ndarray, labels: np.ndarray) -> tuple[Callable, Callable]:
    """(forward, train step) of torchvision's model in torch."""
    import torch
    import torchvision

    gpu = torch.cuda.is_available()
    device = 'cuda' if gpu else 'cpu'
    model = getattr(torchvision.models, name)().to(device)
    x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(device)
    y = torch.from_numpy(labels.astype(np.int64)).to(device)
    if gpu:
        x, model = x.to(memory_format=torch.channels_last), model.to(memory_format=torch.channels_last)
        model = torch.compile(model)
    else:
        torch.set_num_threads(os.cpu_count() or 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def wait() -> None:
        if gpu:
            torch.cuda.synchronize()

    def forward() -> None:
        model.eval()
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=gpu):
            model(x)
        wait()

    def train() -> None:
        model.train()
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=gpu):
            loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        wait()

    return forward, train


PEERS = {'jaxcv': ours, 'torch': torchs}


def work(peer: str, name: str, batch: int, size: int) -> None:
    """A worker process: times what it is told, a line each. Processes apart, so that no pool of threads spins idly."""
    rng = np.random.default_rng(0)
    images = rng.random((batch, size, size, 3), dtype=np.float32)
    functions = PEERS[peer](name, images, rng.integers(0, 1000, batch).astype(np.int32))
    for function in functions:
        function()  # compile, warm up
    print('ready', flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        functions[int(line)]()
        print(time.perf_counter() - began, flush=True)


def start(peer: str, arguments: list[str]) -> subprocess.Popen:
    """A worker, once it is ready."""
    command = [sys.executable, '-m', 'benchmarks.train_step', f'--worker={peer}', *arguments]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while (line := worker.stdout.readline()) != 'ready\n':
        if not line:
            sys.exit(f'the {peer} worker ended, see above')
    return worker


def seconds(worker: subprocess.Popen, which: int) -> float:
    """One forward pass (0) or train step (1) of a worker."""
    worker.stdin.write(f'{which}\n')
    worker.stdin.flush()
    return float(worker.stdout.readline())


def main(names: list[str], batch: int, size: int, rounds: int) -> None:
    """Prints the table."""
    peers = ['jaxcv', 'torch'] if importlib.util.find_spec('torchvision') else ['jaxcv']
    if peers == ['jaxcv']:
        print('torch is not installed; for the comparison: pip install -r benchmarks/requirements.txt')
    print(f'{jax.devices()[0].device_kind}, {os.cpu_count()} cores, batch {batch}, {size} x {size}, {rounds} rounds')
    for name in names:
        workers = {peer: start(peer, [f'--models={name}', f'--batch={batch}', f'--size={size}']) for peer in peers}
        for which, what in enumerate(('forward', 'train step')):
            times: dict[str, list[float]] = {peer: [] for peer in peers}
            for _ in range(rounds):
                for peer, worker in workers.items():
                    times[peer].append(min(seconds(worker, which) for _ in range(3)))
            line = '  '.join(f'{peer} {batch / statistics.median(t):7.1f} images/s' for peer, t in times.items())
            if 'torch' in times:
                ratios = [b / a for a, b in zip(times['jaxcv'], times['torch'], strict=True)]
                low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
                line += f'  ratio {middle:.2f} ({low:.2f} to {high:.2f})'
            print(f'{name:<9} {what:<10}  {line}', flush=True)
        for worker in workers.values():
            worker.stdin.close()
            worker.wait()


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--models', default='resnet18,resnet50')
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--size', type=int, default=128)
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--worker', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.models, options.batch, options.size)
    else:
        main(options.models.split(','), options.batch, options.size, options.rounds)
