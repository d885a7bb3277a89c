"""Every convolution of a model against PyTorch's: forward pass, and the gradients of the image and of the kernel.

    pip install -r benchmarks/requirements.txt
    python -m benchmarks.conv_layers [--model mobilenet_v2 --size 224 --batch 8 --rounds 5]

One line for each distinct convolution, with how often it occurs, in milliseconds (the least of the rounds), and its
ratio: PyTorch's three passes over jaxcv's, above 1 is faster than PyTorch. The last line is all of them together, its
ratio the median over the rounds. Shows where a slow train step of `benchmarks.train_step` comes from. float32; on a CPU
2 threads each, in turn; PyTorch in channels_last.

All convolutions of MobileNet v2 together, measured on 2 idle cores: 241 ms against 98, ratio 0.41; its depthwise ones
0.20 to 0.33, the 1x1 ones 0.39 to 0.78.
"""

import argparse
import collections
import os
import statistics
import time

from benchmarks import turns

THREADS = turns.THREADS
QUICK = 3
"""Convolutions of `--quick`."""


def main() -> None:
    parser = argparse.ArgumentParser(description='Each convolution of a model against PyTorch.')
    parser.add_argument('--model', default='mobilenet_v2')
    parser.add_argument('--size', type=int, default=224, help='height and width of the images')
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--quick', action='store_true', help='one round of the first convolutions, of small images')
    turns.add_out(parser)
    arguments = parser.parse_args()
    os.environ['OMP_WAIT_POLICY'] = 'passive'  # or PyTorch's threads spin while jaxcv is measured
    turns.settle(arguments)
    if arguments.quick:
        arguments.size, arguments.batch = 64, 1
    print(f'{"image":<20}{"kernel":<20}{"stride groups times":<21}{"jaxcv ms":<24}{"torch ms":<24}ratio')
    sums = [[0.0] * arguments.rounds for _ in range(2)]
    found = list(convolutions(arguments).items())
    for (shape, kernel, strides, padding, dilation, groups), count in found[: QUICK if arguments.quick else None]:
        options = {'padding': padding, 'dilation': dilation, 'groups': groups}
        both = jaxcv_runs(shape, kernel, strides, options), torch_runs(shape, kernel, strides, options)
        columns, least = [], []
        for side, passes in enumerate(times(both, arguments.rounds)):
            for turn, once in enumerate(zip(*passes, strict=True)):
                sums[side][turn] += count * sum(once)
            columns.append(' '.join(f'{1e3 * min(each):7.2f}' for each in passes))
            least.append(sum(min(each) for each in passes))
        what, ratio = f'{strides:>6}{groups:>7}{count:>6}', least[1] / least[0]
        print(f'{shape!s:<20}{kernel!s:<20}{what:<21}{columns[0]:<24}{columns[1]:<24}{ratio:.2f}', flush=True)
    ratio, spread = turns.ratios(*sums)
    ours, theirs = map(statistics.median, sums)
    case = f'all convolutions of {arguments.model}'
    turns.record(arguments.out, turns.Row(case, ours, 'torch', theirs, ratio, spread))
    print(f'all: jaxcv {1e3 * ours:.0f} ms, torch {1e3 * theirs:.0f} ms, ratio {ratio:.2f}')


def convolutions(arguments) -> collections.Counter:
    """(image, kernel, strides, padding, dilation, groups) of the model's convolutions, counted."""
    import jax
    import jax.numpy as jnp
    from flax import linen as nn

    from jaxcv import models
    from jaxcv.nn import Conv
    from jaxcv.ops import pair

    found: collections.Counter = collections.Counter()

    def note(call, args, kwargs, context):
        layer = context.module
        if isinstance(layer, Conv) and context.method_name == '__call__':
            rows, columns = pair(layer.kernel_size)
            same = layer.dilation * (rows - 1) // 2, layer.dilation * (columns - 1) // 2
            kernel = (rows, columns, args[0].shape[-1] // layer.groups, layer.features)
            padding = same if layer.padding is None else pair(layer.padding)
            found[args[0].shape, kernel, layer.strides, padding, layer.dilation, layer.groups] += 1
        return call(*args, **kwargs)

    images = jnp.zeros((arguments.batch, arguments.size, arguments.size, 3))
    model = getattr(models, arguments.model)()
    with nn.intercept_methods(note):
        jax.eval_shape(model.init, jax.random.key(0), images)
    return found


def times(sides, rounds: int) -> list[list[list[float]]]:
    """[side][pass][round] seconds, the two sides in turn in each round."""
    found: list[list[list[float]]] = [[[] for _ in passes] for passes in sides]
    for turn in range(rounds + 1):  # the first warms up
        for passes, kept in zip(sides, found, strict=True):
            for run, seconds in zip(passes, kept, strict=True):
                start = time.perf_counter()
                run()
                if turn:
                    seconds.append(time.perf_counter() - start)
    return found


def jaxcv_runs(shape, kernel_shape, strides, options) -> list:
    import jax
    import numpy as np

    from jaxcv.ops import conv2d

    draw = np.random.default_rng(0).standard_normal
    x, kernel = (jax.device_put(draw(s, np.float32)) for s in (shape, kernel_shape))

    def conv(x, kernel):
        return conv2d(x, kernel, strides=strides, **options)

    forward = jax.jit(conv)
    y = forward(x, kernel)
    x_gradient = jax.jit(lambda y: jax.vjp(lambda x: conv(x, kernel), x)[1](y))
    kernel_gradient = jax.jit(lambda x, y: jax.vjp(lambda kernel: conv(x, kernel), kernel)[1](y))
    runs = [lambda: forward(x, kernel), lambda: x_gradient(y), lambda: kernel_gradient(x, y)]
    return [lambda run=run: jax.block_until_ready(run()) for run in runs]


def torch_runs(shape, kernel_shape, strides, options) -> list:
    import torch

    torch.set_num_threads(THREADS)
    n, h, w, c = shape
    rows, columns, per_group, features = kernel_shape
    x = torch.randn(n, c, h, w).to(memory_format=torch.channels_last)
    kernel = torch.randn(features, per_group, rows, columns).to(memory_format=torch.channels_last)
    y = torch.nn.functional.conv2d(x, kernel, stride=strides, **options)

    def forward():
        with torch.no_grad():
            return torch.nn.functional.conv2d(x, kernel, stride=strides, **options)

    def backward(of_x: bool):
        mask = (of_x, not of_x, False)
        pairs = ([strides] * 2, list(options['padding']), [options['dilation']] * 2, False, [0, 0])
        return torch.ops.aten.convolution_backward(y, x, kernel, None, *pairs, options['groups'], mask)

    return [forward, lambda: backward(True), lambda: backward(False)]


if __name__ == '__main__':
    main()
