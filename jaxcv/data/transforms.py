"""What happens to one example on the host: factories of closures `example -> example`.

An example is a dict with an `image` (encoded bytes at first, then uint8 `[h w c]`, RGB), usually a `label`, and an
integer `seed`. A transform changes nothing in place: it returns a new dict. A random one draws from `seed` and
returns the example with the next seed, so the same example always gives the same result. Only what changes an image's
shape belongs here; the rest runs on the device inside the step (`jaxcv.augment`).

OpenCV does the work, and lets go of Python's lock while it does: threads are enough to use every core.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import cv2
import numpy as np

from jaxcv.data.seeds import uniform

__all__ = ['center_crop', 'compose', 'decode', 'keep', 'random_flip', 'random_resized_crop',
           'random_scale_crop', 'resize', 'resize_short_side']  # fmt: skip

Example = dict[str, Any]
Transform = Callable[[Example], Example]


def decode(*, channels: Literal[1, 3] = 3) -> Transform:
    """Decodes an encoded image (JPEG, PNG, BMP, WebP, TIFF, GIF, PNM) to uint8.

    Every kind comes out alike: gray is repeated to RGB, CMYK is converted, a palette looked up, alpha dropped (not
    blended), 16 bits cut to the high 8, and a photo turned upright by its EXIF orientation (Pillow and TensorFlow
    leave it lying). A GIF gives its first frame. An array that is already decoded only has its channels converted.

    Truncated files are errors, as is a JPEG whose end was never written (OpenCV would fill it with gray). Damage
    inside a JPEG that leaves its end in place cannot be told from a picture, here as in Pillow.

    Args:
        channels: 3 for RGB, 1 for gray (0.299 R + 0.587 G + 0.114 B).

    Returns:
        The transform: `image` becomes uint8 `[h w channels]`. It raises ValueError where `image` is not an image.

    Example:
        >>> import cv2, numpy as np
        >>> png = cv2.imencode('.png', np.full((2, 3), 7, np.uint8))[1].tobytes()
        >>> decode()({'image': png})['image'].shape
        (2, 3, 3)
    """
    flag = cv2.IMREAD_COLOR_RGB if channels == 3 else cv2.IMREAD_GRAYSCALE

    def apply(example: Example) -> Example:
        image = example['image']
        if isinstance(image, np.ndarray) and image.ndim > 1:
            return {**example, 'image': _with_channels(image, channels)}
        data = np.frombuffer(image, np.uint8)
        _check_end_of_jpeg(data)
        try:
            decoded = cv2.imdecode(data, flag) if data.size else None
        except cv2.error as error:  # too many pixels, among others
            raise ValueError(f'OpenCV cannot decode the image: {error.err}') from None
        if decoded is None:
            raise ValueError(f'not an image that OpenCV can read, or a truncated one ({data.size:,} bytes)')
        return {**example, 'image': _hwc(decoded)}

    return apply


def random_resized_crop(
    *,
    size: int | tuple[int, int],
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Transform:
    """Cuts a random box and resizes it: Inception's crop, the standard augmentation of ImageNet.

    The box covers a uniform share of the area, has a log-uniform ratio of width to height, and lies anywhere. After
    ten boxes that do not fit, the largest centred one whose ratio is allowed is taken.

    Resizing is bilinear, but averages areas where it shrinks by 2 or more: below that, each pixel still counts. It is
    five times faster than averaging always, and decoding is then what training waits for.

    Args:
        size: Side of the result, or (height, width), in pixels.
        scale: Least and largest share of the image's area.
        ratio: Least and largest width / height.

    Returns:
        The transform: `image` becomes uint8 `[height width c]`.

    Example:
        >>> import numpy as np
        >>> example = {'image': np.zeros((375, 500, 3), np.uint8), 'seed': 1}
        >>> random_resized_crop(size=224)(example)['image'].shape
        (224, 224, 3)

    Paper: Szegedy et al., "Going deeper with convolutions", CVPR 2015, section 6.
    """
    height, width = _size(size)
    if not 0 < scale[0] <= scale[1] <= 1:
        raise ValueError(
            f'random_resized_crop: scale {scale} must be two shares of the area, 0 < least <= largest <= 1'
        )
    if not 0 < ratio[0] <= ratio[1]:
        raise ValueError(f'random_resized_crop: ratio {ratio} must be 0 < least <= largest')

    def apply(example: Example) -> Example:
        image = example['image']
        (top, left, h, w), seed = _draw_box(example['seed'], image.shape[:2], scale, ratio)
        box = image[top : top + h, left : left + w]
        return {**example, 'image': _resized(box, height, width, average_from=2.0), 'seed': seed}

    return apply


def random_scale_crop(*, size: int | tuple[int, int], scales: tuple[int, int] = (256, 480)) -> Transform:
    """Multi-scale training: resizes so that the short side is a random S, proportions kept, and cuts a random patch.

    `S ~ U{least, ..., largest}`; the patch lies anywhere. `jaxcv.augment.random_scale_patch` is the same on the device,
    for images that all have one size. Resizing is bilinear, but averages areas where it shrinks by 2 or more.

    Args:
        size: Side of the patch, or (height, width), in pixels.
        scales: Least and largest S, in pixels.

    Returns:
        The transform: `image` becomes uint8 `[height width c]`.

    Example:
        >>> import numpy as np
        >>> example = {'image': np.zeros((600, 800, 3), np.uint8), 'seed': 1}
        >>> random_scale_crop(size=224)(example)['image'].shape
        (224, 224, 3)

    Paper: Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015,
    section 3.1.
    """
    height, width = _size(size)
    if not max(height, width) <= scales[0] <= scales[1]:
        raise ValueError(
            f'random_scale_crop: scales {scales} must be size <= least <= largest, '
            f'so that a patch of {(height, width)} pixels fits'
        )

    def apply(example: Example) -> Example:
        image = example['image']
        share, seed = uniform(example['seed'])
        down, seed = uniform(seed)
        across, seed = uniform(seed)
        factor = (scales[0] + int(share * (scales[1] - scales[0] + 1))) / min(image.shape[:2])
        h, w = (round(side * factor) for side in image.shape[:2])
        top, left = int(down * (h - height + 1)), int(across * (w - width + 1))
        patch = _resized(image, h, w, average_from=2.0)[top : top + height, left : left + width]
        return {**example, 'image': patch, 'seed': seed}

    return apply


def resize(*, size: int | tuple[int, int]) -> Transform:
    """Resizes to a fixed size, whatever the proportions. Shrinking averages areas, so nothing is aliased.

    Args:
        size: Side of the result, or (height, width), in pixels.

    Returns:
        The transform: `image` becomes uint8 `[height width c]`.

    Example:
        >>> import numpy as np
        >>> resize(size=(2, 5))({'image': np.zeros((4, 4, 3), np.uint8)})['image'].shape
        (2, 5, 3)
    """
    height, width = _size(size)
    return lambda example: {**example, 'image': _resized(example['image'], height, width)}


def resize_short_side(*, size: int) -> Transform:
    """Resizes so that the short side is `size`, the proportions kept. Shrinking averages areas.

    Args:
        size: Length of the short side, in pixels. The long one is rounded.

    Returns:
        The transform: `image` becomes uint8 `[h w c]` with `min(h, w) == size`.

    Example:
        >>> import numpy as np
        >>> resize_short_side(size=256)({'image': np.zeros((375, 500, 3), np.uint8)})['image'].shape
        (256, 341, 3)
    """
    short, _ = _size(size)

    def apply(example: Example) -> Example:
        height, width = example['image'].shape[:2]
        factor = short / min(height, width)
        return {**example, 'image': _resized(example['image'], round(height * factor), round(width * factor))}

    return apply


def center_crop(*, size: int | tuple[int, int]) -> Transform:
    """Cuts the middle out. Where the image is smaller than that, black is put around it, as torchvision does.

    Args:
        size: Side of the result, or (height, width), in pixels.

    Returns:
        The transform: `image` becomes uint8 `[height width c]`.

    Example:
        >>> import numpy as np
        >>> center_crop(size=2)({'image': np.arange(16, dtype=np.uint8).reshape(4, 4, 1)})['image'][..., 0]
        array([[ 5,  6],
               [ 9, 10]], dtype=uint8)
    """
    height, width = _size(size)

    def apply(example: Example) -> Example:
        image = example['image']
        down, across = max(height - image.shape[0], 0), max(width - image.shape[1], 0)
        if down or across:
            image = np.pad(image, ((down // 2, down - down // 2), (across // 2, across - across // 2), (0, 0)))
        top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
        return {**example, 'image': image[top : top + height, left : left + width]}

    return apply


def random_flip() -> Transform:
    """Mirrors the image left to right, every second time.

    Returns:
        The transform: `image` keeps its shape.

    Example:
        >>> import numpy as np
        >>> example = {'image': np.array([[[1], [2]]], np.uint8), 'seed': 3}
        >>> sorted({str(random_flip()({**example, 'seed': seed})['image'].ravel()) for seed in range(20)})
        ['[1 2]', '[2 1]']
    """

    def apply(example: Example) -> Example:
        draw, seed = uniform(example['seed'])
        image = _hwc(cv2.flip(example['image'], 1)) if draw < 0.5 else example['image']
        return {**example, 'image': image, 'seed': seed}

    return apply


def keep(*, names: Sequence[str]) -> Transform:
    """Drops all features but these, such as those of a changing shape that no batch could hold.

    Args:
        names: Features to keep. `seed` stays as well, for the transforms that follow.

    Returns:
        The transform.

    Example:
        >>> keep(names=['image'])({'image': 1, 'objects': 2, 'seed': 3})
        {'image': 1, 'seed': 3}
    """
    wanted = {*names, 'seed'}
    return lambda example: {name: value for name, value in example.items() if name in wanted}


def compose(transforms: Sequence[Transform]) -> Transform:
    """One transform that applies several in order.

    Args:
        transforms: Closures `example -> example`.

    Returns:
        The transform.

    Example:
        >>> import numpy as np
        >>> both = compose([resize(size=8), center_crop(size=4)])
        >>> both({'image': np.zeros((9, 9, 3), np.uint8)})['image'].shape
        (4, 4, 3)
    """

    def apply(example: Example) -> Example:
        for transform in transforms:
            example = transform(example)
        return example

    return apply


def _size(size: int | tuple[int, int]) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f'size {size} must be at least 1 pixel')
    return height, width


def _hwc(image: np.ndarray) -> np.ndarray:
    """OpenCV drops the axis of a single channel."""
    return image[..., None] if image.ndim == 2 else image


def _resized(image: np.ndarray, height: int, width: int, average_from: float = 1.0) -> np.ndarray:
    """Bilinear where it grows or shrinks by less than `average_from`, else the mean over each result pixel's area."""
    h, w = image.shape[:2]
    # INTER_AREA averages only if neither side grows: so shrink first, then let the other side grow.
    if max(h / height, w / width) >= average_from:
        image = cv2.resize(image, (min(w, width), min(h, height)), interpolation=cv2.INTER_AREA)
    return _hwc(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR))


def _draw_box(
    seed: int, shape: tuple[int, int], scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[tuple[int, int, int, int], int]:
    """A random box (top, left, height, width) inside an image of `shape`, and the next seed."""
    height, width = shape
    for _ in range(10):
        share, seed = uniform(seed)
        shift, seed = uniform(seed)
        area = height * width * (scale[0] + share * (scale[1] - scale[0]))
        aspect = ratio[0] * (ratio[1] / ratio[0]) ** shift
        h, w = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < h <= height and 0 < w <= width:
            down, seed = uniform(seed)
            across, seed = uniform(seed)
            return (int(down * (height - h + 1)), int(across * (width - w + 1)), h, w), seed
    aspect = min(max(width / height, ratio[0]), ratio[1])
    h, w = min(height, max(1, round(width / aspect))), min(width, max(1, round(height * aspect)))
    return ((height - h) // 2, (width - w) // 2, h, w), seed


def _with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """An already decoded image with 1 or 3 channels, from 1 to 4."""
    image = _hwc(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] not in (1, 3, 4):
        raise ValueError(
            f'a decoded image must be uint8 [h w c] with 1, 3 or 4 channels: got {image.dtype} {image.shape}'
        )
    if image.shape[-1] == 4:
        image = image[..., :3]
    if image.shape[-1] == channels:
        return image
    return _hwc(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB if channels == 3 else cv2.COLOR_RGB2GRAY))


def _check_end_of_jpeg(data: np.ndarray) -> None:
    """Raises ValueError for a JPEG without its end-of-image marker, such as one padded with zeros.

    The segments before the scan are stepped over: a thumbnail among them has an end of its own.
    """
    if data[:2].tobytes() != b'\xff\xd8' or data[-2:].tobytes() == b'\xff\xd9':
        return
    jpeg, place, marker = data.tobytes(), 2, 0
    while marker != 0xDA and jpeg[place : place + 1] == b'\xff':
        marker = jpeg[place + 1] if place + 1 < len(jpeg) else 0
        place += 2 + int.from_bytes(jpeg[place + 2 : place + 4], 'big')
    if b'\xff\xd9' not in jpeg[place:]:
        raise ValueError(f'the JPEG is truncated: its {data.size:,} bytes have no end-of-image marker')
