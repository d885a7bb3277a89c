"""Pure functions of arrays: convolutions, pooling and normalization; images, masks, windows, distances; boxes."""

from jaxcv.ops.alignment import align_faces, arcface_template, dlib_faces, dlib_template, similarity_transform
from jaxcv.ops.anchors import anchor_grid, cell_anchors, default_boxes, efficientdet_anchors, octave_sizes
from jaxcv.ops.box_coders import BoxCoder as BoxCoder  # types of results are no functions, and so not in __all__
from jaxcv.ops.box_coders import box_coder, efficientdet_coder, ssd_coder
from jaxcv.ops.boxes import (
    box_area,
    box_intersection,
    box_iou,
    boxes_of_side,
    clip_boxes,
    convert_boxes,
    crowd_iou,
    paired_box_iou,
)
from jaxcv.ops.census import census
from jaxcv.ops.center_points import CenterTargets as CenterTargets
from jaxcv.ops.center_points import center_targets, gaussian_radius, select_centers
from jaxcv.ops.convolution import conv2d, conv3d, conv_transpose2d, conv_transpose3d, pad_same
from jaxcv.ops.correlation import correlation, correlation_1d
from jaxcv.ops.cost_volume import cost_volume, soft_argmin
from jaxcv.ops.cost_volume_conv import cost_volume_conv
from jaxcv.ops.detections import Detections as Detections
from jaxcv.ops.detections import merge_detections, select_detections
from jaxcv.ops.distance import (
    chi_square_distance,
    cosine_similarity,
    exact_squared_distance,
    l2_normalize,
    pairwise_squared_distance,
)
from jaxcv.ops.image import center_crop, normalize, resize_short_side, to_float
from jaxcv.ops.instance_masks import mask_targets, paste_mask, paste_masks
from jaxcv.ops.integral import (
    integral_image,
    rectangle_sums,
    squared_integral_image,
    tilted_integral_image,
    tilted_sums,
)
from jaxcv.ops.masks import labelled_pixels, mask_boundaries
from jaxcv.ops.matching import Matches as Matches
from jaxcv.ops.matching import balanced_sample, hard_negatives, match_anchors, match_bipartite, sampled_indices
from jaxcv.ops.pool import adaptive_avg_pool, avg_pool, l2_pool, max_pool
from jaxcv.ops.proposals import Proposals as Proposals
from jaxcv.ops.proposals import SampledRegions as SampledRegions
from jaxcv.ops.proposals import sample_regions, select_proposals, select_region_detections, select_scored_regions
from jaxcv.ops.pyramid_pool import spatial_pyramid_pool
from jaxcv.ops.region_warp import warp_regions
from jaxcv.ops.resize import resize_bilinear, resize_nearest
from jaxcv.ops.response_norm import local_response_norm
from jaxcv.ops.roi import pyramid_roi_align, region_levels, roi_align
from jaxcv.ops.roi_max import pyramid_roi_pool, roi_pool
from jaxcv.ops.suppression import Kept as Kept
from jaxcv.ops.suppression import SoftKept as SoftKept
from jaxcv.ops.suppression import nms, soft_nms
from jaxcv.ops.warp import (
    flow_of_disparity,
    forward_splat,
    mirror_views,
    upsample_disparity,
    upsample_flow,
    warp,
)
from jaxcv.ops.windows import sliding_windows
from jaxcv.sizes import Size as Size  # sizes are no arrays, and so not in __all__
from jaxcv.sizes import pair as pair

__all__ = [
    'adaptive_avg_pool',
    'align_faces',
    'anchor_grid',
    'arcface_template',
    'avg_pool',
    'balanced_sample',
    'box_area',
    'box_coder',
    'box_intersection',
    'box_iou',
    'boxes_of_side',
    'cell_anchors',
    'census',
    'center_crop',
    'center_targets',
    'chi_square_distance',
    'clip_boxes',
    'conv2d',
    'conv3d',
    'conv_transpose2d',
    'conv_transpose3d',
    'convert_boxes',
    'correlation',
    'correlation_1d',
    'cosine_similarity',
    'cost_volume',
    'cost_volume_conv',
    'crowd_iou',
    'default_boxes',
    'dlib_faces',
    'dlib_template',
    'efficientdet_anchors',
    'efficientdet_coder',
    'exact_squared_distance',
    'flow_of_disparity',
    'forward_splat',
    'gaussian_radius',
    'hard_negatives',
    'integral_image',
    'l2_normalize',
    'l2_pool',
    'labelled_pixels',
    'local_response_norm',
    'mask_boundaries',
    'mask_targets',
    'match_anchors',
    'match_bipartite',
    'max_pool',
    'merge_detections',
    'mirror_views',
    'nms',
    'normalize',
    'octave_sizes',
    'pad_same',
    'paired_box_iou',
    'pairwise_squared_distance',
    'paste_mask',
    'paste_masks',
    'pyramid_roi_align',
    'pyramid_roi_pool',
    'rectangle_sums',
    'region_levels',
    'resize_bilinear',
    'resize_nearest',
    'resize_short_side',
    'roi_align',
    'roi_pool',
    'sample_regions',
    'sampled_indices',
    'select_centers',
    'select_detections',
    'select_proposals',
    'select_region_detections',
    'select_scored_regions',
    'similarity_transform',
    'sliding_windows',
    'soft_argmin',
    'soft_nms',
    'spatial_pyramid_pool',
    'squared_integral_image',
    'ssd_coder',
    'tilted_integral_image',
    'tilted_sums',
    'to_float',
    'upsample_disparity',
    'upsample_flow',
    'warp',
    'warp_regions',
]
