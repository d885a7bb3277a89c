"""The user's pictures, by all the ways in which people write them."""

from pathlib import Path

import pytest

from experiments.run.pictures import picture_files, picture_names
from jaxcv.config import ConfigError


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A home folder with photos, the current one."""
    for name in ('a[1]/x.jpg', 'a[1]/y.png', 'b/c/x.JPG', 'b/z.webp', 'b/.DS_Store', 'b/notes.txt', 'empty/._x.jpg'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ('words', 'names'),
    [
        (['b'], ['c/x.JPG', 'z.webp']),
        (['~/b'], ['c/x.JPG', 'z.webp']),
        (['~/b/*.webp'], ['z.webp']),
        (['b/**/*.JPG'], ['c/x.JPG']),
        (['b/*/'], ['c/x.JPG']),
        (['b/z.webp', 'b/c', 'b'], ['z.webp', 'c/x.JPG']),
        (['b/z.webp,b/c/x.JPG'], ['z.webp', 'c/x.JPG']),
        ([' b/z.webp '], ['z.webp']),
    ],
)
def test_folders_patterns_and_lists_of_words_mean_their_images(photos, words, names):
    found = [Path(path).resolve().relative_to(photos / 'b').as_posix() for path in picture_files(words)]
    assert found == names


def test_brackets_are_letters_of_a_name_before_they_are_a_pattern(photos):
    for word in ('a[1]', 'a[1]/*', '~/a[1]/[xy].*'):
        assert [path.name for path in picture_files([word])][:1] == ['x.jpg']
    assert [path.name for path in picture_files(['a[1]/x.jpg'])] == ['x.jpg']


def test_a_text_file_is_a_list_of_files(photos):
    listed = photos / 'b' / 'list.txt'
    listed.write_text('\ufeff# mine\nz.webp\n\n~/a[1]/x.jpg\n', encoding='utf-8')
    assert [path.name for path in picture_files([str(listed)])] == ['z.webp', 'x.jpg']
    listed.write_text('z.webp\nmissing.jpg\n')
    with pytest.raises(ConfigError, match=r"1 of its 2 lines are no files, such as 'missing\.jpg'"):
        picture_files([str(listed)])


def test_words_that_mean_no_file_are_told_together(photos):
    with pytest.raises(ConfigError) as error:
        picture_files(['b', 'nowhere/*.jpg', 'b/*.tif', 'b/one.jpg', 'empty'])
    for line in (
        '--images=nowhere/*.jpg: there is no folder nowhere',
        '--images=b/*.tif: no file matches (a pattern is quoted, so that the shell leaves it)',
        '--images=b/one.jpg: no such file',
        '--images=empty: the folder has no images (0 of 1 files; left out: 1 hidden (._x.jpg))',
    ):
        assert line in str(error.value)


def test_files_that_are_left_out_of_a_folder_are_counted(photos, capsys):
    picture_files(['b'])
    assert '2 of 4 files; left out: 1 hidden (.DS_Store), 1 not an image (notes.txt)' in capsys.readouterr().out


def test_names_of_results_differ_where_files_do():
    files = [Path('p/cat/1.jpg'), Path('p/dog/1.png'), Path('p/dog/2.png'), Path('p/dog/CAT.png')]
    assert picture_names(files) == ['cat_1', 'dog_1', '2', 'CAT']
    assert picture_names(files[:1]) == ['1']
