"""Transforms that propose regions of an image to a detector that proposes none itself."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxcv.arguments import AtLeast0, AtLeast1, Positive, checked
from jaxcv.data.transforms.transform import Transform
from jaxcv.features import Example, MisuseError, lookup
from jaxcv.moves import is_encoded

__all__ = ['propose_regions']

CACHE = '~/.cache/jaxcv/selective_search'


@checked
def propose_regions(
    *,
    mode: Literal['single', 'fast', 'quality'] = 'fast',
    count: AtLeast1 = 500,
    enlarged: Positive = 1.0,
    least_side: AtLeast0 = 0,
    cache: str = CACHE,
) -> Transform:
    """Propose regions by selective search, and keep them by image, so that an epoch does not search again.

    Args:
        mode: As in `classical.selective_search.search`, as are the next three.
        count: Regions of an image.
        enlarged: Factor by which the image is enlarged first.
        least_side: Boxes with a shorter side are dropped, in pixels.
        cache: Folder of the results, one small file an image.

    Returns:
        The transform: it adds `proposals`, float32 `[p 4]`, xyxy in pixels, and `proposal_valid` `[p]`, with p the
        count. Before transforms that move the image it searches the whole image once; they move its regions too. It
        raises MisuseError where the image is still encoded.

    Example:
        >>> import tempfile
        >>> propose = propose_regions(mode='single', count=8, cache=tempfile.mkdtemp())
        >>> example = propose({'image': np.zeros((16, 16, 3), np.uint8)})
        >>> example['proposals'].shape, int(example['proposal_valid'].sum())
        ((8, 4), 1)
    """
    # The search needs JAX's packages, which a process that only decodes images does without.
    from jaxcv.classical.selective_search import cached_search

    folder = Path(cache).expanduser()

    def apply(example: Example) -> Example:
        image = lookup(example, 'image')
        if is_encoded(image):
            raise MisuseError("the image is still encoded: put 'decode' first", 'image')
        pixels = np.asarray(image, np.uint8)
        options: dict[str, Any] = {'mode': mode, 'count': count, 'enlarged': enlarged, 'least_side': least_side}
        found = cached_search(pixels, folder=folder, **options)
        return {**example, 'proposals': found.boxes, 'proposal_valid': found.valid}

    return apply
