"""The heaviest kernels of a function, from a trace of JAX's profiler."""

import collections
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax


def heaviest(run: Callable[[], Any], *, most: int, runs: int, text: str = '') -> dict[str, Any]:
    """Trace a function that executes a program `runs` times; return its kernels by their time.

    Args:
        run: the function, which waits for its result.
        most: kernels that are returned.
        runs: executions of the program in it.
        text: the optimized program, of which the line of each kernel's operation is added.

    Returns:
        {'total_ms', 'kernels': [{'name', 'ms', 'count', 'line'}]}, per execution.
    """
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            run()
        files = sorted(Path(folder).rglob('*.xplane.pb'))
        if not files:
            return {'total_ms': 0.0, 'kernels': []}
        data = jax.profiler.ProfileData.from_file(str(files[-1]))
        spent: collections.Counter = collections.Counter()
        times: collections.Counter = collections.Counter()
        for plane in data.planes:
            if not plane.name.startswith('/device:'):
                continue
            for line in plane.lines:
                if not line.name.startswith('Stream'):
                    continue
                for event in line.events:
                    operation = dict(event.stats).get('hlo_op') or event.name
                    spent[str(operation), event.name] += event.duration_ns
                    times[str(operation), event.name] += 1
    lines = _lines(text)
    found = [
        {'name': kernel[:90], 'op': op[:60], 'ms': ns / runs / 1e6, 'count': times[op, kernel] / runs}
        for (op, kernel), ns in spent.most_common(most)
    ]
    for entry in found:
        entry['line'] = lines.get(entry['op'].split(' ')[0], '')[:320]
    return {'total_ms': sum(spent.values()) / runs / 1e6, 'kernels': found}


def _lines(text: str) -> dict[str, str]:
    """Return the shape, operands and origin of each operation of a program."""
    found = {}
    for match in re.finditer(r'^\s*(?:ROOT )?%?([\w.-]+) = (.*)$', text, re.MULTILINE):
        origin = re.search(r'op_name="([^"]*)"', match[2])
        found[match[1]] = f'{match[2][:180]} {origin[1][-120:] if origin else ""}'
    return found
