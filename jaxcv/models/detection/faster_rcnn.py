"""Fast R-CNN, Faster R-CNN and Mask R-CNN: constructors of `TwoStageDetector` on any backbone, and the published ones.

Girshick 2015 (https://arxiv.org/abs/1504.08083), Ren et al. 2015 (https://arxiv.org/abs/1506.01497), Lin et al. 2017
(https://arxiv.org/abs/1612.03144), He et al. 2017 (https://arxiv.org/abs/1703.06870).
"""

import functools
from collections.abc import Sequence
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast0, AtLeast1, Below1, NonNegative, Positive, checked
from jaxcv.models.backbones.resnet import resnet50
from jaxcv.models.detection.dense import split_by_map
from jaxcv.models.detection.region_heads import (
    ALEXNET,
    VGG16,
    ConvHead,
    DenseHead,
    MaskHead,
    PlainBackbone,
    ProposalHead,
    RegionPredictor,
    Unchanged,
)
from jaxcv.models.detection.two_stage import Pool, TwoStageDetector
from jaxcv.nn.fpn import FPN, Extra
from jaxcv.ops.anchors import anchor_grid
from jaxcv.ops.box_coders import box_coder
from jaxcv.ops.roi import pyramid_roi_align
from jaxcv.ops.roi_max import pyramid_roi_pool
from jaxcv.types import Array

Pooling = Literal['align', 'aligned', 'max']
"""`ops.roi_align` as torchvision's detectors have it; with half a pixel less, as Detectron 2's; or `ops.roi_pool`."""
SIZES = ((32.0,), (64.0,), (128.0,), (256.0,), (512.0,))


@checked
def faster_rcnn(
    *,
    backbone: nn.Module,
    num_classes: AtLeast1 = 20,
    strides: Sequence[AtLeast1] = (4, 8, 16, 32),
    neck: Literal['fpn', 'fpn_norm', 'none', 'norm'] = 'fpn',
    features: AtLeast1 = 256,
    coarser: bool = True,
    sizes: Sequence[Sequence[Positive]] = SIZES,
    ratios: Sequence[Positive] = (0.5, 1.0, 2.0),
    offset: float = 0.0,
    proposals: bool = True,
    proposal_depth: AtLeast1 = 1,
    proposal_scores: Literal[1, 2] = 1,
    pooling: Pooling = 'align',
    pool_size: AtLeast1 = 7,
    samples: AtLeast0 = 2,
    cells: Positive = 14.0,
    head: Literal['dense', 'conv'] = 'dense',
    widths: Sequence[AtLeast1] = (1024, 1024),
    dropout: Below1 = 0.0,
    boxes: Literal['by_class', 'one'] = 'by_class',
    masks: Literal['none', 'plain', 'norm'] = 'none',
    mask_features: AtLeast1 = 256,
    mask_depth: AtLeast1 = 4,
    mask_pool_size: AtLeast1 = 14,
    dtype: DTypeLike = jnp.float32,
) -> TwoStageDetector:
    """Make a two-stage detector on any backbone: Faster R-CNN, and its relatives by the options.

    Args:
        backbone: a model that declares its stages.
        num_classes: classes of objects; the background, class 0 of the scores, is one more.
        strides: of the backbone's stages that the neck takes, or that are the maps.
        neck: 'fpn', a feature pyramid; 'fpn_norm', with batch norms (torchvision's second); 'none', the stages
            themselves (the paper's, of one stage); 'norm', a batch norm on each of them, for backbones whose stages end
            in a convolution, without an activation.
        features: channels of the pyramid.
        coarser: the pyramid has one map more, of every second pixel of its last, for proposals alone.
        sizes: of the anchors of each map, in pixels: as many as there are maps.
        ratios: of the anchors, height / width.
        offset: of the anchors' centres, in strides: 0 is torchvision's, 0.5 the middle of the cell.
        proposals: it proposes regions itself. Without, regions come from elsewhere, as in Fast R-CNN.
        proposal_depth: 3x3 convolutions of the proposal head.
        proposal_scores: numbers that score an anchor, 1 or the paper's 2.
        pooling: 'align', 'aligned' or 'max' (Fast and Faster R-CNN). Masks lie in their boxes, but with 'align' half a
            pixel to the right and below, as torchvision's do: see `ops.mask_targets`.
        pool_size: bins of a region along each axis.
        samples: of a bin along each axis, as in `ops.roi_align`; RoIPool has none.
        cells: the side of a region in pixels of its map, at least, as in `ops.region_levels`.
        head: 'dense' layers, or 'conv': 3x3 convolutions with batch norm and one dense layer.
        widths: of the dense layers; of 'conv', the last one counts.
        dropout: probability after each dense layer, in training; needs `rngs={'dropout': key}`.
        boxes: 'by_class', a box for each class and the background, or 'one' for all classes.
        masks: a mask head, with batch norms ('norm') or without ('plain'); 'none' for boxes alone.
        mask_features: its channels.
        mask_depth: its 3x3 convolutions.
        mask_pool_size: bins of a region along each axis; the masks have twice as many cells.
        dtype: compute type; parameters, statistics and predictions stay float32. The backbone has its own.

    Returns:
        A module: `apply(variables, images [n h w c]) -> Found`, with the backbone's stages and 'level1', ....

    Raises:
        ValueError: there are not as many sequences of sizes as maps, or not equally many sizes in each.

    Example:
        >>> import jax
        >>> from jaxcv import models
        >>> options = {'features': 16, 'widths': (32,), 'masks': 'plain', 'mask_features': 8}
        >>> model = faster_rcnn(backbone=models.resnet18(), num_classes=3, **options)
        >>> images = jnp.ones((1, 64, 64, 3))
        >>> found = jax.eval_shape(lambda key: model.init_with_output(key, images), jax.random.key(0))[0]
        >>> found.boxes.shape, found.masks.shape
        ((1, 100, 4), (1, 100, 28, 28))

    The trap: the default anchors start at 32 pixels; smaller objects need smaller `sizes` and `cells`, and where the
    image itself is small, masks need the pooling 'aligned'.
    """
    pyramid = neck.startswith('fpn')
    maps = len(strides) + (pyramid and coarser)
    if proposals and len(sizes) != maps:
        raise ValueError(f'{maps} maps need as many sequences of sizes of anchors, got {len(sizes)}')
    extra: Extra = 'pool' if coarser else 'none'

    def anchors(sizes_of_maps: Sequence[tuple[int, int]], image: tuple[int, int]) -> Sequence[np.ndarray]:
        every = anchor_grid(sizes_of_maps, image, sizes=sizes, ratios=ratios, offset=offset)
        return split_by_map(every, sizes_of_maps)

    pool = functools.partial(region_pool, pooling=pooling, strides=tuple(strides), samples=samples, cells=cells)
    in_cell = {len(own) * len(ratios) for own in sizes}
    if proposals and len(in_cell) != 1:
        raise ValueError(f'the maps share one head, and need as many sizes each, got {sizes}')
    dense, conv = DenseHead(tuple(widths), dropout, dtype), ConvHead(features, width=widths[-1], dtype=dtype)
    return TwoStageDetector(
        backbone,
        FPN(features, extra, norm=neck == 'fpn_norm', dtype=dtype) if pyramid else Unchanged(neck == 'norm', dtype),
        ProposalHead(in_cell.pop(), depth=proposal_depth, scores=proposal_scores, dtype=dtype) if proposals else None,
        dense if head == 'dense' else conv,
        RegionPredictor(num_classes + 1, num_classes + 1 if boxes == 'by_class' else 1, dtype),
        None if masks == 'none' else MaskHead(num_classes + 1, mask_features, mask_depth, masks == 'norm', dtype),
        tuple(strides),
        pool(size=pool_size),
        None if masks == 'none' else pool(size=mask_pool_size),
        anchors if proposals else None,
        box_coder(),
        box_coder(weights=(10.0, 10.0, 5.0, 5.0)),
        aligned=pooling != 'align',
    )


def region_pool(*, pooling: Pooling, strides: Sequence[float], size: int, samples: int, cells: float) -> Pool:
    """Make the function that pools the features of regions from the first maps, as many as there are strides."""

    def pool(maps: Sequence, boxes: Array, valid: Array) -> Array:
        options: dict[str, Any] = {'strides': strides, 'size': size, 'cells': cells, 'valid': valid}
        own = list(maps[: len(strides)])
        if pooling == 'max':
            return pyramid_roi_pool(own, boxes, **options)
        return pyramid_roi_align(own, boxes, samples=samples, aligned=pooling == 'aligned', **options)

    return pool


@checked
def fasterrcnn_resnet50_fpn(
    *,
    num_classes: AtLeast1 = 90,
    frozen_norms: bool = False,
    norm_epsilon: NonNegative = 1e-5,
    dtype: DTypeLike = jnp.float32,
) -> TwoStageDetector:
    """Make torchvision's Faster R-CNN on ResNet-50: 41,808,406 parameters, 41,755,286 with frozen batch norms.

    Args:
        num_classes: classes of objects; the published weights have 90, COCO's category ids 1 to 90, and the background.
        frozen_norms: hold the backbone's batch norms, as torchvision does wherever the backbone is pretrained.
        norm_epsilon: of the batch norms: 1e-5 to train from ImageNet's weights, 0 with frozen norms for torchvision's
            weights of COCO.
        dtype: compute type; parameters, statistics and predictions stay float32.

    Returns:
        A module, as `faster_rcnn`. torchvision also keeps the backbone's 'stem' and 'stage1' as they are:
        `finetune.rates={'backbone/stem': 0, 'backbone/stage1': 0}`.

    Raises:
        ValueError: an epsilon of 0 with batch norms that train.

    Example:
        >>> import jax
        >>> model, images = fasterrcnn_resnet50_fpn(frozen_norms=True), jnp.ones((1, 64, 64, 3))
        >>> shapes = jax.eval_shape(model.init, jax.random.key(0), images)
        >>> sum(x.size for x in jax.tree.leaves(shapes['params']))
        41755286
    """
    backbone = resnet50(frozen_norms=frozen_norms, norm_epsilon=norm_epsilon, dtype=dtype)
    return faster_rcnn(backbone=backbone, num_classes=num_classes, dtype=dtype)


def fasterrcnn_resnet50_fpn_v2(*, num_classes: int = 90, dtype: DTypeLike = jnp.float32) -> TwoStageDetector:
    """Make torchvision's second Faster R-CNN on ResNet-50: batch norms everywhere, 43,712,278 parameters.

    Args:
        num_classes: as in `fasterrcnn_resnet50_fpn`.
        dtype: compute type; parameters, statistics and predictions stay float32.

    Returns:
        A module, as `faster_rcnn`, with two convolutions in the proposal head and four in the box head.

    Example:
        >>> fasterrcnn_resnet50_fpn_v2().proposal_head.depth
        2
    """
    return _second(num_classes, 'none', dtype)


@checked
def maskrcnn_resnet50_fpn(
    *,
    num_classes: AtLeast1 = 90,
    frozen_norms: bool = False,
    norm_epsilon: NonNegative = 1e-5,
    dtype: DTypeLike = jnp.float32,
) -> TwoStageDetector:
    """Make torchvision's Mask R-CNN on ResNet-50: 44,454,513 parameters, 44,401,393 with frozen batch norms.

    Args:
        num_classes: as in `fasterrcnn_resnet50_fpn`, as all that follow.
        frozen_norms: hold the backbone's batch norms.
        norm_epsilon: of the batch norms; 0 for torchvision's weights of COCO.
        dtype: compute type; parameters, statistics and predictions stay float32.

    Returns:
        A module, as `faster_rcnn`; `Found.masks` are `[n d 28 28]`.

    Raises:
        ValueError: an epsilon of 0 with batch norms that train.

    Example:
        >>> maskrcnn_resnet50_fpn().mask_head.num_classes
        91
    """
    backbone = resnet50(frozen_norms=frozen_norms, norm_epsilon=norm_epsilon, dtype=dtype)
    return faster_rcnn(backbone=backbone, num_classes=num_classes, masks='plain', dtype=dtype)


def maskrcnn_resnet50_fpn_v2(*, num_classes: int = 90, dtype: DTypeLike = jnp.float32) -> TwoStageDetector:
    """Make torchvision's second Mask R-CNN on ResNet-50: batch norms everywhere, 46,359,409 parameters.

    Args:
        num_classes: as in `fasterrcnn_resnet50_fpn`.
        dtype: compute type; parameters, statistics and predictions stay float32.

    Returns:
        A module, as `faster_rcnn`.

    Example:
        >>> maskrcnn_resnet50_fpn_v2().mask_head.norm
        True
    """
    return _second(num_classes, 'norm', dtype)


def faster_rcnn_vgg16(*, num_classes: int = 20, dtype: DTypeLike = jnp.float32) -> TwoStageDetector:
    """Make the Faster R-CNN of the paper, on VGG-16: one map of stride 16, RoIPool, 137,078,239 parameters.

    Args:
        num_classes: classes of objects; VOC has 20.
        dtype: compute type; parameters and predictions stay float32.

    Returns:
        A module, as `faster_rcnn`, with 9 anchors a cell.

    Example:
        >>> import jax
        >>> shapes = jax.eval_shape(faster_rcnn_vgg16().init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
        >>> sum(x.size for x in jax.tree.leaves(shapes['params']))
        137078239
    """
    return faster_rcnn(
        backbone=PlainBackbone(VGG16, dtype=dtype),
        num_classes=num_classes,
        strides=(16,),
        neck='none',
        sizes=((128.0, 256.0, 512.0),),
        proposal_scores=2,
        pooling='max',
        widths=(4096, 4096),
        dropout=0.5,
        dtype=dtype,
    )


@checked
def fast_rcnn(
    *,
    network: Literal['vgg16', 'alexnet'] = 'vgg16',
    num_classes: AtLeast1 = 20,
    dropout: Below1 = 0.5,
    dtype: DTypeLike = jnp.float32,
) -> TwoStageDetector:
    """Make the Fast R-CNN of the paper, which takes proposals of another source: selective search.

    Args:
        network: 'vgg16', with 134,690,729 parameters for 20 classes, or 'alexnet', in its version of one tower, with
            57,434,025. For any other backbone, `faster_rcnn(proposals=False, ...)`.
        num_classes: classes of objects; VOC has 20.
        dropout: probability after each dense layer, in training.
        dtype: compute type; parameters and predictions stay float32.

    Returns:
        A module: `apply(variables, images [n h w c], proposals=(boxes [n p 4], valid [n p])) -> Found`.

    Example:
        >>> import jax
        >>> images, proposals = jnp.ones((1, 64, 64, 3)), (jnp.ones((1, 8, 4)), jnp.ones((1, 8), bool))
        >>> model = fast_rcnn()
        >>> init = lambda key: model.init(key, images, proposals=proposals)
        >>> sum(x.size for x in jax.tree.leaves(jax.eval_shape(init, jax.random.key(0))))
        134690729
    """
    rows, window, size = (VGG16, 2, 7) if network == 'vgg16' else (ALEXNET, 3, 6)
    return faster_rcnn(
        backbone=PlainBackbone(rows, window, dtype),
        num_classes=num_classes,
        strides=(16,),
        neck='none',
        proposals=False,
        pooling='max',
        pool_size=size,
        widths=(4096, 4096),
        dropout=dropout,
        dtype=dtype,
    )


def _second(num_classes: int, masks: Literal['none', 'norm'], dtype: DTypeLike) -> TwoStageDetector:
    return faster_rcnn(
        backbone=resnet50(dtype=dtype),
        num_classes=num_classes,
        neck='fpn_norm',
        proposal_depth=2,
        head='conv',
        masks=masks,
        dtype=dtype,
    )
