"""Describes what a config may name: the signature, with types, ranges and defaults, and the documentation.

    python -m experiments.describe resnet18
    python -m experiments.describe training.epochs
    python -m experiments.describe my_project.models.my_net --use=my_project.models

NAME is a function as a config names it (`python -m experiments.list models`), a field or section (`list fields`), a
config (`list configs`), published weights (`list weights`), or anything of jaxcv by its full name, jaxcv.ops.nms.
Several may be given. What several packages have, such as random_flip, is described for each.
"""

import ast
from collections.abc import Sequence

from experiments import launch
from experiments.__main__ import PREFIX, commands
from experiments.run import describing
from jaxcv import config
from jaxcv.names import close

USES = ('use',)


def main(words: Sequence[str]) -> int:
    """Prints the descriptions; returns the exit code."""
    if not words:
        raise config.ConfigError('give a NAME, such as resnet18')
    used = launch.used_modules()
    found = {word: [*describing.described(word, used), *_configs(word)] for word in words}
    missing = [word for word, texts in found.items() if not texts]
    config.raise_for(f'there is no {word!r}, {_suggested(word, used)}' for word in missing)
    print(f'\n\n{"-" * 80}\n\n'.join(text for texts in found.values() for text in texts))
    return 0


def _configs(word: str) -> list[str]:
    """The docstrings of the configs of this name, with or without their folder."""
    files = {name: path for name, path in launch.named_files().items() if word in (name, name.partition('/')[2])}
    return [
        f'--config={name}\n\n{ast.get_docstring(ast.parse(path.read_text()))}\n\n({path})'
        for name, path in files.items()
    ]


def _suggested(word: str, used: describing.Used) -> str:
    if (command := f'{PREFIX}.{word}') in dict(commands()):
        return f'but there is a command: {command} --help'
    near = close(word, launch.names_of_configs())
    return f'did you mean {" or ".join(near)}?' if near and '/' in word else describing.suggested(word, used)


if __name__ == '__main__':
    launch.launch(main, uses=USES)
