"""Presentation of fields: optical flow or disparity, a displacement for each pixel of the first image of a pair."""

from __future__ import annotations  # figures need matplotlib only where one is drawn

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import cv2
import numpy as np

from jaxcv import viz
from jaxcv.arguments import AtLeast1, Positive, checked
from jaxcv.features import FEATURES, Example, Names
from jaxcv.task import Answer, Gallery, Judged, PhotoOptions, Predictions, Presentation, Report, Shown, Written
from jaxcv.types import Batch

PIXELS, SHARE = 3.0, 0.05
"""KITTI's outliers: pixels whose error is above both, in pixels and as a share of the truth's length."""
MULTIPLE = 64
"""Images are padded to multiples of it, so that pictures of many sizes need few compiled functions."""
IMAGES = {'flow': ('image', 'next_image'), 'disparity': ('left', 'right')}


@checked
def fields(
    *,
    field: Literal['flow', 'disparity'],
    tile: tuple[AtLeast1, AtLeast1] = (768, 1280),
    largest: Positive | None = None,
) -> Presentation:
    """Presentation of optical flow or of disparity: of a network, or of a classical method.

    Predictions have `flow` [n h w 2] or `disparity` [n h w] in pixels, and may have `flow_valid` or `disparity_valid`
    bool [n h w], False where there is no answer. Examples have `image` and `next_image`, or `left` and `right`, and
    where the truth is known, the field and what is known of it.

    Args:
        field: 'flow' or 'disparity'.
        tile: rows and columns of the largest image that is predicted as a whole; a larger one is cut into overlapping
            tiles. What has moved out of a tile is not found in it, so tiles overlap by half and count less near their
            borders: they should be at least four times as large as the largest displacement.
        largest: end of the colour scale of the written pictures, in pixels; by default that of each picture.

    Returns:
        A Presentation. Its answers are the field, NaN where there is none. The worst pairs are those with the largest
        mean error over the known pixels; a mistake is an outlier as KITTI counts it, of more than 3 pixels and 5 %.
        Pictures are resized as in the evaluation, and their fields back, with their values.

    Example:
        >>> show = fields(field='disparity')
        >>> disparity = np.array([[8.0, np.nan]], np.float32)
        >>> show.write(np.zeros((1, 2, 3), np.uint8), {'disparity': disparity}, {}).line
        'disparity 8.0 to 8.0 pixels, mean 8.0, 50.0 % of the pixels'
        >>> show.judge({'disparity': np.array([[12.0, 1.0]])}, {'disparity': disparity})
        Judged(badness=4.0, mistakes=2, of=2)
    """
    valid = FEATURES[field].valid

    def answer(predictions: Predictions) -> Mapping[str, Any]:
        return {name: predictions[name] for name in (field, valid) if name in predictions}

    def judge(example: Example, given: Answer) -> Judged:
        truth = _known(example, field)
        error, length = _length(_known(given, field) - truth), _length(truth)
        known = np.isfinite(length)
        answered = known & np.isfinite(error)
        with np.errstate(invalid='ignore'):
            right = (error <= PIXELS) | (error <= SHARE * length)
        badness = float(error[answered].mean()) if answered.any() else float('nan')
        return Judged(badness if known.any() else 0.0, int((known & ~(answered & right)).sum()), int(known.sum()))

    def draw(gallery: Gallery, names: Names) -> viz.Figure:
        rows, title = gallery.rows, None
        known = all(field in row.example for row in rows)
        drawn = [_known(row.answer, field) for row in rows]
        if known and gallery.seen:
            share = 100 * gallery.mistakes / max(gallery.of, 1)
            title = (
                f'{share:.2f} % of the pixels are wrong by more than 3 and 5 % in {gallery.seen:,} pairs; '
                f'the worst {len(rows)}'
            )
        return viz.field_grid(
            [_first(row, field) for row in rows],
            [_known(row.example, field) for row in rows] if known else None,
            drawn if known or gallery.seen else {field: drawn},  # truths alone were not predicted
            field=field,
            title=title,
        )

    def write(picture: np.ndarray, given: Answer, names: Names) -> Written:
        values = _known(given, field)
        length = _length(values)
        found = length[np.isfinite(length)]
        numbers = (float(f(found)) if found.size else None for f in (np.min, np.max, np.mean))
        row = {**dict(zip(('least', 'largest', 'mean'), numbers, strict=True)), 'density': found.size / length.size}
        line = f'{field}: no answer'
        if found.size:
            line = f'{field} {row["least"]:.1f} to {row["largest"]:.1f} pixels, mean {row["mean"]:.1f}'
            line += f', {100 * row["density"]:.1f} % of the pixels' * (found.size < length.size)
        colors: Callable[..., np.ndarray] = viz.flow_colors if field == 'flow' else viz.disparity_colors
        return Written(row, line, {field: colors(values, largest=largest)}, {field: values})

    def options(given: Mapping[str, Any], names: Names) -> Presentation:
        return fields(field=field, **_options(given, tile, largest))

    def inspect(examples: Iterable[Example], names: Names) -> Sequence[str]:
        return _inspect(list(examples), field)

    def photos(
        predict: Callable[[Batch], Predictions], examples: Iterable[Example], how: PhotoOptions
    ) -> Iterator[Answer]:
        for example in examples:
            yield {field: _photo(predict, example, how, field, tile)}

    def report(values: Mapping[str, Any], names: Names) -> Report:
        return Report()  # all values are numbers, which the table has

    def statistics(examples: Iterable[Example], names: Names) -> Mapping[str, str]:
        return _statistics(examples, field)

    return Presentation(
        answer,
        inspect,
        judge,
        draw,
        report,
        photos,
        write,
        most=6,
        options=options,
        truth=answer,
        statistics=statistics,
    )


def _known(features: Mapping[str, Any], field: str) -> np.ndarray:
    """A field whose unknown values are NaN."""
    values = np.asarray(features[field], np.float32)
    if (valid := features.get(FEATURES[field].valid)) is None:
        return np.where(np.isfinite(values), values, np.nan)
    known = np.asarray(valid, bool)
    return np.where(known[..., None] if values.ndim == 3 else known, values, np.nan)


def _length(values: np.ndarray) -> np.ndarray:
    return np.linalg.norm(values, axis=-1) if values.ndim == 3 else abs(values)


def _statistics(examples: Iterable[Example], field: str) -> Mapping[str, str]:
    pixels = known = 0
    total, least, largest = 0.0, np.inf, 0.0
    for example in examples:
        length = _length(_known(example, field))
        found = length[np.isfinite(length)]
        pixels, known = pixels + length.size, known + found.size
        if found.size:
            total += float(found.sum(dtype=float))
            least, largest = min(least, float(found.min())), max(largest, float(found.max()))
    name = f'{field}, pixels'
    if not known:
        return {name: 'known nowhere'}
    return {
        name: f'{least:.1f} to {largest:.1f}, mean {total / known:.1f}',
        'known pixels': f'{100 * known / pixels:.1f} %',
    }


def _first(row: Shown, field: str) -> np.ndarray:
    return row.example[IMAGES[field][0]]


def _options(given: Mapping[str, Any], tile: Any, largest: Any) -> dict[str, Any]:
    if unknown := given.keys() - {'tile', 'largest'}:
        raise ValueError(f'no option {sorted(unknown)[0]!r}; there are: tile=ROWS,COLUMNS and largest=PIXELS')
    try:
        if 'tile' in given:
            words = given['tile'] if isinstance(given['tile'], list | tuple) else [given['tile']] * 2
            tile = tuple(int(word) for word in words)
        if 'largest' in given:
            largest = float(given['largest'])
    except ValueError:
        raise ValueError(f'tile=ROWS,COLUMNS and largest=PIXELS are numbers, got {dict(given)}') from None
    if len(tile) != 2 or min(tile) < MULTIPLE or (largest is not None and largest <= 0):
        raise ValueError(
            f'tile needs two sides of at least {MULTIPLE} pixels, and largest is above 0; got {dict(given)}'
        )
    return {'tile': tile, 'largest': largest}


def _inspect(examples: Sequence[Example], field: str) -> Sequence[str]:
    """Warn of truths that are not known anywhere, of negative disparities, and of such as lead the other way."""
    found = [example for example in examples if isinstance(example.get(field), np.ndarray)]
    if not found:
        return ()
    count, truths = len(found), [_known(example, field) for example in found]
    where = f' The first is of {found[0]["where"]}.' if 'where' in found[0] else ''
    if not any(np.isfinite(truth).any() for truth in truths):
        return (f'in the first {count} pairs the {field} is known of no pixel: nothing is learned from them.{where}',)
    warnings = []
    if field == 'disparity' and (negative := sum(bool((truth < 0).any()) for truth in truths)):
        warnings.append(
            f'{negative} of the first {count} pairs have negative disparities; they must be positive.{where}'
        )
    errors = [e for example, truth in zip(found, truths, strict=True) if (e := _both_ways(example, truth, field))]
    other_way = sum(back < 0.8 * forth for forth, back in errors)
    if len(errors) > 1 and other_way > 0.7 * len(errors):
        swapped = 'the views are exchanged' if field == 'disparity' else 'the frames are exchanged'
        warnings.append(
            f'in {other_way} of the first {count} pairs the {field} with the other sign leads to more similar pixels: '
            f'{swapped}, or its sign is.{where}'
        )
    return warnings


def _both_ways(example: Example, truth: np.ndarray, field: str) -> tuple[float, float] | None:
    """Median difference of the first image and the second at the displacement, and at its opposite."""
    first, second = (_pixels(example.get(name)) for name in IMAGES[field])
    if first is None or second is None or not first.shape[:2] == second.shape[:2] == truth.shape[:2]:
        return None
    flow = truth if field == 'flow' else np.stack([-truth, np.zeros_like(truth)], axis=-1)
    known = np.isfinite(flow).all(-1)
    flow = np.where(known[..., None], flow, 0)
    y, x = np.mgrid[: truth.shape[0], : truth.shape[1]].astype(np.float32)
    found = []
    for sign in (1, -1):
        x2, y2 = x + sign * flow[..., 0], y + sign * flow[..., 1]
        inside = known & (x2 >= 0) & (x2 <= x.shape[1] - 1) & (y2 >= 0) & (y2 <= y.shape[0] - 1)
        if not inside.any():
            return None
        back = cv2.remap(second.astype(np.float32), x2, y2, cv2.INTER_LINEAR).reshape(first.shape)
        found.append(float(np.median(abs(back - first.astype(np.float32)).mean(-1)[inside])))
    return found[0], found[1]


def _pixels(image: Any) -> np.ndarray | None:
    """An image that may still be encoded; None where there is none that can be read here."""
    if isinstance(image, bytes) and image:
        image = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    return image if isinstance(image, np.ndarray) else None


def _photo(
    predict: Callable[[Batch], Predictions],
    example: Example,
    how: PhotoOptions,
    field: str,
    tile: tuple[int, int],
) -> np.ndarray:
    """The field of a pair of any size, in its own pixels, NaN where there is no answer."""
    names = IMAGES[field]
    height, width = np.shape(example[names[0]])[:2]
    resized = how.resize({name: example[name] for name in (*names, 'seed') if name in example})
    pair = [np.asarray(resized[name]) for name in names]
    h, w = pair[0].shape[:2]
    values = _tiled(predict, names, pair, field, tile)
    if (h, w) != (height, width):
        linear = cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)
        nearest = cv2.resize(values, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        values = np.where(np.isfinite(linear), linear, nearest)  # beside pixels without an answer
        scale = np.array([width / w, height / h], np.float32)
        values = values * (scale if field == 'flow' else scale[0])
    return values.astype(np.float32)


def _tiled(
    predict: Callable[[Batch], Predictions],
    names: tuple[str, str],
    pair: Sequence[np.ndarray],
    field: str,
    tile: tuple[int, int],
) -> np.ndarray:
    """The field of a pair: as a whole, or the mean of overlapping tiles, which count less near their borders."""
    size = pair[0].shape[:2]
    rows, columns = (_padded_side(side, most) for side, most in zip(size, tile, strict=True))
    pad = [(0, max(0, rows - size[0])), (0, max(0, columns - size[1])), (0, 0)]
    images = [np.pad(image, pad, mode='edge') for image in pair]
    shape = images[0].shape[:2]
    total: np.ndarray | None = None
    weights = np.zeros(shape, np.float32)
    for top in _starts(shape[0], rows):
        for left in _starts(shape[1], columns):
            batch = {
                name: image[None, top : top + rows, left : left + columns]
                for name, image in zip(names, images, strict=True)
            }
            given = predict({**batch, 'valid': np.ones(1, bool)})
            part = {name: np.asarray(given[name])[0] for name in (field, FEATURES[field].valid) if name in given}
            values = _known(part, field)
            known = np.isfinite(_length(values))
            weight = np.where(known, np.outer(_hann(rows, shape[0]), _hann(columns, shape[1])), 0)
            total = np.zeros((*shape, *values.shape[2:]), np.float32) if total is None else total
            by_pixel = weight[..., None] if values.ndim == 3 else weight
            known = known[..., None] if values.ndim == 3 else known
            total[top : top + rows, left : left + columns] += by_pixel * np.where(known, values, 0)
            weights[top : top + rows, left : left + columns] += weight
    assert total is not None
    sums = weights[..., None] if total.ndim == 3 else weights
    mean = np.where(sums > 0, total / np.where(sums > 0, sums, 1), np.nan)
    return mean[: size[0], : size[1]]


def _padded_side(side: int, most: int) -> int:
    """The side of a tile: the whole image's, up to the next multiple, or the largest multiple in the tile's."""
    whole = -(-side // MULTIPLE) * MULTIPLE
    return whole if side <= most else most // MULTIPLE * MULTIPLE


def _starts(length: int, side: int) -> list[int]:
    """The first pixel of each tile along an axis: half a tile apart, and the last ends with the image."""
    return [*range(0, length - side, side // 2), length - side]


def _hann(side: int, length: int) -> np.ndarray:
    """The weights along an axis; all alike where one tile covers it."""
    return np.ones(side, np.float32) if side >= length else np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
