"""Config files, and the fields in which two configs differ."""

import pytest
from ml_collections import ConfigDict

from jaxcv import config


def test_a_saved_config_is_data_and_comes_back(tmp_path):
    settings = ConfigDict(
        {'seed': 0, 'model': {'name': 'resnet18'}, 'augment': [{'name': 'random_flip'}], 'none': None}
    )
    config.save(settings, tmp_path / 'config.json')
    assert config.differences(config.load(tmp_path / 'config.json'), settings) == []
    with pytest.raises(config.ConfigError, match='does not exist'):
        config.load(tmp_path / 'other.json')
    (tmp_path / 'broken.json').write_text('{"seed": ')
    with pytest.raises(config.ConfigError, match='is no JSON'):
        config.load(tmp_path / 'broken.json')


def test_differences_name_the_fields():
    old = {'a': 1, 'transforms': [{'name': 'x', 'size': 2}]}
    new = {'a': 1, 'transforms': [{'name': 'x', 'size': 3}], 'b': None}
    assert config.differences(old, new) == ["b: '(not there)' -> None", 'transforms[0].size: 2 -> 3']
