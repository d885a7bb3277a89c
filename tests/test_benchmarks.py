"""The frame of the benchmarks: ratios, the table of all of them, and the page that holds it."""

import json
from pathlib import Path

import pytest

from benchmarks import all as benchmarks
from benchmarks import step_profile, turns
from jaxcv.files import read_json, write_json


def test_a_ratio_is_of_the_same_round():
    ratio, spread = turns.ratios([1.0, 2.0, 4.0], [2.0, 2.0, 2.0])
    assert (ratio, spread) == (1.0, (0.5, 2.0))


def test_rows_become_a_table_in_a_page(tmp_path):
    """As a benchmark records them, through both files."""
    out = tmp_path / 'nms'
    turns.record(out, turns.Row('nms, 100 boxes', 0.001, 'torchvision', 0.002, 2.0, (1.5, 2.5), ('1.20', '-'), 3.25))
    turns.record(out, turns.Row('nms, 1,000 boxes', 0.004, '', None, None))
    turns.record(None, turns.Row('not asked for', 1.0, '', None, None))
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    found = {'machine': benchmarks.machine(), 'quick': True, 'rows': {'nms': rows}, 'failed': ['gallery']}
    write_json(tmp_path / 'all.json', found)
    text = benchmarks.table(read_json(tmp_path / 'all.json'))
    cells = [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines() if line[:1] == '|']
    assert cells[2] == [
        'nms',
        'nms, 100 boxes',
        '1.00',
        'torchvision',
        '2.00',
        '2.00',
        '1.50 to 2.50',
        '1.20 / -',
        '3.2',
    ]
    assert cells[3][:4] == ['nms', 'nms, 1,000 boxes', '4.00', '']
    assert 'One short round each' in text
    assert 'Failed: gallery.' in text

    page = tmp_path / 'speed.md'
    page.write_text('before\n<!-- benchmarks -->\nold\n<!-- end of benchmarks -->\nafter\n')
    for _ in range(2):
        benchmarks.write_between(page, text)
    assert page.read_text() == f'before\n<!-- benchmarks -->\n{text}\n<!-- end of benchmarks -->\nafter\n'
    page.write_text('no marks')
    with pytest.raises(ValueError, match='expected the marks'):
        benchmarks.write_between(page, text)


def test_a_busy_machine_is_refused(monkeypatch, capsys):
    monkeypatch.setattr('sys.argv', ['all', '--out=x.json'])
    monkeypatch.setattr('os.getloadavg', lambda: (3.0, 3.0, 3.0))
    with pytest.raises(SystemExit) as ended:
        benchmarks.main()
    assert ended.value.code == 2
    assert 'the load is 3.0' in capsys.readouterr().err


APART = {
    '__init__': 'no benchmark',
    'all': 'runs the others',
    'turns': 'the frame',
    'kernels': 'no peer',
    'input_stages': 'no peer',
    'accelerator': 'of a GPU',
    'accelerator_jobs': 'of a GPU',
    'accelerator_own': 'of a GPU',
    'accelerator_peer': 'of a GPU',
    'scale': 'of several devices, by a model',
    'processes': 'of several processes',
    'start': 'no peer',
    'step_profile': 'no peer',
}
"""Files that `benchmarks.all` does not run, and the reason."""


def test_all_benchmarks_with_a_peer_are_run_and_record_their_rows():
    files = {path.stem: path.read_text() for path in Path(benchmarks.__file__).parent.glob('*.py')}
    assert {*files} - {*benchmarks.NAMES} <= {*APART}
    assert len(benchmarks.NAMES) == len({*benchmarks.NAMES})
    for name in benchmarks.NAMES:
        for part in ('turns.record(', 'add_out(parser)', "'--quick'", f'python -m benchmarks.{name} '):
            assert part in files[name], (name, part)


@pytest.mark.slow
@pytest.mark.parametrize('name', benchmarks.NAMES)
def test_a_benchmark_runs_quickly(name, tmp_path):
    """As far as its peers are installed."""
    found = benchmarks.measured([name], tmp_path / 'all.json', quick=True)
    assert not found['failed']
    assert found['rows'][name]
    assert benchmarks.table(found)


def test_of_operations_within_each_other_the_last_begun_counts():
    operations = [
        step_profile.Operation(0.0, 4.0, 'loop'),
        step_profile.Operation(1.0, 2.0, 'product'),
        step_profile.Operation(5.0, 6.0, 'sum'),
    ]
    assert [*step_profile.leaves(operations)] == [
        step_profile.Operation(0.0, 1.0, 'loop'),
        step_profile.Operation(1.0, 2.0, 'product'),
        step_profile.Operation(2.0, 4.0, 'loop'),
        step_profile.Operation(5.0, 6.0, 'sum'),
    ]
