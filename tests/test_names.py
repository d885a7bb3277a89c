"""Suggestions for unknown names."""

from jaxcv.names import close, nearest


def test_a_dotted_name_is_found_by_its_last_part():
    names = ['resnet18', 'segmentation.fcn8s', 'my_project.models.tiny']
    assert nearest('tyny', names) == 'did you mean my_project.models.tiny?'
    assert close('fcn8', names) == ['segmentation.fcn8s']
    assert close('resnet81', names) == ['resnet18']


def test_all_are_listed_where_none_is_close():
    assert nearest('zzz', ['b', 'a']) == 'there are: a, b'
    assert close('zzz', ['b', 'a']) == []
