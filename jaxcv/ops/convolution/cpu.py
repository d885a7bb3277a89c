"""XLA's convolution on a CPU in the form that it computes fastest; the result is the same.

* An output smaller than the kernel: XLA exchanges the roles of image and kernel and takes 10 times as long. Here it is
  one matrix product over the pixels under the kernel.
* No padding: XLA's fast path is for padded images only. The images get a row of zeros below, and the output loses its
  last row.
* Narrow images with few filters: XLA splits an output into parts of 64 columns and 64 channels, one for each thread, so
  that 56 x 56 pixels with 64 channels are computed by one thread. Several images are laid beside each other, with zeros
  between them.

Milliseconds with 2 threads (AMD EPYC, jax 0.10.2), of XLA's convolution and of the form; the layer is the convolution
with batch norm, ReLU and all gradients:

    images          channels    form            convolution     layer
    8 of 58 x 58    64 to 64    row of zeros    55      19
    1 of 570 x 570  64 to 64    row of zeros    419     158
    8 of 56 x 56    64 to 64    side by side    18.1    12.0    66  54
    8 of 56 x 56    128 to 32   side by side    19.6    12.6    84  66
    8 of 28 x 28    64 to 64    side by side    4.6     3.3     17  15
"""

import jax
import jax.numpy as jnp

from jaxcv.ops.convolution.shifts import output_size, shifted_images
from jaxcv.ops.convolution.xla import xla_conv
from jaxcv.sizes import Pair
from jaxcv.types import Array

PART = 64
"""The columns, and the channels, of the part of an output that one thread computes."""


def cpu_conv(x: Array, kernel: Array, strides: int, padding: Pair, dilation: int) -> Array:
    """Convolve x [n h w c] with kernel [kh kw c f], as `conv2d` without groups; linear in x and in the kernel.

    Example:
        >>> cpu_conv(jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 1)), 1, (0, 0), 1)[0, :, :, 0]
        Array([[9., 9.], [9., 9.]], dtype=float32)
    """
    rows, columns = output_size(x.shape[1:3], kernel.shape[:2], strides, padding, dilation)
    if rows * columns < kernel.shape[0] * kernel.shape[1]:
        return _conv_of_patches(x, kernel, (rows, columns), strides, padding, dilation)
    if padding == (0, 0):
        return xla_conv(x, kernel, strides, padding, dilation, 1, below=1)[:, :rows]
    # The batch of an exported model has no number, and several devices would exchange the edges of a row of images.
    alone = isinstance(x.shape[0], int) and jax.device_count() == 1
    images = images_in_a_row(x.shape, kernel.shape, strides, dilation) if alone else 1
    if images > 1:
        return conv_side_by_side(x, kernel, padding, images)
    return xla_conv(x, kernel, strides, padding, dilation, 1)


def images_in_a_row(shape: tuple[int, ...], kernel: tuple[int, ...], strides: int, dilation: int) -> int:
    """Return how many images to convolve side by side; 1 where there is work for two threads, or too little for one.

    Args:
        shape: of the images, [n h w c].
        kernel: its shape, [kh kw c f].
        strides: pixels from one output to the next.
        dilation: pixels from one place of the kernel to the next.

    Example:
        >>> images_in_a_row((8, 56, 56, 64), (3, 3, 64, 64), 1, 1)
        2
        >>> images_in_a_row((8, 28, 28, 128), (3, 3, 128, 128), 1, 1)
        1
    """
    n, _, width, _ = shape
    kernel_height, kernel_width, channels, features = kernel
    few_products = kernel_height * kernel_width * channels < 8 * PART
    # Of 16 filters the gradients take up to twice as long side by side.
    if strides > 1 or dilation > 1 or width > PART or not PART / 2 <= features < 2 * PART or few_products:
        return 1
    return next((images for images in range(2, n + 1) if n % images == 0 and images * width > 1.5 * PART), 1)


def image_patches(
    x: Array, size: Pair, kernel_size: tuple[int, ...], strides: int, padding: Pair, dilation: int
) -> Array:
    """Return the pixels under the kernel at each place of the output (im2col): [n h w c] -> [n i j (kh kw c)].

    Example:
        >>> image_patches(jnp.arange(4.0).reshape(1, 2, 2, 1), (1, 1), (2, 2), 1, (0, 0), 1).ravel()
        Array([0., 1., 2., 3.], dtype=float32)
    """
    padded = jnp.pad(x, ((0, 0), *((p, p) for p in padding), (0, 0)))
    return jnp.concatenate([*shifted_images(padded, kernel_size, size, strides, dilation)], axis=-1)


def _conv_of_patches(x: Array, kernel: Array, size: Pair, strides: int, padding: Pair, dilation: int) -> Array:
    patches = image_patches(x, size, kernel.shape[:2], strides, padding, dilation)
    return (patches.reshape(-1, patches.shape[-1]) @ kernel.reshape(-1, kernel.shape[-1])).reshape(
        x.shape[0], *size, -1
    )


def conv_side_by_side(x: Array, kernel: Array, padding: Pair, images: int) -> Array:
    """Convolve without strides, so many images in a row; their number divides the batch.

    Example:
        >>> x, kernel = jnp.arange(36.0).reshape(4, 3, 3, 1), jnp.ones((3, 3, 1, 1))
        >>> bool((conv_side_by_side(x, kernel, (1, 1), 2) == xla_conv(x, kernel, 1, (1, 1), 1, 1)).all())
        True
    """
    n, height, width, channels = x.shape
    _, columns = output_size((height, width), kernel.shape[:2], 1, padding, 1)
    # [n/m m h w c] -> [n/m h m w c], with the padding of both neighbours between two images
    grid = x.reshape(n // images, images, height, width, channels).swapaxes(1, 2)
    pitch = max(width + padding[1], columns)
    apart = ((0, 0), (0, 0), (0, 0), (0, pitch - width), (0, 0))
    row = jnp.pad(grid, apart).reshape(-1, height, images * pitch, channels)
    y = xla_conv(row, kernel, 1, padding, 1, 1)
    # An image's outputs begin at a multiple of the pitch.
    missing = images * pitch - y.shape[2]
    y = jnp.pad(y, ((0, 0), (0, 0), (0, missing), (0, 0))) if missing > 0 else y[:, :, : images * pitch]
    y = y.reshape(n // images, y.shape[1], images, pitch, -1)[:, :, :, :columns].swapaxes(1, 2)
    return y.reshape(n, *y.shape[2:])
