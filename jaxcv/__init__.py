"""jaxcv: computer vision as pure functions, in JAX and Flax.

`jaxcv.types` is the page of conventions and `jaxcv.task` the contracts. Each subpackage is imported by name
(`from jaxcv import models, losses`) and works alone.
"""

__version__ = '0.1.0'
