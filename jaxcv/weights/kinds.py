"""The kinds of files that are given where weights are wanted, told apart by their first bytes, not by their suffix."""

import re
import zipfile
from pathlib import Path

HEAD = 512
"""Bytes that are compared: as many as the header of a tar archive has."""

UNPACK = 'unpack it and give the file of weights in it'
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (
        b'version https://git-lfs',
        'a pointer of Git LFS, not the file that it stands for: fetch that with `git lfs pull`',
    ),
    (b'\x89HDF', 'an HDF5 file, such as Keras writes'),
    (b'\x93NUMPY', 'one NumPy array (.npy), without names'),
    (b'GGUF', 'a GGUF file'),
    (b'TFL3', 'a TensorFlow Lite model'),
    (b'\x1f\x8b', f'compressed with gzip: {UNPACK}'),
    (b'BZh', f'compressed with bzip2: {UNPACK}'),
    (b'\xfd7zXZ', f'compressed with xz: {UNPACK}'),
    (b'7z\xbc\xaf', f'a 7-Zip archive: {UNPACK}'),
    (b'Rar!', f'a RAR archive: {UNPACK}'),
    (b'\x28\xb5\x2f\xfd', f'compressed with zstd: {UNPACK}'),
    (b'%PDF', 'a PDF document'),
    (b'\x89PNG', 'a PNG image'),
    (b'\xff\xd8\xff', 'a JPEG image'),
)
_SUFFIXES = {
    '.onnx': 'an ONNX model',
    '.tflite': 'a TensorFlow Lite model',
    '.pb': 'a TensorFlow graph',
    '.msgpack': "a MessagePack file, such as Flax's",
    '.mlmodel': 'a Core ML model',
    '.caffemodel': 'a Caffe model',
    '.stablehlo': 'an exported network, whose weights are constants of its program',
    '.mat': 'a MATLAB file',
}


def another_kind(path: Path) -> str | None:
    """Say what a file is that holds no weights as safetensors or torch.save write them.

    Args:
        path: of the file.

    Returns:
        Its kind, with a remedy where there is one; None if it may be a file of weights, whole or damaged.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / 'resnet50.pth'
        >>> _ = path.write_text('<!DOCTYPE html><html><title>Sign in</title>')
        >>> another_kind(path)
        'a web page: the address is that of a page about the file, or needs a login'
    """
    with path.open('rb') as file:
        head = file.read(HEAD)
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if head[257:262] == b'ustar':
        return f'a tar archive: {UNPACK}'
    if head[:4] == b'PK\x03\x04':
        return _of_zip(path)
    if path.suffix.lower() in _SUFFIXES:
        return _SUFFIXES[path.suffix.lower()]
    return _of_text(head)


def _of_zip(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return None  # damaged; its reader says so
    if names and all(name.endswith('.npy') for name in names):
        return 'a NumPy archive (.npz)'
    if 'model.weights.h5' in names:
        return 'a Keras model (.keras)'
    if weights := [name for name in names if name.endswith(('.pth', '.pt', '.bin', '.safetensors'))]:
        return f'a zip archive of {", ".join(weights[:3])}: {UNPACK}'
    return None


def _of_text(head: bytes) -> str | None:
    if re.match(rb'\((dp|lp|i)|c[\w.]+\n|L\d+L\n', head):  # a pickle of protocol 0
        return None
    try:
        text = head.decode('ascii').strip()
    except UnicodeDecodeError:
        return None
    if not text or not text.replace('\n', ' ').replace('\t', ' ').replace('\r', ' ').isprintable():
        return None
    if text.lower().startswith(('<!doctype', '<html', '<?xml', '<head', '<error')):
        return 'a web page: the address is that of a page about the file, or needs a login'
    return f'text: {text.splitlines()[0][:60]!r}'
