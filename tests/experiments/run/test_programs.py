"""Where the launchers keep compiled programs."""

import jax
import pytest

from experiments.run import programs


@pytest.fixture
def unset():
    """JAX without a folder of programs, as it is in a launcher."""
    names = 'jax_compilation_cache_dir', 'jax_persistent_cache_min_compile_time_secs'
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update(names[0], None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_they_are_kept_with_the_weights(unset, tmp_path, monkeypatch):
    monkeypatch.setenv('JAXCV_CACHE', str(tmp_path))
    assert programs.described() == ''
    programs.keep()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / 'programs')
    assert programs.described() == f'; programs are kept in {tmp_path}/programs'
    monkeypatch.setenv('HOME', str(tmp_path))
    assert programs.described() == '; programs are kept in ~/programs'


def test_a_folder_that_jax_was_given_stays(unset, tmp_path, monkeypatch):
    monkeypatch.setenv('JAXCV_CACHE', str(tmp_path))
    jax.config.update('jax_compilation_cache_dir', '/given')
    programs.keep()
    assert jax.config.jax_compilation_cache_dir == '/given'
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_written_every_program_is_compiled(unset, tmp_path, monkeypatch):
    (tmp_path / 'programs').write_text('a file')
    monkeypatch.setenv('JAXCV_CACHE', str(tmp_path))
    programs.keep()
    assert jax.config.jax_compilation_cache_dir is None
    assert programs.described() == ''
