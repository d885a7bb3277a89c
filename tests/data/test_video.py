"""Video files."""

import numpy as np
import pytest

from jaxcv.data import video


def test_frames_come_back_in_order(tmp_path):
    path = tmp_path / 'one.mp4'
    colors = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (128, 128, 128)]
    with video.video_writer(path, fps=10) as write:
        for color in colors:
            write(np.full((48, 64, 3), color, np.uint8))
    opened = video.open_video(path)
    assert opened.size == (48, 64)
    assert opened.fps == pytest.approx(10)
    found = [frame.mean(axis=(0, 1)) for frame in video.frames(opened)]
    np.testing.assert_allclose(found, colors, atol=12)  # it is compressed


def test_gray_pictures_become_a_video(tmp_path):
    with video.video_writer(tmp_path / 'gray.mp4', fps=5) as write:
        write(np.full((32, 32), 90, np.uint8))
    (frame,) = video.frames(video.open_video(tmp_path / 'gray.mp4'))
    assert frame.shape == (32, 32, 3)


def test_a_file_that_is_no_video_is_told(tmp_path):
    (tmp_path / 'text.mp4').write_text('no video')
    with pytest.raises(ValueError, match=r'text.mp4 is no video that can be decoded'):
        video.open_video(tmp_path / 'text.mp4')
