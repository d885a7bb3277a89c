"""Writes the files that the how-tos on an own model, an own loss and an own task give: `my_project/*.py` and a config.

python write_idea.py docs/guides
"""

import re
import sys
from pathlib import Path

PAGES = ('model', 'loss', 'task')


def main(guides):
    """Writes each block of Python that begins with the name of a file."""
    for page in PAGES:
        text = Path(guides, f'{page}.md').read_text()
        for name, content in re.findall(r'^```python\n# (\S+\.py)\n(.*?)^```$', text, re.DOTALL | re.MULTILINE):
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_text(content)


if __name__ == '__main__':
    main(*sys.argv[1:])
