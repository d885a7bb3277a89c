"""Regions of images as images of one size, for a classifier of each: R-CNN."""

import jax.numpy as jnp

from jaxcv.arguments import AtLeast0, AtLeast1, checked
from jaxcv.ops.roi import roi_align
from jaxcv.types import Array, Bool, Float, Images


@checked
def warp_regions(
    images: Images,
    boxes: Float[Array, 'n r 4'],
    *,
    size: AtLeast1 = 227,
    context: AtLeast0 = 16,
    valid: Bool[Array, 'n r'] | None = None,
) -> Float[Array, 'n r size size c']:
    """Stretch each region of an image, with some context, to a square.

    The box is enlarged by `size / (size - 2 context)` about its centre, and sampled bilinearly, without antialiasing.

    Args:
        images: normalized, so that 0 is the mean, with which the parts outside of the image are filled.
        boxes: regions, xyxy in pixels, `[n, r, 4]`.
        size: pixels of a side of the result.
        context: of these, the pixels around the region on each side.
        valid: False for padding `[n, r]`, which becomes 0; None: all are real.

    Returns:
        `[n, r, size, size, c]`.

    Raises:
        ValueError: the context leaves nothing of the region.

    Example:
        >>> image = jnp.arange(8.0).reshape(1, 1, 8, 1).repeat(8, axis=1)
        >>> print(warp_regions(image, jnp.array([[[2.0, 2.0, 4.0, 4.0]]]), size=4, context=1)[0, 0, 0, :, 0])
        [1. 2. 3. 4.]

    Girshick et al. 2014, Rich feature hierarchies (https://arxiv.org/abs/1311.2524), appendix A. The trap: 2,000 warped
    regions of 227 x 227 pixels are 1.2 GB; warp a few dozen at a time.
    """
    if 2 * context >= size:
        raise ValueError(f'context must leave a part of the {size} pixels, got {context} on each side')
    centres, half = (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]) / 2
    half = half * (size / (size - 2 * context))
    enlarged = jnp.concatenate([centres - half, centres + half], axis=-1)
    return roi_align(images, enlarged, stride=1.0, size=size, samples=1, aligned=True, valid=valid)
