"""Layouts of public data sets of pairs: FlyingChairs, Scene Flow, Sintel, KITTI and Middlebury, as they are unpacked.

`LAYOUTS` has the function of each name that `jaxcv.data.source` opens: (split, data_dir) -> Source. The splits are
'train' and 'test', whatever their folders are called; parts of them are written as 'train[:80%]'. The truth of test
splits is not published: their examples have images only.
"""

import functools
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxcv.data.folders import data_folder, lines_of
from jaxcv.data.pairs import (
    File,
    Row,
    black,
    disparity,
    encoded,
    flow,
    known_disparity,
    known_flow,
    open_pairs,
    white,
)
from jaxcv.data.sources import Source

__all__ = ['LAYOUTS']

_CHAIRS = ('FlyingChairs_train_val.txt', 'FlyingChairs_release_test_train_split.list')


class _Layout(NamedTuple):
    """Where a data set keeps its pairs."""

    holds: str
    """The files in its folder, for messages."""
    rows: Callable[[Path, str], list[Row]]
    """(root, split) -> pairs."""
    folders: Mapping[str, Callable[[Path], Path]]
    """Split -> the folder that is there if the split is."""


def _open(name: str, layout: _Layout, split: str, data_dir: str | os.PathLike | None) -> Source:
    root = data_folder(name, split, data_dir, layout.holds)

    def exists(one: str) -> bool:
        return one in layout.folders and layout.folders[one](root).is_dir()

    return open_pairs(root, split, exists, lambda: [one for one in layout.folders if exists(one)], layout.rows)


def _chairs(root: Path, split: str) -> list[Row]:
    """FlyingChairs; the official file has a line for each pair, 1 to train and 2 to test."""
    folder = root / 'data' if (root / 'data').is_dir() else root
    lists = [place / name for place in (root, folder) for name in _CHAIRS if (place / name).is_file()]
    if not lists:
        raise FileNotFoundError(f'{root} has no {_CHAIRS[0]}, the official list of the splits: a line for each pair')
    lines = [line for line in lines_of(lists[0]) if line]
    suffix = '_img1.ppm'
    numbers = sorted(name.removesuffix(suffix) for name in os.listdir(folder) if name.endswith(suffix))
    if len(lines) != len(numbers) or not set(lines) <= {'1', '2'}:
        raise ValueError(
            f'{lists[0]} has {len(lines):,} lines ({", ".join(sorted(set(lines))[:3])}), and {folder} {len(numbers):,} '
            'pairs: a line for each pair is wanted, 1 (train) or 2 (test)'
        )
    wanted = {'train': '1', 'test': '2'}[split]
    return [
        Row(
            number,
            {
                'image': File(f'{folder}/{number}{suffix}', encoded),
                'next_image': File(f'{folder}/{number}_img2.ppm', encoded),
                'flow': File(f'{folder}/{number}_flow.flo', flow),
            },
        )
        for number, line in zip(numbers, lines, strict=True)
        if line == wanted
    ]


def _under(root: Path, folder: str, split: str) -> Path:
    """Scene Flow's folder of a split; Driving and Monkaa have no splits, all is to train."""
    inner = root / folder / split.upper()
    return inner if inner.is_dir() or split != 'train' or (root / folder / 'TEST').is_dir() else root / folder


def _scene_flow_stereo(root: Path, split: str, *, frames: str) -> list[Row]:
    top, truth = _under(root, frames, split), _under(root, 'disparity', split)
    rows = []
    for path in sorted(top.rglob('left/*.png')):
        scene, name = path.parent.parent.relative_to(top).as_posix(), path.stem
        files = {
            'left': File(str(path), encoded),
            'right': File(str(path.parent.parent / 'right' / path.name), encoded),
            'disparity': File(f'{truth}/{scene}/left/{name}.pfm', disparity),
            'right_disparity': File(f'{truth}/{scene}/right/{name}.pfm', disparity),
        }
        rows.append(Row(f'{scene}/{name}', files))
    return rows


def _scene_flow_flow(root: Path, split: str, *, frames: str) -> list[Row]:
    top, truth = _under(root, frames, split), _under(root, 'optical_flow', split)
    rows = []
    for first, second in _frames(sorted(top.rglob('left/*.png'))):
        scene, name = first.parent.parent.relative_to(top).as_posix(), first.stem
        field = f'{truth}/{scene}/into_future/left/OpticalFlowIntoFuture_{name}_L.pfm'
        files = {'image': File(str(first), encoded), 'next_image': File(str(second), encoded)}
        rows.append(Row(f'{scene}/{name}', {**files, 'flow': File(field, flow)}))
    return rows


def _sintel_flow(root: Path, split: str, *, frames: str) -> list[Row]:
    top = root / _SINTEL[split]
    rows = []
    for first, second in _frames(sorted((top / frames).glob('*/*.png'))):
        inner = f'{first.parent.name}/{first.stem}'
        files = {'image': File(str(first), encoded), 'next_image': File(str(second), encoded)}
        if split == 'train':
            files |= {
                'flow': File(f'{top}/flow/{inner}.flo', flow),
                'flow_valid': File(f'{top}/invalid/{inner}.png', black),
                'flow_visible': File(f'{top}/occlusions/{inner}.png', black),
            }
        rows.append(Row(inner, files))
    return rows


def _sintel_stereo(root: Path, split: str, *, frames: str) -> list[Row]:
    top = root / _SINTEL[split]
    rows = []
    for path in sorted((top / f'{frames}_left').glob('*/*.png')):
        inner = f'{path.parent.name}/{path.stem}'
        files = {
            'left': File(str(path), encoded),
            'right': File(f'{top}/{frames}_right/{inner}.png', encoded),
            'disparity': File(f'{top}/disparities/{inner}.png', disparity),
            'disparity_visible': File(f'{top}/occlusions/{inner}.png', black),
            'disparity_visible+': File(f'{top}/outofframe/{inner}.png', black),
        }
        rows.append(Row(inner, files))
    return rows


def _kitti(root: Path, split: str, *, kind: str, first: str, second: str, truth: str, visible: str) -> list[Row]:
    """KITTI: `first/*_10.png` is the first image of each pair; folders may have two names, with '|' between."""
    top = root / _KITTI[split]
    folders = [next((one for one in names.split('|') if (top / one).is_dir()), names) for names in (first, second)]
    rows = []
    for path in sorted((top / folders[0]).glob('*_10.png')):
        if kind == 'flow':
            other = str(path).replace('_10.png', '_11.png')
            files = {'image': File(str(path), encoded), 'next_image': File(other, encoded)}
        else:
            files = {'left': File(str(path), encoded), 'right': File(f'{top}/{folders[1]}/{path.name}', encoded)}
        if split == 'train':
            decode, known = (flow, known_flow) if kind == 'flow' else (disparity, known_disparity)
            files[kind] = File(f'{top}/{truth}/{path.name}', decode)
            files[f'{kind}_visible'] = File(f'{top}/{visible}/{path.name}', known)
        rows.append(Row(path.name, files))
    return rows


def _middlebury(root: Path, split: str) -> list[Row]:
    """Middlebury's scenes: a folder for each, with im0, im1 and disp0.pfm (2014) or disp0GT.pfm (version 3)."""
    folders = sorted(path.parent for path in _middlebury_folders(root)[split].glob('*/im0.png'))
    truth = next((name for name in ('disp0GT.pfm', 'disp0.pfm') if any((f / name).is_file() for f in folders)), '')
    optional = {'right_disparity': ('disp1.pfm', disparity), 'disparity_visible': ('mask0nocc.png', white)}
    kept = {
        feature: file for feature, file in optional.items() if all((folder / file[0]).is_file() for folder in folders)
    }
    images = {'left': ('im0.png', encoded), 'right': ('im1.png', encoded)}
    names = {**images, **({'disparity': (truth, disparity)} if truth else {}), **kept}
    return [
        Row(folder.name, {feature: File(str(folder / name), decode) for feature, (name, decode) in names.items()})
        for folder in folders
    ]


def _middlebury_folders(root: Path) -> dict[str, Path]:
    """Split -> folder: version 3 has trainingQ and testQ, or H or F; the set of 2014 has its scenes side by side."""
    sizes = [size for size in 'FHQ' if (root / f'training{size}').is_dir()]
    if len(sizes) > 1:
        raise ValueError(f'{root} has several sizes, training{" and training".join(sizes)}: keep those of one size')
    return {'train': root / f'training{sizes[0]}', 'test': root / f'test{sizes[0]}'} if sizes else {'train': root}


def _frames(paths: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Each frame and the one after it, in the same folder and with the next number."""

    def number(path: Path) -> int:
        return int(''.join(filter(str.isdigit, path.stem)) or -1)

    return [
        (one, two)
        for one, two in itertools.pairwise(paths)
        if one.parent == two.parent and number(two) == number(one) + 1
    ]


_SINTEL = {'train': 'training', 'test': 'test'}
_KITTI = {'train': 'training', 'test': 'testing'}


def _in(folders: Mapping[str, str]) -> dict[str, Callable[[Path], Path]]:
    return {split: functools.partial(lambda folder, root: root / folder, folder) for split, folder in folders.items()}


def _scene_flow(kind: str, frames: str) -> _Layout:
    rows = _scene_flow_flow if kind == 'optical_flow' else _scene_flow_stereo
    folders = {split: functools.partial(_under, folder=frames, split=split) for split in ('train', 'test')}
    return _Layout(f'{frames}/ and {kind}/', functools.partial(rows, frames=frames), folders)


_LAYOUTS = {
    'flying_chairs': _Layout(
        f'data/00001_img1.ppm, data/00001_flow.flo and {_CHAIRS[0]}', _chairs, _in({'train': '', 'test': ''})
    ),
    'scene_flow_stereo': _scene_flow('disparity', 'frames_cleanpass'),
    'scene_flow_stereo_final': _scene_flow('disparity', 'frames_finalpass'),
    'scene_flow_optical_flow': _scene_flow('optical_flow', 'frames_cleanpass'),
    'scene_flow_optical_flow_final': _scene_flow('optical_flow', 'frames_finalpass'),
    **{
        f'sintel_{frames}': _Layout(
            f'training/{frames}/ and training/flow/', functools.partial(_sintel_flow, frames=frames), _in(_SINTEL)
        )
        for frames in ('clean', 'final')
    },
    **{
        f'sintel_stereo_{frames}': _Layout(
            f'training/{frames}_left/ and training/disparities/',
            functools.partial(_sintel_stereo, frames=frames),
            _in({'train': 'training'}),
        )
        for frames in ('clean', 'final')
    },
    'kitti2012_flow': _Layout(
        'training/colored_0/ and training/flow_occ/',
        functools.partial(
            _kitti, kind='flow', first='colored_0|image_0', second='', truth='flow_occ', visible='flow_noc'
        ),
        _in(_KITTI),
    ),
    'kitti2012_stereo': _Layout(
        'training/colored_0/, training/colored_1/ and training/disp_occ/',
        functools.partial(
            _kitti,
            kind='disparity',
            first='colored_0|image_0',
            second='colored_1|image_1',
            truth='disp_occ',
            visible='disp_noc',
        ),
        _in(_KITTI),
    ),
    'kitti2015_flow': _Layout(
        'training/image_2/ and training/flow_occ/',
        functools.partial(_kitti, kind='flow', first='image_2', second='', truth='flow_occ', visible='flow_noc'),
        _in(_KITTI),
    ),
    'kitti2015_stereo': _Layout(
        'training/image_2/, training/image_3/ and training/disp_occ_0/',
        functools.partial(
            _kitti, kind='disparity', first='image_2', second='image_3', truth='disp_occ_0', visible='disp_noc_0'
        ),
        _in(_KITTI),
    ),
    'middlebury': _Layout(
        'trainingQ/<scene>/im0.png or <scene>/im0.png',
        _middlebury,
        {split: functools.partial(lambda split, root: _middlebury_folders(root).get(split, root / split), split)
         for split in ('train', 'test')},
    ),
}  # fmt: skip

LAYOUTS: Mapping[str, Callable[[str, str | os.PathLike | None], Source]] = {
    name: functools.partial(_open, name, layout) for name, layout in _LAYOUTS.items()
}
"""Name of a data set -> (split, data_dir) -> Source."""
