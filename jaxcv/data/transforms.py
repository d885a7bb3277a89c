"""What happens to one example on the host: factories of closures `example -> example`.

An example is a dict with an `image` (encoded bytes at first, then uint8 `[h w c]`, RGB), a `label` or a `mask` (the
class of each pixel; encoded bytes at first, then uint8 `[h w]`), and an integer `seed`. What moves the image's pixels
moves the mask's along: it is never averaged, and 255, no class, where there was no image. `boxes` and the instances'
`masks` do not follow: they are an error here, `jaxcv.augment` moves them in the step.

A transform changes nothing in place: it returns a new dict. A random one draws from `seed` and returns the example
with the next seed, so the same example always gives the same result. Only what changes an image's shape belongs here;
the rest runs on the device inside the step (`jaxcv.augment`).

OpenCV does the work, and lets go of Python's lock while it does: threads are enough to use every core.
"""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import cv2
import numpy as np
from PIL import Image

from jaxcv.data.seeds import uniform

__all__ = ['center_crop', 'compose', 'decode', 'decode_mask', 'keep', 'pad_to', 'random_flip', 'random_resized_crop',
           'random_scale_crop', 'relabel', 'rename', 'resize', 'resize_short_side']  # fmt: skip

IGNORED = 255  # as in jaxcv.types, which would import JAX

Example = dict[str, Any]
Transform = Callable[[Example], Example]
Resize = Callable[[np.ndarray, int, int], np.ndarray]


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
        image = _feature(example, 'image')
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


def decode_mask() -> Transform:
    """Decodes the class of each pixel from an encoded image (PNG, BMP, TIFF, GIF, PNM).

    The numbers are those of the file: gray levels, or the indices of a palette, whose colours are only for looking at
    (as in PASCAL VOC). Black and white are 0 and 1. An array that is already decoded only loses its channel.

    Returns:
        The transform: `mask` becomes uint8 `[h w]`. It raises ValueError where `mask` is not an image, has colours or
        numbers beyond 255, or is not as large as a decoded `image`.

    Example:
        >>> import cv2, numpy as np
        >>> png = cv2.imencode('.png', np.array([[0, 1, 255]], np.uint8))[1].tobytes()
        >>> decode_mask()({'mask': png})['mask']
        array([[  0,   1, 255]], dtype=uint8)
    """

    def apply(example: Example) -> Example:
        mask = _feature(example, 'mask')
        decoded = {**example, 'mask': _classes(_indices(mask) if isinstance(mask, bytes) else np.asarray(mask))}
        _check_one_size(decoded)
        return decoded

    return apply


def relabel(*, values: Sequence[int], feature: str = 'mask') -> Transform:
    """Renumbers classes: `new = values[old]`.

    Args:
        values: The new number of each old one, 0 to 255, from 0 on; 255 for pixels of no class. What is 255 already
            stays so, unless there are 256.
        feature: What to renumber: 'mask', or 'label'.

    Returns:
        The transform. It raises ValueError where there is a number that `values` does not have.

    Example:
        >>> import numpy as np
        >>> pets = relabel(values=[255, 1, 0, 255])  # 1 the pet, 2 what is behind it, 3 its outline
        >>> pets({'mask': np.array([[1, 2, 3]], np.uint8)})['mask']
        array([[  1,   0, 255]], dtype=uint8)
    """
    if not 0 < len(values) <= 256 or not all(0 <= value <= 255 for value in values):
        raise ValueError(f'relabel: values must be 1 to 256 numbers of 0 to 255, got {list(values)}')
    table = np.full(256, IGNORED, np.uint8)
    table[: len(values)] = values

    def apply(example: Example) -> Example:
        old = np.asarray(_feature(example, feature))
        unknown = old[(old >= len(values)) & (old != IGNORED)]
        if unknown.size:
            raise ValueError(f'relabel: {feature!r} has the number {unknown.max()}, there are {len(values)} values')
        return {**example, feature: table[old]}

    return apply


def rename(*, names: Mapping[str, str]) -> Transform:
    """Gives features the names that the other transforms and the models know: `image`, `label`, `mask`.

    Args:
        names: New name -> the name in the data set. What had the new name before is dropped.

    Returns:
        The transform. It raises ValueError where a feature is missing.

    Example:
        >>> rename(names={'mask': 'segmentation_mask'})({'segmentation_mask': 1, 'label': 2, 'seed': 3})
        {'label': 2, 'seed': 3, 'mask': 1}
    """
    names = dict(names)
    gone = {*names, *names.values()}

    def apply(example: Example) -> Example:
        kept = {name: value for name, value in example.items() if name not in gone}
        return {**kept, **{new: _feature(example, old) for new, old in names.items()}}

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
        (top, left, h, w), seed = _draw_box(example['seed'], example['image'].shape[:2], scale, ratio)

        def cut(array: np.ndarray, resize: Resize) -> np.ndarray:
            return resize(array[top : top + h, left : left + w], height, width)

        return {**_moved(example, cut, average_from=2.0), 'seed': seed}

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
        shape = example['image'].shape[:2]
        share, seed = uniform(example['seed'])
        down, seed = uniform(seed)
        across, seed = uniform(seed)
        factor = (scales[0] + int(share * (scales[1] - scales[0] + 1))) / min(shape)
        h, w = (round(side * factor) for side in shape)
        top, left = int(down * (h - height + 1)), int(across * (w - width + 1))

        def cut(array: np.ndarray, resize: Resize) -> np.ndarray:
            return resize(array, h, w)[top : top + height, left : left + width]

        return {**_moved(example, cut, average_from=2.0), 'seed': seed}

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
    return lambda example: _moved(example, lambda array, resize: resize(array, height, width))


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
        shape = example['image'].shape[:2]
        height, width = (round(side * short / min(shape)) for side in shape)
        return _moved(example, lambda array, resize: resize(array, height, width))

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
        h, w = example['image'].shape[:2]
        down, across = max(height - h, 0), max(width - w, 0)
        top, left = (max(h, height) - height) // 2, (max(w, width) - width) // 2
        around = (down // 2, down - down // 2), (across // 2, across - across // 2)

        def cut(array: np.ndarray, resize: Resize) -> np.ndarray:
            return _padded(array, *around)[top : top + height, left : left + width]

        return _moved(example, cut)

    return apply


def pad_to(*, size: int | tuple[int, int]) -> Transform:
    """Puts black below and to the right, so that images of many sizes fit into one batch and no pixel moves.

    Args:
        size: Side of the result, or (height, width), in pixels.

    Returns:
        The transform: `image` becomes uint8 `[height width c]`. It raises ValueError where the image is larger.

    Example:
        >>> import numpy as np
        >>> pad_to(size=(2, 3))({'image': np.ones((1, 2, 1), np.uint8), 'mask': np.ones((1, 2), np.uint8)})['mask']
        array([[  1,   1, 255],
               [255, 255, 255]], dtype=uint8)
    """
    height, width = _size(size)

    def apply(example: Example) -> Example:
        h, w = example['image'].shape[:2]
        if h > height or w > width:
            raise ValueError(f'pad_to: the image has {(h, w)} pixels, more than {(height, width)}; resize it first')
        # Boxes are right as they are.
        return _moved(
            example, lambda array, resize: _padded(array, (0, height - h), (0, width - w)), left_behind=('masks',)
        )

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
        moved = _moved(example, lambda array, resize: cv2.flip(array, 1) if draw < 0.5 else array)
        return {**moved, 'seed': seed}

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


def _feature(example: Example, name: str) -> Any:
    if name not in example:
        there = ', '.join(sorted(example.keys() - {'seed'}))
        raise ValueError(f"there is no feature {name!r}, but {there}; if it has another name, 'rename' it first")
    return example[name]


def _moved(
    example: Example,
    move: Callable[[np.ndarray, Resize], np.ndarray],
    *,
    average_from: float = 1.0,
    left_behind: Sequence[str] = ('boxes', 'masks'),
) -> Example:
    """`image`, and `mask` where there is one, each moved by `move(array, resize)` with a way of resizing of its own."""
    _check_one_size(example)
    wrong = [name for name in left_behind if name in example]
    if wrong:
        raise ValueError(
            f'{" and ".join(wrong)} would stay where they are while the image moves: '
            f"'keep' only other features first, or leave the moving to jaxcv.augment, which takes them along"
        )
    image = move(example['image'], lambda array, height, width: _resized(array, height, width, average_from))
    moved = {**example, 'image': _hwc(image)}
    return {**moved, 'mask': move(example['mask'], _nearest)} if 'mask' in example else moved


def _check_one_size(example: Example) -> None:
    image, mask = example.get('image'), example.get('mask')
    if isinstance(mask, bytes):
        raise ValueError("the mask is still encoded: put 'decode_mask' before what moves its pixels")
    if isinstance(image, np.ndarray) and image.ndim == 3 and mask is not None and image.shape[:2] != mask.shape:
        raise ValueError(
            f'the image has {image.shape[:2]} pixels, its mask {mask.shape} (an image turned by its EXIF?)'
        )


def _nearest(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """The class at each result pixel's centre; OpenCV's plain INTER_NEAREST would take it from the corner."""
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


def _padded(array: np.ndarray, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
    """An image with black around it, or a mask with pixels of no class."""
    if not any((*rows, *columns)):
        return array
    if array.ndim == 2:
        return np.pad(array, (rows, columns), constant_values=IGNORED)
    return np.pad(array, (rows, columns, (0, 0)))


def _indices(data: bytes) -> np.ndarray:
    """What a file has for each pixel, before any palette."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image)
    except OSError as error:
        raise ValueError(f'the mask is not an image that Pillow can read, or a truncated one: {error}') from None


def _classes(mask: np.ndarray) -> np.ndarray:
    """A decoded mask as uint8 [h w]."""
    if mask.ndim == 3 and (mask.shape[-1] == 1 or (mask == mask[..., :1]).all()):
        mask = mask[..., 0]
    if mask.ndim != 2:
        raise ValueError(
            f'the mask has colours ({mask.dtype} {mask.shape}), not a class for each pixel: '
            'save it in gray or with a palette'
        )
    if mask.dtype.kind not in 'biu' or (mask.size and not 0 <= mask.min() <= mask.max() <= IGNORED):
        raise ValueError(f'classes must be integers of 0 to {IGNORED}, got {mask.dtype} up to {mask.max()}')
    return mask.astype(np.uint8)


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
