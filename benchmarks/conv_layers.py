"""Every convolution of a model against PyTorch's: forward pass, and the gradients of the image and of the kernel.

    pip install -r benchmarks/requirements.txt
    python -m benchmarks.conv_layers [--model mobilenet_v2 --size 224 --batch 8]

One line for each distinct convolution, with how often it occurs, in milliseconds (the least of several runs), and its
ratio: PyTorch's three passes over jaxcv's, above 1 is faster than PyTorch. Shows where a slow train step of
`benchmarks.train_step` comes from. float32; on a CPU 2 threads each, one after the other; PyTorch in channels_last.

All convolutions of MobileNet v2 together, measured on 2 idle cores: 241 ms against 98, ratio 0.41; its depthwise ones
0.20 to 0.33, the 1x1 ones 0.39 to 0.78.
"""

import argparse
import collections
import os
import time

THREADS = 2
RUNS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description='Each convolution of a model against PyTorch.')
    parser.add_argument('--model', default='mobilenet_v2')
    parser.add_argument('--size', type=int, default=224, help='height and width of the images')
    parser.add_argument('--batch', type=int, default=8)
    arguments = parser.parse_args()
    os.environ['OMP_WAIT_POLICY'] = 'passive'  # or PyTorch's threads spin while jaxcv is measured
    if hasattr(os, 'sched_setaffinity'):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    print(f'{"image":<20}{"kernel":<20}{"stride groups times":<21}{"jaxcv ms":<24}{"torch ms":<24}ratio')
    sums = [0.0, 0.0]
    for (shape, kernel, strides, padding, dilation, groups), count in convolutions(arguments).items():
        options = {'padding': padding, 'dilation': dilation, 'groups': groups}
        ours, theirs = jaxcv_times(shape, kernel, strides, options), torch_times(shape, kernel, strides, options)
        sums = [total + count * sum(times) for total, times in zip(sums, (ours, theirs), strict=True)]
        columns = [' '.join(f'{1e3 * t:7.2f}' for t in times) for times in (ours, theirs)]
        what = f'{strides:>6}{groups:>7}{count:>6}'
        print(f'{shape!s:<20}{kernel!s:<20}{what:<21}{columns[0]:<24}{columns[1]:<24}{sum(theirs) / sum(ours):.2f}')
    print(f'all: jaxcv {1e3 * sums[0]:.0f} ms, torch {1e3 * sums[1]:.0f} ms, ratio {sums[1] / sums[0]:.2f}')


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


def least(run) -> float:
    run()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def jaxcv_times(shape, kernel_shape, strides, options) -> list[float]:
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
    return [least(lambda run=run: jax.block_until_ready(run())) for run in runs]


def torch_times(shape, kernel_shape, strides, options) -> list[float]:
    import torch

    torch.set_num_threads(THREADS)
    n, h, w, c = shape
    rows, columns, per_group, features = kernel_shape
    x = torch.randn(n, c, h, w).to(memory_format=torch.channels_last)
    kernel = torch.randn(features, per_group, rows, columns).to(memory_format=torch.channels_last)
    y = torch.nn.functional.conv2d(x, kernel, stride=strides, **options)

    def backward(of_x: bool):
        mask = (of_x, not of_x, False)
        pairs = ([strides] * 2, list(options['padding']), [options['dilation']] * 2, False, [0, 0])
        return torch.ops.aten.convolution_backward(y, x, kernel, None, *pairs, options['groups'], mask)

    with torch.no_grad():
        return [
            least(lambda: torch.nn.functional.conv2d(x, kernel, stride=strides, **options)),
            least(lambda: backward(True)),
            least(lambda: backward(False)),
        ]


if __name__ == '__main__':
    main()
