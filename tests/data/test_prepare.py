"""Preparing data sets, and converting those that are stored in another format."""

import json
import shutil

import pytest

from jaxcv.data import source
from jaxcv.data.prepare import main


def as_tfrecord(path, folder):
    """Turns prepared array_record files to TFRecord by hand: length, checksum (tfds reads it, we do not), data."""
    from array_record.python.array_record_data_source import ArrayRecordDataSource

    for file in list(folder.glob('*.array_record*')):
        with ArrayRecordDataSource(str(file)) as records:
            data = [records[i] for i in range(len(records))]
        target = file.with_name(file.name.replace('array_record', 'tfrecord'))
        target.write_bytes(b''.join(len(r).to_bytes(8, 'little') + bytes(4) + r + bytes(4) for r in data))
        file.unlink()
    info = folder / 'dataset_info.json'
    info.write_text(json.dumps({**json.loads(info.read_text()), 'fileFormat': 'tfrecord'}))


def test_tfrecord_files_are_converted(prepared, tmp_path, capsys):
    shutil.copytree(prepared / 'digits', tmp_path / 'digits')
    folder = tmp_path / 'digits/1.0.0'
    as_tfrecord(tmp_path, folder)
    with pytest.raises(ValueError, match='stored as tfrecord') as error:
        source('digits', split='train', data_dir=tmp_path)
    assert f'python -m jaxcv.data.prepare digits --data_dir={tmp_path}' in str(error.value)

    whole = (folder / 'digits-test.tfrecord-00000-of-00001').read_bytes()
    (folder / 'digits-test.tfrecord-00000-of-00001').write_bytes(whole[:-7])
    assert main(['digits', f'--data_dir={tmp_path}']) == 1
    assert 'is truncated' in capsys.readouterr().err
    assert not list(folder.glob('*.array_record-00000-of-00001'))

    (folder / 'digits-test.tfrecord-00000-of-00001').write_bytes(whole)
    for _ in range(2):  # the second time, there is nothing to do
        assert main(['digits', f'--data_dir={tmp_path}']) == 0
        assert capsys.readouterr().out.startswith('train: 1,200 examples')
    for split in ('train', 'test'):
        old, new = (source('digits', split=split, data_dir=d) for d in (prepared, tmp_path))
        assert old.size == new.size
        assert all(old.read(i) == new.read(i) for i in range(old.size))


def test_prepare_tells_what_is_missing(tmp_path, capsys):
    assert main(['cifra10']) == 1
    assert 'nearest names are cifar10' in capsys.readouterr().err
    assert main(['imagenet2012', f'--data_dir={tmp_path}']) == 1  # it must be downloaded by hand
    assert 'ILSVRC2012_img_train.tar' in capsys.readouterr().err
