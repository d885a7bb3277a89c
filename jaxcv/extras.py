"""Optional packages: what `pip install 'jaxcv[extra]'` adds, and the message where one is missing.

Models, losses, metrics, optimizers and train steps need none of them. A module imports an optional package inside the
function that needs it, so that everything else works without it.
"""

import importlib
import importlib.util
from types import ModuleType

EXTRAS = {
    'array_record': 'data',
    'grain': 'data',
    'simplejpeg': 'data',
    'tensorflow_datasets': 'data',
    'matplotlib': 'viz',
    'skimage': 'demo',
    'sklearn': 'demo',
    'optuna': 'search',
    'tensorboardX': 'launch',
    'wandb': 'wandb',
    'mlflow': 'mlflow',
    'huggingface_hub': 'hub',
    'jax2onnx': 'onnx',
    'onnx': 'onnx',
    'onnxruntime': 'onnx',
    'tensorflow': 'prepare',
}
"""Optional package, by the name that it is imported by -> the extra of setup.cfg that installs it."""


class MissingExtraError(ImportError):
    """A package of an extra is not installed."""


def remedy(package: str) -> str:
    """Return the sentence about an optional package that is not installed, with the command that installs it.

    Example:
        >>> remedy('wandb')
        "the package wandb is not installed: pip install 'jaxcv[wandb]'"
    """
    command = f"pip install 'jaxcv[{EXTRAS[package]}]'" if package in EXTRAS else f'pip install {package}'
    return f'the package {package} is not installed: {command}'


def is_installed(package: str) -> bool:
    """Return whether a package can be imported; nothing is imported.

    Example:
        >>> is_installed('json'), is_installed('no_such_package')
        (True, False)
    """
    return importlib.util.find_spec(package) is not None


def required(name: str) -> ModuleType:
    """Import a module of an optional package.

    Args:
        name: of the module, such as 'safetensors.numpy'.

    Returns:
        The module.

    Raises:
        MissingExtraError: its package is not installed, with the command that installs it. A package that is there
            and fails raises its own error.

    Example:
        >>> required('json').dumps([1])
        '[1]'
        >>> required('no_such_package.part')
        Traceback (most recent call last):
        jaxcv.extras.MissingExtraError: the package no_such_package is not installed: pip install no_such_package
    """
    package = name.partition('.')[0]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or '').partition('.')[0] != package:
            raise
        raise MissingExtraError(remedy(package)) from None
