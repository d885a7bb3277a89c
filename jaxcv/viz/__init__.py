"""Figures: functions that draw arrays and return a matplotlib `Figure`, without global state; `save` writes one.

matplotlib is imported with the first of these names, not with the package: tasks and train steps work without it.
"""

import importlib
from typing import TYPE_CHECKING, Any

from jaxcv.extras import required

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from jaxcv.viz.boxes import Objects, box_colors, box_grid, draw_boxes, precision_recall
    from jaxcv.viz.confusion import confusion_matrix
    from jaxcv.viz.curves import learning_curves, loss_curves
    from jaxcv.viz.fields import depth_view, disparity_colors, error_colors, field_grid, flow_colors, flow_key
    from jaxcv.viz.figures import class_name, rendered, save
    from jaxcv.viz.grids import image_grid, prediction_grid
    from jaxcv.viz.haar import haar_grid
    from jaxcv.viz.label_grid import label_grid
    from jaxcv.viz.masks import mask_colors, mask_grid, overlay
    from jaxcv.viz.pairs import Neighbor, Pair, Query, neighbor_grid, pair_grid
    from jaxcv.viz.schedule_plot import schedules
    from jaxcv.viz.search import search_results

__all__ = [
    'Figure',
    'Neighbor',
    'Objects',
    'Pair',
    'Query',
    'box_colors',
    'box_grid',
    'class_name',
    'confusion_matrix',
    'depth_view',
    'disparity_colors',
    'draw_boxes',
    'error_colors',
    'field_grid',
    'flow_colors',
    'flow_key',
    'haar_grid',
    'image_grid',
    'label_grid',
    'learning_curves',
    'loss_curves',
    'mask_colors',
    'mask_grid',
    'neighbor_grid',
    'overlay',
    'pair_grid',
    'precision_recall',
    'prediction_grid',
    'rendered',
    'save',
    'schedules',
    'search_results',
]

_MODULES = (
    'boxes',
    'confusion',
    'curves',
    'fields',
    'figures',
    'grids',
    'haar',
    'label_grid',
    'masks',
    'pairs',
    'schedule_plot',
    'search',
)


def __getattr__(name: str) -> Any:
    """The function of one of the modules, which are imported with the first of them."""
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    required('matplotlib')
    for module in [importlib.import_module(f'{__name__}.{part}') for part in _MODULES]:
        globals().update({public: vars(module)[public] for public in __all__ if public in vars(module)})
    return globals()[name]
