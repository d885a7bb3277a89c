"""Writes the tables of a config's fields, from the one place where they are declared."""

from pathlib import Path

from experiments import list as listing

HEAD = """# The fields of a config

Also printed by `python -m experiments.list fields [pattern]`. A field is set as `--config.FIELD=VALUE`, in the forms at
the end of this page.
"""
WHOLE = 'run'
"""The section of the fields that are in none."""


def write(path: Path) -> None:
    """Write the page: a section for each part of a config."""
    sections: dict[str, list[list[str]]] = {}
    for row in listing.field_rows():
        sections.setdefault(section(row), []).append(row)
    texts = [f'## {name}\n\n{table(rows)}' for name, rows in sections.items()]
    path.write_text('\n'.join([HEAD, *texts, f'## Values\n\n```text\n{listing.FORMS.strip()}\n```\n']))


def section(row: list[str]) -> str:
    """The part of a config that a field belongs to.

    Example:
        >>> section(['data.name', 'str']), section(['seed', 'int'])
        ('data', 'run')
    """
    first, dot, _ = row[0].partition('.')
    return first if dot else WHOLE


def table(rows: list[list[str]]) -> str:
    """The fields of a section: name, type and default as code, and the text."""
    lines = ['```{list-table}', ':header-rows: 1', ':widths: 24 20 20 36', '']
    for row in [['field', 'type', 'default', ''], *([*(f'`{cell}`' for cell in row[:3]), row[3]] for row in rows)]:
        lines += ['* - ' + '\n  - '.join(row)]
    return '\n'.join([*lines, '```', ''])
