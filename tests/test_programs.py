"""The cache of compiled programs that the test processes share."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.lru_cache import LRUCache

from jaxcv.files import keep_last_used
from tests import programs


@pytest.mark.skipif(jax.default_backend() != 'cpu', reason="an accelerator's programs are not kept")
def test_a_program_is_compiled_once_and_gives_the_same_from_its_file(monkeypatch):
    x, (factor, shift) = jnp.arange(6.0), np.frombuffer(os.urandom(4), np.uint16).tolist()  # no run has compiled it
    taken, kept, get, put = [], [], LRUCache.get, LRUCache.put
    monkeypatch.setattr(LRUCache, 'get', lambda *key: taken.append(get(*key)) or taken[-1])
    monkeypatch.setattr(LRUCache, 'put', lambda *entry: kept.append(entry[-1]) or put(*entry))
    for _ in range(2):
        compiled = jax.jit(lambda x: factor * x.cumsum() + shift).lower(x).compile()
        assert compiled(x).tolist() == [factor * i * (i + 1) / 2 + shift for i in range(6)]
    assert len(kept) == 1
    assert taken == [None, kept[0]]


def test_the_last_used_entries_are_kept(tmp_path):
    for i, name in enumerate('abc'):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (i, i))
    keep_last_used(tmp_path, most=300)
    assert len(list(tmp_path.iterdir())) == 3
    programs._get(type('cache', (), {'path': tmp_path}), 'a')
    keep_last_used(tmp_path, most=250)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a', 'c']
