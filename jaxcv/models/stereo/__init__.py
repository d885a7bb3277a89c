"""Networks of stereo and optical flow: FlowNets, DispNets and GC-Net.

Each function returns a Linen module: `model.apply(variables, pairs [n h w 2c], train=False)` gives the flow `[n h w 2]`
or the disparity `[n h w]` at the images' size and in their pixels, `method='levels'` what losses are taken of, by
stride. Pairs are two images stacked along their channels, the first or left one first. With `train=True` pass
`mutable=['batch_stats']`. A config's model may name these, as 'stereo.gcnet'.
"""

from jaxcv.models.stereo.dispnet import dispnet, dispnet_c
from jaxcv.models.stereo.flownet import flownet_c, flownet_s
from jaxcv.models.stereo.gcnet import gcnet

__all__ = ['dispnet', 'dispnet_c', 'flownet_c', 'flownet_s', 'gcnet']
