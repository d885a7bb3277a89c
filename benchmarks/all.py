"""All benchmarks against other libraries, one after the other: one file of JSON, and one table.

    pip install -r benchmarks/requirements.txt
    python -m benchmarks.all --out=benchmarks.json [--quick] [--only nms gallery] [--page docs/speed.md]
    python -m benchmarks.all --table benchmarks.json [--page docs/speed.md]

In each benchmark, a process of its own, jaxcv and its peer take turns on the same two cores (`benchmarks.turns`). The
figures of `--quick` only show that all of them run. A machine with other jobs is refused, as its ratios would be of
those; `--busy` measures all the same, and the table says so. `--page` writes the table between the two marks of a page,
`<!-- benchmarks -->` and `<!-- end of benchmarks -->`.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxcv.files import read_json, write_json

NAMES = (
    'train_step',
    'detectors',
    'regions',
    'stereo',
    'nms',
    'gallery',
    'random_forest',
    'knn',
    'viola_jones',
    'augment',
    'input_pipeline',
    'conv_layers',
    'ensemble',
    'loop_overhead',
    'sliding_windows',
)
PACKAGES = ('jax', 'jaxlib', 'flax', 'torch', 'torchvision', 'scikit-learn', 'numpy', 'opencv-python-headless')
IDLE = 0.3
"""The load of a machine without other jobs, at most."""
MARKS = ('<!-- benchmarks -->', '<!-- end of benchmarks -->')


def main() -> int:
    """Measure, or read what was measured; write the table; return the exit code."""
    parser = argparse.ArgumentParser(description='All benchmarks against other libraries.')
    parser.add_argument('--out', type=Path, help='the file that is written')
    parser.add_argument('--table', type=Path, help='a file that was written before: only its table is made')
    parser.add_argument('--page', type=Path, help='a page that gets the table')
    parser.add_argument('--only', nargs='+', choices=NAMES, default=NAMES, metavar='NAME', help=', '.join(NAMES))
    parser.add_argument('--quick', action='store_true', help='one short round each, to see that all run')
    parser.add_argument('--busy', action='store_true', help='measure although the machine has other jobs')
    arguments = parser.parse_args()
    if (arguments.out is None) == (arguments.table is None):
        parser.error('give either --out, to measure, or --table, to make the table of a file')
    if arguments.table is not None:
        found = read_json(arguments.table)
    else:
        load = os.getloadavg()[0]
        if load > IDLE and not (arguments.busy or arguments.quick):
            parser.error(f'the load is {load:.1f}: end the other jobs, wait a minute, or measure with --busy')
        found = measured(arguments.only, arguments.out, quick=arguments.quick)
    text = table(found)
    if arguments.page is not None:
        write_between(arguments.page, text)
    print(text)
    return 1 if found['failed'] else 0


def measured(names: Sequence[str], out: Path, *, quick: bool) -> dict[str, Any]:
    """Run benchmarks; return their rows, the failed ones, and the machine's facts, also written after each one."""
    found: dict[str, Any] = {'machine': machine(), 'quick': quick, 'rows': {}, 'failed': []}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            rows = Path(folder) / name
            command = [sys.executable, '-m', f'benchmarks.{name}', f'--out={rows}', *['--quick'] * quick]
            print(' '.join(command[1:]), flush=True)
            if subprocess.run(command).returncode:
                found['failed'].append(name)
            lines = rows.read_text().splitlines() if rows.exists() else []
            found['rows'][name] = [json.loads(line) for line in lines]
            found['machine']['load after'] = os.getloadavg()[0]
            write_json(out, found)
    return found


def machine() -> dict[str, Any]:
    """The processor, the cores, the versions, the date and the load."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        'processor': processor(),
        'cores': os.cpu_count(),
        'python': platform.python_version(),
        'versions': versions,
        'date': datetime.date.today().isoformat(),
        'load before': os.getloadavg()[0],
    }


def processor() -> str:
    """The processor's name, as Linux tells it."""
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')), '')


def table(found: Mapping[str, Any]) -> str:
    """Markdown of all rows, and a line on the machine."""
    facts = found['machine']
    lines = [
        '| benchmark | case | jaxcv, ms | peer | its ms | ratio | spread | GB | compiled in, s |',
        '|---' * 9 + '|',
    ]
    for name, rows in found['rows'].items():
        for row in rows:
            theirs, ratio, spread, memory = (row[key] for key in ('theirs', 'ratio', 'spread', 'memory'))
            cells = [
                name,
                row['case'],
                f'{1e3 * row["own"]:.2f}',
                row['peer'],
                f'{1e3 * theirs:.2f}' if theirs else '',
                f'{ratio:.2f}' if ratio else '',
                f'{spread[0]:.2f} to {spread[1]:.2f}' if spread else '',
                ' / '.join(memory) if memory else '',
                f'{row["compile"]:.1f}' if row['compile'] else '',
            ]
            lines.append(f'| {" | ".join(cells)} |')
    load = facts['load before']
    versions = ', '.join(f'{package} {version}' for package, version in facts['versions'].items())
    notes = [f'{facts["date"]}, {facts["processor"]}, {facts["cores"]} cores, {versions}; load before {load:.1f}.']
    if found['quick']:
        notes.append('One short round each: these figures only show that the benchmarks run.')
    elif load > IDLE:
        notes.append('The machine had other jobs.')
    if found['failed']:
        notes.append(f'Failed: {", ".join(found["failed"])}.')
    return '\n'.join([*lines, '', ' '.join(notes)])


def write_between(page: Path, text: str) -> None:
    """Replace what stands between the marks of a page.

    Raises:
        ValueError: the page does not have each mark once.
    """
    whole = page.read_text()
    if any(whole.count(mark) != 1 for mark in MARKS):
        raise ValueError(f'{page}: expected the marks {MARKS[0]} and {MARKS[1]} once each')
    before, rest = whole.split(MARKS[0])
    page.write_text(f'{before}{MARKS[0]}\n{text}\n{MARKS[1]}{rest.split(MARKS[1])[1]}')


if __name__ == '__main__':
    sys.exit(main())
