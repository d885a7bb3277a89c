"""R-CNN (Girshick et al. 2014, https://arxiv.org/abs/1311.2524): a classifier on each warped region of an image."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcv.arguments import AtLeast0, AtLeast1, Below1, checked
from jaxcv.models.backbones.alexnet import alexnet
from jaxcv.models.detection.region_heads import DenseHead, RegionPredictor, Unchanged
from jaxcv.models.detection.two_stage import TwoStageDetector
from jaxcv.models.strides import Stage, stages
from jaxcv.nn.norm import BatchNorm
from jaxcv.ops.box_coders import box_coder
from jaxcv.ops.pool import adaptive_avg_pool
from jaxcv.ops.region_warp import warp_regions
from jaxcv.types import Array, Float, Images


class Pixels(nn.Module):
    """The images themselves, as a backbone: nothing is shared between regions."""

    channels: int = 3

    @property
    def stages(self) -> dict[str, Stage]:
        """Return the stages that it declares, for `jaxcv.models.stages`."""
        return {'pixels': Stage(1, self.channels)}

    @nn.compact
    def features(self, images: Images, *, train: bool = False) -> dict[str, Float[Array, 'n h w c']]:
        """Return 'pixels'."""
        return {'pixels': images}


class CropHead(nn.Module):
    """A backbone on the pixels of each region, its last stage pooled to one size, and dense layers.

    Attributes:
        backbone: a model that declares its stages.
        head: of the pooled features `[r p p c]`.
        size: rows and columns that the last stage is pooled to; 1 is global average pooling.
        norm: of the last stage; None: it stays as it is.
    """

    backbone: nn.Module
    head: nn.Module
    size: int = 6
    norm: nn.Module | None = None

    def pooled(self, regions: Float[Array, 'r h w c'], *, train: bool = False) -> Float[Array, 'r p p f']:
        """Return the last stage of each region, pooled: the paper's pool5."""
        *_, last = stages(self.backbone)
        x = self.backbone.features(regions, train=train)[last]
        x = x if self.norm is None else self.norm(x, train=train)
        return adaptive_avg_pool(x, size=self.size)

    def __call__(self, regions: Float[Array, 'r h w c'], *, train: bool = False) -> Float[Array, 'r f']:
        """Return the features of each region."""
        return self.head(self.pooled(regions, train=train), train=train)


@checked
def rcnn(
    *,
    backbone: nn.Module | None = None,
    num_classes: AtLeast1 = 20,
    size: AtLeast1 = 227,
    context: AtLeast0 = 16,
    pooled: AtLeast1 = 6,
    widths: tuple[AtLeast1, ...] = (4096, 4096),
    dropout: Below1 = 0.5,
    norm: bool = False,
    dtype: DTypeLike = jnp.float32,
) -> TwoStageDetector:
    """Make an R-CNN: each proposal is warped to a square and goes through the whole network.

    Classes are those of the fine-tuned softmax, and boxes are learnt with them. The paper has support vector machines
    on its features, 3.3 points of average precision better on VOC 2007, and ridge regressions of the boxes: see
    `classical.region_classifiers`.

    Args:
        backbone: a model that declares its stages; None: AlexNet, with 57,434,025 parameters for 20 classes.
        num_classes: classes of objects; the background, class 0 of the scores, is one more.
        size: side of the warped regions, in pixels.
        context: pixels around the region on each side, of these.
        pooled: rows and columns that the last stage is pooled to.
        widths: of the dense layers.
        dropout: probability after each of them, in training.
        norm: a batch norm on the last stage, for backbones whose stages end in a convolution, without an activation.
        dtype: compute type; parameters and predictions stay float32. The backbone has its own.

    Returns:
        A module: `apply(variables, images [n h w c], proposals=(boxes [n p 4], valid [n p])) -> Found`. The images are
        normalized: what lies outside of them is 0.

    Example:
        >>> import jax
        >>> images, proposals = jnp.ones((1, 64, 64, 3)), (jnp.ones((1, 2, 4)), jnp.ones((1, 2), bool))
        >>> init = lambda key: rcnn().init(key, images, proposals=proposals)
        >>> sum(x.size for x in jax.tree.leaves(jax.eval_shape(init, jax.random.key(0))))
        57434025

    The trap: 2,000 regions are 2,000 passes; `fast_rcnn` computes the features of an image once.
    """
    network = alexnet(dtype=dtype) if backbone is None else backbone

    def pool(maps: Sequence, boxes: Array, valid: Array) -> Array:
        return warp_regions(maps[0], boxes, size=size, context=context, valid=valid)

    return TwoStageDetector(
        Pixels(),
        Unchanged(),
        None,
        CropHead(network, DenseHead(tuple(widths), dropout, dtype), pooled, BatchNorm(dtype=dtype) if norm else None),
        RegionPredictor(num_classes + 1, num_classes + 1, dtype),
        None,
        (1,),
        pool,
        None,
        None,
        box_coder(),
        box_coder(weights=(10.0, 10.0, 5.0, 5.0)),
    )
