"""Format of a file by its first bytes, never by its name: a suffix may be missing or wrong."""

import re

__all__ = ['HEAD', 'description', 'image_format']

HEAD = 512
"""Bytes of a file that are enough for `image_format` and `description`."""

_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)

# (place, bytes, format): pictures that are not decoded, and other files that end up among pictures.
_OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (0, b'\x00\x05\x16\x07', "a macOS resource file ('._...'), which holds no pixels"),
    (0, b'\x76\x2f\x31\x01', 'an OpenEXR picture of floating-point values'),
    (0, b'#?', 'an HDR picture of floating-point values'),
    (0, b'PF', 'a PFM picture of floating-point values'),
    (0, b'Pf', 'a PFM picture of floating-point values'),
    (0, b'8BPS', 'a Photoshop document'),
    (0, b'\xff\x0a', 'a JPEG XL picture'),
    (0, b'\x00\x00\x00\x0cJXL ', 'a JPEG XL picture'),
    (0, b'\x00\x00\x01\x00', 'an icon (ICO)'),
    (0, b'gimp xcf', 'a GIMP document'),
    (128, b'DICM', 'a DICOM file'),
    (0, b'%PDF', 'a PDF document'),
    (0, b'PK\x03\x04', 'a ZIP archive'),
    (0, b'\x1f\x8b', 'a gzip archive'),
    (0, b'Rar!', 'a RAR archive'),
    (0, b'7z\xbc\xaf', 'a 7-Zip archive'),
    (257, b'ustar', 'a tar archive'),
    (0, b'\x89HDF', 'an HDF5 file'),
    (0, b'\x93NUMPY', 'a NumPy array'),
    (0, b'SQLite', 'a database'),
    (0, b'\x1aE\xdf\xa3', 'a video (Matroska)'),
    (8, b'AVI ', 'a video (AVI)'),
)
_BRANDS = (
    (b'hei', 'a HEIC picture'),
    (b'hev', 'a HEIC picture'),
    (b'mif', 'a HEIC picture'),
    (b'msf', 'a HEIC picture'),
    (b'crx', 'a camera raw picture'),
    (b'', 'a video (MP4)'),
)  # of files whose bytes 4 to 8 are 'ftyp'


def image_format(data: bytes) -> str:
    r"""Name the format of an encoded image that can be decoded.

    Args:
        data: The file, or its first `HEAD` bytes.

    Returns:
        'JPEG', 'PNG', 'GIF', 'BMP', 'WEBP', 'TIFF', 'PPM' (all of PNM), 'AVIF' or 'JPEG2000', Pillow's names; '' of
        any other file.

    Example:
        >>> image_format(b'\x89PNG\r\n\x1a\n...'), image_format(b'<html>')
        ('PNG', '')
    """
    if data[:2] == b'\xff\xd8':
        return 'JPEG'
    if data[:8] == b'\x89PNG\r\n\x1a\n':
        return 'PNG'
    if data[:4] == b'RIFF' and data[8:12] == b'WEBP':
        return 'WEBP'
    if data[:6] in (b'GIF87a', b'GIF89a'):
        return 'GIF'
    if data[:4] in (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+'):
        return 'TIFF'
    if data[:2] == b'BM' and int.from_bytes(data[14:18], 'little') in _BMP_HEADERS:
        return 'BMP'
    if data[:1] == b'P' and data[1:2] in b'123456' and data[2:3].isspace():
        return 'PPM'
    if data[4:8] == b'ftyp' and (data[8:12] in (b'avif', b'avis') or b'avif' in data[16:32]):
        return 'AVIF'
    if data[:12] == b'\x00\x00\x00\x0cjP  \r\n\x87\n' or data[:4] == b'\xff\x4f\xff\x51':
        return 'JPEG2000'
    return ''


def description(data: bytes) -> str:
    r"""Describe a file that is no image that can be decoded, with the remedy where there is one.

    Args:
        data: The file, or its first `HEAD` bytes.

    Returns:
        A noun phrase: 'a web page (HTML): a download that failed or needs a login'.

    Example:
        >>> description(b'')
        'an empty file (0 bytes): a truncated copy or download'
        >>> description(b'version https://git-lfs.github.com/spec/v1\noid sha256:0')
        "a Git LFS pointer, not the file itself: run 'git lfs pull'"
    """
    if not data:
        return 'an empty file (0 bytes): a truncated copy or download'
    if not any(data[:HEAD]):
        return 'a file of zeros, whose content was lost or truncated'
    for place, start, kind in _OTHERS:
        if data[place : place + len(start)] == start:
            return kind
    if data[4:8] == b'ftyp':
        return next(kind for brand, kind in _BRANDS if data[8:12].startswith(brand))
    return _text(data[:HEAD]) or f'no image that can be decoded, or a truncated one (it begins with {data[:8]!r})'


def _text(head: bytes) -> str:
    """The kind of a text file; '' of anything else."""
    try:
        text = re.sub('[\ufffd]+$', '', head.decode('utf-8-sig', 'strict' if len(head) < HEAD else 'replace')).strip()
    except UnicodeDecodeError:
        return ''
    if not text or not all(c.isprintable() or c.isspace() for c in text):
        return ''
    lower = text.lower()
    if text.startswith('version https://git-lfs'):
        return "a Git LFS pointer, not the file itself: run 'git lfs pull'"
    if '/annex/objects/' in text:
        return "a git-annex pointer, not the file itself: run 'git annex get'"
    if lower.startswith(('<!doctype html', '<html', '<head', '<body', '<script')):
        return 'a web page (HTML): a download that failed or needs a login'
    if lower.startswith('<svg') or '<svg' in lower:
        return 'a drawing (SVG), which has no pixels'
    if lower.startswith('<?xml') or text.startswith('<'):
        return 'an XML file'
    return f'text, not an image: {text[:40]!r}'
