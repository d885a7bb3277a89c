"""Writers of metrics: TensorBoard's events, metrics.jsonl, and what a full disk leaves of them."""

import errno
import io
import json
import logging
import math
import struct

import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto.event_pb2 import Event, SessionLog

from jaxcv.training import writers


def events(path):
    """TFRecords: eight bytes of length and four of its checksum, the event, four of its checksum."""
    content, start = path.read_bytes(), 0
    while start < len(content):
        (length,) = struct.unpack_from('<Q', content, start)
        yield Event.FromString(content[start + 12 : start + 12 + length])
        start += length + 16


def test_tensorboard_gets_images_beside_numbers(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    writer = writers.tensorboard_writer(tmp_path)
    writer.write(10, {'train/loss': 0.5})
    writer.image(20, 'eval/masks', pixels)
    writer.close()
    (path,) = tmp_path.iterdir()
    found = {value.tag: (event.step, value) for event in events(path) for value in event.summary.value}
    assert sorted(found) == ['eval/masks', 'train/loss']
    step, value = found['eval/masks']
    assert step == 20
    np.testing.assert_array_equal(Image.open(io.BytesIO(value.image.encoded_image_string)), pixels)


def test_where_only_numbers_go_images_are_left_out(tmp_path):
    writer = writers.jsonl_writer(tmp_path / 'metrics.jsonl')
    writer.image(20, 'eval/masks', np.zeros((2, 2, 3), np.uint8))
    writer.close()
    assert (tmp_path / 'metrics.jsonl').read_text() == ''


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_bar_shows_the_numbers_asked_for():
    terminal = Terminal()
    writer = writers.console_writer(100, stream=terminal, shown=('loss', 'mean_iou', 'images_per_second'))
    writer.write(50, {'train/loss': 0.25, 'train/mean_iou': 0.5, 'train/grad_norm': 7.0, 'images_per_second': 12.0})
    writer.close()
    assert 'train/loss 0.25  train/mean_iou 0.5  images_per_second 12' in terminal.getvalue()
    assert 'grad_norm' not in terminal.getvalue()


def test_a_terminal_that_is_gone_ends_no_run():
    class Gone(io.StringIO):
        def write(self, text):
            raise OSError(errno.EIO, 'Input/output error')

    writer = writers.console_writer(100, stream=Gone())
    writer.write(50, {'train/loss': 0.25})
    writer.close()


def test_a_line_broken_in_the_middle_loses_itself_only(tmp_path, caplog):
    path = tmp_path / 'metrics.jsonl'
    lines = ['{"step": 1, "train/loss": 1.0}', '{"step": 2, "tra\0\0\0', '{"step": 3, "train/loss": NaN}', '7', '{}']
    path.write_bytes('\n'.join([*lines, '{"step": 4, "train/loss": 0.5}', '{"step": 5, "trai']).encode() + b'\xff')
    with caplog.at_level(logging.WARNING):
        assert [record['step'] for record in writers.read_jsonl(path)] == [1, 3, 4]
    assert [f'line {number} is damaged' in caplog.text for number in range(1, 9)] == [
        *(False, True, False, True, True, False, True, False)
    ]
    writers.jsonl_writer(path, step=3).close()  # a resumed run
    kept = [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]
    assert kept == [{'step': 1, 'train/loss': 1.0}, {'step': 3, 'train/loss': None}]


def test_metrics_that_are_not_finite_are_null_in_the_file_and_nan_when_read(tmp_path):
    writer = writers.jsonl_writer(tmp_path / 'metrics.jsonl')
    writer.write(1, {'train/loss': math.nan, 'train/grad_norm': math.inf, 'epoch': 0.5})
    writer.close()
    assert (tmp_path / 'metrics.jsonl').read_text() == (
        '{"step": 1, "train/loss": null, "train/grad_norm": null, "epoch": 0.5}\n'
    )
    (record,) = writers.read_jsonl(tmp_path / 'metrics.jsonl')
    assert math.isnan(record['train/loss'])
    assert record['epoch'] == 0.5


@pytest.mark.parametrize('step', [0, 20])
def test_tensorboard_hides_what_a_killed_run_wrote_after_its_checkpoint(tmp_path, step):
    for start in (0, step):  # also where it was killed before its first checkpoint
        writer = writers.tensorboard_writer(tmp_path, step=start)
        writer.write(30, {'train/loss': 0.5})
        writer.close()
    first, second = sorted(tmp_path.iterdir())
    assert [event.step for event in events(first) if event.summary.value] == [30]
    (restart,) = [event for event in events(second) if event.session_log.status == SessionLog.START]
    assert restart.step == step + 1


class FullDisk(io.FileIO):
    """A file on a disk with little room."""

    room = 0

    def write(self, content):
        if len(content) <= FullDisk.room:
            FullDisk.room -= len(content)
            return super().write(content)
        if FullDisk.room:
            part, FullDisk.room = bytes(content)[: FullDisk.room], 0
            return super().write(part)
        raise OSError(errno.ENOSPC, 'No space left on device')


@pytest.mark.parametrize('make', [writers.jsonl_writer, writers.tensorboard_writer], ids=['jsonl', 'tensorboard'])
def test_a_full_disk_is_an_error_at_once_and_leaves_whole_records(tmp_path, monkeypatch, make):
    monkeypatch.setattr(type(tmp_path), 'open', lambda self, mode, buffering: FullDisk(self, mode.removesuffix('b')))
    FullDisk.room = 10_000
    writer = make(tmp_path / 'place')
    writer.write(1, {'train/loss': 0.5})
    size = {path: path.stat().st_size for path in tmp_path.rglob('*') if path.is_file()}
    FullDisk.room = 20
    for step in range(2, 40):  # more than a queue takes
        with pytest.raises(OSError, match='No space left on device') as error:
            writer.write(step, {'train/loss': 0.5})
        assert error.value.errno == errno.ENOSPC
    writer.close()
    assert {path: path.stat().st_size for path in size} == size


def test_numbers_that_are_not_finite_are_no_points_of_a_curve(tmp_path, caplog):
    writer = writers.tensorboard_writer(tmp_path)
    writer.write(1, {'eval/ap': 0.5, 'eval/ap_large': float('nan'), 'train/loss': float('inf')})
    writer.close()
    content = b''.join(path.read_bytes() for path in tmp_path.glob('*'))
    assert b'eval/ap' in content
    assert b'ap_large' not in content
    assert b'train/loss' not in content
    assert not caplog.messages
