"""Writes the table of a config's fields, from the one place where they are declared."""

from pathlib import Path

from experiments import list as listing


def write(path: Path) -> None:
    """Write the page."""
    rows = [' | '.join(f'`{cell}`' if i < 3 else cell for i, cell in enumerate(row)) for row in cells()]
    head = [
        '# The fields of a config',
        '',
        'Also printed by `python -m experiments.list fields [pattern]`. A field is set as `--config.FIELD=VALUE`.',
        '',
        '| field | type | default | |',
        '| --- | --- | --- | --- |',
    ]
    path.write_text(
        '\n'.join([*head, *(f'| {row} |' for row in rows), '', '```text', listing.FORMS.strip(), '```', ''])
    )


def cells() -> list[list[str]]:
    """The fields as `experiments.list` prints them, with `|` escaped."""
    return [[cell.replace('|', r'\|') for cell in row] for row in listing.field_rows()]
