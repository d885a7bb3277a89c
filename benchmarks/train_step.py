"""Forward pass and train step against PyTorch, in images a second.

    pip install -r benchmarks/requirements.txt
    python -m benchmarks.train_step [--size 224 --batch 8 --rounds 7 --models resnet50 mobilenet_v2]

Measured at 224 x 224, batch 8, on 2 idle cores (torch 2.13.0, jax 0.10.2), images a second:

    model            pass      jaxcv   torch   ratio
    resnet50         forward    17.2    21.3   0.80 (0.77 to 0.82)
    resnet50         step        5.1     6.6   0.77 (0.73 to 0.83)
    mobilenet_v2     forward    92.9   131.0   0.73 (0.47 to 0.74)
    mobilenet_v2     step       23.5    28.6   0.82 (0.80 to 0.86)
    efficientnet_b0  forward    57.3    75.5   0.76 (0.74 to 0.93)
    efficientnet_b0  step       13.1    17.7   0.70 (0.66 to 0.80)
    resnext50_32x4d  forward    13.1    17.1   0.75 (0.68 to 0.83)
    resnext50_32x4d  step        3.5     4.9   0.74 (0.65 to 0.79)

The goal, 1.0, is not reached; `benchmarks.conv_layers` shows which convolutions are behind. Of a GPU,
`benchmarks.accelerator` has the figures.

`benchmarks.step_profile` shows where a step's time goes, and docs/speed.md what large pages of memory change.

On a CPU: float32, 2 threads each, the same batch. The step is cross-entropy, its gradient, and SGD with momentum;
batch norm is in training mode in both passes. The two libraries run in two processes by turns, one waiting while the
other measures; a rate is the median over the rounds and the ratio is jaxcv's rate over PyTorch's in the same round,
again the median. PyTorch runs in both memory formats, and its faster one counts. Where the machine has other work to
do, the ratios mean little: PyTorch's threads wait for each other by spinning.

On a GPU: bfloat16, and PyTorch with torch.compile, channels_last and automatic mixed precision.
"""

import argparse
import os

from benchmarks import turns

MODELS = ('resnet50', 'mobilenet_v2', 'efficientnet_b0', 'resnext50_32x4d')
CHOICES = ('resnet18', *MODELS)


def main() -> None:
    parser = argparse.ArgumentParser(description='Forward pass and train step against PyTorch.')
    parser.add_argument('--size', type=int, default=224, help='height and width of the images')
    parser.add_argument('--batch', type=int, help='images in a batch (default: 8 on a CPU, 256 on a GPU)')
    parser.add_argument('--rounds', type=int, default=7, help='how often the libraries take turns')
    parser.add_argument('--models', nargs='+', default=MODELS, choices=CHOICES)
    parser.add_argument('--quick', action='store_true', help='one short round, to see that it runs')
    turns.add_out(parser)
    arguments = parser.parse_args()

    turns.settle(arguments)
    libraries = {turns.OWN: jaxcv_passes, 'torch': torch_passes, 'torch channels_last': torch_channels_last_passes}
    print(f'{arguments.size} x {arguments.size}, load before: {os.getloadavg()[0]:.1f}', flush=True)
    print(f'{"model":<17}{"pass":<9}{"jaxcv img/s":>12}{"torch img/s":>12}{"ratio":>7}', flush=True)
    for model in arguments.models:
        with turns.workers(libraries, model, arguments) as (batch, workers):
            for which in ('forward', 'step'):
                found = turns.compared(workers, which, rounds=arguments.rounds)
                line = f'{model:<17}{which:<9}{batch / found.own:>12.1f}'
                if found.peer is not None:
                    line += f'{batch / found.peer:>12.1f}{found.ratio:>7.2f}'
                print(line, flush=True)
                turns.record(arguments.out, found.row(f'{model}, {which}', memory=turns.peaks(workers, found)))


def jaxcv_passes(name, arguments):
    """Return the batch's size and {'forward': run it once, 'step': run it once}."""
    import jax
    import numpy as np

    from jaxcv import models, optim, tasks, training

    gpu = jax.default_backend() == 'gpu'
    batch_size = arguments.batch or (256 if gpu else 8)
    model = getattr(models, name)(dtype='bfloat16' if gpu else 'float32')
    task = tasks.classification(model, num_classes=1000)
    optimizer, mesh = optim.momentum(learning_rate=0.1), training.make_mesh(jax.devices()[:1])
    images = np.random.default_rng(0).normal(size=(batch_size, arguments.size, arguments.size, 3))
    batch = training.put_batch(mesh)(
        {
            'image': images.astype(np.float32),
            'label': np.arange(batch_size, dtype=np.int32) % 1000,
            'valid': np.ones(batch_size, bool),
        }
    )
    state = training.create_state(lambda: training.init_state(jax.random.key(0), task, optimizer, batch), mesh)
    step = training.compile_step(training.make_train_step(task, optimizer), mesh)

    @jax.jit
    def forward(variables, images, key):
        return model.apply(variables, images, train=True, mutable=['batch_stats'], rngs={'dropout': key})

    def run_forward():
        jax.block_until_ready(forward(state.variables, batch['image'], jax.random.key(0)))

    def run_step():
        nonlocal state
        state, _ = step(state, batch)
        jax.block_until_ready(state)

    return batch_size, {'forward': run_forward, 'step': run_step}


def torch_channels_last_passes(name, arguments):
    return torch_passes(name, arguments, channels_last=True)


def torch_passes(name, arguments, *, channels_last=False):
    """As `jaxcv_passes`, but the first is None: nothing is missing."""
    import torch
    import torchvision

    torch.set_num_threads(turns.THREADS)
    gpu = torch.cuda.is_available()
    if gpu and not channels_last:
        raise ImportError('on a GPU only channels_last is measured')
    batch = arguments.batch or (256 if gpu else 8)
    device = 'cuda' if gpu else 'cpu'
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = getattr(torchvision.models, name)().train().to(device, memory_format=layout)
    images = torch.randn(batch, 3, arguments.size, arguments.size, device=device).to(memory_format=layout)
    labels = torch.arange(batch, device=device) % 1000
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    compiled = torch.compile(model) if gpu else model

    def wait():
        if gpu:
            torch.cuda.synchronize()

    def logits():
        with torch.autocast(device, torch.bfloat16, enabled=gpu):
            return compiled(images)

    def run_forward():
        with torch.no_grad():
            logits()
        wait()

    def run_step():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits(), labels).backward()
        optimizer.step()
        wait()

    return None, {'forward': run_forward, 'step': run_step}


if __name__ == '__main__':
    main()
