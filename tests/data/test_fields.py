"""Files of flow and disparity: round trips with values at the borders, byte orders, and files that are wrong."""

import struct

import cv2
import numpy as np
import pytest

from jaxcv.data.calibration import read_calibration
from jaxcv.data.field_encoders import encode_flo, encode_kitti_disparity, encode_pfm, encode_sintel_disparity
from jaxcv.data.fields import (
    decode_disparity,
    decode_flow,
    read_disparity,
    read_flow,
    write_disparity,
    write_flow,
)

EDGES = np.array([[[-512, 511.984375], [0, -0.015625], [1e-7, 3.3]]], np.float32)
KNOWN = np.array([[True, True, False]])


@pytest.mark.parametrize(('suffix', 'exact'), [('.flo', True), ('.pfm', True), ('.png', False)])
def test_flow_comes_back(tmp_path, suffix, exact):
    path = tmp_path / f'1{suffix}'
    write_flow(path, EDGES, KNOWN)
    field = read_flow(path)
    assert field.values.dtype == np.float32
    assert field.valid.tolist() == KNOWN.tolist()
    assert field.values[0, 2].tolist() == [0, 0]
    np.testing.assert_allclose(field.values[KNOWN], EDGES[KNOWN], atol=0 if exact else 1 / 128)
    write_flow(path, np.where([[[True], [False], [True]]], EDGES, np.nan))  # what is not finite is unknown
    assert read_flow(path).valid.tolist() == [[True, False, True]]


@pytest.mark.parametrize('suffix', ['.pfm', '.png'])
def test_disparity_comes_back(tmp_path, suffix):
    path = tmp_path / f'1{suffix}'
    values = np.array([[0, 1 / 256, 255.99609375], [7.125, np.inf, 100.5]], np.float32)
    write_disparity(path, values)
    field = read_disparity(path)
    assert field.valid.tolist() == np.isfinite(values).tolist()
    # KITTI's 0 is its mark of the unknown: a computed 0 becomes the smallest number.
    expected = np.where(values == 0, 1 / 256 if suffix == '.png' else 0, values)
    assert field.values[field.valid].tolist() == expected[np.isfinite(values)].tolist()


def test_the_bytes_are_those_of_the_formats():
    # Written by hand from the formats' descriptions.
    flo = b'PIEH' + struct.pack('<ii4f', 2, 1, 1.5, -2, 1e10, 0)
    assert decode_flow(flo).values.tolist() == [[[1.5, -2], [0, 0]]]
    assert decode_flow(flo).valid.tolist() == [[True, False]]
    assert encode_flo(np.array([[[1.5, -2], [np.nan, 0]]]))[:20] == flo[:20]
    rows = np.array([[[1.5, -2], [3, 4]]]) * 64 + 2**15
    kitti = np.concatenate([rows, [[[1], [0]]]], axis=-1).astype(np.uint16)  # red dx, green dy, blue valid
    field = decode_flow(cv2.imencode('.png', kitti[..., ::-1])[1].tobytes())
    assert field.values.tolist() == [[[1.5, -2], [0, 0]]]
    assert field.valid.tolist() == [[True, False]]
    # Sintel: 4 red + green / 64 + blue / 16384; in uint8 the sum would overflow.
    sintel = np.array([[[200, 255, 128], [0, 0, 1]]], np.uint8)
    found = decode_disparity(cv2.imencode('.png', sintel[..., ::-1])[1].tobytes()).values
    np.testing.assert_allclose(found, [[800 + 255 / 64 + 128 / 16384, 1 / 16384]], rtol=1e-7)
    assert (decode_disparity(encode_sintel_disparity(found)).values == found).all()


@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize('header', ['Pf\n3 2\n{}\n', 'Pf \n3 2 \n{} \n', 'Pf 3 2\r\n{}\r\n'])
def test_pfm_of_both_byte_orders_and_with_blanks_in_the_header(order, header):
    rows = np.arange(6, dtype=f'{order}f4').reshape(2, 3)
    text = header.format('-0.003922' if order == '<' else '1.000').encode()
    assert decode_disparity(text + rows.tobytes()).values.tolist() == [[3, 4, 5], [0, 1, 2]]  # from bottom to top
    again = encode_pfm(rows, little_endian=order == '<')
    assert decode_disparity(again).values.tolist() == rows.tolist()


def test_negative_disparities_of_a_whole_file_change_their_sign():
    assert decode_disparity(encode_pfm(np.array([[-3.5, -0.0, np.inf]]))).values.tolist() == [[3.5, 0, 0]]
    with pytest.raises(ValueError, match='1 of its 2 disparities are negative, others not'):
        decode_disparity(encode_pfm(np.array([[-3.5, 2]])))


PNG8 = cv2.imencode('.png', np.zeros((2, 3), np.uint8))[1].tobytes()
WRONG = {
    'empty': (b'', 'an empty file'),
    'a web page': (b'<!doctype html><html>', 'a web page'),
    'cut': (encode_flo(np.zeros((2, 3, 2)))[:-5], 'it is cut: a .flo of 3 x 2 pixels has 60 bytes, not 55'),
    'cut in the header': (b'PIEH\x01', 'it is cut: 5 bytes'),
    'too long': (encode_flo(np.zeros((2, 3, 2))) + b'\0', 'it is damaged'),
    'damaged header': (b'PIEH' + struct.pack('<ii', -1, 2), 'the header of the .flo is damaged: it says -1 x 2 pixels'),
    'huge header': (b'PF\n99999 99999\n-1.0\n', 'it says 99999 x 99999 pixels'),
    'no scale': (b'PF\n1 1\n0\n' + bytes(12), "the scale in the header of the PFM is '0'"),
    'cut pfm': (b'PF\n1 1', 'the header of the PFM is damaged or cut'),
    'disparity': (encode_pfm(np.zeros((2, 3))), 'it is a PFM of one channel, a disparity'),
    'gray png': (PNG8, "it is a PNG of 1 channel of 8 bits; KITTI's flow has three channels of 16 bits"),
    'cut png': (encode_kitti_disparity(np.zeros((2, 3)))[:60], 'the PNG is truncated or damaged'),
}


@pytest.mark.parametrize('case', WRONG)
def test_files_that_are_wrong_are_named(tmp_path, case):
    path = tmp_path / 'wrong.flo'
    path.write_bytes(WRONG[case][0])
    with pytest.raises(ValueError, match=r'wrong\.flo: ') as error:
        read_flow(path)
    assert WRONG[case][1] in str(error.value)
    assert '\n' not in str(error.value)
    if case not in ('disparity', 'cut png'):
        with pytest.raises(ValueError, match=r'wrong\.flo: '):
            read_disparity(path)


def test_values_that_a_format_cannot_hold_are_errors_and_the_old_file_stays(tmp_path):
    path = tmp_path / '1.png'
    write_flow(path, EDGES)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r'1\.png: 1 values are outside of the range\. KITTI.* write \.flo'):
        write_flow(path, np.array([[[512.0, 0]]]))
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match=r'0 to 256 pixels; write \.pfm'):
        write_disparity(path, np.array([[256.0]]))
    with pytest.raises(ValueError, match='1 values are outside'):
        write_disparity(path, np.array([[-1.0]]))
    with pytest.raises(ValueError, match=r"must be \.pfm or \.png, got '\.flo'"):
        write_disparity(tmp_path / '1.flo', np.zeros((1, 1)))
    with pytest.raises(ValueError, match='1 values are NaN or infinite where they are valid'):
        write_flow(path, np.full((1, 1, 2), np.nan), np.ones((1, 1), bool))
    with pytest.raises(ValueError, match=r'flow is \[h w 2\], got an array of shape \(2, 3\)'):
        write_flow(path, np.zeros((2, 3)))
    with pytest.raises(ValueError, match='mark unknown pixels'):
        encode_flo(np.full((1, 1, 2), 1e9))
    with pytest.raises(ValueError, match='finite, of 0 to 1024 pixels'):
        encode_sintel_disparity(np.array([[np.inf]]))


MIDDLEBURY = """cam0=[3979.911 0 1244.772; 0 3979.911 1019.507; 0 0 1]
cam1=[3979.911 0 1369.115; 0 3979.911 1019.507; 0 0 1]
doffs=124.343
baseline=193.001
width=2964
height=1988
ndisp=280
"""


def test_calibration_gives_depth(tmp_path):
    path = tmp_path / 'calib.txt'
    path.write_text(MIDDLEBURY)
    found = read_calibration(path)
    assert found == (3979.911, (1244.772, 1019.507), 193.001, 124.343, 280)
    # baseline f / (d + doffs), in the unit of the baseline; infinite in the distance and behind it
    depth = found.depth(np.array([100.0, -124.343, -200]))
    np.testing.assert_allclose(depth, [193.001 * 3979.911 / 224.343, np.inf, np.inf], rtol=1e-6)
    for text, message in (
        ('<html>', "calib.txt has no line 'cam0=...'"),
        (MIDDLEBURY.replace('193.001', 'far'), "calib.txt: baseline is 'far', not numbers"),
        (MIDDLEBURY.replace('; 0 0 1]', ']', 1), 'not 3 x 3 numbers'),
        (MIDDLEBURY.replace('193.001', '0'), 'must be above 0'),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=r'calib\.txt') as error:
            read_calibration(path)
        assert message in str(error.value)
