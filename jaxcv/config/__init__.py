"""A config is data; a part of it with a `name` is a call.

`{'name': 'resnet18', 'num_classes': 10}` calls `jaxcv.models.resnet18(num_classes=10)`. **The public functions of a
package (its `__all__`) are its registry**: there are no decorators and no tables to keep in step. A subpackage's
functions are named with a dot, `segmentation.fcn8s`. A spec is checked against the function's signature before anything
is called, and all problems are reported at once.

An argument may be a spec itself. Its name is looked up in the module that the parameter's annotation holds,
`learning_rate: Annotated[float | Schedule, schedules]`, or else in the package of the outer spec. Any spec may name a
function of another package by a prefix, `{'name': 'losses.focal'}`, if `registries` has that prefix: other packages of
this library, or a user's own module, `{'name': 'my_project.models.my_net'}`.
"""

from jaxcv.config.errors import ConfigError, raise_for
from jaxcv.config.files import differences, load, save, unserializable
from jaxcv.config.fitting import as_spec, fitted, fitted_spec, untyped
from jaxcv.config.registries import Registries as Registries
from jaxcv.config.signatures import call_problems
from jaxcv.config.specs import bind, build, call, map_arguments, prepare, problems
from jaxcv.config.text import Text as Text
from jaxcv.config.values import Spec as Spec
from jaxcv.names import nearest

__all__ = [
    'ConfigError',
    'as_spec',
    'bind',
    'build',
    'call',
    'call_problems',
    'differences',
    'fitted',
    'fitted_spec',
    'load',
    'map_arguments',
    'nearest',
    'prepare',
    'problems',
    'raise_for',
    'save',
    'unserializable',
    'untyped',
]
