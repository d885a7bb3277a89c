"""The last two steps of R-CNN, on the features of a trained network: linear support vector machines and box regression.

Girshick et al. 2014, Rich feature hierarchies (https://arxiv.org/abs/1311.2524), appendices B and C. The machines are
trained on the objects themselves and on hard negatives; a ridge regression of each class corrects the boxes. Fitting is
on the host, in NumPy; the machines are scikit-learn's.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxcv.arguments import AtLeast1, NonNegative, Positive, Share, checked
from jaxcv.classical.selective_search import overlaps
from jaxcv.types import Array, Float, Int

__all__ = ['BoxRidges', 'RegionExample', 'RegionSVMs', 'box_codes', 'fit_box_ridges', 'fit_region_svms', 'margins']


class RegionExample(NamedTuple):
    """The regions of an image, without padding, their features, and its objects."""

    regions: Float[np.ndarray, 'r 4']
    """xyxy in pixels."""
    features: Float[np.ndarray, 'r f']
    """Of the last dense layer (the paper's fc7), for the machines."""
    pooled: Float[np.ndarray, 'r p']
    """Of the last pooled stage (pool5), for the boxes."""
    boxes: Float[np.ndarray, 'g 4']
    """Of the objects."""
    box_labels: Int[np.ndarray, ' g']
    box_features: Float[np.ndarray, 'g f']
    """The features of the objects' own boxes."""


class RegionSVMs(NamedTuple):
    """A linear support vector machine for each class."""

    weights: Float[np.ndarray, 'f c']
    """They include the factor of the features."""
    bias: Float[np.ndarray, ' c']


class BoxRidges(NamedTuple):
    """A linear regression of box codes for each class."""

    weights: Float[np.ndarray, 'c p 4']
    bias: Float[np.ndarray, 'c 4']


@checked
def fit_region_svms(
    examples: Sequence[RegionExample],
    *,
    num_classes: AtLeast1,
    penalty: Positive = 1e-3,
    bias: Positive = 10.0,
    positive_weight: Positive = 2.0,
    negative: Share = 0.3,
    hard: float = -1.0001,
    easy: float = -1.2,
    refit_after: AtLeast1 = 2000,
    norm: Positive = 20.0,
) -> RegionSVMs:
    """Fit a support vector machine for each class, in one pass over the images for its negatives.

    Positives are the boxes of the class's objects, negatives the regions that overlap none of them by `negative`. An
    image adds those negatives that the machine so far does not put clearly on their side; when enough are new, it is
    fitted again, and the easy ones are dropped.

    Args:
        examples: an image each.
        num_classes: of objects.
        penalty: of an error, liblinear's C.
        bias: the feature that stands for the bias has this value: the larger, the less it is regularized.
        positive_weight: factor of the penalty of a positive.
        negative: IoU.
        hard: negatives with a greater margin are added.
        easy: those with a smaller one are dropped after a fit.
        refit_after: so many added negatives.
        norm: the features are scaled so that this is their mean Euclidean norm.

    Returns:
        RegionSVMs. A class without objects has the margin -1 everywhere.

    Raises:
        ValueError: there are no images.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> box = np.array([[0.0, 0.0, 8.0, 8.0]])
        >>> far = np.array([[20.0, 0.0, 28.0, 8.0]])
        >>> left, right = np.eye(2)[:1], np.eye(2)[1:]
        >>> example = RegionExample(far, right, right, box, np.array([0]), left)
        >>> machines = fit_region_svms([example] * 8, num_classes=1, penalty=1.0)
        >>> print(margins(machines, np.eye(2)).round(1).ravel())
        [ 1. -1.]

    The trap: fine-tuning has regions with an IoU of 0.5 as positives, here only the objects themselves are: on the
    same regions as the softmax's, the paper lost points.
    """
    if not examples:
        raise ValueError('there are no images to fit the machines on')
    norms = np.concatenate([np.linalg.norm(x, axis=1) for one in examples for x in (one.features, one.box_features)])
    factor = norm / max(float(norms.mean()), 1e-12)
    size = examples[0].features.shape[1]
    weights, biases = np.zeros((size, num_classes)), np.zeros(num_classes)
    labels = np.concatenate([one.box_labels for one in examples])
    own = factor * np.concatenate([one.box_features for one in examples])
    negatives: list[list[np.ndarray]] = [[] for _ in range(num_classes)]
    added = np.zeros(num_classes, int)

    def refit(k: int) -> None:
        there = np.concatenate(negatives[k])
        weights[:, k], biases[k] = _machine(own[labels == k], there, penalty, bias, positive_weight)
        negatives[k] = [there[there @ weights[:, k] + biases[k] >= easy]]
        added[k] = 0

    known = [k for k in range(num_classes) if (labels == k).any()]
    for one in examples:
        features = factor * one.features
        shared = overlaps(one.regions, one.boxes)
        for k in known:
            far = (shared[:, one.box_labels == k] < negative).all(axis=1)
            new = features[far & (features @ weights[:, k] + biases[k] > hard)]
            negatives[k].append(new)
            added[k] += len(new)
            if added[k] >= refit_after:
                refit(k)
    for k in range(num_classes):
        if k in known and added[k]:
            refit(k)
        elif k not in known:
            biases[k] = -1
    return RegionSVMs((factor * weights).astype(np.float32), biases.astype(np.float32))


def margins(machines: RegionSVMs, features: Float[Array | np.ndarray, '*n f']) -> Float[Array | np.ndarray, '*n c']:
    """Return the margin of each class, by which regions are ranked within it.

    Args:
        machines: of `fit_region_svms`.
        features: of NumPy or JAX.

    Returns:
        `[..., c]`.

    Example:
        >>> print(margins(RegionSVMs(np.array([[2.0, 0.0]]), np.array([-1.0, 0.5])), np.array([[1.0]])))
        [[1.  0.5]]
    """
    return features @ machines.weights + machines.bias


@checked
def fit_box_ridges(
    examples: Sequence[RegionExample],
    *,
    num_classes: AtLeast1,
    encode: Callable[[Array, Array], Array],
    penalty: NonNegative = 1000.0,
    least_iou: Share = 0.6,
    norm: Positive = 20.0,
) -> BoxRidges:
    """Fit a ridge regression for each class, from the features of a region to the box of its object.

    A region belongs to the object that it overlaps most, if by more than `least_iou`. With the features X, a one
    appended, and the codes Y, centred and whitened, the weights are `(X'X + λ I)⁻¹ X'Y`.

    Args:
        examples: an image each; `pooled` are the features.
        num_classes: of objects.
        encode: (boxes, regions) -> codes `[n 4]`, of `ops.box_coder()`.
        penalty: λ.
        least_iou: of a region with its object.
        norm: the features are scaled so that this is their mean Euclidean norm.

    Returns:
        BoxRidges. A class without such regions leaves boxes where they are.

    Raises:
        ValueError: there are no images.

    Example:
        >>> from jaxcv.ops import box_coder
        >>> regions = np.array([[0.0, 0.0, 8.0, 10.0], [0.0, 0.0, 10.0, 10.0]])
        >>> features, boxes = np.eye(2), np.array([[0.0, 0.0, 10.0, 10.0]])
        >>> example = RegionExample(regions, features, features, boxes, np.array([0]), features[:1])
        >>> ridges = fit_box_ridges([example], num_classes=1, encode=box_coder().encode, penalty=0.1)
        >>> print(box_codes(ridges, features).round(2)[:, 0])
        [[0.12 0.   0.22 0.  ]
         [0.   0.   0.   0.  ]]
    """
    if not examples:
        raise ValueError('there are no images to fit the regressions on')
    norms = np.concatenate([np.linalg.norm(one.pooled, axis=1) for one in examples])
    factor = norm / max(float(norms.mean()), 1e-12)
    features, labels, regions, boxes = [], [], [], []
    for one in examples:
        if not len(one.boxes) or not len(one.regions):
            continue
        shared = overlaps(one.regions, one.boxes)
        best = shared.argmax(axis=1)
        near = shared.max(axis=1) > least_iou
        features.append(factor * one.pooled[near])
        regions.append(one.regions[near])
        boxes.append(one.boxes[best[near]])
        labels.append(one.box_labels[best[near]])
    size = examples[0].pooled.shape[1]
    weights, biases = np.zeros((num_classes, size, 4)), np.zeros((num_classes, 4))
    if labels:
        of_all, x = np.concatenate(labels), np.concatenate(features).astype(np.float64)
        codes = np.asarray(encode(*(jnp.asarray(np.concatenate(part)) for part in (boxes, regions))), np.float64)
        for k in np.unique(of_all):
            weights[k], biases[k] = _ridge(x[of_all == k], codes[of_all == k], penalty)
    return BoxRidges((factor * weights).astype(np.float32), biases.astype(np.float32))


def box_codes(ridges: BoxRidges, pooled: Float[Array | np.ndarray, 'r p']) -> Float[Array | np.ndarray, 'r c 4']:
    """Return the codes of the box of each class, for the coder that they were fitted with.

    Args:
        ridges: of `fit_box_ridges`.
        pooled: of NumPy or JAX.

    Returns:
        `[r, c, 4]`.

    Example:
        >>> box_codes(BoxRidges(np.zeros((3, 5, 4)), np.zeros((3, 4))), np.ones((2, 5))).shape
        (2, 3, 4)
    """
    classes, size, _ = ridges.weights.shape
    flat = pooled @ ridges.weights.transpose(1, 0, 2).reshape(size, -1)
    return flat.reshape(len(pooled), classes, 4) + ridges.bias


def _machine(
    positives: np.ndarray, negatives: np.ndarray, penalty: float, bias: float, positive_weight: float
) -> tuple[np.ndarray, float]:
    from sklearn.svm import LinearSVC

    machine = LinearSVC(
        C=penalty,
        loss='hinge',
        intercept_scaling=bias,
        class_weight={1: positive_weight, 0: 1.0},
        random_state=0,
        max_iter=10_000,
    )
    machine.fit(np.concatenate([positives, negatives]), np.repeat([1, 0], [len(positives), len(negatives)]))
    return machine.coef_[0], float(machine.intercept_[0])


def _ridge(x: np.ndarray, y: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights and the bias of targets that are centred and whitened for the fit."""
    mean = y.mean(axis=0)
    values, axes = np.linalg.eigh((y - mean).T @ (y - mean) / len(y))
    spread = np.sqrt(np.maximum(values, 0) + 1e-3)
    white = (y - mean) @ (axes / spread) @ axes.T
    ones = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    found = np.linalg.solve(ones.T @ ones + penalty * np.eye(ones.shape[1]), ones.T @ white)
    found = found @ (axes * spread) @ axes.T
    return found[:-1], found[-1] + mean
