"""Answers for the frames of a video: a line of JSON for each, and a video of the pictures."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxcv.data import video as videos
from jaxcv.features import Example, Names
from jaxcv.files import to_json
from jaxcv.task import PhotoOptions, Predictions, Presentation
from jaxcv.types import Batch


def answer_video(
    path: Path,
    output: Path,
    presentation: Presentation,
    predict: Callable[[Batch], Predictions],
    options: PhotoOptions,
    decode: Callable[[Example], Example],
    names: Names,
) -> dict[str, Any]:
    """Answers for each frame, in its own pixels; no more than a batch of frames is in memory.

    Args:
        path: of the video.
        output: a folder that exists: it gets NAME.jsonl, a line for each frame, and NAME_KIND.mp4 for each kind of
            picture of the presentation.
        presentation: of the task.
        predict: compiled batch -> predictions.
        options: how frames are brought to the model.
        decode: of the evaluation, for its channels.
        names: of the classes.

    Returns:
        Its entry in predictions.json.

    Raises:
        ValueError: it is no video that can be decoded.
    """
    video, count = videos.open_video(path), 0
    waiting: deque[np.ndarray] = deque()

    def examples() -> Iterator[Example]:
        for frame in videos.frames(video):
            example = decode({'image': frame, 'seed': 0, 'batch_seed': 0})
            waiting.append(example['image'])
            yield example

    with contextlib.ExitStack() as stack:
        lines = stack.enter_context((output / f'{path.stem}.jsonl').open('w'))
        writers: dict[str, Callable[[np.ndarray], None]] = {}
        for answer in presentation.photos(predict, examples(), options):
            written = presentation.write(waiting.popleft(), answer, names)
            lines.write(to_json({'frame': count, **written.row}) + '\n')
            for kind, picture in written.pictures.items():
                if kind not in writers:
                    target = videos.video_writer(output / f'{path.stem}_{kind}.mp4', fps=video.fps)
                    writers[kind] = stack.enter_context(target)
                writers[kind](picture)
            count += 1
    print(f'{path}  {count} frames')
    return {'file': str(path), 'frames': count, 'fps': video.fps, 'answers': f'{path.stem}.jsonl'}
