"""Two-stage detectors: regions of an image, then a class, a box and maybe a mask of each. The family of R-CNN."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcv.models.detection.dense import Anchors, DenseOutput
from jaxcv.models.strides import Stage, by_stride, stages
from jaxcv.ops.box_coders import BoxCoder
from jaxcv.ops.proposals import Proposals, select_proposals, select_region_detections
from jaxcv.types import Array, Bool, Float, Images, Int

Map = Float[Array, 'n _ _ _']
Pool = Callable[[Sequence[Map], Float[Array, 'n r 4'], Bool[Array, 'n r']], Float[Array, 'n r p q c']]
"""(maps, boxes, which are real) -> the features of each region."""


class RegionOutput(NamedTuple):
    """Predictions of the second stage, float32."""

    class_logits: Float[Array, 'n r c']
    """The background first."""
    box_codes: Float[Array, 'n r k 4']
    """Relative to the regions, for the detector's `region_coder`; k boxes, one for each class and the background, or
    one for all."""


class Found(NamedTuple):
    """The objects of each image, by descending score; those after the last are zeros."""

    boxes: Float[Array, 'n d 4']
    """xyxy in pixels."""
    scores: Float[Array, 'n d']
    box_labels: Int[Array, 'n d']
    """From 0 on, without the background."""
    box_valid: Bool[Array, 'n d']
    """Which are real."""
    masks: Float[Array, 'n d m m'] | None = None
    """Probabilities within the box, for `ops.paste_mask`; None: the detector has no mask head."""


class TwoStageDetector(nn.Module):
    """A backbone and a neck, a head that proposes regions, and heads on the features of each; each can be replaced.

    `__call__` returns the objects (`Found`); the other methods are its steps, for training and for proposals of
    another source.

    Attributes:
        backbone: a model that declares its stages.
        neck: maps of the backbone, finest first -> maps of the detector, `neck(maps, train=)`.
        proposal_head: maps -> (logits of each map `[n k]`, codes `[n k 4]`), `head(maps, train=)`; None: regions come
            from elsewhere (Fast R-CNN).
        box_head: features of regions `[r p q c]` -> `[r f]`.
        predictor: `[r f]` -> (logits `[r c]`, codes `[r k 4]`).
        mask_head: features of regions -> logits of the masks `[r i j c]`; None: there are no masks.
        strides: of the backbone's stages that the neck takes.
        pool: of the box head.
        mask_pool: of the mask head.
        anchors: of the proposal head's maps.
        coder: of the proposals, relative to the anchors.
        region_coder: of the boxes, relative to the regions.
        aligned: the masks lie exactly in their boxes: the `aligned` of `ops.mask_targets` that they are trained by.
    """

    backbone: nn.Module
    neck: nn.Module
    proposal_head: nn.Module | None
    box_head: nn.Module
    predictor: nn.Module
    mask_head: nn.Module | None
    strides: Sequence[int]
    pool: Pool
    mask_pool: Pool | None
    anchors: Anchors | None
    coder: BoxCoder
    region_coder: BoxCoder
    aligned: bool = False

    @property
    def stages(self) -> dict[str, Stage]:
        """Return the backbone's stages, for `jaxcv.models.stages`."""
        return stages(self.backbone)

    def features(self, images: Images, *, train: bool = False) -> dict[str, Map]:
        """Return the backbone's stages, and the neck's maps as 'level1' (the finest), 'level2', ..."""
        encoded = self.backbone.features(images, train=train)
        found = by_stride(self.backbone, encoded)
        if missing := [stride for stride in self.strides if stride not in found]:
            raise ValueError(
                f'the neck takes stages of the strides {tuple(self.strides)}, but the backbone has none of {missing}; '
                f'it has {", ".join(map(str, found))}'
            )
        maps = self.neck([found[stride] for stride in self.strides], train=train)
        return {**encoded, **{f'level{i}': x for i, x in enumerate(maps, start=1)}}

    def maps(self, images: Images, *, train: bool = False) -> list[Map]:
        """Return the neck's maps, the finest first."""
        return [x for name, x in self.features(images, train=train).items() if name.startswith('level')]

    def propose(self, maps: Sequence[Map], size: tuple[int, int], *, train: bool = False) -> DenseOutput:
        """Return the logit of an object and a box for each anchor, `[n k 1]` and `[n k 4]` of each map."""
        if self.proposal_head is None or self.anchors is None:
            raise ValueError('the detector has no proposal head: it takes proposals of another source')
        logits, codes = self.proposal_head(maps, train=train)
        anchors = self.anchors([(x.shape[1], x.shape[2]) for x in maps], size)
        of_maps = tuple(x[..., None] for x in logits)
        return DenseOutput(of_maps, tuple(codes), tuple(jnp.asarray(one) for one in anchors))

    def select(self, output: DenseOutput, size: tuple[int, int], **options: Any) -> Proposals:
        """Return the proposals of each image; the options are those of `ops.select_proposals`."""

        def one(logits: Sequence[Array], codes: Sequence[Array]) -> Proposals:
            flat = [x[:, 0] for x in logits]
            return select_proposals(flat, list(codes), list(output.anchors), coder=self.coder, size=size, **options)

        return jax.vmap(one)(output.class_logits, output.box_codes)

    def classify(self, maps: Sequence[Map], boxes: Array, valid: Array, *, train: bool = False) -> RegionOutput:
        """Return the classes and the boxes of regions `[n r 4]`."""
        features = self.pool(maps, boxes, valid)
        n, r = features.shape[:2]
        logits, codes = self.predictor(self.box_head(features.reshape(n * r, *features.shape[2:]), train=train))
        return RegionOutput(logits.reshape(n, r, -1), codes.reshape(n, r, -1, 4))

    def masks(self, maps: Sequence[Map], boxes: Array, valid: Array, *, train: bool = False) -> Float[Array, '...']:
        """Return the logits of the masks of regions `[n r 4]`, `[n r m m c]`, the background's first."""
        if self.mask_head is None or self.mask_pool is None:
            raise ValueError('the detector has no mask head')
        features = self.mask_pool(maps, boxes, valid)
        n, r = features.shape[:2]
        logits = self.mask_head(features.reshape(n * r, *features.shape[2:]), train=train)
        return logits.reshape(n, r, *logits.shape[1:])

    def __call__(
        self,
        images: Images,
        *,
        proposals: tuple[Float[Array, 'n p 4'], Bool[Array, 'n p']] | None = None,
        proposal_options: dict[str, Any] | None = None,
        train: bool = False,
        **options: Any,
    ) -> Found:
        """Return the objects of each image.

        Args:
            images: `[n, h, w, c]`, normalized.
            proposals: (boxes, which of them are real), in place of the detector's own.
            proposal_options: of `ops.select_proposals`.
            train: the heads' batch norms and dropouts are in training mode.
            **options: of `ops.select_region_detections`.

        Returns:
            Found, of fixed shapes.
        """
        size = (images.shape[1], images.shape[2])
        maps = self.maps(images, train=train)
        if proposals is None:
            own = self.select(self.propose(maps, size, train=train), size, **(proposal_options or {}))
            boxes, valid = own.boxes, own.valid
        else:
            boxes, valid = proposals
        output = self.classify(maps, boxes, valid, train=train)

        def one(logits: Array, codes: Array, boxes: Array, valid: Array) -> Any:
            return select_region_detections(logits, codes, boxes, valid, coder=self.region_coder, size=size, **options)

        found = jax.vmap(one)(output.class_logits, output.box_codes, boxes, valid)
        if self.mask_head is None:
            return Found(*found)
        masks = self.masks(maps, found.boxes, found.box_valid, train=train)
        return Found(*found)._replace(masks=mask_probabilities(masks, found.box_labels))


def mask_probabilities(logits: Float[Array, 'n d m m c'], labels: Int[Array, 'n d']) -> Float[Array, 'n d m m']:
    """Return the probabilities of the masks of each object's class, of labels without the background."""
    own = jnp.take_along_axis(logits, labels[:, :, None, None, None] + 1, axis=-1)
    return jax.nn.sigmoid(own[..., 0])
