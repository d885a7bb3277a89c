"""Errors of the memory, in one line."""

import jax
import pytest

from experiments.run import memory
from jaxcv.config import ConfigError

ERRORS = [
    MemoryError(),
    MemoryError('Unable to allocate 1.2 GiB for an array'),
    jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nAllocator:\n  many lines'),
    jax.errors.JaxRuntimeError('INTERNAL: CUDA_ERROR_OUT_OF_MEMORY: out of memory'),
]


@pytest.mark.parametrize('error', ERRORS)
def test_the_fields_that_save_memory_are_named(error):
    with pytest.raises(ConfigError) as found, memory.named('lower data.batch_size (128)'):
        raise error
    assert str(found.value).startswith('the memory does not suffice')
    assert str(found.value).endswith(': lower data.batch_size (128)')
    assert '\n' not in str(found.value)


@pytest.mark.parametrize('error', [jax.errors.JaxRuntimeError('INTERNAL: another fault'), ValueError('out of memory')])
def test_other_errors_stay(error):
    with pytest.raises(type(error)) as found, memory.named('lower data.batch_size (128)'):
        raise error
    assert found.value is error
