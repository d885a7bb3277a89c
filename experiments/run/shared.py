"""Folders of shared networks, which stand in place of a workdir, and their names on the Hugging Face Hub.

Such a folder has the config.json of a workdir, and the network in a file of weights in place of checkpoints:
`experiments.run.pushing` makes it.
"""

import re
from pathlib import Path
from typing import Any

from jaxcv import config, weights
from jaxcv.extras import required
from jaxcv.files import read_json
from jaxcv.types import Variables
from jaxcv.weights.downloading import cache_folder

NETWORK = 'model.safetensors'
PREPROCESSING = 'preprocessor_config.json'
CLASSES = 'class_names.json'
CARD = 'README.md'
FILES = ('config.json', NETWORK, PREPROCESSING, CLASSES, 'evaluation.json', CARD)
"""All files of a shared folder."""
HUB = 'hf:'
_REPO = re.compile(r'[\w.-]+/[\w.-]+')


def holds_network(folder: Path) -> bool:
    """Whether this is the folder of a shared network."""
    return (folder / 'config.json').is_file() and weights.holds_variables(folder / NETWORK)


def facts_of_network(folder: Path) -> dict[str, Any]:
    """{'step': the step of the network, 'averaged': whether it is the average, 'networks': how many there are}."""
    return read_json(folder / 'config.json')['found']['network']


def variables_of(folder: Path) -> Variables:
    """The variables of a shared network."""
    return weights.load_variables(folder / NETWORK)


def checked_repo(text: str) -> str:
    """The name of a repository of the Hub.

    Raises:
        ConfigError: it is none.

    Example:
        >>> checked_repo('me/digits')
        'me/digits'
    """
    if not _REPO.fullmatch(text):
        raise config.ConfigError(f'{text!r} is no repository of the Hugging Face Hub: expected USER/NAME')
    return text


def downloaded(name: str) -> Path:
    """The folder of a network of the Hugging Face Hub, which is downloaded, or brought up to date.

    Without a network connection the folder of an earlier download is taken as it is. No code is downloaded.

    Args:
        name: 'hf:USER/NAME', or 'hf:USER/NAME@REVISION' with a branch, tag or commit.

    Raises:
        ConfigError: there is no such repository, it cannot be downloaded, or it holds no network of jaxcv.
        MissingExtraError: huggingface_hub is not installed.
    """
    repo, _, revision = name.removeprefix(HUB).partition('@')
    folder = cache_folder() / 'hub' / checked_repo(repo) / (revision or 'main')
    hub = required('huggingface_hub')
    errors = required('huggingface_hub.errors')
    try:
        hub.snapshot_download(repo, revision=revision or None, local_dir=folder, allow_patterns=[*FILES])
    except errors.RepositoryNotFoundError:
        raise config.ConfigError(
            f'{name}: there is no such repository, or you may not read it (hf auth login)'
        ) from None
    except errors.RevisionNotFoundError:
        raise config.ConfigError(f'{name}: {repo} has no revision {revision!r}') from None
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().partition('\n')[0]
        raise config.ConfigError(f'{name} cannot be downloaded: {reason}') from None
    if not holds_network(folder):
        raise config.ConfigError(
            f'{name} holds no network that `python -m experiments.push` made. The file of weights of another library '
            'is downloaded by hand, and given by its path'
        )
    return folder
