"""RoIAlign and RoIPool in NumPy, point by point and pixel by pixel, with the gradients of torchvision's kernels."""

import math

import numpy as np


def axis(begin, side, bins, count, length):
    """The weight of each pixel in each bin `[bins length]`, not divided by the number of samples."""
    weights = np.zeros((bins, length))
    for p in range(bins):
        for i in range(count):
            place = begin + p * side / bins + (i + 0.5) * side / bins / count
            if not -1 <= place <= length:
                continue
            place = min(max(place, 0), length - 1)
            low = int(place)
            weights[p, low] += 1 - (place - low)
            weights[p, min(low + 1, length - 1)] += place - low
    return weights


def align_weights(box, shape, *, stride, size, samples, aligned):
    """The two matrices of one region, and the divisor."""
    x1, y1, x2, y2 = np.asarray(box, np.float64) / stride - (0.5 if aligned else 0)
    sides = (y2 - y1, x2 - x1) if aligned else (max(y2 - y1, 1), max(x2 - x1, 1))
    counts = [samples or math.ceil(side / bins) for side, bins in zip(sides, size, strict=True)]
    down, right = (
        axis(begin, side, bins, count, length)
        for begin, side, bins, count, length in zip((y1, x1), sides, size, counts, shape, strict=True)
    )
    return down, right, max(counts[0] * counts[1], 1)


def roi_align(features, boxes, cotangent, *, stride, size, samples, aligned):
    """(regions `[r p q c]`, the gradient of their product with the cotangent to the features `[h w c]`)."""
    found, gradient = [], np.zeros(features.shape)
    for box, wanted in zip(boxes, cotangent, strict=True):
        down, right, count = align_weights(
            box, features.shape[:2], stride=stride, size=size, samples=samples, aligned=aligned
        )
        found.append(np.einsum('ph,hwc,qw->pqc', down, features, right) / count)
        gradient += np.einsum('ph,pqc,qw->hwc', down, wanted, right) / count
    return np.stack(found), gradient


def away(x):
    """C's `round`: halves away from zero."""
    return int(math.copysign(math.floor(abs(x) + 0.5), x))


def roi_pool(features, boxes, cotangent, *, stride, size):
    """As `roi_align`; of equal values the first, row by row, has the gradient."""
    (height, width, channels), (p, q) = features.shape, size
    found, gradient = np.zeros((len(boxes), p, q, channels)), np.zeros(features.shape)
    for r, box in enumerate(boxes):
        x1, y1, x2, y2 = (away(float(x) / stride) for x in box)
        tall, wide = max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)
        for i in range(p):
            top, bottom = (min(max(y, 0), height) for y in (y1 + i * tall // p, y1 - (-(i + 1) * tall // p)))
            for j in range(q):
                left, end = (min(max(x, 0), width) for x in (x1 + j * wide // q, x1 - (-(j + 1) * wide // q)))
                if bottom <= top or end <= left:
                    continue
                part = features[top:bottom, left:end].reshape(-1, channels)
                place = part.argmax(axis=0)
                found[r, i, j] = part.max(axis=0)
                np.add.at(
                    gradient,
                    (top + place // (end - left), left + place % (end - left), np.arange(channels)),
                    cotangent[r, i, j],
                )
    return found, gradient


def regions(rng, *, height, width, count):
    """Boxes inside, across the border, far outside, larger than the image, without area and turned inside out."""
    low = rng.uniform(-0.3, 1, (count, 2)) * (width, height)
    boxes = np.concatenate([low, low + rng.uniform(-0.05, 0.6, (count, 2)) * (width, height)], axis=-1)
    boxes[0] = (-3 * width, -3 * height, -2 * width, -2 * height)
    boxes[1] = (-0.2 * width, -0.1 * height, 1.1 * width, 1.2 * height)
    boxes[2] = (8, 8, 8, 8)
    boxes[3] = (0, 0, width, height)
    boxes[4] = (-7, -7, 12, 20)
    boxes[5:9] = np.round(boxes[5:9] / 4) * 4  # halves of a pixel of a map of stride 8
    return boxes.astype(np.float32)
