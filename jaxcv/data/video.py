"""Video files: their frames one after another, and pictures as a video; no more than a frame is in memory."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

__all__ = ['SUFFIXES', 'Video', 'frames', 'is_video', 'open_video', 'video_writer']

SUFFIXES = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm', '.wmv')


class Video(NamedTuple):
    """A video file."""

    path: Path
    fps: float
    """Frames a second."""
    size: tuple[int, int]
    """(height, width) of a frame."""


def is_video(path: str | os.PathLike) -> bool:
    """Say whether the name of a file is that of a video.

    Example:
        >>> is_video('holiday.MP4'), is_video('holiday.jpg')
        (True, False)
    """
    return Path(path).suffix.lower() in SUFFIXES


def open_video(path: str | os.PathLike) -> Video:
    """Read the head of a video file.

    Raises:
        ValueError: it is no video that OpenCV can decode, or it has no frame.
    """
    capture = cv2.VideoCapture(str(path))
    try:
        there, frame = capture.read()
        fps = capture.get(cv2.CAP_PROP_FPS)
    finally:
        capture.release()
    if not there:
        raise ValueError(f'{path} is no video that can be decoded, or it has no frame')
    return Video(Path(path), fps if fps > 0 else 25.0, frame.shape[:2])


def frames(video: Video) -> Iterator[np.ndarray]:
    """Yield the frames of a video, RGB uint8 `[h w 3]`; a damaged end ends it."""
    capture = cv2.VideoCapture(str(video.path))
    try:
        while True:
            there, frame = capture.read()
            if not there:
                return
            yield np.ascontiguousarray(frame[..., ::-1])
    finally:
        capture.release()


@contextlib.contextmanager
def video_writer(path: str | os.PathLike, *, fps: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Open an MP4 video for writing; the first picture decides the size.

    Yields:
        A function that appends a picture, uint8 RGB `[h w 3]` or gray `[h w]`. It raises OSError where OpenCV cannot
        write.
    """
    opened: list[cv2.VideoWriter] = []

    def write(picture: np.ndarray) -> None:
        picture = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=-1)
        if not opened:
            size = picture.shape[1], picture.shape[0]
            opened.append(cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), fps, size))
            if not opened[0].isOpened():
                raise OSError(f'{path} cannot be written as a video')
        opened[0].write(np.ascontiguousarray(picture[..., ::-1]))

    try:
        yield write
    finally:
        for writer in opened:
            writer.release()
