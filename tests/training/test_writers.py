"""What TensorBoard reads, numbers and images."""

import io
import struct

import numpy as np
from PIL import Image
from tensorboardX.proto.event_pb2 import Event

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
