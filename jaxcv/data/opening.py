"""Open a data set by its name: a folder of images, a bundled one, or any of tfds."""

import os
from collections.abc import Callable, Mapping
from typing import Any

from jaxcv import config
from jaxcv.data.coco import folder_coco
from jaxcv.data.csv_files import folder_csv
from jaxcv.data.face_pairs import folder_faces
from jaxcv.data.face_sets import recordio
from jaxcv.data.folders import folder, folder_masks
from jaxcv.data.hub import HUB, hub_source
from jaxcv.data.pair_layouts import LAYOUTS
from jaxcv.data.pairs import folder_pairs
from jaxcv.data.sources import Source
from jaxcv.data.tfds_source import tfds_source
from jaxcv.data.voc import folder_voc
from jaxcv.data.yolo import folder_yolo

__all__ = ['source']

_FOLDERS: dict[str, Callable[..., Source]] = {
    **{
        function.__name__: function
        for function in (
            *(folder, folder_csv, folder_masks, folder_coco, folder_voc, folder_yolo, folder_pairs),
            *(folder_faces, recordio),
        )
    },
    **LAYOUTS,
}


def source(
    name: str,
    *,
    split: str,
    data_dir: str | os.PathLike | None = None,
    options: Mapping[str, Any] | None = None,
) -> Source:
    """Open a split of a data set.

    Args:
        name: 'folder' for images of your own, in `data_dir/<split>/<class>/*.jpg`, or `data_dir/<class>/*.jpg` without
            splits (JPEG, PNG, BMP, WebP, TIFF, GIF or PNM); 'folder_csv' for a table of files and their labels, one an
            image or several (`jaxcv.data.csv_files`); 'hf:NAME' for a data set of the Hugging Face Hub, or of a folder
            that its package `datasets` saved (`jaxcv.data.hub`); 'folder_masks' for images with a class for each pixel,
            in `data_dir/<split>/images/*.jpg` and `data_dir/<split>/masks/*.png` of the same name, with the classes'
            names, one a line, in `data_dir/classes.txt` if they have any; 'folder_coco', 'folder_voc' and 'folder_yolo'
            for images with the boxes of objects, as COCO, Pascal VOC and YOLO store them (`jaxcv.data.coco`, `voc`,
            `yolo`); 'folder_pairs' for pairs of images with flow or disparity (`jaxcv.data.pairs`), and for such pairs
            in public layouts 'flying_chairs', 'sintel_clean', 'kitti2015_stereo' and the others of
            `jaxcv.data.pair_layouts`; 'recordio' for faces in `data_dir/<split>.rec` and pairs in `<split>.bin`, as
            insightface packs them; 'folder_faces' for folders of people and LFW's lists (`jaxcv.data.face_pairs`); or a
            data set of tfds, with its config and version if need be ('cifar10', 'imagenet2012:5.1.0'). 'digits',
            'faces', 'digit_scenes', 'moving_photos' and 'shifted_photos' are bundled and prepared on their first use.
            Others are prepared by `python -m jaxcv.data.prepare NAME`.
        split: The split: 'train'. Parts of splits are written as in tfds: 'train[:90%]', 'train[90%:]', 'train+val';
            those of a folder have of each class its share.
        data_dir: The folder's root; or the folder of prepared tfds data sets, by default `TFDS_DATA_DIR` or
            `~/tensorflow_datasets`.
        options: Further arguments of the function of that name, such as `{'separator': '|'}` of `folder_csv` or
            `{'seed': 1}` of `folder`.

    Returns:
        The source. Classes of a folder are numbered by name, as in its `train` split where there is one.

    Raises:
        FileNotFoundError: The folder or the prepared data set is missing.
        ValueError: The data set or split is unknown, empty, or in a format without random access; the files of a
            folder are not as the function of its name in `jaxcv.data` says; or it has no such options.

    Example:
        >>> import tempfile
        >>> digits = source('digits', split='test', data_dir=tempfile.mkdtemp())
        >>> digits.size, digits.names['label'][:3], digits.where(5)
        (597, ('0', '1', '2'), 'digits/test[5]')
    """
    opened = hub_source if name.startswith(HUB) else _FOLDERS.get(name, tfds_source)
    config.raise_for(config.call_problems(opened, options or {}, path='data.options', bound=True))
    if name in _FOLDERS:
        return _FOLDERS[name](split, data_dir, **(options or {}))
    if name.startswith(HUB):
        return hub_source(name.removeprefix(HUB), split, data_dir, **(options or {}))
    return tfds_source(name, split, None if data_dir is None else os.path.expanduser(data_dir))
