"""Folders of pairs: the public layouts and the user's own, and the errors where files are not as they should be."""

import cv2
import numpy as np
import pytest

from jaxcv.data import source, train_batches, transforms
from jaxcv.data.field_encoders import (
    encode_disparity_pfm,
    encode_flo,
    encode_flow_pfm,
    encode_kitti_disparity,
    encode_kitti_flow,
    encode_sintel_disparity,
)
from jaxcv.data.pair_layouts import LAYOUTS
from jaxcv.data.reading import BrokenExampleError, reader

H, W = 4, 6
KNOWN = np.arange(H * W).reshape(H, W) % 3 > 0
SEEN = np.arange(H * W).reshape(H, W) % 2 > 0


def picture(value, suffix='.png'):
    return cv2.imencode(suffix, np.full((H, W, 3), value, np.uint8))[1].tobytes()


def gray(values):
    return cv2.imencode('.png', np.asarray(values, np.uint8))[1].tobytes()


def flow(value):
    return np.full((H, W, 2), (value, -value), np.float32)


def disparity(value):
    return np.full((H, W), value, np.float32)


def stereo(frames):
    """Two scenes of Scene Flow's layout."""
    files = {}
    for i, name in enumerate(('A/0000', 'B/0001')):
        for view, value in (('left', 10), ('right', 20)):
            files[f'{frames}/TRAIN/{name}/{view}/0006.png'] = picture(value + i)
            files[f'disparity/TRAIN/{name}/{view}/0006.pfm'] = encode_disparity_pfm(disparity(value + i))
    return files


def future(frames):
    files = {}
    for i in range(3):
        files[f'{frames}/TRAIN/A/0000/left/{i + 6:04}.png'] = picture(10 * i + 10)
        field = encode_flow_pfm(flow(10 * i + 10))
        files[f'optical_flow/TRAIN/A/0000/into_future/left/OpticalFlowIntoFuture_{i + 6:04}_L.pfm'] = field
    return files


def chairs():
    files = {'FlyingChairs_train_val.txt': b'1\n2\n1\n'}
    for i in range(3):
        files[f'data/{i + 1:05}_img1.ppm'] = picture(10 + i, '.ppm')
        files[f'data/{i + 1:05}_img2.ppm'] = picture(20 + i, '.ppm')
        files[f'data/{i + 1:05}_flow.flo'] = encode_flo(flow(10 + i))
    return files


def sintel(frames):
    files = {}
    for i in range(3):
        inner = f'alley_1/frame_{i + 1:04}'
        files[f'training/{frames}/{inner}.png'] = picture(10 + 10 * i)
        files[f'test/{frames}/{inner}.png'] = picture(10 + 10 * i)
        files[f'training/invalid/{inner}.png'] = gray(255 * ~KNOWN)
        if i < 2:
            files[f'training/flow/{inner}.flo'] = encode_flo(flow(10 + 10 * i))
            files[f'training/occlusions/{inner}.png'] = gray(255 * ~SEEN)
    return files


def sintel_stereo(frames):
    files = {}
    for i in range(2):
        inner = f'alley_1/frame_{i + 1:04}.png'
        files[f'training/{frames}_left/{inner}'] = picture(10 + i)
        files[f'training/{frames}_right/{inner}'] = picture(20 + i)
        files[f'training/disparities/{inner}'] = encode_sintel_disparity(disparity(10 + i))
        files[f'training/occlusions/{inner}'] = gray(255 * ~SEEN)
        files[f'training/outofframe/{inner}'] = gray(255 * ~KNOWN)
    return files


def kitti(first, second, truth, visible, of, split='training'):
    files = {}
    for i in range(2):
        one = f'{i:06}_10.png'
        files[f'{split}/{first}/{one}'] = picture(10 + i)
        files[f'{split}/{first}/{i:06}_11.png'] = picture(20 + i)
        files[f'{split}/{second}/{one}'] = picture(20 + i)
        encode, values = (encode_kitti_flow, flow) if of == 'flow' else (encode_kitti_disparity, disparity)
        files[f'{split}/{truth}/{one}'] = encode(values(10 + i), KNOWN)
        files[f'{split}/{visible}/{one}'] = encode(values(10 + i), KNOWN & SEEN)
    return files


def middlebury(folder, truth):
    files = {}
    for i, name in enumerate(('Adirondack', 'Jadeplant')):
        files[f'{folder}{name}/im0.png'] = picture(10 + i)
        files[f'{folder}{name}/im1.png'] = picture(20 + i)
        files[f'{folder}{name}/{truth}'] = encode_disparity_pfm(disparity(10 + i), KNOWN)
        files[f'{folder}{name}/mask0nocc.png'] = gray(np.where(SEEN, 255, 128))
        files[f'{folder}{name}/calib.txt'] = b'cam0=[1 0 0; 0 1 0; 0 0 1]\nbaseline=1\n'
    return files


OWN = {
    **{f'train/left/{i}.png': picture(10 + i) for i in range(2)},
    **{f'train/right/{i}.ppm': picture(20 + i, '.ppm') for i in range(2)},
    **{f'train/disparity/{i}.png': encode_kitti_disparity(disparity(10 + i), KNOWN) for i in range(2)},
    'train/left/.DS_Store': b'',
}
# Name of the data set -> its files, and the features beside the images.
CASES = {
    'flying_chairs': (chairs(), {'flow', 'flow_valid'}),
    **{
        f'scene_flow_stereo{end}': (
            stereo(f'frames_{kind}pass'),
            {'disparity', 'disparity_valid', 'right_disparity', 'right_disparity_valid'},
        )
        for kind, end in (('clean', ''), ('final', '_final'))
    },
    **{
        f'scene_flow_optical_flow{end}': (future(f'frames_{kind}pass'), {'flow', 'flow_valid'})
        for kind, end in (('clean', ''), ('final', '_final'))
    },
    **{f'sintel_{f}': (sintel(f), {'flow', 'flow_valid', 'flow_visible'}) for f in ('clean', 'final')},
    **{
        f'sintel_stereo_{f}': (sintel_stereo(f), {'disparity', 'disparity_valid', 'disparity_visible'})
        for f in ('clean', 'final')
    },
    'kitti2012_flow': (
        kitti('colored_0', 'colored_1', 'flow_occ', 'flow_noc', 'flow'),
        {'flow', 'flow_valid', 'flow_visible'},
    ),
    'kitti2012_stereo': (
        kitti('image_0', 'image_1', 'disp_occ', 'disp_noc', 'disparity'),
        {'disparity', 'disparity_valid', 'disparity_visible'},
    ),
    'kitti2015_flow': (
        kitti('image_2', 'image_3', 'flow_occ', 'flow_noc', 'flow'),
        {'flow', 'flow_valid', 'flow_visible'},
    ),
    'kitti2015_stereo': (
        kitti('image_2', 'image_3', 'disp_occ_0', 'disp_noc_0', 'disparity'),
        {'disparity', 'disparity_valid', 'disparity_visible'},
    ),
    'middlebury': (middlebury('trainingQ/', 'disp0GT.pfm'), {'disparity', 'disparity_valid', 'disparity_visible'}),
    'folder_pairs': (OWN, {'disparity', 'disparity_valid'}),
}


def write(root, files):
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


def test_every_layout_has_a_case():
    assert CASES.keys() == LAYOUTS.keys() | {'folder_pairs'}


@pytest.mark.parametrize('name', CASES)
def test_layouts(tmp_path, name):
    """The images and the truth of a pair belong together: their values are made from one number."""
    files, truths = CASES[name]
    write(tmp_path, files)
    data = source(name, split='train', data_dir=tmp_path)
    assert data.size == 2
    images = ('image', 'next_image') if 'flow' in truths else ('left', 'right')
    read = reader(data, [transforms.decode()])
    for i in range(2):
        example = read(i, 0)
        assert example.keys() == {*images, *truths, 'valid', 'index'}
        first, second = (int(example[image][0, 0, 0]) for image in images)
        assert second - first == 10
        values, valid = (example[('flow' if 'flow' in truths else 'disparity') + end] for end in ('', '_valid'))
        found = values[..., 0] if 'flow' in truths else values
        assert (found[valid] == first).all()
        if 'right_disparity' in truths:
            assert (example['right_disparity'] == second).all()
        if name.startswith(('kitti', 'middlebury', 'sintel_clean', 'folder')):
            assert (valid == KNOWN).all()
        visible = next((example[one] for one in truths if one.endswith('visible')), None)
        expected = SEEN if name in ('middlebury', 'sintel_clean', 'sintel_final') else SEEN & KNOWN
        assert visible is None or (visible == expected).all()


def test_splits_and_their_parts(tmp_path):
    write(tmp_path, chairs())
    assert source('flying_chairs', split='test', data_dir=tmp_path).where(0).endswith('data/00002_img1.ppm')
    first, rest = (source('flying_chairs', split=f'train[{part}]', data_dir=tmp_path) for part in (':50%', '50%:'))
    assert first.where(0) != rest.where(0)
    with pytest.raises(FileNotFoundError, match="has no split 'val'; there are: train, test"):
        source('flying_chairs', split='val', data_dir=tmp_path)
    (tmp_path / 'FlyingChairs_train_val.txt').write_text('1\n2\n')
    with pytest.raises(ValueError, match=r'has 2 lines .* 3 pairs'):
        source('flying_chairs', split='train', data_dir=tmp_path)


def test_test_splits_without_truth_are_opened_and_not_mixed_with_those_that_have_it(tmp_path):
    write(tmp_path, sintel('clean'))
    data = source('sintel_clean', split='test', data_dir=tmp_path)
    assert data.read(0).keys() == {'image', 'next_image'}
    with pytest.raises(ValueError, match='pairs with and without flow, flow_valid, flow_visible'):
        source('sintel_clean', split='train+test', data_dir=tmp_path)


def test_scenes_side_by_side_are_all_to_train(tmp_path):
    write(tmp_path / '2014', middlebury('', 'disp0.pfm'))
    assert source('middlebury', split='train', data_dir=tmp_path / '2014').size == 2
    with pytest.raises(FileNotFoundError, match="no split 'test'"):
        source('middlebury', split='test', data_dir=tmp_path / '2014')
    driving = {name.replace('TRAIN/', ''): data for name, data in stereo('frames_cleanpass').items()}
    write(tmp_path / 'driving', driving)
    assert source('scene_flow_stereo', split='train', data_dir=tmp_path / 'driving').size == 2


def test_missing_and_damaged_files_are_named(tmp_path):
    files = kitti('image_2', 'image_3', 'disp_occ_0', 'disp_noc_0', 'disparity')
    write(tmp_path, files)
    truth = tmp_path / 'training/disp_occ_0/000001_10.png'
    truth.write_bytes(picture(0)[:50])
    data = source('kitti2015_stereo', split='train', data_dir=tmp_path)
    with pytest.raises(BrokenExampleError, match=r'disp_occ_0/000001_10\.png: .*truncated or damaged'):
        reader(data, [transforms.decode()])(1, 0)
    truth.write_bytes(encode_kitti_flow(flow(1)))
    with pytest.raises(BrokenExampleError, match=r'disp_occ_0/000001_10\.png: .*a PNG of 3 channels of 16 bits'):
        reader(data, [transforms.decode()])(1, 0)
    truth.write_bytes(encode_kitti_disparity(np.ones((2, 2))))
    (tmp_path / 'training/disp_noc_0/000001_10.png').write_bytes(encode_kitti_disparity(np.ones((2, 2))))
    with pytest.raises(ValueError, match=r'disp_occ_0/000001_10\.png: the left has \(4, 6\) pixels, its disparity'):
        reader(data, [transforms.decode()])(1, 0)
    truth.unlink()
    with pytest.raises(FileNotFoundError, match=r'1 files of 8 are missing in .*disp_occ_0/000001_10\.png'):
        source('kitti2015_stereo', split='train', data_dir=tmp_path)


def test_own_folders_that_are_wrong(tmp_path):
    write(tmp_path, OWN)
    (tmp_path / 'train/right/0.ppm').unlink()
    with pytest.raises(ValueError, match='1 files of pairs are missing: right/0'):
        source('folder_pairs', split='train', data_dir=tmp_path)
    (tmp_path / 'train/rigth').mkdir()
    with pytest.raises(ValueError, match='rigth is of no feature; folders are named image, next_image, left, right'):
        source('folder_pairs', split='train', data_dir=tmp_path)
    write(tmp_path, {'val/image/1.png': picture(1)})
    with pytest.raises(FileNotFoundError, match='needs the folders left and right, or image and next_image'):
        source('folder_pairs', split='val', data_dir=tmp_path)
    with pytest.raises(ValueError, match="the data set 'kitti2015_stereo' needs data_dir"):
        source('kitti2015_stereo', split='train')


def test_pairs_of_several_sizes_make_a_batch_by_padding(tmp_path):
    write(tmp_path, OWN)
    write(
        tmp_path,
        {
            'train/left/9.png': gray(np.zeros((3, 5))),
            'train/right/9.png': gray(np.zeros((3, 5))),
            'train/disparity/9.png': encode_kitti_disparity(np.ones((3, 5))),
        },
    )
    data = source('folder_pairs', split='train', data_dir=tmp_path)
    steps = [transforms.decode(), transforms.pad_to(size=(8, 8))]
    batch = next(iter(train_batches(data, batch_size=3, transforms=steps, seed=0)))
    assert batch['disparity'].shape == (3, 8, 8)
    counts = {int(i): int(valid.sum()) for i, valid in zip(batch['index'], batch['disparity_valid'], strict=True)}
    assert counts == {0: KNOWN.sum(), 1: KNOWN.sum(), 2: 15}
