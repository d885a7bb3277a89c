"""Images of a folder: by content, in depth, without hidden files."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from jaxcv.data.listing import images, is_hidden, left_out, subfolders


def encoded(kind):
    with io.BytesIO() as file:
        Image.fromarray(np.zeros((2, 2), np.uint8)).save(file, kind)
        return file.getvalue()


def test_a_folder_is_walked_and_files_are_found_by_content(tmp_path):
    """What torchvision's ImageFolder finds, and images without a suffix of one; junk is counted."""
    files = {
        'a.jpg': b'', 'b.JPG': b'', 'c.jfif': b'', 'd.jpe': b'', 'deep/er/e.png': b'', 'f': encoded('JPEG'),
        'g.dat': encoded('PNG'), 'h.tiff.part': encoded('TIFF'), 'i.txt': encoded('BMP'), 'j.pgm_': encoded('PPM'),
        '.DS_Store': b'Bud1', '._a.jpg': b'\0\5\x16\7', 'Thumbs.db': b'', '.cache/k.jpg': b'', '__MACOSX/l.jpg': b'',
        'deep/.ipynb_checkpoints/m.jpg': b'', 'notes.txt': b'text', 'n.json': b'{}', 'o.zip': b'PK\3\4', 'empty': b'',
        'p.heic': b'\0\0\0\x18ftypheic', 'q.CR2': encoded('TIFF'), 'r.svg': b'<svg/>',
    }  # fmt: skip
    for name, data in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    found = images(tmp_path)
    names = 'a.jpg b.JPG c.jfif d.jpe deep/er/e.png f g.dat h.tiff.part i.txt j.pgm_'
    assert ' '.join(found.paths) == names
    assert found.left_out == {
        'hidden': ['.DS_Store', '._a.jpg', '.cache', '.ipynb_checkpoints', 'Thumbs.db', '__MACOSX'],
        'not an image': ['empty', 'n.json', 'notes.txt', 'o.zip', 'r.svg'],
        'of a format that is not decoded': ['p.heic', 'q.CR2'],
    }
    assert left_out(10, [found.left_out]) == (
        '10 of 23 files; left out: 6 hidden (.DS_Store, ._a.jpg, .cache, ...), 5 not an image (empty, n.json, '
        'notes.txt, ...), 2 of a format that is not decoded (p.heic, q.CR2)'
    )
    assert not any(is_hidden(name) for name in ('a.jpg', 'cat', 'Thumbs', 'macosx'))


def test_links_are_followed_and_no_folder_is_read_twice(tmp_path):
    inside, outside = tmp_path / 'cat', tmp_path / 'elsewhere'
    for folder in (inside, outside):
        folder.mkdir()
        (folder / f'{folder.name}.jpg').touch()
    (inside / 'more').symlink_to(outside)
    (inside / 'again').symlink_to(outside)
    (outside / 'loop').symlink_to(inside)
    (inside / 'link.png').symlink_to(inside / 'cat.jpg')
    (inside / 'broken.jpg').symlink_to(tmp_path / 'gone')  # its reading is an error that names it
    (inside / 'broken').symlink_to(tmp_path / 'gone')
    found = images(inside)
    assert list(found.paths) == ['again/elsewhere.jpg', 'broken.jpg', 'cat.jpg', 'link.png']
    assert found.left_out == {'not a file': ['broken']}


def test_names_are_in_one_form_of_unicode(tmp_path):
    composed, apart = 'caf\u00e9', 'cafe\u0301'
    (tmp_path / apart).mkdir()
    (tmp_path / apart / f'{apart}.jpg').touch()
    assert list(subfolders(tmp_path)) == [composed]
    assert images(tmp_path).paths == {f'{composed}/{composed}.jpg': os.path.join(tmp_path, apart, f'{apart}.jpg')}
    (tmp_path / composed).mkdir()
    (tmp_path / composed / f'{composed}.jpg').touch()
    with pytest.raises(ValueError, match=r'one name in two forms of Unicode.*'):
        subfolders(tmp_path)
    with pytest.raises(ValueError, match=r'caf\\xe9.* in two forms of Unicode'):
        images(tmp_path)
