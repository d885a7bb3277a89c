"""Correlation against its naive forms, 3-D convolutions against PyTorch's, and train steps of flow and stereo networks.

    pip install -r benchmarks/requirements.txt
    python -m benchmarks.stereo [--parts correlation convolutions steps --rounds 5 --models flownet_c gcnet]

`correlation`: time and temporary memory of `ops.correlation`, forward and with its gradient, beside one shifted product
for each displacement, unrolled and in a loop, on FlowNetC's features of 2 images of 384 x 512 and of one of 192 x 256.
`convolutions`: 3-D and transposed 3-D and 2-D convolutions at the sizes of GC-Net and FlowNet, forward and with the
gradients of x and kernel, beside PyTorch's, and with --xla XLA's own. `steps`: loss, gradient and Adam, beside the
networks of `tools.stereo` in PyTorch. Each part takes 1 to 4 minutes; of `steps`, 40 to 60 seconds a network.

Each line is a median over the rounds; in a round, all forms of a line run once, one after the other, in one process.
The ratio is PyTorch's time over jaxcv's, above 1 is faster than PyTorch. float32, 2 threads. Two cores of an AMD EPYC:

    correlation of      pass      form       seconds  compiled in  temporary MiB
    2 x 48 x 64 x 256   forward   jaxcv        0.239          0.3              2
    2 x 48 x 64 x 256   forward   looped       0.436          0.3             28
    2 x 48 x 64 x 256   gradient  jaxcv        0.722          1.1             32
    2 x 48 x 64 x 256   gradient  looped       3.346          0.9           2692
    1 x 24 x 32 x 256   forward   jaxcv        0.027          0.3              2
    1 x 24 x 32 x 256   forward   looped       0.269          0.2              6
    1 x 24 x 32 x 256   forward   unrolled     0.425         15.6            329
    1 x 24 x 32 x 256   gradient  jaxcv        0.035          0.5              6
    1 x 24 x 32 x 256   gradient  looped       0.446          0.4            341
    1 x 24 x 32 x 256   gradient  unrolled     0.536         17.2            333
    seconds a train step       jaxcv   torch  ratio
    gcnet                       1.43    1.84   1.28
    flownet_c                   3.68    4.26   1.16
    flownet_s                   0.66    0.52   0.79
    dispnet                     0.71    0.61   0.86
    dispnet_c                   0.78    0.94   1.20

    milliseconds of one               pass         jaxcv   torch  ratio
    conv3d GC-Net 1/2                 forward       49.0    57.1   1.17
    conv3d GC-Net 1/2                 gradient     160.1   124.6   0.78
    conv3d GC-Net 1/4, stride 2       forward       45.0    24.9   0.55
    conv3d GC-Net 1/4, stride 2       gradient     121.9   137.9   1.13
    transposed 3d GC-Net to 1/2       forward       39.4    69.5   1.76
    transposed 3d GC-Net to 1/2       gradient     116.2   152.8   1.32
    transposed 3d GC-Net costs        forward       10.9    20.3   1.86
    transposed 3d GC-Net costs        gradient      32.8    26.3   0.80
    transposed 2d FlowNet deconv5     forward        9.6    23.3   2.42
    transposed 2d FlowNet deconv5     gradient      67.1    84.2   1.26
    transposed 2d FlowNet deconv3     forward       33.2    23.7   0.71
    transposed 2d FlowNet deconv3     gradient      79.1    71.5   0.90
    transposed 2d FlowNet deconv2     forward       31.3    24.0   0.77
    transposed 2d FlowNet deconv2     gradient      99.2    78.8   0.79
"""

import argparse
import functools
import os
import statistics
import time
from collections.abc import Callable, Mapping

from benchmarks import turns

THREADS = 2
PARTS = ('correlation', 'convolutions', 'steps')
MODELS = ('flownet_s', 'flownet_c', 'dispnet', 'dispnet_c', 'gcnet')


def main() -> None:
    parser = argparse.ArgumentParser(description='Correlation, 3-D convolutions and train steps of flow and stereo.')
    parser.add_argument('--parts', nargs='+', default=PARTS, choices=PARTS)
    parser.add_argument('--rounds', type=int, default=5, help='how often the forms take turns')
    parser.add_argument('--models', nargs='+', default=MODELS, choices=MODELS)
    parser.add_argument('--size', type=int, nargs=2, default=(128, 192), help='height and width of the train steps')
    parser.add_argument('--xla', action='store_true', help="convolutions also as XLA's own, some of them slow")
    parser.add_argument('--quick', action='store_true', help='one round, to see that it runs')
    turns.add_out(parser)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.size = 1, (64, 64)
    os.environ['OMP_WAIT_POLICY'] = 'passive'  # or PyTorch's threads spin while jaxcv is measured
    if hasattr(os, 'sched_setaffinity'):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    print(f'load before: {os.getloadavg()[0]:.1f}', flush=True)
    for part in arguments.parts:
        {'correlation': correlations, 'convolutions': convolutions, 'steps': steps}[part](arguments)


def medians(forms: Mapping[str, Callable], rounds: int) -> dict[str, float]:
    """Return seconds of each form, which take turns."""
    times: dict[str, list[float]] = {name: [] for name in forms}
    for run in forms.values():
        run()
    for _ in range(rounds):
        for name, run in forms.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def record(arguments: argparse.Namespace, case: str, found: Mapping[str, float], peer: str) -> None:
    own, theirs = found['jaxcv'], found[peer]
    turns.record(arguments.out, turns.Row(case, own, peer, theirs, theirs / own))


MAPS = {'2 x 48 x 64 x 256': ('looped',), '1 x 24 x 32 x 256': ('looped', 'unrolled')}
"""Shapes of feature maps, and the naive forms that are measured there; 441 unrolled products compile for a minute."""


def correlations(arguments) -> None:
    print(f'{"correlation of":<20}{"pass":<10}{"form":<10}{"seconds":>8}{"compiled in":>13}  temporary MiB', flush=True)
    for maps, naive in list(MAPS.items())[-1 if arguments.quick else 0 :]:
        for name in ('forward', 'gradient'):
            forms, facts = {}, {}
            for form in ('jaxcv', *naive):
                forms[form], *facts[form] = correlation_form(form, maps, gradient=name == 'gradient')
            found = medians(forms, arguments.rounds)
            for form, seconds in found.items():
                compiled, memory = facts[form]
                print(f'{maps:<20}{name:<10}{form:<10}{seconds:>8.3f}{compiled:>13.1f}{memory:>15.0f}', flush=True)
            record(arguments, f'correlation of {maps}, {name}', found, 'looped')


def correlation_form(form: str, maps: str, *, gradient: bool) -> tuple[Callable[[], None], float, float]:
    """Return a form of FlowNetC's correlation, the seconds that it compiles, and its temporary memory in MiB."""
    import jax
    import jax.numpy as jnp

    from jaxcv import ops

    shape = tuple(int(size) for size in maps.split(' x '))
    first, second = (jax.random.normal(jax.random.key(i), shape) for i in (0, 1))
    steps = [(a, b) for a in range(0, 41, 2) for b in range(0, 41, 2)]

    def shifted(first, padded, step):
        window = jax.lax.dynamic_slice(padded, (0, *step, 0), first.shape)
        return (first * window).mean(-1)

    def padded(second):
        return jnp.pad(second, ((0, 0), (20, 20), (20, 20), (0, 0)))

    def unrolled(first, second):
        wide = padded(second)
        return jnp.stack([shifted(first, wide, step) for step in steps], axis=-1)

    def looped(first, second):
        wide = padded(second)
        scores = jax.lax.map(lambda step: shifted(first, wide, (step[0], step[1])), jnp.asarray(steps))
        return jnp.moveaxis(scores, 0, -1)

    ours = functools.partial(ops.correlation, max_displacement=20, stride=2)
    function = {'jaxcv': ours, 'looped': looped, 'unrolled': unrolled}[form]
    if gradient:
        function = jax.grad(lambda first, second, f=function: jnp.square(f(first, second)).sum(), (0, 1))
    began = time.perf_counter()
    compiled = jax.jit(function).lower(first, second).compile()
    seconds = time.perf_counter() - began
    memory = compiled.memory_analysis().temp_size_in_bytes / 2**20
    return lambda: jax.block_until_ready(compiled(first, second)), seconds, memory


CONVOLUTIONS = {
    # Shape of x, of the kernel, and options; of transposed ones the kernel's last axis is x's.
    'conv3d GC-Net 1/2': ('conv3d', (1, 16, 64, 128, 32), (3, 3, 3, 32, 32), {'padding': 1}),
    'conv3d GC-Net 1/4, stride 2': ('conv3d', (1, 16, 64, 128, 64), (3, 3, 3, 64, 64), {'strides': 2, 'padding': 1}),
    'transposed 3d GC-Net to 1/2': (
        'conv_transpose3d',
        (1, 16, 32, 64, 64),
        (3, 3, 3, 32, 64),
        {'strides': 2, 'padding': 1, 'output_padding': 1},
    ),
    'transposed 3d GC-Net costs': (
        'conv_transpose3d',
        (1, 16, 64, 128, 32),
        (3, 3, 3, 1, 32),
        {'strides': 2, 'padding': 1, 'output_padding': 1},
    ),
    'transposed 2d FlowNet deconv5': (
        'conv_transpose2d',
        (2, 6, 8, 1024),
        (4, 4, 512, 1024),
        {'strides': 2, 'padding': 1},
    ),
    'transposed 2d FlowNet deconv3': (
        'conv_transpose2d',
        (2, 24, 32, 770),
        (4, 4, 128, 770),
        {'strides': 2, 'padding': 1},
    ),
    'transposed 2d FlowNet deconv2': (
        'conv_transpose2d',
        (2, 48, 64, 386),
        (4, 4, 64, 386),
        {'strides': 2, 'padding': 1},
    ),
}


def convolutions(arguments) -> None:
    print(f'{"milliseconds":<32}{"pass":<10}{"jaxcv":>8}{"torch":>8}  ratio{"XLA" * arguments.xla:>8}', flush=True)
    for name, case in CONVOLUTIONS.items():
        for backward in (False, True):
            forms = convolution_forms(*case, backward=backward)
            xla = forms.pop('XLA')
            found = medians(forms, arguments.rounds)
            columns = ''.join(f'{1e3 * seconds:>8.1f}' for seconds in found.values())
            columns += f'{found["torch"] / found["jaxcv"]:>7.2f}'
            if arguments.xla:
                columns += f'{1e3 * medians({"XLA": xla()}, 1)["XLA"]:>8.0f}'
            print(f'{name:<32}{"gradient" if backward else "forward":<10}{columns}', flush=True)
            record(arguments, f'{name}, {"gradient" if backward else "forward"}', found, 'torch')


def convolution_forms(function: str, shape, kernel_shape, options: Mapping, *, backward: bool) -> dict[str, Callable]:
    """Return a convolution, or its forward pass and gradients, of jaxcv, of PyTorch, and how to make XLA's own."""
    import jax
    import numpy as np
    import torch

    from jaxcv import ops
    from jaxcv.ops.convolution import plain

    torch.set_num_threads(THREADS)
    draw = np.random.default_rng(0).standard_normal
    conv = functools.partial(getattr(ops, function), **options)
    x, kernel = draw(shape, np.float32), draw(kernel_shape, np.float32)
    gradient = draw(jax.eval_shape(conv, x, kernel).shape, np.float32)
    arrays = jax.device_put((x, kernel, gradient))

    def compiled() -> Callable[[], None]:
        def run(x, kernel, gradient):
            value, transpose = jax.vjp(conv, x, kernel)
            return (value, transpose(gradient)) if backward else value

        program = jax.jit(run).lower(*arrays).compile()
        return lambda: jax.block_until_ready(program(*arrays))

    their_kernel = torch.tensor(np.moveaxis(kernel, (-1, -2), (0, 1)).copy())
    their_x, their_gradient = (torch.tensor(np.moveaxis(a, -1, 1).copy()) for a in (x, gradient))
    renamed = {{'strides': 'stride'}.get(key, key): value for key, value in options.items()}

    def theirs() -> None:
        with torch.set_grad_enabled(backward):
            values = (their_x.detach().requires_grad_(backward), their_kernel.detach().requires_grad_(backward))
            y = getattr(torch.nn.functional, function)(*values, **renamed)
            if backward:
                y.backward(their_gradient)

    def xla() -> Callable[[], None]:
        with plain():
            return compiled()

    return {'jaxcv': compiled(), 'torch': theirs, 'XLA': xla}


def steps(arguments) -> None:
    print(f'{"seconds a train step":<24}{"jaxcv":>8}{"torch":>8}  ratio', flush=True)
    for name in arguments.models:
        found = medians(
            {'jaxcv': jaxcv_step(name, arguments.size), 'torch': torch_step(name, arguments.size)}, arguments.rounds
        )
        columns = ''.join(f'{seconds:>8.2f}' for seconds in found.values())
        print(f'{name:<24}{columns}{found["torch"] / found["jaxcv"]:>7.2f}', flush=True)
        record(arguments, f'{name}, step', found, 'torch')


def images_of(name: str, size: tuple[int, int]):
    """Both images and the truth: one pair for GC-Net, four for the others."""
    import numpy as np

    rng = np.random.default_rng(0)
    n = 1 if name == 'gcnet' else 4
    views = [rng.random((n, *size, 3)).astype(np.float32) for _ in range(2)]
    channels = (2,) if name.startswith('flownet') else ()
    return (*views, (20 * rng.random((n, *size, *channels))).astype(np.float32))


def jaxcv_step(name: str, size: tuple[int, int]) -> Callable[[], None]:
    import jax
    import numpy as np
    import optax

    from jaxcv import losses, tasks, training
    from jaxcv.models import stereo

    first, second, truth = images_of(name, size)
    options = {'disparities': 64, 'form': 'public', 'remat': False} if name == 'gcnet' else {}
    model = getattr(stereo, name)(**options)
    valid = np.ones(len(first), bool)
    if name.startswith('flownet'):
        task = tasks.flow(model)
        batch = {'image': first, 'next_image': second, 'flow': truth, 'valid': valid}
    else:
        levels = 1 if name == 'gcnet' else 6
        task = tasks.stereo(model, loss=functools.partial(losses.multi_scale_disparity, weights=[1.0] * levels))
        batch = {'left': first, 'right': second, 'disparity': truth, 'valid': valid}
    optimizer = optax.adam(1e-4)
    state = jax.jit(lambda key, batch: training.init_state(key, task, optimizer, batch))(jax.random.key(0), batch)
    step = jax.jit(training.make_train_step(task, optimizer), donate_argnums=0)
    held = [state]

    def run() -> None:
        held[0], logs = step(held[0], batch)
        jax.block_until_ready(logs)

    return run


def torch_step(name: str, size: tuple[int, int]) -> Callable[[], None]:
    import numpy as np
    import torch

    from tools.stereo import MODELS as TWINS
    from tools.stereo import GCNet

    torch.set_num_threads(THREADS)
    first, second, truth = images_of(name, size)
    model = GCNet(64) if name == 'gcnet' else TWINS[name]()
    pairs = torch.tensor(np.concatenate([first, second], -1)).permute(0, 3, 1, 2).contiguous()
    target = torch.tensor(truth if truth.ndim == 4 else truth[..., None]).permute(0, 3, 1, 2).contiguous()
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)

    def run() -> None:
        optimizer.zero_grad()
        total = torch.zeros(())
        for level in model(pairs).values():
            wanted = torch.nn.functional.adaptive_avg_pool2d(target, level.shape[2:])
            total = total + torch.linalg.vector_norm(level - wanted, dim=1).mean()
        total.backward()
        optimizer.step()

    return run


if __name__ == '__main__':
    main()
